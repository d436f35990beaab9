//! The protocol holds in every scenario, each rule of it is needed, and what it rests on is needed.

use millrace_model::properties::{
    AUDITED_FIRST, EXACT, KEPT, ONCE, SAMPLES, SETTLES, WRITTEN, ZOMBIES,
};
use millrace_model::rules::Broken::{self, *};
use millrace_model::rules::{
    ACCEPTING, DOUBTS, PAUSES, POISON, POWER, REDIS, Rules, STORE, STORE_KILLS, Scenario, TOGETHER,
    WORKERS,
};
use millrace_model::search;

/// Searches a scenario to its end and finds nothing wrong.
#[expect(
    clippy::print_stdout,
    reason = "the size of a search is shown with --nocapture"
)]
fn holds(scenario: Scenario) {
    let broken = None;
    let report = search(&Rules { scenario, broken });
    println!(
        "{}: {} states, {} steps, {} ends",
        scenario.name, report.states, report.steps, report.settled
    );
    assert_eq!(report.violation, None, "{}", scenario.name);
    assert!(report.exhausted, "{} is too large", scenario.name);
    assert!(
        report.settled > 0,
        "{} never comes to an end",
        scenario.name
    );
}

#[test]
fn holds_when_agents_repeat_and_gateways_die() {
    holds(ACCEPTING);
}

#[test]
fn holds_when_workers_are_killed_and_paused() {
    holds(WORKERS);
}

#[test]
fn holds_when_the_ledger_does_not_answer() {
    holds(DOUBTS);
}

#[test]
fn holds_when_workers_are_paused_in_turn() {
    holds(PAUSES);
}

#[test]
fn holds_when_the_store_is_killed_once() {
    holds(STORE);
}

#[test]
fn holds_when_the_store_is_killed_twice() {
    holds(STORE_KILLS);
}

#[test]
fn holds_when_the_store_loses_power() {
    holds(POWER);
}

#[test]
fn holds_when_an_entry_is_poison() {
    holds(POISON);
}

#[test]
fn holds_when_redis_loses_entries() {
    holds(REDIS);
}

#[test]
fn holds_when_several_things_go_wrong() {
    holds(TOGETHER);
}

/// Each rule left out, where that shows, and by what.
const NEEDED: [(Broken, Scenario, &str); 32] = [
    (KeyCheckedOutsideAppend, ACCEPTING, ONCE),
    (AppendNotRemembered, ACCEPTING, ONCE),
    (AnsweredBeforeFsync, ACCEPTING, KEPT),
    (ReadBeforeFsync, ACCEPTING, ONCE),
    (CursorOfConsumerGroup, REDIS, ONCE),
    (PrepareWithoutEpoch, WORKERS, ZOMBIES),
    (PrepareWithoutCursor, DOUBTS, ONCE),
    (CommitBeforeWrite, WORKERS, WRITTEN),
    (CommitWithoutEpoch, WORKERS, ZOMBIES),
    (CommitWithoutState, DOUBTS, SAMPLES),
    (SamplesOutsideCommit, DOUBTS, SAMPLES),
    (TakeOverKeepsEpoch, WORKERS, ZOMBIES),
    (TakeOverLeavesBatches, WORKERS, ZOMBIES),
    (TakeOverTrustsPrepared, WORKERS, WRITTEN),
    (RemadeWithoutDigest, REDIS, KEPT),
    (GoneBatchKept, REDIS, SETTLES),
    (LeaseIgnored, STORE, EXACT),
    (CountedWhileRunning, STORE, EXACT),
    (ResolveTrustsToken, STORE, WRITTEN),
    (ResolveTrustsAnswer, STORE, WRITTEN),
    (FreshTokenAlways, PAUSES, ONCE),
    (FreshTokenNever, STORE_KILLS, SETTLES),
    (DeletionSkipped, STORE, WRITTEN),
    (DeletionOfWholeBatch, STORE, WRITTEN),
    (AskedCountAsRows, POISON, WRITTEN),
    (PoisonNotParked, POISON, SETTLES),
    (TrimBeforeAudit, WORKERS, AUDITED_FIRST),
    (AuditTrustsToken, POWER, EXACT),
    (AuditBeforeWriteback, POWER, EXACT),
    (RepairIsAudit, POWER, EXACT),
    (RewrittenRowsTakenAsOld, POWER, EXACT),
    (AuditWithoutEpoch, WORKERS, ZOMBIES),
];

#[test]
fn every_rule_is_needed() {
    let mut wrong = Vec::new();
    for (rule, scenario, property) in NEEDED {
        let broken = Some(rule);
        let report = search(&Rules { scenario, broken });
        let found = report.violation.map(|violation| violation.property);
        println!(
            "{rule:?}, {}: {found:?}, {} states",
            scenario.name, report.states
        );
        if found != Some(property) {
            wrong.push(format!(
                "{rule:?} should break `{property}`, breaks {found:?}"
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_the_protocol_rests_on_is_needed() {
    // An insert whose sender has given it up arrives after the audit of its batch: in the search for
    // poison, where parts have tokens of their own, that is stored twice.
    let scenario = Scenario {
        late_beyond_audit: true,
        ..POISON
    };
    let broken = None;
    let report = search(&Rules { scenario, broken });
    let violation = report.violation.expect("a late insert shows");
    assert_eq!(violation.property, EXACT);
}
