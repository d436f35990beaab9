//! Alerts: an open alert of the same rule and dedupe hash, near enough in time, is counted up; else
//! a new one is raised, with its first event in the history and a notification in the outbox.
//!
//! Sends nothing. The caller holds the locks that keep two workers from raising one alert twice.

use crate::commit::text;
use crate::error::WorkerError;
use crate::metrics;
use crate::work::{AlertDraft, SAMPLES_MAX};
use deadpool_postgres::Transaction;
use millrace_detection::alert::Span;
use millrace_shared::ids::{EventId, LedgerId, OrgId, ShardId};
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::time::rfc3339;
use millrace_shared::wire::Severity;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What repeats of an alert have in common.
type Key = (OrgId, String, [u8; 16]);

/// An open alert as far as joining to it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    id: Uuid,
    first_seen: i64,
    last_seen: i64,
}

impl Open {
    /// Whether a firing belongs to it: less than the window lies between them, whichever is first.
    fn takes(&self, draft: &AlertDraft) -> bool {
        let window = i64::from(draft.dedupe_window_s).saturating_mul(NS_PER_SECOND);
        let known = Span::new(self.first_seen, self.last_seen);
        known.takes(Span::new(draft.first_seen, draft.last_seen), window)
    }
}

/// What is added to an alert that was open before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Join {
    open: Open,
    firings: i64,
    count: i64,
    event_ids: Vec<EventId>,
    risk_score: u8,
}

/// A new alert with the firings joined to it already.
#[derive(Clone, Debug, PartialEq)]
struct Raise {
    id: Uuid,
    draft: AlertDraft,
    suppressed: i64,
}

/// What becomes of the firings of one batch.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plan {
    joins: Vec<Join>,
    raises: Vec<Raise>,
}

/// Decides for every firing, in order: joined to an alert open before, to one raised just now, or
/// raised.
fn plan(
    shard: ShardId,
    ledger: LedgerId,
    drafts: Vec<AlertDraft>,
    open: &BTreeMap<Key, Open>,
) -> Plan {
    let mut by_key: BTreeMap<Key, Vec<AlertDraft>> = BTreeMap::new();
    for draft in drafts {
        by_key
            .entry((draft.org, draft.rule.clone(), draft.dedupe))
            .or_default()
            .push(draft);
    }
    let mut plan = Plan::default();
    for (key, mut drafts) in by_key {
        drafts.sort_by_key(|draft| draft.first_seen);
        let mut join = open.get(&key).map(|open| Join {
            open: open.clone(),
            firings: 0,
            count: 0,
            event_ids: Vec::new(),
            risk_score: 0,
        });
        let mut raised: Vec<Raise> = Vec::new();
        for draft in drafts {
            if let Some(join) = join.as_mut().filter(|join| join.open.takes(&draft)) {
                join.add(&draft);
            } else if let Some(last) = raised.last_mut().filter(|last| last.takes(&draft)) {
                last.add(&draft);
            } else {
                let id = alert_id(shard, ledger, &key, raised.len());
                raised.push(Raise {
                    id,
                    draft,
                    suppressed: 0,
                });
            }
        }
        plan.joins.extend(join.filter(|join| join.firings > 0));
        plan.raises.append(&mut raised);
    }
    plan
}

impl Join {
    fn add(&mut self, draft: &AlertDraft) {
        self.firings += 1;
        self.count += signed(draft.count);
        self.open.first_seen = self.open.first_seen.min(draft.first_seen);
        self.open.last_seen = self.open.last_seen.max(draft.last_seen);
        self.risk_score = self.risk_score.max(draft.risk_score);
        add_samples(&mut self.event_ids, &draft.event_ids);
    }
}

impl Raise {
    fn takes(&self, draft: &AlertDraft) -> bool {
        let (first_seen, last_seen) = (self.draft.first_seen, self.draft.last_seen);
        Open {
            id: self.id,
            first_seen,
            last_seen,
        }
        .takes(draft)
    }

    fn add(&mut self, draft: &AlertDraft) {
        self.suppressed += 1;
        self.draft.count = self.draft.count.saturating_add(draft.count);
        self.draft.first_seen = self.draft.first_seen.min(draft.first_seen);
        self.draft.last_seen = self.draft.last_seen.max(draft.last_seen);
        self.draft.risk_score = self.draft.risk_score.max(draft.risk_score);
        add_samples(&mut self.draft.event_ids, &draft.event_ids);
    }
}

fn add_samples(to: &mut Vec<EventId>, from: &[EventId]) {
    for id in from {
        if to.len() < SAMPLES_MAX && !to.contains(id) {
            to.push(*id);
        }
    }
}

/// The same alert of the same batch has the same id, however often the batch is worked on.
fn alert_id(shard: ShardId, ledger: LedgerId, key: &Key, ordinal: usize) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"millrace-alert");
    hash.update(key.0.as_bytes());
    hash.update((key.1.len() as u64).to_be_bytes());
    hash.update(key.1.as_bytes());
    hash.update(key.2);
    hash.update([shard.signal.number()]);
    hash.update(ledger.0.to_be_bytes());
    hash.update((ordinal as u64).to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(digest) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

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

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
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
    let open = open_alerts(tx, &drafts).await?;
    let severities: BTreeMap<Key, Severity> = drafts
        .iter()
        .map(|draft| {
            (
                (draft.org, draft.rule.clone(), draft.dedupe),
                draft.severity,
            )
        })
        .collect();
    let plan = plan(shard, ledger, drafts, &open);
    count(&plan, &open, &severities);
    if !plan.joins.is_empty() {
        join(tx, &plan.joins).await?;
    }
    if !plan.raises.is_empty() {
        raise(tx, shard, &plan.raises).await?;
    }
    Ok(())
}

fn count(plan: &Plan, open: &BTreeMap<Key, Open>, severities: &BTreeMap<Key, Severity>) {
    for raise in &plan.raises {
        let severity = raise.draft.severity.as_str();
        metrics::ALERTS.add(&["raised", severity], 1);
        metrics::ALERTS.add(&["joined", severity], raise.suppressed.unsigned_abs());
    }
    for join in &plan.joins {
        let key = open
            .iter()
            .find(|(_, open)| open.id == join.open.id)
            .map(|(key, _)| key);
        let severity = key
            .and_then(|key| severities.get(key))
            .map_or("info", |s| s.as_str());
        metrics::ALERTS.add(&["joined", severity], join.firings.unsigned_abs());
    }
}

async fn open_alerts(
    tx: &Transaction<'_>,
    drafts: &[AlertDraft],
) -> Result<BTreeMap<Key, Open>, WorkerError> {
    let sql = "SELECT DISTINCT ON (a.org_id, a.rule_id, a.dedupe_hash) \
                      a.id, a.org_id, a.rule_id, a.dedupe_hash, a.first_seen, a.last_seen \
                 FROM alert AS a \
                 JOIN unnest($1::uuid[], $2::text[], $3::bytea[]) AS k (org, rule, hash) \
                   ON a.org_id = k.org AND a.rule_id = k.rule AND a.dedupe_hash = k.hash \
                WHERE a.status IN ('open', 'acknowledged', 'in_progress') \
                ORDER BY a.org_id, a.rule_id, a.dedupe_hash, a.last_seen DESC";
    let orgs: Vec<OrgId> = drafts.iter().map(|draft| draft.org).collect();
    let rules: Vec<String> = drafts
        .iter()
        .map(|draft| text::plain(&draft.rule))
        .collect();
    let hashes: Vec<&[u8]> = drafts.iter().map(|draft| draft.dedupe.as_slice()).collect();
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
            first_seen: nanos(first),
            last_seen: nanos(last),
        };
        open.insert((row.try_get(1)?, row.try_get(2)?, hash), found);
    }
    Ok(open)
}

fn nanos(at: time::OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

fn ids(events: &[EventId]) -> Vec<Uuid> {
    events.iter().map(|id| id.0).collect()
}

async fn join(tx: &Transaction<'_>, joins: &[Join]) -> Result<(), WorkerError> {
    let rows: Vec<Value> = joins
        .iter()
        .map(|join| {
            json!({
                "id": join.open.id, "count": join.count, "firings": join.firings,
                "first_seen": rfc3339(join.open.first_seen), "last_seen": rfc3339(join.open.last_seen),
                "event_ids": ids(&join.event_ids), "risk_score": join.risk_score,
            })
        })
        .collect();
    let sql = format!(
        "UPDATE alert SET count = alert.count + j.count, suppressed = alert.suppressed + j.firings, \
                first_seen = least(alert.first_seen, j.first_seen), \
                last_seen = greatest(alert.last_seen, j.last_seen), \
                event_ids = (alert.event_ids || j.event_ids)[1:{SAMPLES_MAX}], \
                risk_score = greatest(alert.risk_score, j.risk_score) \
           FROM jsonb_to_recordset($1) AS j (id uuid, count int8, firings int8, \
                first_seen timestamptz, last_seen timestamptz, event_ids uuid[], risk_score int2) \
          WHERE alert.id = j.id"
    );
    let statement = tx.prepare_cached(&sql).await?;
    tx.execute(&statement, &[&Value::Array(rows)]).await?;
    Ok(())
}

/// The alert itself, its first history line and its notification, in one statement. The severities
/// of channels are compared by their rank.
const RAISE: &str = "WITH raised AS ( \
     INSERT INTO alert (id, org_id, rule_id, rule_version, severity, severity_rank, title, message, \
                        alert_type, attack, group_key, dedupe_hash, first_seen, last_seen, count, \
                        suppressed, event_ids, observables, risk_score, signal) \
     SELECT id, org_id, rule_id, rule_version, severity, severity_rank, title, message, alert_type, \
            attack, group_key, decode(dedupe_hash, 'hex'), first_seen, last_seen, count, suppressed, \
            event_ids, observables, risk_score, signal \
       FROM jsonb_to_recordset($1) AS r (id uuid, org_id uuid, rule_id text, rule_version int4, \
            severity text, severity_rank int2, title text, message text, alert_type text, \
            attack text[], group_key jsonb, dedupe_hash text, first_seen timestamptz, \
            last_seen timestamptz, count int8, suppressed int8, event_ids uuid[], \
            observables text[], risk_score int2, signal text) \
     ON CONFLICT (id) DO NOTHING \
     RETURNING id, org_id, rule_id, severity, severity_rank, title, message, first_seen, created_at), \
   told AS ( \
     INSERT INTO alert_event (alert_id, org_id, who, what, to_status) \
     SELECT id, org_id, 'millrace', 'created', 'open' FROM raised) \
   INSERT INTO outbox (org_id, alert_id, event, idempotency_key, payload) \
   SELECT org_id, id, 'created', id::text || ':created', \
          jsonb_build_object('event', 'created', 'alert_id', id, 'rule_id', rule_id, \
                             'severity', severity, 'title', title, 'message', message, \
                             'first_seen', first_seen, 'created_at', created_at) \
     FROM raised \
    WHERE EXISTS (SELECT 1 FROM notification_channel AS c \
                   WHERE c.org_id = raised.org_id AND c.enabled \
                     AND raised.severity_rank >= array_position( \
                         ARRAY['info', 'low', 'medium', 'high', 'critical'], c.min_severity) - 1) \
   ON CONFLICT (idempotency_key) DO NOTHING";

async fn raise(tx: &Transaction<'_>, shard: ShardId, raises: &[Raise]) -> Result<(), WorkerError> {
    let rows: Vec<Value> = raises.iter().map(|raise| row_of(shard, raise)).collect();
    let statement = tx.prepare_cached(RAISE).await?;
    tx.execute(&statement, &[&Value::Array(rows)]).await?;
    Ok(())
}

fn row_of(shard: ShardId, raise: &Raise) -> Value {
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
        "signal": shard.signal.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::Signal;
    use millrace_shared::ids::StreamId;

    const SHARD: ShardId = ShardId {
        signal: Signal::Audit,
        shard: 1,
    };
    const MINUTE: i64 = 60 * NS_PER_SECOND;

    fn draft(dedupe: u8, at: i64) -> AlertDraft {
        let entry = StreamId {
            ms: 1,
            seq: at.unsigned_abs(),
        };
        AlertDraft {
            org: Uuid::from_u128(1),
            rule: "r".to_owned(),
            version: 1,
            severity: Severity::High,
            title: String::new(),
            message: String::new(),
            kind: String::new(),
            attack: Vec::new(),
            group: "{}".to_owned(),
            dedupe: [dedupe; 16],
            dedupe_window_s: 600,
            first_seen: at,
            last_seen: at,
            count: 5,
            event_ids: vec![EventId::new(SHARD, entry, 0)],
            observables: Vec::new(),
            risk_score: 10,
        }
    }

    fn open(dedupe: u8, last_seen: i64) -> BTreeMap<Key, Open> {
        let key = (Uuid::from_u128(1), "r".to_owned(), [dedupe; 16]);
        BTreeMap::from([(
            key,
            Open {
                id: Uuid::from_u128(7),
                first_seen: 0,
                last_seen,
            },
        )])
    }

    #[test]
    fn a_repeat_within_the_window_is_counted_and_not_raised() {
        let plan = plan(
            SHARD,
            LedgerId(1),
            vec![draft(1, 9 * MINUTE), draft(1, 15 * MINUTE)],
            &open(1, 0),
        );
        assert!(plan.raises.is_empty());
        let joins: Vec<_> = plan
            .joins
            .iter()
            .map(|join| (join.open.id, join.firings, join.count, join.open.last_seen))
            .collect();
        assert_eq!(joins, [(Uuid::from_u128(7), 2, 10, 15 * MINUTE)]);
    }

    #[test]
    fn a_repeat_after_the_window_or_of_another_group_is_an_alert_of_its_own() {
        let drafts = vec![
            draft(1, 11 * MINUTE),
            draft(2, MINUTE),
            draft(1, 12 * MINUTE),
        ];
        let plan = plan(SHARD, LedgerId(1), drafts, &open(1, 0));
        assert!(plan.joins.is_empty());
        let raised: Vec<_> = plan
            .raises
            .iter()
            .map(|raise| (raise.draft.dedupe[0], raise.draft.count, raise.suppressed))
            .collect();
        assert_eq!(raised, [(1, 10, 1), (2, 5, 0)]);
    }

    #[test]
    fn ids_depend_on_the_batch_and_the_group_only() {
        let ids = |ledger: u64, at: i64| -> Vec<Uuid> {
            let drafts = vec![draft(1, at), draft(2, at)];
            let plan = plan(SHARD, LedgerId(ledger), drafts, &BTreeMap::new());
            plan.raises.iter().map(|raise| raise.id).collect()
        };
        assert_eq!(ids(1, 0), ids(1, 5));
        assert_ne!(ids(1, 0)[0], ids(1, 0)[1]);
        assert_ne!(ids(1, 0)[0], ids(2, 0)[0]);
    }

    #[test]
    fn samples_stay_few_and_distinct() {
        let drafts: Vec<_> = (0..50).map(|n| draft(1, n)).chain([draft(1, 0)]).collect();
        let plan = plan(SHARD, LedgerId(1), drafts, &BTreeMap::new());
        assert_eq!(plan.raises[0].draft.event_ids.len(), SAMPLES_MAX);
        assert_eq!(plan.raises[0].draft.count, 255);
    }
}
