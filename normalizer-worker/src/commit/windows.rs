//! The windows of rules: the state of every group that was hit is read, moved on by a pure
//! transition, and written back. The caller holds the locks of these groups, so each hit counts
//! once whichever workers meet.

use crate::commit::silence;
use crate::commit::text;
use crate::error::WorkerError;
use crate::work::{AlertDraft, Output, WindowHits};
use deadpool_postgres::Transaction;
use millrace_detection::windows::{Firing, Hit, WindowKind, WindowSpec, WindowState};
use millrace_shared::Signal;
use millrace_shared::ids::{EventId, OrgId};
use millrace_shared::limits::NS_PER_SECOND;
use serde_json::Value;
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// One group of one rule.
pub(super) type Key = (OrgId, String, [u8; 16]);

fn key(hits: &WindowHits) -> Key {
    (hits.alert.org, text::plain(&hits.alert.rule), hits.group)
}

/// Applies the hits of a batch of events of a signal; the alerts that they fire.
///
/// # Errors
/// When PostgreSQL does not answer.
pub(crate) async fn apply(
    tx: &Transaction<'_>,
    output: &Output,
    signal: Signal,
) -> Result<Vec<AlertDraft>, WorkerError> {
    if output.hits.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Key> = output.hits.iter().map(key).collect();
    let mut states = load(tx, &keys).await?;
    let (mut drafts, mut moved) = (Vec::new(), Vec::with_capacity(output.hits.len()));
    for hits in &output.hits {
        let Some(spec) = output.windows.get(hits.window as usize) else {
            continue;
        };
        let mut state = states.remove(&key(hits)).unwrap_or_default();
        let firings = state.apply(spec, &taken(hits));
        drafts.extend(
            firings
                .iter()
                .map(|firing| fired(told(hits, firing), firing)),
        );
        // Whoever notices a silence has no event to make an alert of.
        let alert = (spec.kind == WindowKind::Silence).then(|| silence::kept(&hits.alert, signal));
        moved.push(Moved::new(key(hits), spec, &state, alert));
    }
    save(tx, moved).await?;
    Ok(drafts)
}

fn taken(hits: &WindowHits) -> Vec<Hit> {
    let hit = |(at_ns, value, event): &(i64, u64, EventId)| Hit {
        at_ns: *at_ns,
        value: *value,
        event: event.0.as_u128(),
    };
    hits.hits.iter().map(hit).collect()
}

/// What the hits would say of a firing: as of its last event, which came in this batch.
fn told<'h>(hits: &'h WindowHits, firing: &Firing) -> &'h AlertDraft {
    let last = firing.events.last();
    last.map_or(&hits.alert, |id| {
        hits.alert_of(EventId(Uuid::from_u128(*id)))
    })
}

/// The alert of a firing: what the hits would say, with the times and numbers of the episode.
pub(super) fn fired(alert: &AlertDraft, firing: &Firing) -> AlertDraft {
    AlertDraft {
        first_seen: firing.first_ns,
        last_seen: firing.last_ns,
        count: firing.added,
        event_ids: firing
            .events
            .iter()
            .map(|id| EventId(Uuid::from_u128(*id)))
            .collect(),
        ..alert.clone()
    }
}

/// The states of these groups, as far as there are some.
pub(super) async fn load(
    tx: &Transaction<'_>,
    keys: &[Key],
) -> Result<HashMap<Key, WindowState>, WorkerError> {
    let orgs: Vec<OrgId> = keys.iter().map(|key| key.0).collect();
    let rules: Vec<&str> = keys.iter().map(|key| key.1.as_str()).collect();
    let groups: Vec<&[u8]> = keys.iter().map(|key| key.2.as_slice()).collect();
    let sql = "SELECT w.org_id, w.rule_id, w.group_hash, w.state FROM rule_window AS w \
                 JOIN unnest($1::uuid[], $2::text[], $3::bytea[]) AS k (org, rule, grp) \
                   ON w.org_id = k.org AND w.rule_id = k.rule AND w.group_hash = k.grp";
    let statement = tx.prepare_cached(sql).await?;
    let mut states = HashMap::new();
    for row in tx.query(&statement, &[&orgs, &rules, &groups]).await? {
        let (group, state): (&[u8], &[u8]) = (row.try_get(2)?, row.try_get(3)?);
        let Ok(group) = <[u8; 16]>::try_from(group) else {
            continue;
        };
        let rule: String = row.try_get(1)?;
        let state = WindowState::from_bytes(state).unwrap_or_else(|error| {
            tracing::error!(rule, %error, "a window begins anew");
            WindowState::new()
        });
        states.insert((row.try_get(0)?, rule, group), state);
    }
    Ok(states)
}

/// A state to be written back.
pub(super) struct Moved {
    key: Key,
    state: Vec<u8>,
    expires_at: OffsetDateTime,
    kept_s: f64,
    due_at: Option<OffsetDateTime>,
    alert: Option<Value>,
}

impl Moved {
    /// The alert is what is raised when the clock finds the group silent.
    pub(super) fn new(
        key: Key,
        spec: &WindowSpec,
        state: &WindowState,
        alert: Option<Value>,
    ) -> Self {
        let kept_ns = spec.reach_ns();
        Moved {
            key,
            state: state.to_bytes(),
            expires_at: instant(state.expires_at_ns(spec)),
            kept_s: std::time::Duration::from_secs((kept_ns / NS_PER_SECOND).unsigned_abs())
                .as_secs_f64(),
            due_at: state.due_at_ns(spec).map(instant),
            alert,
        }
    }
}

fn instant(ns: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Events may be older than the clock says (a replay, an outage): a state is kept for its window's
/// length by the clock as well as by its events.
pub(super) async fn save(tx: &Transaction<'_>, mut moved: Vec<Moved>) -> Result<(), WorkerError> {
    moved.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let orgs: Vec<OrgId> = moved.iter().map(|one| one.key.0).collect();
    let rules: Vec<&str> = moved.iter().map(|one| one.key.1.as_str()).collect();
    let groups: Vec<&[u8]> = moved.iter().map(|one| one.key.2.as_slice()).collect();
    let states: Vec<&[u8]> = moved.iter().map(|one| one.state.as_slice()).collect();
    let expiries: Vec<OffsetDateTime> = moved.iter().map(|one| one.expires_at).collect();
    let kept: Vec<f64> = moved.iter().map(|one| one.kept_s).collect();
    let due: Vec<Option<OffsetDateTime>> = moved.iter().map(|one| one.due_at).collect();
    let alerts: Vec<Option<&Value>> = moved.iter().map(|one| one.alert.as_ref()).collect();
    let sql = "INSERT INTO rule_window (org_id, rule_id, group_hash, state, expires_at, due_at, alert) \
               SELECT org, rule, grp, state, greatest(expires, now() + make_interval(secs => kept)), \
                      due, alert \
                 FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::timestamptz[], \
                             $6::float8[], $7::timestamptz[], $8::jsonb[]) \
                   AS k (org, rule, grp, state, expires, kept, due, alert) \
               ON CONFLICT (org_id, rule_id, group_hash) DO UPDATE \
               SET state = excluded.state, expires_at = excluded.expires_at, \
                   due_at = excluded.due_at, alert = excluded.alert";
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(
        &statement,
        &[
            &orgs, &rules, &groups, &states, &expiries, &kept, &due, &alerts,
        ],
    )
    .await?;
    Ok(())
}
