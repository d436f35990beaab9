//! What must hold in every state. Judged by what no actor sees at once: the stream, the ledger and
//! the rows together.

use crate::rules::Rules;
use crate::world::{Batch, Request, State, World};

/// A statement of a worker that lost its shard changes nothing in the ledger.
pub const ZOMBIES: &str = "a zombie changes nothing";
/// When a batch is committed, each of its rows is stored; unless the store has lost it since it was
/// counted, which is the audit's concern.
pub const WRITTEN: &str = "committed means written";
/// An entry leaves the stream only when its batch was audited, or given up with an alarm.
pub const AUDITED_FIRST: &str = "nothing is trimmed before its audit";
/// The samples of a batch are stored with its commit, once.
pub const SAMPLES: &str = "samples are stored once";
/// An audited batch has its rows once, and keeps them.
pub const EXACT: &str = "audited stays exact";
/// No request is seen twice in what is committed.
pub const ONCE: &str = "stored at most once";
/// What was acknowledged is in the stream, stored, a dead letter, or in a batch given up with an
/// alarm that names it.
pub const KEPT: &str = "nothing acknowledged is lost";
/// No request is both stored and a dead letter.
pub const NEVER_BOTH: &str = "never stored and dead-lettered";
pub use crate::explore::SETTLES;

/// The first property that the world breaks.
#[must_use]
pub fn broken(rules: &Rules, world: &World) -> Option<&'static str> {
    let ghost = &world.ghost;
    // Power lost between the count and the commit takes rows that nobody can know of yet.
    let power = rules.scenario.faults.power_losses > 0;
    let batches = || world.ledger.batches.iter();
    let requests = || 0..rules.scenario.requests;
    let checks = [
        (ZOMBIES, ghost.zombie_wrote),
        (WRITTEN, ghost.committed_unwritten && !power),
        (AUDITED_FIRST, ghost.trimmed_unaudited),
        (SAMPLES, batches().any(|batch| !samples_are_right(batch))),
        (EXACT, batches().any(|batch| !is_exact(world, batch))),
        (
            ONCE,
            requests().any(|request| is_doubled(rules, world, request)),
        ),
        (
            NEVER_BOTH,
            requests().any(|request| is_both(world, request)),
        ),
        (KEPT, requests().any(|request| is_lost(world, request))),
    ];
    checks
        .into_iter()
        .find(|(_, broken)| *broken)
        .map(|(name, _)| name)
}

/// Whether nothing is under way and every entry has come to its end.
#[must_use]
pub fn is_settled(world: &World) -> bool {
    let open = world.ledger.batches.iter().any(Batch::is_open);
    let calls = world.agents.iter().any(|agent| !agent.calls.is_empty());
    let under_way = !world.store.calls.is_empty() || !world.ledger.strays.is_empty();
    world.stream.entries.is_empty() && !open && !calls && !under_way
}

fn samples_are_right(batch: &Batch) -> bool {
    match batch.state {
        State::Prepared => batch.samples <= 1,
        State::Committed | State::Audited => batch.samples == 1,
        State::Parked => true,
    }
}

fn is_exact(world: &World, batch: &Batch) -> bool {
    if batch.state != State::Audited {
        return true;
    }
    let rows = world.store.rows.iter().filter(|row| row.seq == batch.seq);
    let mut stored: Vec<Request> = rows.map(|row| row.request).collect();
    stored.sort_unstable();
    let mut wanted = batch.without(&batch.left_out);
    wanted.sort_unstable();
    stored == wanted
}

/// Batches whose rows a reader may rely on.
fn visible(world: &World, request: Request) -> impl Iterator<Item = u8> {
    let rows = world
        .store
        .rows
        .iter()
        .filter(move |row| row.request == request);
    rows.map(|row| row.seq).filter(|seq| {
        let state = world.ledger.batch(*seq).map(|batch| batch.state);
        matches!(state, Some(State::Committed | State::Audited))
    })
}

/// In two batches in any case; within a batch, late copies of an insert are known by their token as
/// long as the store keeps it, and are else put right before the audit.
fn is_doubled(rules: &Rules, world: &World, request: Request) -> bool {
    let seqs: Vec<u8> = visible(world, request).collect();
    let batches = seqs
        .first()
        .is_some_and(|first| seqs.iter().any(|seq| seq != first));
    batches || (rules.tokens_hold() && seqs.len() > 1)
}

fn is_both(world: &World, request: Request) -> bool {
    world.ledger.letters.contains(&request) && visible(world, request).next().is_some()
}

fn is_lost(world: &World, request: Request) -> bool {
    let agent = world.agents.get(usize::from(request));
    let acknowledged = agent.is_some_and(|agent| agent.acknowledged);
    let entries = &world.stream.entries;
    let waiting = entries.iter().any(|entry| entry.request == request);
    // In work it will be stored, or given up with an alarm.
    let known = world.ledger.batches.iter().any(|batch| {
        let mut requests = batch.entries.iter().map(|(_, request)| request);
        batch.state != State::Audited && requests.any(|known| *known == request)
    });
    let excused = world.ghost.lost_by_redis & (1 << request) != 0;
    let kept = waiting
        || known
        || excused
        || world.ledger.letters.contains(&request)
        || visible(world, request).next().is_some();
    acknowledged && !kept
}
