//! One signal's way to the workers: how long an append waits there, and, while that is too long,
//! how much each organisation may append. Decides from what it is told; asks nobody and reads no
//! clock.
//!
//! The wait is judged by what the workers do, not by a length: as long as they take nothing at all
//! (a store is down), streams may fill up to their memory; as long as they keep up, nobody is held
//! back. Only when they work and are behind is everybody together held to their pace, and within
//! it each organisation to its share.

use crate::backlog::{Backlog, Size};
use crate::fair::{Demand, level};
use millrace_shared::ids::{OrgId, ShardId, StreamId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// How often a lane takes a turn: what an organisation may append is measured out in these.
pub(crate) const TURN: Duration = Duration::from_millis(500);
/// Turns over which the workers' pace is measured: ten seconds, a few batches of every shard.
const PACE_TURNS: usize = 20;
/// Turns of movement before a pace is believed.
const PACE_TURNS_MIN: usize = 4;
/// Workers that took nothing for this long stand still: a store is down, not slow.
const STILL_MS: u64 = 3_000;
/// A shard from which nothing was taken for this long tells nothing about the others' wait.
const MOVER_MS: u64 = 15_000;
/// What an organisation may always append in a turn, per unit of weight: a few small batches never
/// have to wait for a pace to be worked out.
const FLOOR_BYTES: f64 = 64.0 * 1024.0;
/// Organisations told apart in one turn; those beyond share one measure.
const ASKERS_MAX: usize = 10_000;

/// What an organisation asked for and may have.
#[derive(Debug)]
struct Asker {
    weight: f64,
    /// Bytes asked for in this turn.
    asked: f64,
    /// Bytes it may still append; a debt is carried over, so that whole batches need not fit.
    credit: f64,
}

/// The lane of one signal.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    shards: BTreeMap<u16, Backlog>,
    /// What waits, of all organisations and of each.
    total: Size,
    held: HashMap<OrgId, u64>,
    /// Bytes that workers took in each of the last turns.
    taken: VecDeque<u64>,
    askers: HashMap<OrgId, Asker>,
    /// Bytes of a turn per unit of weight while everybody is held to the workers' pace.
    level: Option<f64>,
    /// How long an append waits, as far as that can be told.
    pub(crate) wait: Duration,
}

impl Lane {
    /// Whether an organisation has not had its share of this turn yet. So many bytes are counted
    /// as asked for when it has.
    ///
    /// # Errors
    /// The time that appends wait in this lane.
    pub(crate) fn is_open(&mut self, org: OrgId, bytes: u64) -> Result<(), Duration> {
        let org = self.told_apart(org);
        if self.level.is_none() {
            return Ok(());
        }
        match self.askers.get_mut(&org) {
            Some(asker) if asker.credit <= 0.0 => {
                asker.asked += float(bytes);
                Err(self.wait)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An organisation that is told apart from others, or the one that stands for all others.
    fn told_apart(&self, org: OrgId) -> OrgId {
        let room = self.askers.len() < ASKERS_MAX || self.askers.contains_key(&org);
        if room { org } else { OrgId::nil() }
    }

    /// Counts so many bytes that an organisation may append.
    pub(crate) fn admit(&mut self, org: OrgId, weight: u32, bytes: u64) {
        let org = self.told_apart(org);
        let (level, weight) = (self.level, f64::from(weight.max(1)));
        let asker = self.askers.entry(org).or_insert_with(|| Asker {
            weight,
            asked: 0.0,
            credit: allowance(level, weight),
        });
        asker.weight = weight;
        asker.asked += float(bytes);
        if level.is_some() {
            asker.credit -= float(bytes);
        }
    }

    /// Counts an append.
    pub(crate) fn appended(&mut self, shard: u16, id: StreamId, org: OrgId, size: Size) {
        let backlog = self.shards.entry(shard).or_default();
        if backlog.push(id, org, size) {
            *self.held.entry(org).or_default() += size.held;
        }
        self.total.add(size);
    }

    /// Shards in which something waits.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = u16> {
        let waiting = |(shard, backlog): (&u16, &Backlog)| backlog.oldest_ms().map(|_| *shard);
        self.shards.iter().filter_map(waiting)
    }

    /// Bytes in the streams that each organisation waits for.
    pub(crate) fn held(&self) -> &HashMap<OrgId, u64> {
        &self.held
    }

    /// Bytes on the wire that wait, of all organisations.
    pub(crate) const fn waiting_bytes(&self) -> u64 {
        self.total.wire
    }

    /// Whether everybody is held to the workers' pace.
    pub(crate) const fn is_paced(&self) -> bool {
        self.level.is_some()
    }

    /// Takes a turn: what workers have taken by now is done, and what may be appended until the
    /// next turn is measured out. `patience` is the wait above which a pace is kept; none for never.
    pub(crate) fn turn(
        &mut self,
        cursors: &[(ShardId, StreamId)],
        now_ms: u64,
        patience: Option<Duration>,
    ) {
        self.take(cursors, now_ms);
        let pace = self.pace();
        let (wait, factor) = patience.map_or((Duration::ZERO, None), |patience| {
            let wait = self.wait(now_ms, pace, patience);
            (wait, factor(wait, patience))
        });
        self.wait = wait;
        let capacity = pace
            .zip(factor)
            .map(|(pace, factor)| pace * factor * TURN.as_secs_f64());
        self.measure_out(capacity);
    }

    fn take(&mut self, cursors: &[(ShardId, StreamId)], now_ms: u64) {
        let mut taken = Size::default();
        for (shard, cursor) in cursors {
            let Some(backlog) = self.shards.get_mut(&shard.shard) else {
                continue;
            };
            let held = &mut self.held;
            backlog.take_until(*cursor, now_ms, |piece| {
                taken.add(piece.size);
                for (org, bytes) in &piece.held {
                    if let Some(all) = held.get_mut(org) {
                        *all = all.saturating_sub(*bytes);
                    }
                }
            });
        }
        self.held.retain(|_, bytes| *bytes > 0);
        self.total.take(taken);
        if self.taken.len() >= PACE_TURNS {
            self.taken.pop_front();
        }
        self.taken.push_back(taken.wire);
    }

    /// Bytes a second that workers took since they began to move, at most over the last turns.
    fn pace(&self) -> Option<f64> {
        let moving = self.taken.iter().skip_while(|bytes| **bytes == 0);
        let (turns, bytes) = moving.fold((0u32, 0), |(turns, sum), bytes| (turns + 1, sum + bytes));
        let seconds = TURN.as_secs_f64() * f64::from(turns);
        (turns as usize >= PACE_TURNS_MIN).then(|| float(bytes) / seconds)
    }

    /// How long an append waits that is made now; nothing as long as that cannot be told, or the
    /// workers stand still.
    fn wait(&self, now_ms: u64, pace: Option<f64>, patience: Duration) -> Duration {
        let since = |backlog: &Backlog| now_ms.saturating_sub(backlog.moved_ms);
        let still = self
            .shards
            .values()
            .all(|backlog| since(backlog) > STILL_MS);
        let Some(pace) = pace.filter(|pace| *pace > 0.0 && !still) else {
            return Duration::ZERO;
        };
        let movers = self
            .shards
            .values()
            .filter(|backlog| since(backlog) <= MOVER_MS);
        let mut ages: Vec<u64> = movers
            .filter_map(|backlog| Some(now_ms.saturating_sub(backlog.oldest_ms()?)))
            .collect();
        ages.sort_unstable();
        // One shard that is stuck must not hold back those that are not.
        let middle = ages.len().saturating_sub(1) / 2;
        let waited = Duration::from_millis(ages.get(middle).copied().unwrap_or(0));
        if waited < patience / 2 {
            return Duration::ZERO;
        }
        // The workers are behind, so their pace is what they can do.
        let ahead = Duration::try_from_secs_f64(float(self.total.wire) / pace);
        waited.max(ahead.unwrap_or(Duration::ZERO))
    }

    fn measure_out(&mut self, capacity: Option<f64>) {
        self.level = capacity.map(|capacity| {
            let askers = self.askers.values().filter(|asker| asker.asked > 0.0);
            let mut demands: Vec<Demand> = askers
                .map(|asker| Demand {
                    weight: asker.weight,
                    amount: asker.asked,
                })
                .collect();
            level(&mut demands, capacity)
        });
        let level = self.level;
        self.askers.retain(|_, asker| {
            let gone = asker.asked == 0.0 && asker.credit >= 0.0;
            asker.asked = 0.0;
            asker.credit = match level {
                Some(_) => asker.credit.min(0.0) + allowance(level, asker.weight),
                None => 0.0,
            };
            !gone
        });
    }
}

/// What may be appended in a turn.
fn allowance(level: Option<f64>, weight: f64) -> f64 {
    level.map_or(0.0, |level| (level * weight).max(FLOOR_BYTES * weight))
}

/// The part of the workers' pace that is admitted: all of it while the wait is somewhat long, so
/// that it stays, and less when it is much too long, so that it shrinks.
fn factor(wait: Duration, patience: Duration) -> Option<f64> {
    [(3, 0.5), (2, 0.8), (1, 1.0)]
        .into_iter()
        .find(|(times, _)| wait > patience * *times)
        .map(|(_, factor)| factor)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "rates need no more than 52 bits"
)]
const fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests;
