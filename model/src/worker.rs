//! A worker's life with the shard: take it, recover, prepare, write, commit, audit, trim; and its
//! deaths. Mirrors `normalizer-worker/src/{lease,shard,recover,audit}.rs`.
//!
//! Each step looks at the lease and sends one call, as the code does with nothing in between; the
//! call then runs whenever it runs. A worker that is paused is one whose steps are not taken.

use crate::rules::{Broken, Rules};
use crate::settle;
use crate::steps::{Action, Steps};
use crate::store;
use crate::world::{
    Answer, Doing, EntryId, Flight, Kind, Remake, Seq, Settle, State, Statement, Step, Token, What,
    Who, Worker, World, Write,
};

pub(crate) fn steps(steps: &mut Steps<'_>, who: Who) {
    lives(steps, who);
    let Some(worker) = steps.world.worker(who).filter(|worker| worker.up).cloned() else {
        return;
    };
    if let Some(statement) = &worker.waits_for {
        waits(steps, who, statement);
        return;
    }
    if let Doing::Trim(keep) = worker.doing {
        steps.may(Action::Trims(who), |world| trim(world, who, keep));
    }
    let holds = worker.lease || steps.rules.without(Broken::LeaseIgnored);
    match &worker.doing {
        Doing::Nothing => take(steps, who),
        Doing::Begin | Doing::Remake(_) | Doing::Settle(_) | Doing::Flow | Doing::Trim(_)
            if !holds =>
        {
            steps.may(Action::GivesUp(who), |world| gives_up(world, who));
        }
        Doing::Begin => {
            let rules = steps.rules;
            steps.may(Action::Begins(who), |world| begins(world, rules, who));
        }
        Doing::Remake(remake) => {
            let rules = steps.rules;
            steps.may(Action::Remakes(who, remake.seq), |world| {
                remakes(world, rules, (who, remake))
            });
        }
        Doing::Settle(settle) => settle::steps(steps, who, settle),
        Doing::Flow => flow(steps, who, &worker),
        Doing::Trim(_) => {}
    }
}

/// What happens to a worker rather than what it does.
fn lives(steps: &mut Steps<'_>, who: Who) {
    let Some(up) = steps.world.worker(who).map(|worker| worker.up) else {
        return;
    };
    if !up {
        steps.may(Action::Restarted(who), |world| {
            world.worker_mut(who)?.up = true;
            Some(())
        });
    } else if steps.world.faults.kills > 0 {
        steps.may(Action::Killed(who), |world| {
            world.faults.kills = world.faults.kills.checked_sub(1)?;
            let worker = world.worker_mut(who)?;
            worker.up = false;
            let stray = worker.waits_for.take();
            world.ledger.strays.extend(stray);
            gives_up(world, who)
        });
    }
    let held = steps.world.ledger.leased_to == Some(who);
    if !held || (up && steps.world.faults.pauses == 0) {
        return;
    }
    steps.may(Action::LeaseEnds(who), |world| {
        if world.worker(who)?.up {
            world.faults.pauses = world.faults.pauses.checked_sub(1)?;
        }
        world.ledger.leased_to = None;
        world.worker_mut(who)?.lease = false;
        Some(())
    });
}

/// Which of two workers begins makes no difference: it is the first.
fn take(steps: &mut Steps<'_>, who: Who) {
    let rules = steps.rules;
    let leased = steps.world.ledger.leased_to;
    let free = leased.is_none() || leased == Some(who);
    if !free || (who != 0 && steps.world.ghost.tenure == 0) {
        return;
    }
    steps.may(Action::Take(who), |world| {
        crate::ledger::take(world, rules, who);
        let (epoch, tenure) = (world.ledger.epoch, world.ghost.tenure);
        let worker = world.worker_mut(who)?;
        (worker.epoch, worker.tenure) = (epoch, tenure);
        worker.lease = true;
        worker.doing = Doing::Begin;
        Some(())
    });
}

/// Lets go of everything; calls under way are nobody's any more.
fn gives_up(world: &mut World, who: Who) -> Option<()> {
    lets_go(world, who, Doing::Nothing)?;
    let worker = world.worker_mut(who)?;
    worker.lease = false;
    (worker.epoch, worker.tenure) = (0, 0);
    Some(())
}

/// Begins again from the ledger, which is where every doubt is settled.
pub(crate) fn again(world: &mut World, who: Who) -> Option<()> {
    lets_go(world, who, Doing::Begin)
}

fn lets_go(world: &mut World, who: Who, doing: Doing) -> Option<()> {
    for call in &mut world.store.calls {
        if call.caller == Some(who) {
            call.caller = None;
        }
    }
    let worker = world.worker_mut(who)?;
    worker.doing = doing;
    worker.flights.clear();
    // What it knew of before is not looked at again.
    worker.position = (0, 0);
    worker.read_to = 0;
    Some(())
}

pub(crate) fn send(world: &mut World, who: Who, what: What) -> Option<()> {
    let worker = world.worker_mut(who)?;
    worker.waits_for = Some(Statement {
        epoch: worker.epoch,
        tenure: worker.tenure,
        what,
    });
    Some(())
}

fn waits(steps: &mut Steps<'_>, who: Who, statement: &Statement) {
    let rules = steps.rules;
    steps.may(Action::StatementRuns(who), |world| {
        let found = crate::ledger::run(world, rules, statement);
        let worker = world.worker_mut(who)?;
        worker.waits_for = None;
        match (found, worker.lease) {
            (true, _) => goes_on(world, rules, (who, &statement.what)),
            (false, true) => again(world, who),
            (false, false) => gives_up(world, who),
        }
    });
    if steps.world.faults.ledger_doubts == 0 {
        return;
    }
    steps.may(Action::StatementInDoubt(who), |world| {
        world.faults.ledger_doubts = world.faults.ledger_doubts.checked_sub(1)?;
        let stray = world.worker_mut(who)?.waits_for.take();
        world.ledger.strays.extend(stray);
        again(world, who)
    });
}

/// What follows from a statement that has done what it should.
fn goes_on(world: &mut World, rules: &Rules, (who, what): (Who, &What)) -> Option<()> {
    match what {
        What::Prepare { entries, .. } => {
            let seq = world.ledger.next_seq.checked_sub(1)?;
            let (last, _) = entries.last()?;
            let worker = world.worker_mut(who)?;
            worker.position = (seq + 1, *last);
            worker.read_to = *last;
            worker.flights.push(Flight {
                seq,
                write: Write::Due,
            });
        }
        What::NextAttempt(seq) => {
            let attempt = world.ledger.batch(*seq)?.attempt;
            let trusts = rules.without(Broken::TakeOverTrustsPrepared);
            let worker = world.worker_mut(who)?;
            let Doing::Remake(remake) = worker.doing.clone() else {
                return None;
            };
            let settle = settle::begin(remake, attempt);
            if trusts && !settle.remake.repair {
                return settle::done(world, rules, (who, &settle));
            }
            worker.doing = Doing::Settle(settle);
        }
        What::Commit { seq, .. } => {
            let worker = world.worker_mut(who)?;
            match worker.doing {
                Doing::Flow => worker
                    .flights
                    .retain(|flight| flight.seq != *seq || flight.write == Write::Due),
                Doing::Nothing | Doing::Begin | Doing::Remake(_) => {}
                Doing::Settle(_) | Doing::Trim(_) => worker.doing = Doing::Begin,
            }
        }
        What::Samples(seq) => {
            let doing = world.worker(who)?.doing.clone();
            return match doing {
                Doing::Settle(settle) => send_commit(world, who, &settle.remake),
                Doing::Nothing | Doing::Begin | Doing::Remake(_) | Doing::Flow | Doing::Trim(_) => {
                    send_commit(world, who, &plain(*seq))
                }
            };
        }
        What::Audited(_) | What::Repaired(_) => world.worker_mut(who)?.doing = Doing::Flow,
        // The shard begins again, or the audit goes on: both from the ledger.
        What::Park(_) => return again(world, who),
    }
    Some(())
}

const fn plain(seq: Seq) -> Remake {
    Remake {
        seq,
        parked: Vec::new(),
        missing: Vec::new(),
        repair: false,
    }
}

/// Sends the commit of a batch; where samples are not part of it, they go first.
pub(crate) fn commit(
    world: &mut World,
    rules: &Rules,
    (who, remake): (Who, &Remake),
) -> Option<()> {
    if rules.without(Broken::SamplesOutsideCommit) {
        return send(world, who, What::Samples(remake.seq));
    }
    send_commit(world, who, remake)
}

fn send_commit(world: &mut World, who: Who, remake: &Remake) -> Option<()> {
    let mut left_out = remake.parked.clone();
    left_out.extend(&remake.missing);
    let what = What::Commit {
        seq: remake.seq,
        left_out,
        letters: remake.parked.clone(),
    };
    send(world, who, what)
}

/// Recovers the first batch that is prepared, or goes on from where the ledger says.
fn begins(world: &mut World, rules: &Rules, who: Who) -> Option<()> {
    let mut batches = world.ledger.batches.iter();
    if let Some(batch) = batches.find(|batch| batch.state == State::Prepared) {
        let remake = plain(batch.seq);
        world.worker_mut(who)?.doing = Doing::Remake(remake);
        return Some(());
    }
    let mine = world.worker(who)?.epoch;
    let ledger = &world.ledger;
    let (epoch, position) = (ledger.epoch, (ledger.next_seq, ledger.cursor));
    let from_group = rules.without(Broken::CursorOfConsumerGroup);
    let group = world.stream.group;
    if mine != epoch {
        return gives_up(world, who);
    }
    if !rules.without(Broken::RewrittenRowsTakenAsOld) {
        crate::ledger::audit_later(world, epoch);
    }
    let worker = world.worker_mut(who)?;
    worker.position = position;
    worker.read_to = if from_group { group } else { position.1 };
    worker.doing = Doing::Flow;
    Some(())
}

/// Reads the entries of a batch again and compares them with what they were.
fn remakes(world: &mut World, rules: &Rules, (who, remake): (Who, &Remake)) -> Option<()> {
    let batch = world.ledger.batch(remake.seq)?.clone();
    let entries = world.stream.after(0, false);
    let gone = batch
        .entries
        .iter()
        .filter(|entry| !entries.contains(entry));
    let missing: Vec<_> = gone.map(|(_, request)| *request).collect();
    if missing.is_empty() {
        return send(world, who, What::NextAttempt(batch.seq));
    }
    if rules.without(Broken::RemadeWithoutDigest) {
        if let Doing::Remake(remake) = &mut world.worker_mut(who)?.doing {
            remake.missing = missing;
        }
        return send(world, who, What::NextAttempt(batch.seq));
    }
    if rules.without(Broken::GoneBatchKept) {
        return None;
    }
    send(world, who, What::Park(batch.seq))
}

fn flow(steps: &mut Steps<'_>, who: Who, worker: &Worker) {
    let rules = steps.rules;
    let fails = |flight: &Flight| flight.write == Write::Failed;
    if worker.flights.iter().any(fails) {
        // None of the other writes goes on while the shard begins again.
        let under_way = |flight: &Flight| flight.write == Write::Posted;
        if !worker.flights.iter().any(under_way) {
            steps.may(Action::Begins(who), |world| again(world, who));
        }
        return;
    }
    if worker.flights.len() < rules.scenario.depth {
        let unsynced = rules.without(Broken::ReadBeforeFsync);
        let entries = steps.world.stream.after(worker.read_to, unsynced);
        let mut cuts = vec![1, entries.len()];
        cuts.dedup();
        for cut in cuts {
            steps.may(Action::Prepares(who, cut), |world| {
                let entries = entries.get(..cut).filter(|entries| !entries.is_empty())?;
                let (seq, cursor) = worker.position;
                let entries = entries.to_vec();
                send(
                    world,
                    who,
                    What::Prepare {
                        seq,
                        cursor,
                        entries,
                    },
                )
            });
        }
    }
    for flight in worker
        .flights
        .iter()
        .filter(|flight| flight.write == Write::Due)
    {
        steps.may(Action::Posts(who, flight.seq), |world| {
            posts(world, rules, (who, flight.seq))
        });
    }
    if let Some(first) = worker.flights.first() {
        let early = rules.without(Broken::CommitBeforeWrite)
            && first.write == Write::Due
            && steps.world.ledger.batch(first.seq).map(|batch| batch.state)
                == Some(State::Prepared);
        if first.write == Write::Written || early {
            steps.may(Action::Commits(who, first.seq), |world| {
                commit(world, rules, (who, &plain(first.seq)))
            });
        }
        return;
    }
    audit(steps, who);
    will_trim(steps, who);
}

fn posts(world: &mut World, rules: &Rules, (who, seq): (Who, Seq)) -> Option<()> {
    let requests = world.ledger.batch(seq)?.without(&[]);
    let kind = if rules.without(Broken::FreshTokenAlways) {
        Kind::Fresh(0, 0)
    } else {
        Kind::Whole
    };
    store::insert(world, (who, seq), (0, kind), requests);
    let flights = &mut world.worker_mut(who)?.flights;
    flights.iter_mut().find(|flight| flight.seq == seq)?.write = Write::Posted;
    Some(())
}

/// Counts the first committed batch that is due.
fn audit(steps: &mut Steps<'_>, who: Who) {
    let rules = steps.rules;
    let early = rules.without(Broken::AuditBeforeWriteback);
    let mut batches = steps.world.ledger.batches.iter();
    let due = batches.find(|batch| batch.state == State::Committed && (batch.due || early));
    let Some(batch) = due else { return };
    let seq = batch.seq;
    // What the protocol rests on: no call arrives that late.
    let late = store::is_unseen(steps.world, seq) && !rules.scenario.late_beyond_audit;
    let waits = batch.attempt > 0 && !rules.without(Broken::CountedWhileRunning);
    if late || (waits && store::is_running(steps.world, seq)) {
        return;
    }
    let expected = batch.without(&batch.left_out).len();
    let token = Token {
        seq,
        kind: Kind::Whole,
    };
    let right = if rules.without(Broken::AuditTrustsToken) {
        steps.world.store.tokens.contains(&token)
    } else {
        settle::is_right(&steps.world.store.count(seq), expected)
    };
    let parked: Vec<_> = steps.world.ledger.letters.clone();
    let parked = batch
        .left_out
        .iter()
        .copied()
        .filter(|request| parked.contains(request));
    let remake = Remake {
        parked: parked.collect(),
        repair: true,
        ..plain(seq)
    };
    steps.may(Action::Audits(who, seq), |world| {
        if right {
            return send(world, who, What::Audited(seq));
        }
        world.worker_mut(who)?.doing = Doing::Remake(remake);
        Some(())
    });
}

/// Learns the first entry that must stay: that of the oldest batch in work, or the one after the
/// cursor.
fn will_trim(steps: &mut Steps<'_>, who: Who) {
    let rules = steps.rules;
    let ledger = &steps.world.ledger;
    let early = rules.without(Broken::TrimBeforeAudit);
    let mut open = ledger
        .batches
        .iter()
        .filter(|batch| batch.is_open() && !early);
    let first = open.find_map(|batch| batch.entries.first());
    let keep = first.map_or(ledger.cursor + 1, |(id, _)| *id);
    let any = steps
        .world
        .stream
        .entries
        .iter()
        .any(|entry| entry.id < keep);
    if !any {
        return;
    }
    steps.may(Action::WillTrim(who, keep), |world| {
        let epoch = world.ledger.epoch;
        let worker = world.worker_mut(who)?;
        if worker.epoch != epoch {
            return gives_up(world, who);
        }
        worker.doing = Doing::Trim(keep);
        Some(())
    });
}

/// Trims, and shows the cursor. Redis does not know of epochs: a trim that comes late trims less.
fn trim(world: &mut World, who: Who, keep: EntryId) -> Option<()> {
    let entries = &mut world.stream.entries;
    let gone: Vec<_> = entries
        .iter()
        .filter(|entry| entry.id < keep)
        .copied()
        .collect();
    entries.retain(|entry| entry.id >= keep);
    for entry in gone {
        let mut batches = world.ledger.batches.iter();
        let batch = batches.find(|batch| batch.entries.contains(&(entry.id, entry.request)));
        if batch.is_none_or(|batch| batch.is_open()) {
            world.ghost.trimmed_unaudited = true;
        }
    }
    let worker = world.worker_mut(who)?;
    worker.doing = Doing::Flow;
    world.stream.group = worker.position.1;
    Some(())
}

/// An answer of the store reaches a worker.
pub(crate) fn answered(world: &mut World, rules: &Rules, (who, seq): (Who, Seq), answer: Answer) {
    let committed = world.ledger.batch(seq).map(|batch| batch.state) != Some(State::Prepared);
    let Some(worker) = world.worker_mut(who) else {
        return;
    };
    match &mut worker.doing {
        Doing::Flow => {
            for flight in worker.flights.iter_mut().filter(|flight| flight.seq == seq) {
                flight.write = match answer {
                    Answer::Done => Write::Written,
                    Answer::Doubt | Answer::Refused => Write::Failed,
                };
            }
            // Only where it was committed before it was written.
            worker
                .flights
                .retain(|flight| !(committed && flight.write == Write::Written));
        }
        Doing::Settle(settle) if settle.seq() == seq => {
            match settle::answered(settle.clone(), rules, answer) {
                Some(doing) => worker.doing = doing,
                None => {
                    again(world, who);
                }
            }
        }
        Doing::Settle(_) => {}
        Doing::Nothing | Doing::Begin | Doing::Remake(_) | Doing::Trim(_) => {}
    }
}

impl Settle {
    /// The batch that it is about.
    pub(crate) const fn seq(&self) -> Seq {
        self.remake.seq
    }

    pub(crate) fn at(mut self, step: Step) -> Doing {
        self.step = step;
        Doing::Settle(self)
    }
}
