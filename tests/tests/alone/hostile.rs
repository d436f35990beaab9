//! Hostile input by the thousand: every malformed request gets the answer that is due, and the
//! services are as well afterwards as before. What is due, and why, is said in
//! `millrace_tests::hostile`.

use millrace_runtime::clock::now_s;
use millrace_shared::Signal;
use millrace_tests::hostile::crowd::{self, Manner};
use millrace_tests::hostile::stand::{Stand, resident};
use millrace_tests::hostile::{Area, api, corpus, judge};
use millrace_tests::wait::{block_on, runtime};
use millrace_tests::{Http, Org, shared};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How much the memory of a service may grow over a corpus: a few of the largest bodies on each of
/// its threads, and what the allocator keeps of them.
const GROWTH_MAX: u64 = 200 * 1024 * 1024;

/// Escape sequences of the corpus; those that colour the log's own words are others.
const INTO_TERMINALS: [&str; 3] = ["\u{1b}[2J", "\u{1b}]0;", "\u{9b}31m"];

/// Fails with a list, when it is not empty.
fn none(what: &str, wrong: &[String]) {
    /// Enough to see the pattern.
    const SHOWN: usize = 40;
    let shown: Vec<&str> = wrong.iter().take(SHOWN).map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} {what}:\n{}",
        wrong.len(),
        shown.join("\n")
    );
}

#[test]
fn every_malformed_request_gets_the_answer_that_is_due() {
    let _alone = crate::alone();
    let shared = shared();
    let mut stand = Stand::on(&shared.installation, &shared.query.url, now_s());
    let cases = corpus(&stand.sender);
    let malformed = cases.iter().filter(|case| case.is_malformed()).count();
    assert!(malformed >= 2_000, "{malformed}");
    let before = stand.resident();
    let report = judge::carry_out_all(&cases, stand.address());
    none("answers were not due", &report.wrong);
    let refused: usize = report
        .statuses
        .range(400..500)
        .map(|(_, count)| count)
        .sum();
    assert!(refused >= malformed / 2, "{:?}", report.statuses);
    assert_eq!(
        report.statuses.range(500..).count(),
        0,
        "{:?}",
        report.statuses
    );

    stand.gateway.process.must_run();
    assert_eq!(stand.metric("millrace_gateway_panics_total"), 0.0);
    let log = std::fs::read_to_string(stand.gateway.process.log()).unwrap_or_default();
    assert!(!log.contains("panicked"), "the log tells of a panic");
    let injected = INTO_TERMINALS.iter().find(|text| log.contains(**text));
    assert_eq!(injected, None, "an escape sequence came into the log");
    let after = stand.resident();
    assert!(
        after < before + GROWTH_MAX,
        "memory grew from {before} to {after}"
    );

    // Nothing of what was refused counts as accepted, and nothing more than was said so is stored.
    let counted = stand.metric("millrace_gateway_events_accepted_total");
    let told = report.accepted as f64;
    assert!(
        counted == told || (report.unheard > 0 && counted > told),
        "{counted} counted, {told} told, {} cases unheard",
        report.unheard
    );
    let answer = stand.org.send_logs(&["after it all"]);
    stand.org.committed(&answer);
}

#[test]
fn every_malformed_question_gets_the_answer_that_is_due() {
    let _alone = crate::alone();
    let shared = shared();
    let org = Org::new("questions");
    org.store(
        Signal::Logs,
        &json!({"logs": [{"service": "q", "message": "m"}]}),
    );
    let mut query = shared
        .installation
        .start(millrace_tests::installation::Part::Query);
    let caller = api::Caller {
        host: query.url.trim_start_matches("http://").to_owned(),
        token: org.token("admin"),
    };
    let document = Http::new().get(&format!("{}/api/openapi.json", query.url), &[]);
    let cases = api::cases(&document.unwrap().json(), &caller);
    assert!(cases.len() >= 1_500, "{}", cases.len());
    assert!(cases.iter().all(|case| case.area == Area::Api));
    let before = resident(query.process.id());
    let report = judge::carry_out_all(&cases, &caller.host);
    none("answers were not due", &report.wrong);
    assert_eq!(
        report.statuses.range(500..).count(),
        0,
        "{:?}",
        report.statuses
    );
    query.process.must_run();
    let after = resident(query.process.id());
    assert!(
        after < before + GROWTH_MAX,
        "memory grew from {before} to {after}"
    );
    let log = std::fs::read_to_string(query.process.log()).unwrap_or_default();
    assert!(!log.contains("panicked"), "the log tells of a panic");
    let injected = INTO_TERMINALS.iter().find(|text| log.contains(**text));
    assert_eq!(injected, None, "an escape sequence came into the log");
}

/// Slow clients at once, of all manners together.
const SLOW: usize = 2_100;
/// One in so many reads nothing: those send all the more, and each has to be sent answers until the
/// system keeps no more of them.
const UNREAD_EVERY: usize = 300;
/// When each must have been cut: the contract's ten seconds, with much room for a machine that runs
/// other tests, and less than the 75 seconds for which an idle connection is kept.
const CUT_WITHIN: Duration = Duration::from_secs(65);

#[test]
fn slow_clients_are_cut_and_nobody_else_notices() {
    let _alone = crate::alone();
    const FILES: usize = 4 * SLOW;
    if !crowd::allow_files(FILES) {
        eprintln!("SKIPPED: this machine does not allow {FILES} open files");
        return;
    }
    let shared = shared();
    let mut stand = Stand::on(&shared.installation, &shared.query.url, now_s());
    let before = stand.resident();
    let sender = Arc::new(stand.sender.clone());
    let clients: Vec<_> = (0..SLOW)
        .map(|number| {
            let sender = Arc::clone(&sender);
            let manner = match number % UNREAD_EVERY {
                0 => Manner::Unread,
                _ => Manner::DRIBBLING[number % Manner::DRIBBLING.len()],
            };
            let client =
                async move { (manner, crowd::carry_out(&sender, manner, CUT_WITHIN).await) };
            runtime().spawn(client)
        })
        .collect();
    let (mut asked, mut honest) = (0, 0);
    let mut peak = before;
    while clients.iter().any(|client| !client.is_finished()) {
        let body = br#"{"logs":[{"service":"honest","message":"not slow"}]}"#;
        // On a machine that is short of time itself one may come too late; most may not.
        let answer = stand.org.try_post(Signal::Logs, body, &[]);
        asked += 1;
        honest += usize::from(answer.is_ok_and(|answer| answer.status == 202));
        peak = peak.max(stand.resident());
    }
    assert!(
        honest >= 10 && honest * 2 > asked,
        "only {honest} of {asked} honest requests were answered meanwhile"
    );
    let mut slowest = BTreeMap::<Manner, Duration>::new();
    for client in clients {
        let (manner, cut) = block_on(client).unwrap();
        let cut = cut.unwrap_or_else(|error| panic!("{manner:?}: {error}"));
        let after =
            cut.unwrap_or_else(|| panic!("a client was let be {manner:?} for {CUT_WITHIN:?}"));
        let slowest = slowest.entry(manner).or_default();
        *slowest = (*slowest).max(after);
    }
    eprintln!(
        "{SLOW} slow clients, {honest} of {asked} honest requests answered; cut at the latest after {slowest:?}"
    );
    eprintln!("memory {} MiB, at most {} MiB", before >> 20, peak >> 20);
    stand.gateway.process.must_run();
    assert!(
        peak < before + GROWTH_MAX,
        "memory grew from {before} to {peak}"
    );
    assert_eq!(stand.metric("millrace_gateway_panics_total"), 0.0);
}
