//! Whether an organisation may append now, when it is not the only one: a share of the memory of
//! the streams, and, while the workers are behind, a share of their pace. Says no with the time
//! after which to try again; forgets nothing that was accepted.
//!
//! Counted by each gateway for what it appended itself, so gateways need not know of each other.

use crate::backlog::Size;
use crate::error::Problem;
use crate::lane::Lane;
use crate::metrics::{BACKLOG_BYTES, BACKLOG_WAIT, PACED, SHED};
use millrace_shared::Signal;
use millrace_shared::ids::{OrgId, ShardId, StreamId};
use millrace_shared::outcome::Refusal;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// An organisation may hold its weight times this many times the memory that is still free: one
/// alone fills four fifths of the budget, four fill four seventeenths each, and a newcomer always
/// finds room (dynamic thresholds; Choudhury and Hahne, IEEE/ACM Trans. Networking 6(2), 1998).
const SHARE_OF_FREE: u64 = 4;
/// What an organisation may hold whatever is free, so that a budget that is nearly full stops its
/// largest holders and nobody else.
const SHARE_MIN: u64 = 1024 * 1024;
/// Organisations whose bytes are counted by name between two turns; those beyond come in with the
/// next turn.
const HOLDERS_MAX: usize = 10_000;
/// The longest wait that an answer asks for: agents look again within it.
const RETRY_AFTER_S_MAX: u64 = 30;
/// Organisations whose refusals are counted between two reports.
const TALKERS_MAX: usize = 1_000;
/// Organisations that a report names.
const TALKERS_NAMED: usize = 5;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) org: OrgId,
    /// Its part of what is scarce, against the weights of the others.
    pub(crate) weight: u32,
}

/// The state that all threads share.
pub(crate) struct Admission {
    lanes: Vec<(Signal, Mutex<Lane>)>,
    /// Wait above which appends are held to the workers' pace; `None` never.
    patience: Option<Duration>,
    /// Organisations that hold more than their share of the memory.
    over: RwLock<HashSet<OrgId>>,
    holders: Mutex<Holders>,
    talkers: Mutex<HashMap<OrgId, u64>>,
}

/// Who holds how much of the streams' memory: exact, so that nobody fills it between two turns.
struct Holders {
    all: HashMap<OrgId, Holder>,
    /// Bytes that were free at the last turn, less what was appended since.
    free: u64,
}

#[derive(Clone, Copy)]
struct Holder {
    weight: u32,
    held: u64,
}

impl Holder {
    fn is_over(self, free: u64) -> bool {
        let share = free.saturating_mul(SHARE_OF_FREE * u64::from(self.weight));
        self.held > SHARE_MIN && self.held > share
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here is left half done by a panic that would matter more than going on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Admission {
    /// With the wait above which a pace is kept; zero for never.
    pub(crate) fn new(patience: Duration) -> Self {
        let lane = |signal| (signal, Mutex::default());
        Admission {
            lanes: Signal::ALL.into_iter().map(lane).collect(),
            patience: Some(patience).filter(|patience| !patience.is_zero()),
            over: RwLock::default(),
            holders: Mutex::new(Holders {
                all: HashMap::new(),
                free: u64::MAX,
            }),
            talkers: Mutex::default(),
        }
    }

    fn lane(&self, signal: Signal) -> Option<MutexGuard<'_, Lane>> {
        let found = self.lanes.iter().find(|(of, _)| *of == signal);
        found.map(|(_, lane)| lock(lane))
    }

    /// Whether a body of that size may be appended now, which is then counted.
    ///
    /// # Errors
    /// 503 with the time after which to try again.
    pub(crate) fn ask(&self, signal: Signal, tenant: Tenant, bytes: usize) -> Result<(), Problem> {
        if let Some(mut lane) = self.open_lane(signal, tenant, bytes)? {
            lane.admit(tenant.org, tenant.weight, bytes as u64);
        }
        Ok(())
    }

    /// Whether an organisation may append anything now. Only what is refused is counted.
    ///
    /// # Errors
    /// 503 with the time after which to try again.
    pub(crate) fn is_open(
        &self,
        signal: Signal,
        tenant: Tenant,
        bytes: usize,
    ) -> Result<(), Problem> {
        self.open_lane(signal, tenant, bytes).map(drop)
    }

    /// The lane of a signal, if an organisation may append to it now.
    fn open_lane(
        &self,
        signal: Signal,
        tenant: Tenant,
        bytes: usize,
    ) -> Result<Option<MutexGuard<'_, Lane>>, Problem> {
        if self.is_over(tenant.org) {
            SHED.add(&["share"], 1);
            let detail = "the organisation holds its share of the streams' memory";
            return Err(Problem::new(Refusal::Overloaded, detail));
        }
        let mut lane = self.lane(signal);
        let open = lane
            .as_mut()
            .map(|lane| lane.is_open(tenant.org, bytes as u64));
        if let Some(Err(wait)) = open {
            SHED.add(&["pace"], 1);
            let excess = wait.saturating_sub(self.patience.unwrap_or_default());
            let detail = "the pipeline is behind, and the organisation has its share of it";
            return Err(Problem::new(Refusal::Overloaded, detail)
                .retry_after(excess.as_secs().clamp(1, RETRY_AFTER_S_MAX)));
        }
        Ok(lane)
    }

    /// Counts what was appended.
    pub(crate) fn appended(&self, shard: ShardId, id: StreamId, tenant: Tenant, size: Size) {
        let Tenant { org, weight } = tenant;
        if let Some(mut lane) = self.lane(shard.signal) {
            lane.appended(shard.shard, id, org, size);
        }
        let mut holders = lock(&self.holders);
        holders.free = holders.free.saturating_sub(size.held);
        let free = holders.free;
        if holders.all.len() >= HOLDERS_MAX && !holders.all.contains_key(&org) {
            return;
        }
        let holder = holders.all.entry(org).or_insert(Holder { weight, held: 0 });
        holder.weight = weight;
        holder.held += size.held;
        let over = holder.is_over(free);
        drop(holders);
        if over && !self.is_over(org) {
            let mut over = self.over.write().unwrap_or_else(PoisonError::into_inner);
            over.insert(org);
        }
    }

    fn is_over(&self, org: OrgId) -> bool {
        let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
        over.contains(&org)
    }

    /// Counts a refusal of an organisation that is known.
    pub(crate) fn refused(&self, org: OrgId) {
        let mut talkers = lock(&self.talkers);
        if talkers.len() < TALKERS_MAX || talkers.contains_key(&org) {
            *talkers.entry(org).or_default() += 1;
        }
    }

    /// The organisations refused most since the last call.
    pub(crate) fn take_talkers(&self) -> Vec<(OrgId, u64)> {
        let mut all: Vec<_> = lock(&self.talkers).drain().collect();
        all.sort_unstable_by_key(|(_, refused)| std::cmp::Reverse(*refused));
        all.truncate(TALKERS_NAMED);
        all
    }

    /// Shards whose cursors are worth asking for.
    pub(crate) fn waiting(&self) -> Vec<ShardId> {
        let mut all = Vec::new();
        for (signal, lane) in &self.lanes {
            let signal = *signal;
            all.extend(lock(lane).waiting().map(|shard| ShardId { signal, shard }));
        }
        all
    }

    /// Takes a turn of every lane, and finds who holds more than a share of the memory of which so
    /// many bytes are free.
    pub(crate) fn turn(&self, cursors: &[(ShardId, StreamId)], now_ms: u64, free: u64) {
        let mut holders = lock(&self.holders);
        let before = std::mem::take(&mut holders.all);
        holders.free = free;
        for (signal, lane) in &self.lanes {
            let ours = |(shard, _): &&(ShardId, StreamId)| shard.signal == *signal;
            let ours: Vec<_> = cursors.iter().filter(ours).copied().collect();
            let mut lane = lock(lane);
            lane.turn(&ours, now_ms, self.patience);
            for (org, bytes) in lane.held() {
                let weight = before.get(org).map_or(1, |holder| holder.weight);
                let new = Holder { weight, held: 0 };
                holders.all.entry(*org).or_insert(new).held += bytes;
            }
            show(*signal, &lane);
        }
        let over = holders.all.iter().filter(|(_, one)| one.is_over(free));
        let over = over.map(|(org, _)| *org).collect();
        drop(holders);
        *self.over.write().unwrap_or_else(PoisonError::into_inner) = over;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn show(signal: Signal, lane: &Lane) {
    let label = [signal.as_str()];
    BACKLOG_BYTES.set(&label, lane.waiting_bytes() as f64);
    BACKLOG_WAIT.set(&label, lane.wait.as_secs_f64());
    PACED.set(&label, f64::from(u8::from(lane.is_paced())));
}

#[cfg(test)]
mod tests {
    use super::*;
    const GIB: u64 = 1 << 30;

    fn tenant(org: u128) -> Tenant {
        Tenant {
            org: OrgId::from_u128(org),
            weight: 1,
        }
    }

    fn append(admission: &Admission, tenant: Tenant, ms: u64, held: u64) {
        let shard = ShardId {
            signal: Signal::Logs,
            shard: 0,
        };
        let size = Size { wire: held, held };
        admission.appended(shard, StreamId { ms, seq: 0 }, tenant, size);
    }

    #[test]
    fn while_nothing_is_taken_one_fills_four_fifths_and_another_finds_room() {
        let admission = Admission::new(Duration::from_secs(10));
        let (greedy, modest) = (tenant(1), tenant(2));
        let (mut held, mut ms) = (0, 0);
        let step = 8 * 1024 * 1024;
        while admission.ask(Signal::Logs, greedy, 1).is_ok() {
            append(&admission, greedy, ms, step);
            (held, ms) = (held + step, ms + 10_000);
            admission.turn(&[], ms, GIB.saturating_sub(held));
            assert!(held < GIB, "never stopped");
        }
        assert!((GIB * 79 / 100..GIB * 82 / 100).contains(&held), "{held}");
        let refused = admission.ask(Signal::Logs, greedy, 1).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Overloaded);
        assert!(admission.ask(Signal::Logs, modest, 1).is_ok());
        append(&admission, modest, ms, GIB / 10);
        admission.turn(&[], ms, GIB - held - GIB / 10);
        assert!(admission.ask(Signal::Logs, modest, 1).is_ok());
    }

    #[test]
    fn nobody_fills_the_memory_between_two_turns() {
        let admission = Admission::new(Duration::from_secs(10));
        let (greedy, modest) = (tenant(1), tenant(2));
        admission.turn(&[], 0, GIB);
        let (mut held, step) = (0, 1024 * 1024);
        while admission.ask(Signal::Logs, greedy, 1).is_ok() {
            append(&admission, greedy, 0, step);
            held += step;
            assert!(held < GIB, "never stopped");
        }
        assert!((GIB * 79 / 100..GIB * 82 / 100).contains(&held), "{held}");
        assert!(admission.ask(Signal::Logs, modest, 1).is_ok());
        // What a turn frees, it may hold again.
        admission.turn(&[], 0, 10 * GIB);
        assert!(admission.ask(Signal::Logs, greedy, 1).is_ok());
    }

    #[test]
    fn who_is_refused_most_is_told_and_no_more_than_a_few() {
        let admission = Admission::new(Duration::ZERO);
        for org in 1..=2_000u128 {
            for _ in 0..if org == 7 { 3 } else { 1 } {
                admission.refused(OrgId::from_u128(org));
            }
        }
        let told = admission.take_talkers();
        assert_eq!(told.len(), TALKERS_NAMED);
        assert_eq!(told[0], (OrgId::from_u128(7), 3));
        assert!(admission.take_talkers().is_empty());
    }
}
