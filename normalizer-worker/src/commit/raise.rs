//! Alerts as they are stored: firings of a batch are counted up at open alerts or raised as new ones,
//! each with a line in the history, and what is new or has become graver is told to the channels.
//!
//! Sends nothing, and decides nothing that `plan` does not. The caller holds the locks that keep two
//! workers from raising one alert twice.

use super::plan::{self, BURST_S, Join, Key, Known, OVERFLOW, Open, Plan, Raise, RuleKey, signed};
use crate::commit::text;
use crate::error::WorkerError;
use crate::metrics;
use crate::work::{AlertDraft, SAMPLES_MAX};
use deadpool_postgres::Transaction;
use millrace_shared::Signal;
use millrace_shared::channel::Happening;
use millrace_shared::ids::{EventId, LedgerId, OrgId, ShardId};
use millrace_shared::time::rfc3339;
use millrace_shared::wire::Severity;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The place of a severity on the scale, as alerts are sorted by it.
#[must_use]
pub const fn rank(severity: Severity) -> i16 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

/// Stores the alerts of a batch.
///
/// # Errors
/// When PostgreSQL does not take them.
pub(crate) async fn store(
    tx: &Transaction<'_>,
    (shard, ledger): (ShardId, LedgerId),
    drafts: Vec<AlertDraft>,
) -> Result<(), WorkerError> {
    if drafts.is_empty() {
        return Ok(());
    }
    let known = known(tx, &drafts).await?;
    let plan = plan::plan((shard, ledger), drafts, &known);
    count(&plan);
    if !plan.joins.is_empty() {
        join(tx, &plan.joins).await?;
    }
    if !plan.raises.is_empty() {
        raise(tx, (shard.signal, None), &plan.raises).await?;
    }
    Ok(())
}

fn count(plan: &Plan) {
    for raise in &plan.raises {
        let severity = raise.draft.severity.as_str();
        metrics::ALERTS.add(&["raised", severity], 1);
        metrics::ALERTS.add(&["joined", severity], raise.suppressed.unsigned_abs());
    }
    for join in &plan.joins {
        let severity = join.open.severity.as_str();
        metrics::ALERTS.add(&["joined", severity], join.firings.unsigned_abs());
    }
}

/// What there is of the drafts' alerts already.
async fn known(tx: &Transaction<'_>, drafts: &[AlertDraft]) -> Result<Known, WorkerError> {
    let mut keys: BTreeSet<Key> = drafts.iter().map(plan::key).collect();
    let mut rules: BTreeMap<RuleKey, u32> = BTreeMap::new();
    for draft in drafts {
        let window = rules
            .entry((draft.org, draft.rule.clone()))
            .or_insert(BURST_S);
        *window = (*window).max(draft.dedupe_window_s);
    }
    keys.extend(
        rules
            .keys()
            .map(|(org, rule)| (*org, rule.clone(), OVERFLOW)),
    );
    let mut known = Known {
        open: open_alerts(tx, &keys).await?,
        raised: BTreeMap::new(),
    };
    if !known.takes_all(drafts) {
        known.raised = raised_lately(tx, &rules).await?;
    }
    Ok(known)
}

/// How many alerts the rules have raised within their windows, as far as it matters.
async fn raised_lately(
    tx: &Transaction<'_>,
    rules: &BTreeMap<RuleKey, u32>,
) -> Result<BTreeMap<RuleKey, usize>, WorkerError> {
    let sql = format!(
        "SELECT k.org, k.rule, (SELECT count(*) FROM ( \
                SELECT FROM alert AS a WHERE a.org_id = k.org AND a.rule_id = k.rule \
                   AND a.created_at > now() - make_interval(secs => k.seconds) LIMIT {}) AS lately) \
           FROM unnest($1::uuid[], $2::text[], $3::float8[]) AS k (org, rule, seconds)",
        plan::BURST_MAX
    );
    let orgs: Vec<OrgId> = rules.keys().map(|rule| rule.0).collect();
    let names: Vec<String> = rules.keys().map(|rule| text::plain(&rule.1)).collect();
    let seconds: Vec<f64> = rules.values().map(|seconds| f64::from(*seconds)).collect();
    let statement = tx.prepare_cached(&sql).await?;
    let rows = tx.query(&statement, &[&orgs, &names, &seconds]).await?;
    let count = |row: &tokio_postgres::Row| -> Result<_, WorkerError> {
        let count: i64 = row.try_get(2)?;
        let count = usize::try_from(count).unwrap_or(0);
        Ok(((row.try_get(0)?, row.try_get(1)?), count))
    };
    rows.iter().map(count).collect()
}

async fn open_alerts(
    tx: &Transaction<'_>,
    keys: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, Open>, WorkerError> {
    let sql = "SELECT DISTINCT ON (a.org_id, a.rule_id, a.dedupe_hash) \
                      a.id, a.org_id, a.rule_id, a.dedupe_hash, a.first_seen, a.last_seen, a.severity \
                 FROM alert AS a \
                 JOIN unnest($1::uuid[], $2::text[], $3::bytea[]) AS k (org, rule, hash) \
                   ON a.org_id = k.org AND a.rule_id = k.rule AND a.dedupe_hash = k.hash \
                WHERE a.status IN ('open', 'acknowledged', 'in_progress') \
                ORDER BY a.org_id, a.rule_id, a.dedupe_hash, a.last_seen DESC";
    let orgs: Vec<OrgId> = keys.iter().map(|key| key.0).collect();
    let rules: Vec<String> = keys.iter().map(|key| text::plain(&key.1)).collect();
    let hashes: Vec<&[u8]> = keys.iter().map(|key| key.2.as_slice()).collect();
    let statement = tx.prepare_cached(sql).await?;
    let mut open = BTreeMap::new();
    for row in tx.query(&statement, &[&orgs, &rules, &hashes]).await? {
        let hash: &[u8] = row.try_get(3)?;
        let Ok(hash) = <[u8; 16]>::try_from(hash) else {
            continue;
        };
        let (first, last): (time::OffsetDateTime, time::OffsetDateTime) =
            (row.try_get(4)?, row.try_get(5)?);
        let found = Open {
            id: row.try_get(0)?,
            severity: Severity::parse(row.try_get(6)?).unwrap_or(Severity::Info),
            first_seen: nanos(first),
            last_seen: nanos(last),
        };
        open.insert((row.try_get(1)?, row.try_get(2)?, hash), found);
    }
    Ok(open)
}

pub(super) fn nanos(at: time::OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

fn ids(events: &[EventId]) -> Vec<Uuid> {
    events.iter().map(|id| id.0).collect()
}

/// Rows are locked in the order of their ids: the alert in which a rule's further matches are counted
/// is everybody's, whatever locks the caller holds.
const LOCK: &str = "SELECT FROM alert WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

pub(super) async fn join(tx: &Transaction<'_>, joins: &[Join]) -> Result<(), WorkerError> {
    let ids_of: Vec<Uuid> = joins.iter().map(|join| join.open.id).collect();
    let statement = tx.prepare_cached(LOCK).await?;
    tx.query(&statement, &[&ids_of]).await?;
    let rows: Vec<Value> = joins
        .iter()
        .map(|join| {
            json!({
                "id": join.open.id, "count": join.count, "firings": join.firings,
                "first_seen": rfc3339(join.open.first_seen), "last_seen": rfc3339(join.open.last_seen),
                "event_ids": ids(&join.event_ids), "risk_score": join.risk_score,
                "severity": join.open.severity.as_str(), "severity_rank": rank(join.open.severity),
            })
        })
        .collect();
    let sql = format!(
        "UPDATE alert SET count = alert.count + j.count, suppressed = alert.suppressed + j.firings, \
                first_seen = least(alert.first_seen, j.first_seen), \
                last_seen = greatest(alert.last_seen, j.last_seen), \
                event_ids = (alert.event_ids || j.event_ids)[1:{SAMPLES_MAX}], \
                risk_score = greatest(alert.risk_score, j.risk_score), \
                severity = CASE WHEN j.severity_rank > alert.severity_rank \
                                THEN j.severity ELSE alert.severity END, \
                severity_rank = greatest(alert.severity_rank, j.severity_rank) \
           FROM jsonb_to_recordset($1) AS j (id uuid, count int8, firings int8, \
                first_seen timestamptz, last_seen timestamptz, event_ids uuid[], risk_score int2, \
                severity text, severity_rank int2) \
          WHERE alert.id = j.id"
    );
    let statement = tx.prepare_cached(&sql).await?;
    tx.execute(&statement, &[&Value::Array(rows)]).await?;
    let rising: Vec<&Join> = joins.iter().filter(|join| join.rises()).collect();
    if rising.is_empty() {
        return Ok(());
    }
    rise(tx, &rising).await
}

/// A severity that has risen: in the history, and told. Each step of the scale is told once.
async fn rise(tx: &Transaction<'_>, joins: &[&Join]) -> Result<(), WorkerError> {
    let rows: Vec<Value> = joins
        .iter()
        .map(|join| {
            let (from, to) = (join.before.as_str(), join.open.severity.as_str());
            json!({"id": join.open.id, "before": from, "after": to,
                   "note": format!("from {from} to {to}")})
        })
        .collect();
    let sql = "WITH risen AS ( \
         SELECT * FROM jsonb_to_recordset($1) AS r (id uuid, before text, after text, note text)), \
       told AS ( \
         INSERT INTO alert_event (alert_id, org_id, who, what, note) \
         SELECT a.id, a.org_id, 'millrace', 'severity', r.note \
           FROM risen AS r JOIN alert AS a ON a.id = r.id) \
       SELECT notify_alert(r.id, $2, r.after, jsonb_build_object('previous_severity', r.before)) \
         FROM risen AS r";
    let statement = tx.prepare_cached(sql).await?;
    let happened = Happening::SeverityRaised.as_str();
    tx.query(&statement, &[&Value::Array(rows), &happened])
        .await?;
    Ok(())
}

/// The alert itself and its first history line; the ids of those that were not there before.
const RAISE: &str = "WITH raised AS ( \
     INSERT INTO alert (id, org_id, rule_id, rule_version, severity, severity_rank, title, message, \
                        alert_type, attack, group_key, dedupe_hash, first_seen, last_seen, count, \
                        suppressed, event_ids, observables, risk_score, signal, retro_hunt, hidden) \
     SELECT id, org_id, rule_id, rule_version, severity, severity_rank, title, message, alert_type, \
            attack, group_key, decode(dedupe_hash, 'hex'), first_seen, last_seen, count, suppressed, \
            event_ids, observables, risk_score, signal, $2::uuid, hidden \
       FROM jsonb_to_recordset($1) AS r (id uuid, org_id uuid, rule_id text, rule_version int4, \
            severity text, severity_rank int2, title text, message text, alert_type text, \
            attack text[], group_key jsonb, dedupe_hash text, first_seen timestamptz, \
            last_seen timestamptz, count int8, suppressed int8, event_ids uuid[], \
            observables text[], risk_score int2, signal text, hidden text) \
     ON CONFLICT (id) DO NOTHING \
     RETURNING id, org_id), \
   told AS ( \
     INSERT INTO alert_event (alert_id, org_id, who, what, to_status) \
     SELECT id, org_id, 'millrace', 'created', 'open' FROM raised) \
   SELECT id FROM raised";
const TELL: &str = "SELECT notify_alert(id, $2, '0', '{}') FROM unnest($1::uuid[]) AS raised (id)";

/// Raises alerts, those of a retro-hunt where one is said, and tells of them; the ids of those that were
/// not there before.
pub(super) async fn raise(
    tx: &Transaction<'_>,
    (signal, hunt): (Signal, Option<Uuid>),
    raises: &[Raise],
) -> Result<Vec<Uuid>, WorkerError> {
    let rows: Vec<Value> = raises.iter().map(|raise| row_of(signal, raise)).collect();
    let statement = tx.prepare_cached(RAISE).await?;
    let raised = tx.query(&statement, &[&Value::Array(rows), &hunt]).await?;
    let raised: Vec<Uuid> = raised
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let statement = tx.prepare_cached(TELL).await?;
    let happened = Happening::Created.as_str();
    tx.query(&statement, &[&raised, &happened]).await?;
    Ok(raised)
}

fn row_of(signal: Signal, raise: &Raise) -> Value {
    let draft = &raise.draft;
    let plain =
        |list: &[String]| -> Vec<String> { list.iter().map(|one| text::plain(one)).collect() };
    json!({
        "id": raise.id, "org_id": draft.org, "rule_id": text::plain(&draft.rule),
        "rule_version": draft.version, "severity": draft.severity.as_str(),
        "severity_rank": rank(draft.severity), "title": text::plain(&draft.title),
        "message": text::plain(&draft.message), "alert_type": text::plain(&draft.kind),
        "attack": plain(&draft.attack), "group_key": text::json(&draft.group),
        "dedupe_hash": hex::encode(draft.dedupe), "first_seen": rfc3339(draft.first_seen),
        "last_seen": rfc3339(draft.last_seen), "count": signed(draft.count),
        "suppressed": raise.suppressed, "event_ids": ids(&draft.event_ids),
        "observables": plain(&draft.observables), "risk_score": draft.risk_score,
        "signal": signal.as_str(), "hidden": draft.hidden.as_deref().map(text::plain),
    })
}
