//! Too much load, in short: every answer is one of the contract, nothing accepted is lost, memory
//! stays within its limits and all is well again afterwards. `make overload` measures the same for
//! longer; here nothing is judged that depends on how fast the machine is.

use millrace_devstack::Engine;
use millrace_shared::Signal;
use millrace_shared::secret::random;
use millrace_tests::engines::Engines;
use millrace_tests::installation::{Installation, Part};
use millrace_tests::overload::outage::Outage;
use millrace_tests::overload::report::Report;
use millrace_tests::overload::site::Site;
use millrace_tests::overload::{capacity, excess, noisy, outage};
use millrace_tests::wait::block_on;
use millrace_tests::{Answer, Org, until};
use serde_json::json;
use std::time::{Duration, Instant};

/// Memory of the streams in the test of its shares: a few dozen large batches.
const BUDGET: u64 = 24 * 1024 * 1024;

fn all_is_right(report: &Report) {
    eprintln!("{}", report.table());
    assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
}

#[test]
fn what_is_too_much_is_refused_properly_and_nothing_accepted_is_lost() {
    let _alone = crate::alone();
    let settings = [
        ("MILLRACE_BACKLOG_S", "2".to_owned()),
        ("MILLRACE_IN_FLIGHT_REQUESTS_MAX", "32".to_owned()),
        ("MILLRACE_LOG", "warn".to_owned()),
    ];
    let site = Site::start("overload", &settings);
    let mut report = Report::default();
    let capacity = capacity::measure(&site, Duration::from_secs(9), &mut report);
    let capacity = excess::run(
        &site,
        (5.0, capacity),
        (1, Duration::from_secs(8)),
        &mut report,
    );
    noisy::run(&site, capacity, Duration::from_secs(2), &mut report);
    let away = Outage {
        engine: Engine::Clickhouse,
        name: "ClickHouse",
        time: Duration::from_secs(5),
        live: 500.0,
    };
    outage::run(&site, &away, &mut report);
    all_is_right(&report);
}

/// A body of 400 KB that does not pack well.
fn large() -> Vec<u8> {
    let message = || {
        (0..800)
            .map(|_| hex::encode(random::<32>().unwrap()))
            .collect::<String>()
    };
    let logs: Vec<_> = (0..8)
        .map(|_| json!({"service": "test", "message": message()}))
        .collect();
    json!({ "logs": logs }).to_string().into_bytes()
}

fn memory(installation: &Installation) -> u64 {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let info: String = block_on(info.query_async(&mut installation.redis())).unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

fn is_a_refusal_with_a_time(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    let after = answer
        .header("retry-after")
        .and_then(|after| after.parse::<u32>().ok());
    assert!(after.is_some_and(|after| after > 0), "{:?}", answer.headers);
}

#[test]
fn one_organisation_cannot_fill_the_streams_while_nothing_is_taken_from_them() {
    let _alone = crate::alone();
    let mut installation = Installation::on(Engines::own("shares"), "shares");
    installation.set("MILLRACE_STREAM_BYTES_MAX", &BUDGET.to_string());
    let gateway = installation.start(Part::Gateway);
    let org = |name| Org::of(&installation, name, (&gateway.url, ""));
    let (greedy, modest) = (org("greedy"), org("modest"));
    let (body, begun, mut accepted) = (large(), Instant::now(), Vec::new());
    let refused = loop {
        let answer = greedy.post_bytes(Signal::Logs, &body, &[]);
        if answer.status != 202 {
            break answer;
        }
        accepted.push(answer.json());
        assert!(begun.elapsed() < Duration::from_secs(60), "never refused");
    };
    is_a_refusal_with_a_time(&refused);
    assert!(refused.text().contains("share"), "{}", refused.text());
    assert!(memory(&installation) < BUDGET);
    accepted.push(
        modest
            .post_bytes(Signal::Logs, &body, &[])
            .must_be(202)
            .json(),
    );
    is_a_refusal_with_a_time(&greedy.post_bytes(Signal::Logs, &body, &[]));
    // A worker comes, what waited is stored, and there is room again.
    let _worker = installation.start(Part::Worker);
    let again = until("the greedy one is accepted again", || {
        let answer = greedy.post_bytes(Signal::Logs, &body, &[]);
        match answer.status {
            202 => Ok(answer.json()),
            _ => Err(answer.text()),
        }
    });
    accepted.push(again);
    greedy.committed(&accepted[0]);
    modest.committed(&accepted[accepted.len() - 2]);
    greedy.committed(&accepted[accepted.len() - 1]);
}

#[test]
fn a_refusal_is_read_by_a_sender_that_is_still_sending() {
    let _alone = crate::alone();
    let mut installation = Installation::on(Engines::own("early"), "early");
    installation.set("MILLRACE_STREAM_BYTES_MAX", "1");
    // It takes nothing, so it is never ready.
    let mut gateway = installation.launch(Part::Gateway, &[]);
    gateway.must_be_up();
    let org = Org::of(&installation, "early", (&gateway.url, ""));
    let body = large();
    // Over one kept connection: none is closed upon the sender.
    for _ in 0..200 {
        is_a_refusal_with_a_time(&org.post_bytes(Signal::Logs, &body, &[]));
    }
}
