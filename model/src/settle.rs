//! Bringing the rows of one batch to exactly once: wait, count, delete, insert, count again; and the
//! search for what the store refuses. Mirrors `normalizer-worker/src/{resolve,poison}.rs`.

use crate::rules::{Broken, Rules};
use crate::steps::{Action, Steps};
use crate::store;
use crate::worker;
use crate::world::{Answer, Attempt, Doing, Kind, Remake, Request, Settle, Step, What, Who, World};

/// Rounds of count and repair before the shard begins again from the ledger.
const ROUNDS_MAX: u8 = 4;

/// The beginning, at an attempt.
pub(crate) const fn begin(remake: Remake, attempt: Attempt) -> Settle {
    Settle {
        remake,
        attempt,
        round: 0,
        fresh: false,
        claimed: false,
        kept: false,
        asked: None,
        step: Step::Wait,
    }
}

/// The attempt of rows that are stored only to ask whether the store takes them.
const ASKED: Attempt = Attempt::MAX;
/// What nothing can be wrong with: asked about where every entry is refused.
const TOUCHSTONE: Request = Request::MAX;

/// Whether counted rows are all there, once: of one attempt, and as many as there should be.
pub(crate) fn is_right(counts: &[(Attempt, usize)], expected: usize) -> bool {
    let total: usize = counts.iter().map(|(_, rows)| rows).sum();
    let asked = counts.iter().any(|(attempt, _)| *attempt == ASKED);
    total == expected && counts.len() <= 1 && !asked
}

/// The attempts whose rows are too many: all but the last whole one.
fn surplus(counts: &[(Attempt, usize)], expected: usize) -> Vec<Attempt> {
    let whole = counts
        .iter()
        .filter(|(attempt, rows)| *rows == expected && expected > 0 && *attempt != ASKED);
    let kept = whole.map(|(attempt, _)| *attempt).max();
    let attempts = counts.iter().map(|(attempt, _)| *attempt);
    attempts.filter(|attempt| Some(*attempt) != kept).collect()
}

pub(crate) fn steps(steps: &mut Steps<'_>, who: Who, settle: &Settle) {
    let rules = steps.rules;
    let waits = matches!(
        settle.step,
        Step::Deleting | Step::Posting | Step::Finding(..) | Step::Cleaning(_)
    );
    if waits {
        return;
    }
    let change = |world: &mut World| match &settle.step {
        Step::Wait => {
            let waits = !rules.without(Broken::CountedWhileRunning);
            if waits && store::is_running(world, settle.seq()) {
                return None;
            }
            set(world, who, settle.clone().at(Step::Count))
        }
        Step::Count if rules.without(Broken::ResolveTrustsToken) => {
            set(world, who, settle.clone().at(Step::Post))
        }
        Step::Count => count(world, rules, (who, settle)),
        Step::Delete(attempts) => {
            let whole = rules.without(Broken::DeletionOfWholeBatch);
            let attempts = if whole { Vec::new() } else { attempts.clone() };
            store::delete(world, (who, settle.seq()), attempts);
            set(world, who, settle.clone().at(Step::Deleting))
        }
        Step::Post => post(world, rules, (who, settle)),
        Step::Find(at, bad) => find(world, rules, (who, settle), (*at, bad)),
        Step::Clean(bad) => {
            let whole = rules.without(Broken::DeletionOfWholeBatch);
            let attempts = if whole {
                Vec::new()
            } else {
                vec![asked(rules, settle)]
            };
            store::delete(world, (who, settle.seq()), attempts);
            set(world, who, settle.clone().at(Step::Cleaning(bad.clone())))
        }
        Step::Done => done(world, rules, (who, settle)),
        Step::Deleting | Step::Posting | Step::Finding(..) | Step::Cleaning(_) => None,
    };
    steps.may(Action::Settles(who, settle.seq()), change);
}

fn set(world: &mut World, who: Who, doing: Doing) -> Option<()> {
    world.worker_mut(who)?.doing = doing;
    Some(())
}

/// What the batch's rows are made of.
fn wanted(world: &World, settle: &Settle) -> Vec<Request> {
    let batch = world.ledger.batch(settle.seq());
    let left_out = [settle.remake.parked.as_slice(), &settle.remake.missing].concat();
    batch
        .map(|batch| batch.without(&left_out))
        .unwrap_or_default()
}

fn count(world: &mut World, rules: &Rules, (who, settle): (Who, &Settle)) -> Option<()> {
    let expected = wanted(world, settle).len();
    let counts = world.store.count(settle.seq());
    if is_right(&counts, expected) {
        return done(world, rules, (who, settle));
    }
    let mut settle = settle.clone();
    if counts.is_empty() {
        settle.fresh |= settle.claimed;
        return set(world, who, settle.at(Step::Post));
    }
    settle.fresh = true;
    let step = if rules.without(Broken::DeletionSkipped) {
        Step::Post
    } else {
        let surplus = surplus(&counts, expected);
        settle.kept = surplus.len() < counts.len() && !rules.without(Broken::DeletionOfWholeBatch);
        Step::Delete(surplus)
    };
    set(world, who, settle.at(step))
}

fn post(world: &mut World, rules: &Rules, (who, settle): (Who, &Settle)) -> Option<()> {
    let requests = wanted(world, settle);
    let fresh = settle.fresh || rules.without(Broken::FreshTokenAlways);
    let kind = if fresh && !rules.without(Broken::FreshTokenNever) {
        Kind::Fresh(settle.attempt, settle.round)
    } else {
        Kind::Whole
    };
    if requests.is_empty() {
        return match next_round(settle.clone()) {
            Some(settle) => set(world, who, Doing::Settle(settle)),
            None => worker::again(world, who),
        };
    }
    store::insert(world, (who, settle.seq()), (settle.attempt, kind), requests);
    set(world, who, settle.clone().at(Step::Posting))
}

/// `None` when there were rounds enough.
fn next_round(mut settle: Settle) -> Option<Settle> {
    settle.round += 1;
    settle.step = Step::Wait;
    (settle.round < ROUNDS_MAX).then_some(settle)
}

/// The rows are as they should be.
pub(crate) fn done(world: &mut World, rules: &Rules, (who, settle): (Who, &Settle)) -> Option<()> {
    let seq = settle.seq();
    if !settle.remake.repair {
        set(world, who, Doing::Settle(settle.clone()))?;
        return worker::commit(world, rules, (who, &settle.remake));
    }
    let what = if rules.without(Broken::RepairIsAudit) {
        What::Audited(seq)
    } else {
        What::Repaired(seq)
    };
    worker::send(world, who, what)
}

/// At which attempt rows are stored to ask about them.
fn asked(rules: &Rules, settle: &Settle) -> Attempt {
    if rules.without(Broken::AskedCountAsRows) {
        settle.attempt
    } else {
        ASKED
    }
}

/// Posts the rows of each entry by themselves. (The code halves; of two entries that is the same.)
/// A single one is known to be refused: whether the store takes anything is asked instead.
fn find(
    world: &mut World,
    rules: &Rules,
    (who, settle): (Who, &Settle),
    (at, bad): (u8, &[Request]),
) -> Option<()> {
    if rules.without(Broken::PoisonNotParked) {
        return worker::again(world, who);
    }
    let requests = wanted(world, settle);
    let Some(request) = requests.get(usize::from(at)) else {
        return set(world, who, settle.clone().at(Step::Clean(bad.to_vec())));
    };
    let (request, bad) = match requests.as_slice() {
        [only] => (TOUCHSTONE, vec![*only]),
        _ => (*request, bad.to_vec()),
    };
    let how = (asked(rules, settle), Kind::Part(settle.attempt, request));
    store::insert(world, (who, settle.seq()), how, vec![request]);
    let mut settle = settle.clone();
    settle.asked = Some(request);
    set(world, who, settle.at(Step::Finding(at, bad)))
}

fn parked(settle: &Settle, bad: &[Request]) -> Remake {
    let mut remake = settle.remake.clone();
    remake.parked.extend(bad);
    remake
}

/// What an answer of the store leads to; `None` when the shard is to begin again.
pub(crate) fn answered(settle: Settle, rules: &Rules, answer: Answer) -> Option<Doing> {
    let trusts = rules.without(Broken::ResolveTrustsToken)
        || rules.without(Broken::ResolveTrustsAnswer)
        || rules.without(Broken::DeletionSkipped);
    match (settle.step.clone(), answer) {
        (Step::Posting, Answer::Refused) => Some(settle.at(Step::Find(0, Vec::new()))),
        (Step::Posting, Answer::Done) if trusts => Some(settle.at(Step::Done)),
        (Step::Posting, Answer::Done | Answer::Doubt) => {
            let mut settle = settle;
            settle.claimed = answer == Answer::Done;
            next_round(settle).map(Doing::Settle)
        }
        // What was deleted is written anew; where whole rows were kept, they are counted again.
        (Step::Deleting, Answer::Done) => {
            if settle.kept {
                next_round(settle).map(Doing::Settle)
            } else {
                Some(settle.at(Step::Post))
            }
        }
        (Step::Finding(at, bad), Answer::Done) => Some(settle.at(Step::Find(at + 1, bad))),
        (Step::Finding(at, mut bad), Answer::Refused) => {
            bad.extend(settle.asked);
            Some(settle.at(Step::Find(at + 1, bad)))
        }
        (Step::Cleaning(bad), Answer::Done) => {
            let remake = parked(&settle, &bad);
            Some(Doing::Remake(remake))
        }
        (Step::Deleting | Step::Cleaning(_), Answer::Doubt | Answer::Refused)
        | (Step::Finding(..), Answer::Doubt) => None,
        (
            Step::Wait
            | Step::Count
            | Step::Delete(_)
            | Step::Post
            | Step::Find(..)
            | Step::Clean(_)
            | Step::Done,
            Answer::Done | Answer::Doubt | Answer::Refused,
        ) => Some(Doing::Settle(settle)),
    }
}
