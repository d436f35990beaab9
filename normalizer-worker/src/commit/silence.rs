//! Groups that have fallen silent: found by the clock, since there is no event to find them by, and
//! reported once. A group is moved on under the locks under which commits move it on, in the
//! transaction that raises its alert; the alert's id follows from the group and from the event after
//! which it was silent.

use crate::commit::windows::{self, Key, Moved};
use crate::commit::{begin, locks, raise, text};
use crate::error::WorkerError;
use crate::work::AlertDraft;
use deadpool_postgres::{Pool, Transaction};
use millrace_detection::RuleDef;
use millrace_detection::windows::WindowSpec;
use millrace_shared::Signal;
use millrace_shared::ids::{LedgerId, OrgId, ShardId};
use millrace_shared::wire::Severity;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Held by the one worker that looks; the others' rounds are over at once.
const LOCK: i64 = 7_770_004;
/// Groups of one transaction: their locks are held to its end.
const GROUPS_AT_ONCE: i64 = 100;
/// Transactions of one round; what is left over is for the next.
const TRANSACTIONS_MAX: usize = 50;
/// Set in the place of a batch's number: no shard's batches have it.
const NO_BATCH: u64 = 1 << 63;

/// What is kept of an alert until its group falls silent.
pub(super) fn kept(alert: &AlertDraft, signal: Signal) -> Value {
    let plain = |list: &[String]| list.iter().map(|one| text::plain(one)).collect::<Vec<_>>();
    json!({
        "version": alert.version, "severity": alert.severity.as_str(),
        "title": text::plain(&alert.title), "message": text::plain(&alert.message),
        "kind": text::plain(&alert.kind), "attack": plain(&alert.attack),
        "group": text::json(&alert.group).to_string(), "dedupe": hex::encode(alert.dedupe),
        "dedupe_window_s": alert.dedupe_window_s, "observables": plain(&alert.observables),
        "risk_score": alert.risk_score, "signal": signal.as_str(),
    })
}

/// A group that is due, its rule, and what is raised.
struct Due {
    key: Key,
    alert: Value,
    rule: Option<RuleDef>,
}

impl Due {
    fn text(&self, name: &str) -> String {
        let text = self.alert.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let list = self.alert.get(name).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(ToOwned::to_owned).collect()
    }

    fn number<T: TryFrom<i64> + Default>(&self, name: &str) -> T {
        let number = self.alert.get(name).and_then(Value::as_i64);
        number
            .and_then(|number| T::try_from(number).ok())
            .unwrap_or_default()
    }

    fn dedupe(&self) -> [u8; 16] {
        let mut hash = [0; 16];
        // An alert without a readable key is told from others by its group.
        if hex::decode_to_slice(self.text("dedupe"), &mut hash).is_err() {
            return self.key.2;
        }
        hash
    }

    fn draft(&self) -> AlertDraft {
        AlertDraft {
            org: self.key.0,
            rule: self.key.1.clone(),
            version: self.number("version"),
            severity: Severity::parse(&self.text("severity")).unwrap_or(Severity::Medium),
            title: self.text("title"),
            message: self.text("message"),
            kind: self.text("kind"),
            attack: self.texts("attack"),
            group: self.text("group"),
            dedupe: self.dedupe(),
            dedupe_window_s: self.number("dedupe_window_s"),
            first_seen: 0,
            last_seen: 0,
            count: 0,
            event_ids: Vec::new(),
            observables: self.texts("observables"),
            risk_score: self.number("risk_score"),
            hidden: None,
        }
    }

    fn signal(&self) -> Signal {
        Signal::from_name(&self.text("signal")).unwrap_or(Signal::Logs)
    }

    /// The window, unless the rule is gone, switched off, or of another kind by now.
    fn spec(&self) -> Option<WindowSpec> {
        Some(self.rule.as_ref()?.window.as_ref()?.spec())
    }

    fn is_muted(&self, at_ns: i64) -> bool {
        let mut mute = self.rule.iter().flat_map(|rule| &rule.mute);
        mute.any(|mute| (mute.from..mute.until).contains(&at_ns))
    }
}

/// Whether any group waits for the clock to show this.
///
/// # Errors
/// When PostgreSQL does not answer.
pub(crate) async fn is_due(pool: &Pool, now_ns: i64) -> Result<bool, WorkerError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM rule_window WHERE due_at <= $1)";
    let row = pool
        .get()
        .await?
        .query_one(sql, &[&instant(now_ns)])
        .await?;
    Ok(row.try_get(0)?)
}

fn instant(ns: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Reports what stayed silent until this instant, up to which everything is committed.
///
/// # Errors
/// When PostgreSQL does not answer.
pub(crate) async fn report(pool: &Pool, until_ns: i64) -> Result<(), WorkerError> {
    for _ in 0..TRANSACTIONS_MAX {
        let mut client = pool.get().await?;
        let tx = begin(&mut client).await?;
        let sql = "SELECT pg_try_advisory_xact_lock($1)";
        let is_ours: bool = tx.query_one(sql, &[&LOCK]).await?.try_get(0)?;
        if !is_ours {
            return Ok(());
        }
        let due = load(&tx, until_ns).await?;
        if due.is_empty() {
            return Ok(());
        }
        move_on(&tx, &due, until_ns).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn load(tx: &Transaction<'_>, until_ns: i64) -> Result<Vec<Due>, WorkerError> {
    let sql = "SELECT w.org_id, w.rule_id, w.group_hash, w.alert, r.body FROM rule_window AS w \
                 LEFT JOIN rule AS r ON r.org_id = w.org_id AND r.id = w.rule_id \
                  AND r.until_revision IS NULL AND r.enabled \
                WHERE w.due_at <= $1 ORDER BY w.due_at LIMIT $2";
    let statement = tx.prepare_cached(sql).await?;
    let mut due = Vec::new();
    let bounds: (OffsetDateTime, i64) = (instant(until_ns), GROUPS_AT_ONCE);
    for row in tx.query(&statement, &[&bounds.0, &bounds.1]).await? {
        let group: &[u8] = row.try_get(2)?;
        let (alert, body): (Option<Value>, Option<Value>) = (row.try_get(3)?, row.try_get(4)?);
        let org: OrgId = row.try_get(0)?;
        due.push(Due {
            key: (
                org,
                row.try_get(1)?,
                <[u8; 16]>::try_from(group).unwrap_or_default(),
            ),
            alert: alert.unwrap_or_default(),
            rule: body.and_then(|body| RuleDef::from_json(&body).ok()),
        });
    }
    Ok(due)
}

/// Moves the groups on to an instant, and raises what their silence fires.
async fn move_on(tx: &Transaction<'_>, due: &[Due], until_ns: i64) -> Result<(), WorkerError> {
    let groups = due
        .iter()
        .map(|due| (due.key.0, due.key.1.as_str(), due.key.2, due.dedupe()));
    locks::take_groups(tx, groups).await?;
    let keys: Vec<Key> = due.iter().map(|due| due.key.clone()).collect();
    // Hits may have come before the locks were had.
    let mut states = windows::load(tx, &keys).await?;
    let mut moved = Vec::with_capacity(due.len());
    for due in due {
        let mut state = states.remove(&due.key).unwrap_or_default();
        let Some(spec) = due.spec() else {
            forget(tx, &due.key).await?;
            continue;
        };
        for firing in state.tick(&spec, until_ns) {
            if !due.is_muted(until_ns) {
                let draft = windows::fired(&due.draft(), &firing);
                raise::store(tx, cause(due.signal(), firing.first_ns), vec![draft]).await?;
            }
        }
        moved.push(Moved::new(
            due.key.clone(),
            &spec,
            &state,
            Some(due.alert.clone()),
        ));
    }
    windows::save(tx, moved).await
}

/// What takes the place of a batch in the id of an alert: the same silence makes the same alert.
fn cause(signal: Signal, since_ns: i64) -> (ShardId, LedgerId) {
    let shard = ShardId { signal, shard: 0 };
    (shard, LedgerId(NO_BATCH | since_ns.unsigned_abs()))
}

/// Nobody waits for the group any more: it is deleted when it expires.
async fn forget(tx: &Transaction<'_>, key: &Key) -> Result<(), WorkerError> {
    let sql = "UPDATE rule_window SET due_at = NULL, alert = NULL \
                WHERE org_id = $1 AND rule_id = $2 AND group_hash = $3";
    let statement = tx.prepare_cached(sql).await?;
    tx.execute(&statement, &[&key.0, &key.1, &key.2.as_slice()])
        .await?;
    Ok(())
}
