//! ClickHouse: an insert arrives, runs and ends; a deletion runs; each may arrive after its sender
//! has given it up, and a kill may leave rows without their token or a token without its rows.
//! Mirrors what `normalizer-worker/src/store.rs` and `write.rs` make of its answers.

use crate::rules::Rules;
use crate::steps::{Action, Left, Steps};
use crate::worker;
use crate::world::{
    Answer, Attempt, Kind, Request, Row, Seq, StoreCall, StoreWhat, Token, Who, World,
};

pub(crate) fn steps(steps: &mut Steps<'_>) {
    let rules = steps.rules;
    for at in 0..steps.world.store.calls.len() {
        call(steps, at);
    }
    if steps.world.faults.store_kills > 0 {
        steps.may(Action::StoreKilled(None), |world| {
            killed(world, rules, None)
        });
    }
    let power = steps.world.faults.power_losses > 0;
    for forgets in [false, true].into_iter().filter(|_| power) {
        steps.may(Action::PowerLost(forgets), |world| {
            world.faults.power_losses = world.faults.power_losses.checked_sub(1)?;
            world.store.rows.retain(|row| row.durable);
            if forgets {
                world.store.tokens.clear();
            }
            break_off(world, rules);
            Some(())
        });
    }
}

/// What can become of a call.
fn call(steps: &mut Steps<'_>, at: usize) {
    let (rules, faults) = (steps.rules, steps.world.faults);
    let Some(call) = steps.world.store.calls.get(at) else {
        return;
    };
    match (&call.what, call.running) {
        (StoreWhat::Insert { .. }, false) => {
            steps.may(Action::InsertStarts(at), |world| starts(world, rules, at));
        }
        (StoreWhat::Insert { .. }, true) => {
            steps.may(Action::InsertEnds(at), |world| ends(world, rules, at));
        }
        (StoreWhat::Delete(_), false) => {
            steps.may(Action::DeletionStarts(at), |world| {
                world.store.calls.get_mut(at)?.running = true;
                Some(())
            });
        }
        (StoreWhat::Delete(_), true) => {
            steps.may(Action::DeletionRuns(at), |world| deletes(world, rules, at));
        }
    }
    let lasting = call.running && matches!(call.what, StoreWhat::Delete(_));
    if call.caller.is_none() && !lasting {
        steps.may(Action::CallDies(at), |world| {
            world.store.calls.remove(at);
            Some(())
        });
    } else if call.caller.is_some() && faults.store_doubts > 0 {
        steps.may(Action::CallInDoubt(at), |world| {
            world.faults.store_doubts = world.faults.store_doubts.checked_sub(1)?;
            let call = world.store.calls.get_mut(at)?;
            let (who, seq) = (call.caller.take()?, call.seq);
            worker::answered(world, rules, (who, seq), Answer::Doubt);
            Some(())
        });
    }
    let inserts = matches!(call.what, StoreWhat::Insert { .. });
    let kills = inserts && call.running && faults.store_kills > 0;
    for left in [Left::Rows, Left::Token].into_iter().filter(|_| kills) {
        steps.may(Action::StoreKilled(Some((at, left))), |world| {
            killed(world, rules, Some((at, left)))
        });
    }
}

/// Sends an insert of a batch's rows.
pub(crate) fn insert(
    world: &mut World,
    (who, seq): (Who, Seq),
    (attempt, kind): (Attempt, Kind),
    requests: Vec<Request>,
) {
    world.store.calls.push(StoreCall {
        caller: Some(who),
        seq,
        running: false,
        what: StoreWhat::Insert {
            attempt,
            requests,
            kind,
        },
    });
}

/// Sends a deletion of a batch's rows.
pub(crate) fn delete(world: &mut World, (who, seq): (Who, Seq), attempts: Vec<Attempt>) {
    world.store.calls.push(StoreCall {
        caller: Some(who),
        seq,
        running: false,
        what: StoreWhat::Delete(attempts),
    });
}

/// Whether an insert or a deletion of the batch runs, as `system.processes` and `system.mutations`
/// show it.
pub(crate) fn is_running(world: &World, seq: Seq) -> bool {
    let mut calls = world.store.calls.iter();
    calls.any(|call| call.seq == seq && call.running)
}

/// Whether a call for the batch is under way that no part of the installation shows.
pub(crate) fn is_unseen(world: &World, seq: Seq) -> bool {
    let mut calls = world.store.calls.iter();
    calls.any(|call| call.seq == seq && !call.running)
}

fn starts(world: &mut World, rules: &Rules, at: usize) -> Option<()> {
    let call = world.store.calls.get_mut(at).filter(|call| !call.running)?;
    let StoreWhat::Insert { requests, .. } = &call.what else {
        return None;
    };
    if !requests.iter().any(|request| rules.is_poison(*request)) {
        call.running = true;
        return Some(());
    }
    let call = world.store.calls.remove(at);
    answer(world, rules, &call, Answer::Refused);
    Some(())
}

/// The store claims success also where it knows the token and writes nothing.
fn ends(world: &mut World, rules: &Rules, at: usize) -> Option<()> {
    world.store.calls.get(at).filter(|call| call.running)?;
    let call = world.store.calls.remove(at);
    write(world, &call, None);
    answer(world, rules, &call, Answer::Done);
    Some(())
}

fn write(world: &mut World, call: &StoreCall, left: Option<Left>) {
    let StoreWhat::Insert {
        attempt,
        requests,
        kind,
    } = &call.what
    else {
        return;
    };
    let (seq, token) = (
        call.seq,
        Token {
            seq: call.seq,
            kind: *kind,
        },
    );
    if world.store.tokens.contains(&token) {
        return;
    }
    if left != Some(Left::Token) {
        // Where power will not be lost any more, what is written back when makes no difference.
        let durable = world.faults.power_losses == 0;
        let rows = requests.iter().map(|request| Row {
            seq,
            attempt: *attempt,
            request: *request,
            durable,
        });
        world.store.rows.extend(rows);
    }
    if left != Some(Left::Rows) {
        world.store.tokens.push(token);
    }
}

fn deletes(world: &mut World, rules: &Rules, at: usize) -> Option<()> {
    let call = world.store.calls.get(at)?.clone();
    let StoreWhat::Delete(attempts) = &call.what else {
        return None;
    };
    world.store.calls.remove(at);
    let hit = |attempt: &Attempt| attempts.is_empty() || attempts.contains(attempt);
    let rows = &mut world.store.rows;
    rows.retain(|row| row.seq != call.seq || !hit(&row.attempt));
    answer(world, rules, &call, Answer::Done);
    Some(())
}

fn answer(world: &mut World, rules: &Rules, call: &StoreCall, answer: Answer) {
    if let Some(who) = call.caller {
        worker::answered(world, rules, (who, call.seq), answer);
    }
}

fn killed(world: &mut World, rules: &Rules, leaves: Option<(usize, Left)>) -> Option<()> {
    world.faults.store_kills = world.faults.store_kills.checked_sub(1)?;
    if let Some((at, left)) = leaves {
        let call = world
            .store
            .calls
            .get(at)
            .filter(|call| call.running)?
            .clone();
        write(world, &call, Some(left));
    }
    break_off(world, rules);
    Some(())
}

/// Inserts that ran are gone, deletions that ran go on after the restart, what was on its way may
/// still arrive, and nobody hears of any of it.
fn break_off(world: &mut World, rules: &Rules) {
    let calls = std::mem::take(&mut world.store.calls);
    for mut call in calls {
        let waits = call.caller.take();
        if let Some(who) = waits {
            worker::answered(world, rules, (who, call.seq), Answer::Doubt);
        }
        if !call.running || matches!(call.what, StoreWhat::Delete(_)) {
            world.store.calls.push(call);
        }
    }
}
