//! PostgreSQL: statements and transactions that happen whole or not at all, in time, late, or after
//! their sender has given them up. Mirrors `normalizer-worker/src/ledger.rs`, `commit/mod.rs` and the
//! take-over in `lease.rs`.

use crate::rules::{Broken, Rules};
use crate::steps::{Action, Steps};
use crate::world::{Batch, EntryId, Request, Seq, State, Statement, StoreWhat, What, Who, World};

/// Attempts are told apart up to this number; no search comes near it.
const ATTEMPT_MAX: u8 = 6;

pub(crate) fn steps(steps: &mut Steps<'_>) {
    let rules = steps.rules;
    for at in 0..steps.world.ledger.strays.len() {
        steps.may(Action::StrayRuns(at), |world| {
            let statement = world.ledger.strays.remove(at);
            run(world, rules, &statement);
            Some(())
        });
        steps.may(Action::StrayDies(at), |world| {
            world.ledger.strays.remove(at);
            Some(())
        });
    }
    let waits = |batch: &Batch| batch.state == State::Committed && !batch.due;
    let rows = steps.world.store.rows.iter().any(|row| !row.durable);
    if rows || steps.world.ledger.batches.iter().any(waits) {
        steps.may(Action::WriteBack, |world| write_back(world, rules));
    }
}

/// Time passes: enough for the page cache to be written back, and for whatever nobody waits for to
/// have arrived or not. A deletion that has arrived may still be at work.
fn write_back(world: &mut World, rules: &Rules) -> Option<()> {
    let mut calls = world.store.calls.iter();
    let late = calls.any(|call| {
        let insert = matches!(call.what, StoreWhat::Insert { .. });
        call.caller.is_none() && (insert || !call.running)
    });
    (!late || rules.scenario.late_beyond_audit).then_some(())?;
    world
        .store
        .rows
        .iter_mut()
        .for_each(|row| row.durable = true);
    let batches = world.ledger.batches.iter_mut();
    let committed = batches.filter(|batch| batch.state == State::Committed);
    committed.for_each(|batch| batch.due = true);
    Some(())
}

/// Whoever begins to audit does not know how young rows are that were written anew: their batches
/// wait the whole time again.
pub(crate) fn audit_later(world: &mut World, epoch: u8) {
    let waits = world.faults.power_losses > 0;
    let batches = world.ledger.batches.iter_mut();
    let ours = batches.filter(|batch| batch.epoch == epoch && batch.state == State::Committed);
    ours.filter(|batch| batch.attempt > 0)
        .for_each(|batch| batch.due = !waits);
}

/// Takes the shard for a worker: the next epoch, for the shard and for what is in work of it.
pub(crate) fn take(world: &mut World, rules: &Rules, who: Who) {
    let ledger = &mut world.ledger;
    if !rules.without(Broken::TakeOverKeepsEpoch) {
        ledger.epoch += 1;
    }
    ledger.leased_to = Some(who);
    world.ghost.tenure += 1;
    if !rules.without(Broken::TakeOverLeavesBatches) {
        let epoch = ledger.epoch;
        let open = ledger.batches.iter_mut().filter(|batch| batch.is_open());
        open.for_each(|batch| batch.epoch = epoch);
    }
}

/// Runs a statement; whether it found what it asked for. What it does not find changes nothing.
pub(crate) fn run(world: &mut World, rules: &Rules, statement: &Statement) -> bool {
    let epoch = statement.epoch;
    let found = match &statement.what {
        What::Prepare {
            seq,
            cursor,
            entries,
        } => prepare(world, rules, (epoch, *seq, *cursor), entries),
        What::Commit {
            seq,
            left_out,
            letters,
        } => commit(world, rules, (epoch, *seq), (left_out, letters)),
        What::NextAttempt(seq) => open(world, epoch, *seq, |batch| {
            batch.attempt = (batch.attempt + 1).min(ATTEMPT_MAX);
        }),
        What::Park(seq) => open(world, epoch, *seq, |batch| batch.state = State::Parked),
        What::Samples(seq) => open(world, epoch, *seq, |batch| batch.samples += 1),
        What::Audited(seq) => {
            let any = rules.without(Broken::AuditWithoutEpoch);
            committed(
                world,
                *seq,
                |batch| any || batch.epoch == epoch,
                |batch| {
                    batch.state = State::Audited;
                },
            )
        }
        What::Repaired(seq) => {
            let waits = world.faults.power_losses > 0;
            committed(
                world,
                *seq,
                |batch| batch.epoch == epoch,
                |batch| {
                    batch.due = !waits;
                },
            )
        }
    };
    if found && statement.tenure < world.ghost.tenure {
        world.ghost.zombie_wrote = true;
    }
    found
}

fn prepare(
    world: &mut World,
    rules: &Rules,
    (epoch, seq, cursor): (u8, Seq, EntryId),
    entries: &[(EntryId, Request)],
) -> bool {
    let ledger = &mut world.ledger;
    let owner = epoch == ledger.epoch || rules.without(Broken::PrepareWithoutEpoch);
    let blind = rules.without(Broken::PrepareWithoutCursor);
    let expected = seq == ledger.next_seq && cursor == ledger.cursor;
    let Some((last, _)) = entries.last().filter(|_| owner && (expected || blind)) else {
        return false;
    };
    ledger.batches.push(Batch {
        seq: ledger.next_seq,
        entries: entries.to_vec(),
        epoch,
        state: State::Prepared,
        attempt: 0,
        left_out: Vec::new(),
        samples: 0,
        due: false,
    });
    ledger.next_seq += 1;
    ledger.cursor = *last;
    true
}

/// Changes a batch that is in work, under its epoch.
fn open(world: &mut World, epoch: u8, seq: Seq, change: impl FnOnce(&mut Batch)) -> bool {
    let batch = world.ledger.batch_mut(seq);
    match batch.filter(|batch| batch.epoch == epoch && batch.is_open()) {
        Some(batch) => {
            change(batch);
            true
        }
        None => false,
    }
}

fn committed(
    world: &mut World,
    seq: Seq,
    may: impl FnOnce(&Batch) -> bool,
    change: impl FnOnce(&mut Batch),
) -> bool {
    let batch = world.ledger.batch_mut(seq);
    match batch.filter(|batch| batch.state == State::Committed) {
        Some(batch) if may(batch) => {
            change(batch);
            true
        }
        Some(_) | None => false,
    }
}

fn commit(
    world: &mut World,
    rules: &Rules,
    (epoch, seq): (u8, Seq),
    (left_out, letters): (&[Request], &[Request]),
) -> bool {
    let waits = world.faults.power_losses > 0;
    let alone = rules.without(Broken::SamplesOutsideCommit);
    let Some(batch) = world.ledger.batch_mut(seq) else {
        return false;
    };
    let ours = batch.epoch == epoch || rules.without(Broken::CommitWithoutEpoch);
    let state = batch.state == State::Prepared
        || (rules.without(Broken::CommitWithoutState) && batch.state == State::Committed);
    if !ours || !state {
        return false;
    }
    batch.state = State::Committed;
    batch.due = !waits;
    batch.left_out = left_out.to_vec();
    if !alone {
        batch.samples += 1;
    }
    let wanted = batch.without(left_out);
    for letter in letters {
        if !world.ledger.letters.contains(letter) {
            world.ledger.letters.push(*letter);
        }
    }
    let rows = &world.store.rows;
    let there = |request: &Request| {
        let mut rows = rows.iter();
        rows.any(|row| row.seq == seq && row.request == *request)
    };
    if !wanted.iter().all(there) {
        world.ghost.committed_unwritten = true;
    }
    true
}
