//! Normalization pipelines, one for each signal at most. As with rules, a change takes a control
//! revision and closes the version before, so that a batch can be made again with the one it used.

use super::pg::{Pg, problem};
use super::rules::{NOTIFY, REVISION, hold, scalar};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use millrace_shared::Signal;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

/// A pipeline.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PipelineRow {
    /// For which signal.
    pub signal: String,
    /// Its steps, in order.
    pub steps: Value,
    /// Who made it what it is.
    pub changed_by: String,
    /// When.
    pub changed_at: Moment,
}

/// The present pipelines, or that of one signal.
#[derive(Clone, Debug)]
pub struct Pipelines(pub Option<&'static str>);

impl Needs for Pipelines {
    fn permission(&self) -> Permission {
        Permission::PipelinesRead
    }
}

impl PgQuery for Pipelines {
    type Row = PipelineRow;

    fn sql(&self) -> &'static str {
        "SELECT signal, steps, changed_by, changed_at FROM normalization_pipeline
          WHERE org_id = $1 AND until_revision IS NULL AND ($2::text IS NULL OR signal = $2)
          ORDER BY signal"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

impl FromRow for PipelineRow {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(PipelineRow {
            signal: row.try_get("signal")?,
            steps: row.try_get("steps")?,
            changed_by: row.try_get("changed_by")?,
            changed_at: row.try_get::<_, OffsetDateTime>("changed_at")?.into(),
        })
    }
}

/// A change of the pipeline of one signal.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which signal.
    pub signal: Signal,
    /// The steps from now on; none to remove it.
    pub steps: Option<Value>,
    /// Who does it.
    pub who: String,
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::PipelinesManage
    }
}

const CLOSE: &str = "
    UPDATE normalization_pipeline SET until_revision = $3
     WHERE org_id = $1 AND signal = $2 AND until_revision IS NULL";
const INSERT: &str = "
    INSERT INTO normalization_pipeline (org_id, signal, steps, from_revision, changed_by)
    VALUES ($1, $2, $3, $4, $5)";

/// Carries out a change; `record` makes its audit event and is the last thing before the commit.
/// Whether there was a pipeline before.
///
/// # Errors
/// 404 when there is none to remove, 503 when a store is down; then nothing was changed.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<bool, Problem> {
    let (org, change) = (bound.org(), bound.query());
    let signal = change.signal.as_str();
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    hold(&transaction).await?;
    let revision: i64 = scalar(&transaction, REVISION, &[]).await?;
    let params: [&(dyn ToSql + Sync); 3] = [&org, &signal, &revision];
    let closed = transaction.execute(CLOSE, &params).await.map_err(problem)?;
    match &change.steps {
        Some(steps) => {
            let params: [&(dyn ToSql + Sync); 5] = [&org, &signal, steps, &revision, &change.who];
            transaction
                .execute(INSERT, &params)
                .await
                .map_err(problem)?;
        }
        None if closed == 0 => return Err(Problem::not_found("pipeline")),
        None => {}
    }
    transaction.execute(NOTIFY, &[]).await.map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)?;
    Ok(closed > 0)
}
