//! Many rules at once, each made, renewed or left as it is, under one revision; and what of all
//! rules counts for coverage.

use super::pg::{Pg, problem};
use super::rules::{NOTIFY, REVISION, hold, scalar};
use super::{FromRow, PgQuery};
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use deadpool_postgres::Transaction;
use millrace_detection::rules::RULES_MAX;
use millrace_detection::sigma::{Renewal, renew};
use millrace_detection::{OrgSettings, RuleDef};
use millrace_shared::outcome::Refusal;
use millrace_shared::wire::Severity;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// What of a rule counts for coverage.
#[derive(Clone, Debug)]
pub struct MappedRule {
    /// Its ATT&CK ids.
    pub attack: Vec<String>,
    /// Whether it runs.
    pub enabled: bool,
    /// Its severity; nothing where that is the event's.
    pub severity: Option<Severity>,
}

/// All present rules, as far as coverage goes.
#[derive(Clone, Copy, Debug)]
pub struct Mapping;

impl Needs for Mapping {
    fn permission(&self) -> Permission {
        Permission::RulesRead
    }
}

impl PgQuery for Mapping {
    type Row = MappedRule;

    fn sql(&self) -> &'static str {
        "SELECT enabled, body ->> 'severity' AS severity, body -> 'attack' AS attack
           FROM rule WHERE org_id = $1 AND until_revision IS NULL"
    }
}

impl FromRow for MappedRule {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let severity: Option<&str> = row.try_get("severity")?;
        let attack: Option<Value> = row.try_get("attack")?;
        let ids = attack.as_ref().and_then(Value::as_array).into_iter();
        let ids = ids.flatten().filter_map(Value::as_str);
        Ok(MappedRule {
            attack: ids.map(str::to_owned).collect(),
            enabled: row.try_get("enabled")?,
            severity: severity.and_then(Severity::parse),
        })
    }
}

/// Rules that are imported together.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// The rules.
    pub rules: Arc<Vec<RuleDef>>,
    /// What their test cases run with.
    pub settings: OrgSettings,
    /// Whether they are only compared with what is there.
    pub dry_run: bool,
    /// Who does it.
    pub who: String,
}

impl Needs for Bulk {
    fn permission(&self) -> Permission {
        Permission::RulesManage
    }
}

/// What became of a rule of an import.
#[derive(Clone, Debug)]
pub struct Done {
    /// Whether it is made, renewed, the same, or refused.
    pub renewal: Renewal,
    /// The number of the version that runs now; 0 where it is refused.
    pub version: i32,
}

/// The last version of each id, and the document of those that are present.
const KNOWN: &str = "
    SELECT id, max(version) AS version,
           (array_agg(body) FILTER (WHERE until_revision IS NULL))[1] AS body
      FROM rule WHERE org_id = $1 AND id = ANY($2::text[]) GROUP BY id";
const COUNT: &str = "
    SELECT count(*) FROM rule WHERE org_id = $1 AND until_revision IS NULL";
const CLOSE_ALL: &str = "
    UPDATE rule SET until_revision = $3
     WHERE org_id = $1 AND id = ANY($2::text[]) AND until_revision IS NULL";
const INSERT_ALL: &str = "
    INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by)
    SELECT $1, k.id, k.version, (k.body ->> 'enabled')::boolean, false, k.body, $5, $6
      FROM unnest($2::text[], $3::int[], $4::jsonb[]) AS k (id, version, body)";

/// Makes or renews many rules; `record` makes the one audit event, by the outcomes and the
/// revision, and is the last thing before the commit. Nothing is written where nothing changes.
///
/// # Errors
/// 422 when the organisation would have too many rules, 503 when a store is down; then nothing was
/// changed.
pub async fn import(
    pg: &Pg,
    bound: &Bound<Bulk>,
    record: impl AsyncFnOnce(&[Done], i64) -> Result<(), Problem>,
) -> Result<Vec<Done>, Problem> {
    let (org, bulk) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    // Everybody who takes a revision, and every worker that looks for one, waits for the lock: it is
    // not held while thousands of rules are compared, unless somebody changed one of them meanwhile.
    let before = known(&transaction, bound).await?;
    let mut done = compared(bulk, &before).await?;
    if !bulk.dry_run {
        hold(&transaction).await?;
        let now = known(&transaction, bound).await?;
        if now != before {
            done = compared(bulk, &now).await?;
        }
    }
    let made = done.iter().filter(|one| one.renewal == Renewal::New);
    let count: i64 = scalar(&transaction, COUNT, &[&org]).await?;
    let after = usize::try_from(count).unwrap_or(usize::MAX) + made.count();
    if after > RULES_MAX {
        let detail = format!("the organisation would have {after} rules, more than {RULES_MAX}");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    let next = Next::of(bulk, &done);
    if bulk.dry_run || next.ids.is_empty() {
        return Ok(done);
    }
    let revision: i64 = scalar(&transaction, REVISION, &[]).await?;
    let params: [&(dyn ToSql + Sync); 3] = [&org, &next.ids, &revision];
    let closed = transaction.execute(CLOSE_ALL, &params).await;
    closed.map_err(problem)?;
    let Next {
        ids,
        versions,
        bodies,
    } = &next;
    let params: [&(dyn ToSql + Sync); 6] = [&org, ids, versions, bodies, &revision, &bulk.who];
    let inserted = transaction.execute(INSERT_ALL, &params).await;
    inserted.map_err(problem)?;
    transaction.execute(NOTIFY, &[]).await.map_err(problem)?;
    record(&done, revision).await?;
    transaction.commit().await.map_err(problem)?;
    Ok(done)
}

/// By id: the last version, and the present document if there is one.
type Known = Arc<HashMap<String, (i32, Option<Value>)>>;

async fn known(transaction: &Transaction<'_>, bound: &Bound<Bulk>) -> Result<Known, Problem> {
    let rules = bound.query().rules.iter();
    let ids: Vec<&str> = rules.map(|rule| rule.id.as_str()).collect();
    let rows = transaction.query(KNOWN, &[&bound.org(), &ids]).await;
    let rows = rows.map_err(problem)?;
    let each = rows.iter().map(|row| -> Result<_, tokio_postgres::Error> {
        let known = (row.try_get("version")?, row.try_get("body")?);
        Ok((row.try_get("id")?, known))
    });
    let known = each.collect::<Result<_, _>>().map_err(problem)?;
    Ok(Arc::new(known))
}

async fn compared(bulk: &Bulk, known: &Known) -> Result<Vec<Done>, Problem> {
    let (rules, known, settings) = (Arc::clone(&bulk.rules), Arc::clone(known), bulk.settings);
    let done = tokio::task::spawn_blocking(move || compare(&rules, &known, settings)).await;
    done.map_err(|error| Problem::internal("the comparison broke off", &error))
}

fn compare(rules: &[RuleDef], known: &Known, settings: OrgSettings) -> Vec<Done> {
    let each = rules.iter().map(|rule| {
        let (last, present) = known
            .get(&rule.id)
            .map_or((0, None), |(last, present)| (*last, present.as_ref()));
        let renewal = renew(rule, present, settings);
        let version = match renewal {
            Renewal::New | Renewal::Changed(_) => last.saturating_add(1),
            Renewal::Same => last,
            Renewal::Refused(_) => 0,
        };
        Done { renewal, version }
    });
    each.collect()
}

/// The versions that are written.
struct Next<'b> {
    ids: Vec<&'b str>,
    versions: Vec<i32>,
    bodies: Vec<Value>,
}

impl<'b> Next<'b> {
    fn of(bulk: &'b Bulk, done: &[Done]) -> Self {
        let mut next = Next {
            ids: Vec::new(),
            versions: Vec::new(),
            bodies: Vec::new(),
        };
        for (rule, done) in bulk.rules.iter().zip(done) {
            let mut body = match &done.renewal {
                Renewal::New => rule.to_json(),
                Renewal::Changed(renewed) => renewed.to_json(),
                Renewal::Same | Renewal::Refused(_) => continue,
            };
            if let Some(members) = body.as_object_mut() {
                members.insert("version".to_owned(), done.version.into());
            }
            next.ids.push(&rule.id);
            next.versions.push(done.version);
            next.bodies.push(body);
        }
        next
    }
}
