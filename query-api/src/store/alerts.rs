//! Alerts: listed, shown with their history, and changed. A change of status is checked and written
//! in one transaction with its history and its audit event.

use super::pg::{Pg, pg_range, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::ask::{AlertStatus, Position, TimeRange};
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use deadpool_postgres::Transaction;
use millrace_shared::channel::Happening;
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use uuid::Uuid;

/// An alert.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alert {
    /// Its id.
    pub id: Uuid,
    /// The rule that made it.
    pub rule_id: String,
    /// Version of the rule.
    pub rule_version: i32,
    /// `info` to `critical`.
    pub severity: String,
    /// The title.
    pub title: String,
    /// The message.
    pub message: String,
    /// The type, as `BRUTE_FORCE_ATTACK`.
    pub alert_type: String,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// The group it is about, scrubbed.
    pub group_key: Value,
    /// When its first event happened.
    pub first_seen: Moment,
    /// When its last event happened.
    pub last_seen: Moment,
    /// Matches it stands for.
    pub count: i64,
    /// Matches that only raised the count.
    pub suppressed: i64,
    /// Some of its events; none where they are withheld (`hidden`).
    pub event_ids: Vec<Uuid>,
    /// Observables in them.
    pub observables: Vec<String>,
    /// The risk, 0 to 100.
    pub risk_score: i16,
    /// The signal its events came as.
    pub signal: String,
    /// `open`, `acknowledged`, `in_progress`, `resolved`, `closed` or `false_positive`.
    pub status: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// When the status last changed.
    pub status_changed_at: Moment,
    /// When it was first acknowledged.
    pub acknowledged_at: Option<Moment>,
    /// When it was settled.
    pub resolved_at: Option<Moment>,
    /// When it was escalated, because nobody acknowledged it since it was opened.
    pub escalated_at: Option<Moment>,
    /// When it was made.
    pub created_at: Moment,
    /// Whether its events were stored before what it tells of them was known.
    pub retroactive: bool,
    /// The retro-hunt that raised it, if one did.
    pub retro_hunt: Option<Uuid>,
    /// Whether its observable is stored as a hash or pseudonym. What that is, and which events have it, is
    /// told to those only who have `pii:reveal-hash`; of its times everybody is told the day.
    pub hidden: bool,
    #[serde(skip)]
    form: Option<String>,
}

impl Alert {
    /// As it is told to somebody who may know how values are hidden, or may not.
    #[must_use]
    pub fn told(mut self, may_reveal: bool) -> Self {
        let Some(form) = self.form.take() else {
            return self;
        };
        if may_reveal {
            if let Some(group) = self.group_key.as_object_mut() {
                group.insert("observable".to_owned(), form.as_str().into());
            }
            self.observables.push(form);
        } else {
            self.event_ids.clear();
        }
        self
    }
}

macro_rules! alert_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, rule_id, rule_version, severity, title, message, alert_type, attack,
                    group_key, first_seen, last_seen, count, suppressed, event_ids, observables,
                    risk_score, signal, status, assignee, status_changed_at, acknowledged_at,
                    resolved_at, escalated_at, created_at, retro_hunt, hidden FROM alert WHERE org_id = $1 ",
            $rest
        )
    };
}

impl FromRow for Alert {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let at = |column: &str| row.try_get::<_, OffsetDateTime>(column).map(Moment::from);
        let maybe = |column: &str| -> Result<Option<Moment>, tokio_postgres::Error> {
            row.try_get::<_, Option<OffsetDateTime>>(column)
                .map(|at| at.map(Moment::from))
        };
        let form: Option<String> = row.try_get("hidden")?;
        Ok(Alert {
            id: row.try_get("id")?,
            rule_id: row.try_get("rule_id")?,
            rule_version: row.try_get("rule_version")?,
            severity: row.try_get("severity")?,
            title: row.try_get("title")?,
            message: row.try_get("message")?,
            alert_type: row.try_get("alert_type")?,
            attack: row.try_get("attack")?,
            group_key: row.try_get("group_key")?,
            first_seen: at("first_seen")?,
            last_seen: at("last_seen")?,
            count: row.try_get("count")?,
            suppressed: row.try_get("suppressed")?,
            event_ids: row.try_get("event_ids")?,
            observables: row.try_get("observables")?,
            risk_score: row.try_get("risk_score")?,
            signal: row.try_get("signal")?,
            status: row.try_get("status")?,
            assignee: row.try_get("assignee")?,
            status_changed_at: at("status_changed_at")?,
            acknowledged_at: maybe("acknowledged_at")?,
            resolved_at: maybe("resolved_at")?,
            escalated_at: maybe("escalated_at")?,
            created_at: at("created_at")?,
            retroactive: row.try_get::<_, Option<Uuid>>("retro_hunt")?.is_some(),
            retro_hunt: row.try_get("retro_hunt")?,
            hidden: form.is_some(),
            form,
        })
    }
}

/// A page of alerts, newest first.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only these statuses.
    pub statuses: Option<Vec<String>>,
    /// Only these severities.
    pub severities: Option<Vec<String>>,
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only of these types.
    pub types: Option<Vec<String>>,
    /// Only of this assignee.
    pub assignee: Option<String>,
    /// Only of this signal.
    pub signal: Option<String>,
    /// Only with this in title or message.
    pub text: Option<String>,
    start: Option<OffsetDateTime>,
    end: Option<OffsetDateTime>,
    after: Option<OffsetDateTime>,
    after_id: Option<Uuid>,
    limit: i64,
}

impl Listing {
    /// Of alerts made in a range.
    #[must_use]
    pub fn new(range: Option<TimeRange>, after: Option<Position>, limit: u32) -> Self {
        let range = range.map(pg_range);
        Listing {
            start: range.map(|range| range.0),
            end: range.map(|range| range.1),
            after: after.map(|after| super::pg::instant(after.at)),
            after_id: after.map(|after| after.id),
            limit: i64::from(limit),
            ..Listing::default()
        }
    }

    /// What tells one set of filters from another, for cursors.
    #[must_use]
    pub fn filters(&self) -> String {
        format!(
            "{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
            self.statuses,
            self.severities,
            self.rule,
            self.types,
            self.assignee,
            self.signal,
            self.text
        )
    }
}

impl Needs for Listing {
    fn permission(&self) -> Permission {
        Permission::AlertsRead
    }
}

impl PgQuery for Listing {
    type Row = Alert;

    fn sql(&self) -> &'static str {
        alert_columns!(
            "AND ($2::text[] IS NULL OR status = ANY($2))
             AND ($3::text[] IS NULL OR severity = ANY($3))
             AND ($4::text IS NULL OR rule_id = $4)
             AND ($5::text[] IS NULL OR alert_type = ANY($5))
             AND ($6::text IS NULL OR assignee = $6)
             AND ($7::text IS NULL OR signal = $7)
             AND ($8::text IS NULL OR position(lower($8) IN lower(title || ' ' || message)) > 0)
             AND ($9::timestamptz IS NULL OR created_at >= $9)
             AND ($10::timestamptz IS NULL OR created_at < $10)
             AND ($11::timestamptz IS NULL OR (created_at, id) < ($11, $12::uuid))
           ORDER BY created_at DESC, id DESC LIMIT $13"
        )
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.statuses,
            &self.severities,
            &self.rule,
            &self.types,
            &self.assignee,
            &self.signal,
            &self.text,
            &self.start,
            &self.end,
            &self.after,
            &self.after_id,
            &self.limit,
        ]
    }
}

/// One alert.
#[derive(Clone, Copy, Debug)]
pub struct AlertById(pub Uuid);

impl Needs for AlertById {
    fn permission(&self) -> Permission {
        Permission::AlertsRead
    }
}

impl PgQuery for AlertById {
    type Row = Alert;

    fn sql(&self) -> &'static str {
        alert_columns!("AND id = $2")
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

/// The history of an alert, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct History(pub Uuid);

/// Something that happened to an alert.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AlertEvent {
    /// When.
    pub at: Moment,
    /// Who did it.
    pub who: String,
    /// What: `status`, `assign`, `note`, or what the worker did.
    pub what: String,
    /// The status before.
    pub from_status: Option<String>,
    /// The status after.
    pub to_status: Option<String>,
    /// Why.
    pub note: String,
}

impl Needs for History {
    fn permission(&self) -> Permission {
        Permission::AlertsRead
    }
}

impl PgQuery for History {
    type Row = AlertEvent;

    fn sql(&self) -> &'static str {
        "SELECT at, who, what, from_status, to_status, note FROM alert_event
          WHERE org_id = $1 AND alert_id = $2 ORDER BY id LIMIT 1000"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

impl FromRow for AlertEvent {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(AlertEvent {
            at: row.try_get::<_, OffsetDateTime>("at")?.into(),
            who: row.try_get("who")?,
            what: row.try_get("what")?,
            from_status: row.try_get("from_status")?,
            to_status: row.try_get("to_status")?,
            note: row.try_get("note")?,
        })
    }
}

/// Counts of alerts by status and severity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    start: Option<OffsetDateTime>,
    end: Option<OffsetDateTime>,
}

impl Summary {
    /// Of alerts made in a range, or of all.
    #[must_use]
    pub fn new(range: Option<TimeRange>) -> Self {
        let range = range.map(pg_range);
        Summary {
            start: range.map(|range| range.0),
            end: range.map(|range| range.1),
        }
    }
}

/// A count.
#[derive(Clone, Debug)]
pub struct SummaryCount {
    /// The status.
    pub status: String,
    /// The severity.
    pub severity: String,
    /// Alerts.
    pub alerts: i64,
    /// Of these, with nobody assigned.
    pub unassigned: i64,
}

impl Needs for Summary {
    fn permission(&self) -> Permission {
        Permission::AlertsRead
    }
}

impl PgQuery for Summary {
    type Row = SummaryCount;

    fn sql(&self) -> &'static str {
        "SELECT status, severity, count(*) AS alerts,
                count(*) FILTER (WHERE assignee IS NULL) AS unassigned
           FROM alert WHERE org_id = $1
            AND ($2::timestamptz IS NULL OR created_at >= $2)
            AND ($3::timestamptz IS NULL OR created_at < $3)
          GROUP BY status, severity"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.start, &self.end]
    }
}

impl FromRow for SummaryCount {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(SummaryCount {
            status: row.try_get("status")?,
            severity: row.try_get("severity")?,
            alerts: row.try_get("alerts")?,
            unassigned: row.try_get("unassigned")?,
        })
    }
}

/// What is done to an alert.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It moves to a status.
    Status(AlertStatus),
    /// It is given to somebody, or to nobody.
    Assign(Option<String>),
    /// Something is noted.
    Note,
}

/// A change of one alert.
#[derive(Clone, Debug)]
pub struct Change {
    /// The alert.
    pub id: Uuid,
    /// What is done.
    pub deed: Deed,
    /// Who does it.
    pub who: String,
    /// Why.
    pub note: String,
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::AlertsTriage
    }
}

const LOCK: &str = "SELECT status FROM alert WHERE org_id = $1 AND id = $2 FOR UPDATE";
const SET_STATUS: &str = "
    UPDATE alert SET status = $3, status_changed_at = now(),
           acknowledged_at = CASE WHEN $3 = 'acknowledged' THEN coalesce(acknowledged_at, now())
                                  ELSE acknowledged_at END,
           resolved_at = CASE WHEN $3 IN ('resolved', 'closed', 'false_positive') THEN now()
                              WHEN $3 = 'open' THEN NULL ELSE resolved_at END,
           escalated_at = CASE WHEN $3 = 'open' THEN NULL ELSE escalated_at END
     WHERE org_id = $1 AND id = $2";
const SET_ASSIGNEE: &str = "UPDATE alert SET assignee = $3 WHERE org_id = $1 AND id = $2";
const REMEMBER: &str = "
    INSERT INTO alert_event (org_id, alert_id, who, what, from_status, to_status, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id::text";
const TELL: &str = "SELECT notify_alert($1, $2, $3, $4)";

/// Carries out a change; `record` makes its audit event and is the last thing before the commit.
///
/// # Errors
/// 404 without such an alert, 409 for a transition that is not legal, 503 when a store is down; then
/// nothing was changed.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, change) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let row = transaction
        .query_opt(LOCK, &[&org, &change.id])
        .await
        .map_err(problem)?;
    let row = row.ok_or_else(|| Problem::not_found("alert"))?;
    let before: String = row.try_get("status").map_err(problem)?;
    let mut after = None;
    let (what, note) = match &change.deed {
        Deed::Status(to) => {
            legal(&before, *to)?;
            let to = to.as_str();
            after = Some(to);
            let params: [&(dyn ToSql + Sync); 3] = [&org, &change.id, &to];
            transaction
                .execute(SET_STATUS, &params)
                .await
                .map_err(problem)?;
            ("status", change.note.clone())
        }
        Deed::Assign(to) => {
            let params: [&(dyn ToSql + Sync); 3] = [&org, &change.id, to];
            transaction
                .execute(SET_ASSIGNEE, &params)
                .await
                .map_err(problem)?;
            let whom = to.as_deref().unwrap_or("nobody");
            (
                "assign",
                format!("to {whom}. {}", change.note).trim_end().to_owned(),
            )
        }
        Deed::Note => ("note", change.note.clone()),
    };
    let from = after.map(|_| before);
    let params: [&(dyn ToSql + Sync); 7] =
        [&org, &change.id, &change.who, &what, &from, &after, &note];
    let remembered = transaction
        .query_one(REMEMBER, &params)
        .await
        .map_err(problem)?;
    if matches!(&change.deed, Deed::Status(to) if to.settles()) {
        let ordinal: String = remembered.try_get(0).map_err(problem)?;
        tell(&transaction, change, &ordinal).await?;
    }
    record().await?;
    transaction.commit().await.map_err(problem)
}

/// That an alert is settled is told to the channels, by the line of its history.
async fn tell(
    transaction: &Transaction<'_>,
    change: &Change,
    ordinal: &str,
) -> Result<(), Problem> {
    let happened = Happening::Resolved.as_str();
    let mut detail = json!({ "by": change.who });
    if let Some(members) = detail.as_object_mut().filter(|_| !change.note.is_empty()) {
        members.insert("note".to_owned(), change.note.as_str().into());
    }
    let params: [&(dyn ToSql + Sync); 4] = [&change.id, &happened, &ordinal, &detail];
    transaction
        .query_one(TELL, &params)
        .await
        .map_err(problem)?;
    Ok(())
}

fn legal(before: &str, to: AlertStatus) -> Result<(), Problem> {
    if AlertStatus::parse(before).is_some_and(|from| from.may_become(to)) {
        return Ok(());
    }
    let detail = format!("an alert that is {before} cannot become {}", to.as_str());
    Err(Problem::new(Refusal::Conflict, detail))
}
