//! Notification channels: what may be shown of them, and their changes. A sealed address goes in and
//! never comes out again: only the worker opens it.

use super::pg::{Pg, problem};
use super::{FromRow, PgQuery};
use crate::answer::Moment;
use crate::error::Problem;
use crate::principal::{Bound, Needs, Permission};
use deadpool_postgres::Transaction;
use millrace_shared::channel::{ChannelKind, Happening};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;
use uuid::Uuid;

/// Channels of one organisation: each of them costs a row for everything that is told.
pub const CHANNELS_MAX: i64 = 50;

/// A channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Channel {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `webhook`, `slack`, `teams`, `discord`, `pagerduty` or `email`.
    pub kind: String,
    /// Whether it is told anything.
    pub enabled: bool,
    /// The least severity of which it is told.
    pub min_severity: String,
    /// Only alerts of these rules; of all when empty.
    pub rules: Vec<String>,
    /// Messages a minute, at most.
    pub per_minute: i32,
    /// Where it leads to, as far as it is no secret.
    pub address: Value,
    /// Attempts that have failed one after another.
    pub failures: i32,
    /// Until when it is left alone after failures.
    pub rests_until: Option<Moment>,
    /// Messages that wait.
    pub pending: i64,
    /// Messages that were given up and can be sent again.
    pub dead: i64,
    /// When it was made.
    pub created_at: Moment,
    /// When it was last changed.
    pub changed_at: Moment,
    /// By whom.
    pub changed_by: String,
}

macro_rules! channel_columns {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.name, c.kind, c.enabled, c.min_severity, c.rules, c.per_minute, c.target,
                    c.failures, c.rests_until, c.created_at, c.changed_at, c.changed_by,
                    (SELECT count(*) FROM outbox AS o
                      WHERE o.channel_id = c.id AND o.state = 'pending') AS pending,
                    (SELECT count(*) FROM outbox AS o
                      WHERE o.org_id = $1 AND o.channel_id = c.id AND o.state = 'dead') AS dead
               FROM notification_channel AS c WHERE c.org_id = $1 ",
            $rest
        )
    };
}

impl FromRow for Channel {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let at = |column: &str| row.try_get::<_, OffsetDateTime>(column).map(Moment::from);
        let rests: Option<OffsetDateTime> = row.try_get("rests_until")?;
        Ok(Channel {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            kind: row.try_get("kind")?,
            enabled: row.try_get("enabled")?,
            min_severity: row.try_get("min_severity")?,
            rules: row.try_get("rules")?,
            per_minute: row.try_get("per_minute")?,
            address: row.try_get("target")?,
            failures: row.try_get("failures")?,
            rests_until: rests.map(Moment::from),
            pending: row.try_get("pending")?,
            dead: row.try_get("dead")?,
            created_at: at("created_at")?,
            changed_at: at("changed_at")?,
            changed_by: row.try_get("changed_by")?,
        })
    }
}

/// All channels, by name: there are few.
#[derive(Clone, Copy, Debug)]
pub struct Listing;

impl Needs for Listing {
    fn permission(&self) -> Permission {
        Permission::ChannelsRead
    }
}

impl PgQuery for Listing {
    type Row = Channel;

    fn sql(&self) -> &'static str {
        channel_columns!("ORDER BY c.name")
    }
}

/// One channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelById(pub Uuid);

impl Needs for ChannelById {
    fn permission(&self) -> Permission {
        Permission::ChannelsRead
    }
}

impl PgQuery for ChannelById {
    type Row = Channel;

    fn sql(&self) -> &'static str {
        channel_columns!("AND c.id = $2")
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0]
    }
}

/// A channel as it is to be.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ChannelKind,
    /// Whether it is told anything.
    pub enabled: bool,
    /// The least severity.
    pub min_severity: &'static str,
    /// Only these rules.
    pub rules: Vec<String>,
    /// Messages a minute.
    pub per_minute: i32,
    /// What of its address may be shown, and the whole of it, sealed; as it was when absent.
    pub address: Option<(Value, Vec<u8>)>,
}

/// What is done to a channel.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It is made.
    Create(Written),
    /// It is replaced.
    Update(Written),
    /// It is removed.
    Delete,
}

/// A change of one channel.
#[derive(Clone, Debug)]
pub struct Change {
    /// The channel.
    pub id: Uuid,
    /// What is done.
    pub deed: Deed,
    /// Who does it.
    pub who: String,
}

impl Needs for Change {
    fn permission(&self) -> Permission {
        Permission::ChannelsManage
    }
}

/// Changes of one organisation's channels come one after another.
const LOCK: &str = "SELECT FROM organisation WHERE id = $1 FOR NO KEY UPDATE";
const COUNT: &str = "SELECT count(*) FROM notification_channel WHERE org_id = $1";
const NAMESAKE: &str = "
    SELECT FROM notification_channel WHERE org_id = $1 AND name = $2 AND id <> $3";
const UNKNOWN_RULE: &str = "
    SELECT named.rule FROM unnest($2::text[]) AS named (rule)
     WHERE NOT EXISTS (SELECT FROM rule WHERE rule.org_id = $1 AND rule.id = named.rule
                          AND rule.until_revision IS NULL) LIMIT 1";
const INSERT: &str = "
    INSERT INTO notification_channel (org_id, id, name, kind, enabled, min_severity, rules, per_minute,
                                      target, sealed, changed_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const KIND: &str = "SELECT kind FROM notification_channel WHERE org_id = $1 AND id = $2 FOR UPDATE";
/// A channel that was changed is tried at once.
const UPDATE: &str = "
    UPDATE notification_channel
       SET name = $3, kind = $4, enabled = $5, min_severity = $6, rules = $7, per_minute = $8,
           target = coalesce($9, target), sealed = coalesce($10, sealed), changed_by = $11,
           changed_at = now(), failures = 0, rests_until = NULL
     WHERE org_id = $1 AND id = $2";
const DELETE: &str = "DELETE FROM notification_channel WHERE org_id = $1 AND id = $2";
/// What waits for a channel that is gone or switched off is not sent later, when it is news no more.
const DROP_WAITING: &str = "
    UPDATE outbox SET state = 'dropped', finished_at = now(), last_error = $3
     WHERE org_id = $1 AND channel_id = $2 AND state = 'pending'";

/// Carries out a change; `record` makes its audit event and is the last thing before the commit.
///
/// # Errors
/// 404 without such a channel, 409 for a name that is taken, 422 for too many channels, a rule that
/// there is not, or another kind without its address, 503 when a store is down; then nothing was
/// changed.
pub async fn change(
    pg: &Pg,
    bound: &Bound<Change>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (org, change) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    transaction.query(LOCK, &[&org]).await.map_err(problem)?;
    match &change.deed {
        Deed::Create(written) => {
            fits(&transaction, org, (change.id, written)).await?;
            create(&transaction, org, (change, written)).await?;
        }
        Deed::Update(written) => {
            of_kind(&transaction, org, (change.id, written)).await?;
            fits(&transaction, org, (change.id, written)).await?;
            write(&transaction, UPDATE, org, (change, written)).await?;
            if !written.enabled {
                drop_waiting(
                    &transaction,
                    org,
                    (change.id, "the channel was switched off"),
                )
                .await?;
            }
        }
        Deed::Delete => {
            let params: [&(dyn ToSql + Sync); 2] = [&org, &change.id];
            let gone = transaction
                .execute(DELETE, &params)
                .await
                .map_err(problem)?;
            if gone == 0 {
                return Err(Problem::not_found("channel"));
            }
            drop_waiting(&transaction, org, (change.id, "the channel was deleted")).await?;
        }
    }
    record().await?;
    transaction.commit().await.map_err(problem)
}

/// Whether the name is free and the rules are there.
async fn fits(
    transaction: &Transaction<'_>,
    org: OrgId,
    (id, written): (Uuid, &Written),
) -> Result<(), Problem> {
    let params: [&(dyn ToSql + Sync); 3] = [&org, &written.name, &id];
    let namesake = transaction.query_opt(NAMESAKE, &params).await;
    if namesake.map_err(problem)?.is_some() {
        let detail = format!("there is a channel `{}` already", written.name);
        return Err(Problem::new(Refusal::Conflict, detail));
    }
    let params: [&(dyn ToSql + Sync); 2] = [&org, &written.rules];
    let unknown = transaction.query_opt(UNKNOWN_RULE, &params).await;
    match unknown.map_err(problem)? {
        None => Ok(()),
        Some(row) => {
            let rule: String = row.try_get(0).map_err(problem)?;
            let detail = format!("there is no rule {rule}");
            Err(Problem::new(Refusal::Unprocessable, detail))
        }
    }
}

async fn create(
    transaction: &Transaction<'_>,
    org: OrgId,
    (change, written): (&Change, &Written),
) -> Result<(), Problem> {
    let row = transaction
        .query_one(COUNT, &[&org])
        .await
        .map_err(problem)?;
    if row.try_get::<_, i64>(0).map_err(problem)? >= CHANNELS_MAX {
        let detail = format!("an organisation has at most {CHANNELS_MAX} channels");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    if written.address.is_none() {
        return Err(Problem::parameter("address", "is missing"));
    }
    write(transaction, INSERT, org, (change, written)).await
}

/// Whether there is such a channel, and its address is of the kind that it is to be.
async fn of_kind(
    transaction: &Transaction<'_>,
    org: OrgId,
    (id, written): (Uuid, &Written),
) -> Result<(), Problem> {
    let params: [&(dyn ToSql + Sync); 2] = [&org, &id];
    let row = transaction
        .query_opt(KIND, &params)
        .await
        .map_err(problem)?;
    let row = row.ok_or_else(|| Problem::not_found("channel"))?;
    let kind: String = row.try_get(0).map_err(problem)?;
    if kind != written.kind.as_str() && written.address.is_none() {
        let detail =
            format!("the channel is of the kind {kind}: another one needs its own address");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    Ok(())
}

/// Gives a statement everything that a channel is to be, as `$1` to `$11`.
async fn write(
    transaction: &Transaction<'_>,
    statement: &str,
    org: OrgId,
    (change, written): (&Change, &Written),
) -> Result<(), Problem> {
    let kind = written.kind.as_str();
    let address = written.address.as_ref();
    let (target, sealed) = address.map(|(target, sealed)| (target, sealed)).unzip();
    let params: [&(dyn ToSql + Sync); 11] = [
        &org,
        &change.id,
        &written.name,
        &kind,
        &written.enabled,
        &written.min_severity,
        &written.rules,
        &written.per_minute,
        &target,
        &sealed,
        &change.who,
    ];
    transaction
        .execute(statement, &params)
        .await
        .map_err(problem)?;
    Ok(())
}

async fn drop_waiting(
    transaction: &Transaction<'_>,
    org: OrgId,
    (id, why): (Uuid, &str),
) -> Result<(), Problem> {
    let params: [&(dyn ToSql + Sync); 3] = [&org, &id, &why];
    let dropped = transaction.execute(DROP_WAITING, &params).await;
    dropped.map(drop).map_err(problem)
}

/// A test message to be sent to a channel.
#[derive(Clone, Debug)]
pub struct Test {
    /// The channel.
    pub channel: Uuid,
    /// Who tries it.
    pub who: String,
}

impl Needs for Test {
    fn permission(&self) -> Permission {
        Permission::ChannelsManage
    }
}

const ENABLED: &str = "
    SELECT enabled, EXISTS (SELECT FROM outbox WHERE channel_id = $2 AND state = 'pending'
                               AND event = 'test')
      FROM notification_channel WHERE org_id = $1 AND id = $2 FOR UPDATE";
const WAKE: &str = "
    UPDATE notification_channel SET failures = 0, rests_until = NULL WHERE org_id = $1 AND id = $2";
const QUEUE_TEST: &str = "
    INSERT INTO outbox (org_id, channel_id, event, idempotency_key, payload)
    SELECT $1, $2, $3, 'test:' || gen_random_uuid()::text,
           jsonb_build_object('timestamp', rfc3339(now()),
               'organisation', jsonb_build_object('id', o.id, 'name', o.name)) || $4
      FROM organisation AS o WHERE o.id = $1 RETURNING id";

/// Queues a test message, to be sent before all others; its number. `record` makes its audit event.
///
/// # Errors
/// 404 without such a channel, 409 when it is switched off or a test is under way, 503 when a store is
/// down.
pub async fn test(
    pg: &Pg,
    bound: &Bound<Test>,
    record: impl AsyncFnOnce() -> Result<(), Problem>,
) -> Result<i64, Problem> {
    let (org, test) = (bound.org(), bound.query());
    let mut client = pg.client().await?;
    let transaction = client.transaction().await.map_err(problem)?;
    let params: [&(dyn ToSql + Sync); 2] = [&org, &test.channel];
    let row = transaction
        .query_opt(ENABLED, &params)
        .await
        .map_err(problem)?;
    let row = row.ok_or_else(|| Problem::not_found("channel"))?;
    let refused = |detail: &str| Err(Problem::new(Refusal::Conflict, detail));
    if !row.try_get::<_, bool>(0).map_err(problem)? {
        return refused("the channel is switched off");
    }
    if row.try_get::<_, bool>(1).map_err(problem)? {
        return refused("a test of the channel is under way");
    }
    transaction.execute(WAKE, &params).await.map_err(problem)?;
    let (happened, by) = (Happening::Test.as_str(), json!({ "by": test.who }));
    let params: [&(dyn ToSql + Sync); 4] = [&org, &test.channel, &happened, &by];
    let row = transaction.query_one(QUEUE_TEST, &params).await;
    let number = row.map_err(problem)?.try_get(0).map_err(problem)?;
    record().await?;
    transaction.commit().await.map_err(problem)?;
    Ok(number)
}
