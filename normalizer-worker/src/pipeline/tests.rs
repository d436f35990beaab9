//! Entries through the whole pure path, with real rules, indicators and policies.

use super::*;
use crate::control::{Fixed, Kept};
use crate::control_rows::{ControlRows, IndicatorRow, OrganisationRow, RuleRow};
use bytes::Bytes;
use millrace_detection::windows::weighed;
use millrace_shared::entry::Meta;
use millrace_shared::inflate::{Encoding, pack};
use millrace_shared::wire::{BodyFormat, Severity};
use serde_json::json;
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(7);
const NOW: i64 = 1_700_000_000_000_000_000;

/// A rule that asks what the scrubber found, and says as much of it as it can.
fn leak(class: &str, severity: &str) -> serde_json::Value {
    json!({
        "id": format!("leak-{class}"), "name": "Leak", "version": 1, "severity": severity, "enabled": true,
        "message": "{service}: {message} {password} {pii.class}", "scope": ["logs", "metrics"],
        "selection": [{"field": "pii.class", "op": "eq", "value": class}],
        "dedupe": {"keys": ["service"], "window_seconds": 900},
        "exceptions": [{"selection": [{"field": "host", "op": "eq", "value": "vault"}], "reason": "known"}],
    })
}

/// Half of what a session sends are errors.
fn share() -> serde_json::Value {
    json!({
        "id": "share", "name": "Share", "version": 1, "severity": "low", "enabled": true,
        "message": "m", "scope": ["rum"],
        "selection": [{"field": "event_type", "op": "eq", "value": "error"}],
        "group_by": ["session_id"],
        "window": {"kind": "ratio", "seconds": 300, "threshold": 1, "percent": 50},
    })
}

fn control() -> Control {
    let rule = |body: serde_json::Value| RuleRow {
        org: ORG,
        id: body["id"].as_str().unwrap().to_owned(),
        version: 1,
        body,
    };
    let rows = ControlRows {
        revision: 1,
        organisations: vec![OrganisationRow {
            org: ORG,
            pepper: [9; 32],
            pepper_version: 1,
            pii_policy: json!({}),
            settings: json!({}),
        }],
        rules: vec![
            rule(json!({
                "id": "errors", "name": "Errors", "version": 1, "severity": "high", "enabled": true,
                "message": "{service} says {message}", "scope": ["logs"],
                "selection": {"all": [{"field": "level", "op": "eq", "value": "error"}]},
                "dedupe": {"keys": ["service"], "window_seconds": 900},
            })),
            rule(json!({
                "id": "brute", "name": "Brute force", "version": 1, "severity": "high", "enabled": true,
                "message": "failures from {ip}", "scope": ["audit"],
                "selection": {"all": [{"field": "outcome", "op": "eq", "value": "FAILURE"}]},
                "group_by": ["ip"], "window": {"kind": "count", "seconds": 300, "threshold": 5},
            })),
            rule(share()),
            rule(leak("secret", "high")),
            rule(leak("jwt", "medium")),
        ],
        indicators: vec![IndicatorRow {
            id: 77,
            org: None,
            feed_id: 3,
            feed: "test".into(),
            trust: 100,
            kind: "sha256".to_owned(),
            value: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            confidence: 90,
            severity: "high".to_owned(),
            threat: "TestThreat".to_owned(),
            tags: Vec::new(),
            match_private: false,
            first_seen: None,
            last_seen: Some(NOW),
            expires_at: None,
        }],
        allow_lists: Vec::new(),
        pipelines: Vec::new(),
    };
    let (control, unusable) = Control::build(&rows, Kept::default(), &Fixed::default());
    assert_eq!(unusable, []);
    control
}

fn entry(ms: u64, body: &str) -> RawEntry {
    let mut meta = Meta::new(ORG, "key-1", NOW, (BodyFormat::Json, Encoding::Lz4));
    meta.accepted = 1;
    raw(ms, &meta, pack(body.as_bytes()))
}

fn raw(ms: u64, meta: &Meta, body: Vec<u8>) -> RawEntry {
    RawEntry {
        id: StreamId { ms, seq: 0 },
        meta: meta.to_text().into(),
        body: body.into(),
    }
}

fn run(signal: Signal, entries: &[RawEntry]) -> Output {
    let shard = ShardId { signal, shard: 1 };
    let control = control();
    let task = Task {
        shard,
        ledger: LedgerId::new(1, 5),
        attempt: 0,
        control: &control,
        aside: &[],
    };
    let output = transform(&task, entries);
    let again = transform(&task, entries);
    let bodies = |o: &Output| o.targets.iter().map(|t| t.body.clone()).collect::<Vec<_>>();
    assert_eq!(
        bodies(&output),
        bodies(&again),
        "the same entries must give the same bytes"
    );
    output
}

fn contains(output: &Output, text: &str) -> bool {
    output
        .targets
        .iter()
        .any(|t| memchr::memmem::find(&t.body, text.as_bytes()).is_some())
}

#[test]
fn a_log_becomes_a_scrubbed_row_and_an_alert_made_of_it() {
    let body = r#"{"logs":[{"service":"api","level":"ERROR","message":"jane@example.com failed",
        "attributes":{"author":"Jane","password":"hunter2","card":4111111111111111,"n":4111111111111112,
        "file":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}]}"#;
    let error = body.replace("ERROR", "error");
    let output = run(Signal::Logs, &[entry(1, body), entry(2, &error)]);
    assert_eq!((output.targets[0].rows, output.poison.len()), (2, 0));
    for gone in ["jane@example.com", "hunter2", "4111111111111111"] {
        assert!(!contains(&output, gone), "{gone}");
    }
    let sha = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for kept in ["[EMAIL]", "Jane", "4111111111111112", sha, "TestThreat"] {
        assert!(contains(&output, kept), "{kept}");
    }
    // The rule is case-sensitive, so it matched one of the two.
    let alert = &output.alerts[0];
    assert_eq!(
        (output.alerts.len(), alert.count, alert.severity),
        (1, 1, Severity::High)
    );
    assert_eq!(alert.message, "api says [EMAIL] failed");
    assert_eq!(alert.group, r#"{"service":"api"}"#);
    let usage = output.usage[0].unwrap();
    assert_eq!((usage.events, usage.stored, usage.dead_lettered), (1, 1, 0));
}

#[test]
fn failures_from_an_address_are_hits_and_those_from_nowhere_are_none() {
    let event = |ip: &str| {
        format!(r#"{{"event_type":"AUTHENTICATION","action":"login","outcome":"FAILURE"{ip}}}"#)
    };
    let known = event(r#","ip":"203.0.113.9","actor":{"email":"a@example.com"}"#);
    let body = format!(
        r#"{{"events":[{known},{known},{},{}]}}"#,
        event(""),
        event(r#","ip":"unknown""#)
    );
    let output = run(Signal::Audit, &[entry(1, &body)]);
    assert_eq!((output.hits.len(), output.hits[0].hits.len()), (1, 2));
    assert_eq!(output.hits[0].alert.message, "failures from 203.0.113.9");
    assert_eq!(output.targets[0].rows, 4);
    assert!(!contains(&output, "a@example.com"));
    assert!(
        contains(&output, "email:"),
        "the actor stays joinable as a hash"
    );
    let (org, rows, _) = output.audit_rows[0];
    assert_eq!((org, rows), (ORG, 4));
}

#[test]
fn metrics_share_a_series_and_their_labels_are_scrubbed() {
    let sample = |value: u32, path: &str| {
        format!(
            r#"{{"name":"requests_total","type":"counter","value":{value},"labels":{{"user":"{path}"}},"timestamp":170000000{value}}}"#
        )
    };
    let body = format!(
        r#"{{"metrics":[{},{},{}],"resource":{{"service_name":"s"}}}}"#,
        sample(1, "bob@example.com"),
        sample(2, "bob@example.com"),
        sample(3, "other")
    );
    let output = run(Signal::Metrics, &[entry(1, &body)]);
    assert_eq!((output.series.len(), output.samples.len()), (2, 3));
    assert_eq!(output.series[0].labels, r#"{"user":"[EMAIL]"}"#);
    assert_eq!(
        (output.series[0].service.as_str(), output.series[0].kind),
        ("s", "counter")
    );
    assert_eq!(output.samples[1].series, output.samples[0].series);
    assert_eq!(output.sources[0].2, 3);
}

#[test]
fn what_only_counts_in_the_base_of_a_share_is_one_hit_an_instant() {
    let event = |kind: &str, at: u64| {
        let mut event = json!({"session_id": "s", "event_type": kind, "page_url": "https://a.example/",
            "timestamp": 1_700_000_000_000_u64 - at});
        if kind == "error" {
            event["error"] = json!({"message": "m"});
        }
        event
    };
    let kinds = [
        ("click", 9),
        ("click", 9),
        ("error", 9),
        ("error", 9),
        ("click", 9),
        ("click", 8),
        ("click", 8),
    ];
    let events: Vec<_> = kinds.iter().map(|(kind, at)| event(kind, *at)).collect();
    let body = json!({ "events": events });
    let output = run(Signal::Rum, &[entry(1, &body.to_string())]);
    let hits = &output.hits[0].hits;
    let worth: Vec<u64> = hits.iter().map(|(_, worth, _)| *worth).collect();
    let (one, two) = (weighed(1, false), weighed(2, false));
    let error = weighed(1, true);
    assert_eq!(worth, [two, error, error, one, two]);
    let mut state = millrace_detection::WindowState::new();
    let hits: Vec<_> = hits
        .iter()
        .map(|(at_ns, value, event)| millrace_detection::Hit {
            at_ns: *at_ns,
            value: *value,
            event: event.0.as_u128(),
        })
        .collect();
    let firings = state.apply(&output.windows[0], &hits);
    assert!(
        firings.is_empty(),
        "two of seven are less than half: {firings:?}"
    );
}

#[test]
fn hits_of_indicators_are_counted_by_feed() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let body = format!(
        r#"{{"logs":[{{"service":"s","message":"{digest}"}},{{"service":"s","message":"x"}},{{"service":"s","message":"{digest}"}}]}}"#
    );
    let metrics = format!(
        r#"{{"metrics":[{{"name":"m","value":1,"labels":{{"file":"{digest}"}}}},{{"name":"m","value":2,"labels":{{"file":"{digest}"}}}}]}}"#
    );
    for (signal, body) in [(Signal::Logs, body), (Signal::Metrics, metrics)] {
        let output = run(signal, &[entry(1, &body)]);
        let hits: Vec<_> = output
            .indicator_hits
            .iter()
            .map(|one| (one.org, one.feed, one.everybodys, one.hits))
            .collect();
        assert_eq!(hits, [(ORG, 3, true, 2)], "{signal}");
    }
}

#[test]
fn what_is_recorded_of_a_change_of_an_indicator_is_no_evidence_of_it() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let hits = |key: &str, action: &str| {
        let mut meta = Meta::new(ORG, key, NOW, (BodyFormat::Json, Encoding::Lz4));
        meta.accepted = 1;
        let body = json!({"events": [{
            "event_type": "SYSTEM_CONFIG", "action": action, "outcome": "SUCCESS",
            "actor": {"id": "u1"}, "targets": [{"type": "indicator", "id": digest}],
        }]});
        let entry = raw(1, &meta, pack(body.to_string().as_bytes()));
        let output = run(Signal::Audit, &[entry]);
        assert!(contains(&output, digest), "{key} {action}: it is stored");
        output.indicator_hits.len()
    };
    for key in ["query-api", "millrace-admin"] {
        for action in [
            "indicator.delete",
            "indicator_feed.put",
            "allow_list.put",
            "retro_hunt.begin",
        ] {
            assert_eq!(hits(key, action), 0, "{key} {action}");
        }
        assert_eq!(hits(key, "rule.put"), 1, "{key}");
    }
    assert_eq!(hits("key-1", "indicator.delete"), 1, "an agent says so");
}

#[test]
fn personal_data_is_scrubbed_from_every_corner_of_a_span_and_a_browser_event() {
    let span = r#"{"traces":[{"trace_id":"4BF92F3577B34DA6A3CE929D0E0E4736","span_id":"00f067aa0ba902b7","name":"GET jane@example.com",
        "start_time":1700000000000,"end_time":1700000000250,"attributes":{"db.statement":"select 'jane@example.com'"},
        "events":[{"name":"mail jane@example.com","attributes":{"to jane@example.com":"jane@example.com"}}]}],
        "resource":{"service_name":"s","owner":"jane@example.com"}}"#;
    let output = run(Signal::Traces, &[entry(1, span)]);
    assert!(!contains(&output, "jane@example.com"));
    assert!(contains(&output, "4bf92f3577b34da6a3ce929d0e0e4736"));
    let rum = r#"{"events":[{"session_id":"s1","user_id":"jane@example.com","event_type":"error","page_url":"https://a.example/u/jane@example.com?email=jane@example.com",
        "error":{"message":"m","stack":"at f (/home/jane/x.js) jane@example.com"}}]}"#;
    let output = run(Signal::Rum, &[entry(1, rum)]);
    assert!(!contains(&output, "jane@example.com"));
    assert!(!contains(&output, "/home/jane/"));
}

#[test]
fn what_cannot_be_decoded_is_parked_alone() {
    let good = r#"{"logs":[{"service":"a","message":"kept"}]}"#;
    let meta = Meta::new(ORG, "key-1", NOW, (BodyFormat::Json, Encoding::Lz4));
    let cut = &good.as_bytes()[..good.len() - 2];
    let no_meta = RawEntry {
        meta: Bytes::from_static(b"?"),
        ..entry(3, good)
    };
    let entries = [
        entry(1, good),
        raw(2, &meta, b"\xff\xff\xff\xff damaged".to_vec()),
        no_meta,
        raw(4, &meta, pack(cut)),
        entry(5, good),
    ];
    let output = run(Signal::Logs, &entries);
    assert_eq!(output.targets[0].rows, 2);
    let mut reasons: Vec<_> = output.poison.iter().map(|p| (p.entry, p.reason)).collect();
    reasons.sort_by_key(|(entry, _)| *entry);
    let expected = [
        (1, DeadReason::Damaged),
        (2, DeadReason::BadEntry),
        (3, DeadReason::Undecodable),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(output.usage.len(), 5);
}

#[test]
fn events_the_gateway_rejected_are_passed_over() {
    let body = r#"{"logs":[{"service":"a"},{"service":"a","message":"kept"},{"service":"a","message":"old","timestamp":1}]}"#;
    let mut meta = Meta::new(ORG, "key-1", NOW, (BodyFormat::Json, Encoding::Identity));
    (meta.accepted, meta.rejected, meta.rejected_at) = (1, 2, vec![0, 2]);
    let output = run(Signal::Logs, &[raw(1, &meta, body.as_bytes().to_vec())]);
    assert_eq!((output.targets[0].rows, output.poison.len()), (1, 0));
    let usage = output.usage[0].unwrap();
    assert_eq!((usage.events, usage.stored, usage.rejected), (3, 1, 2));
}

#[test]
fn events_set_aside_are_passed_over_and_counted() {
    let body = r#"{"logs":[{"service":"a","message":"kept"},{"service":"a","message":"aside"},{"service":"a","message":"kept too"}]}"#;
    let mut meta = Meta::new(ORG, "key-1", NOW, (BodyFormat::Json, Encoding::Identity));
    meta.accepted = 3;
    let control = control();
    let aside = [(StreamId { ms: 1, seq: 0 }, vec![1])];
    let task = Task {
        shard: ShardId {
            signal: Signal::Logs,
            shard: 1,
        },
        ledger: LedgerId::new(1, 5),
        attempt: 0,
        control: &control,
        aside: &aside,
    };
    let output = transform(&task, &[raw(1, &meta, body.as_bytes().to_vec())]);
    assert_eq!((output.targets[0].rows, output.poison.len()), (2, 0));
    assert!(!contains(&output, "aside"));
    let usage = output.usage[0].unwrap();
    assert_eq!((usage.events, usage.stored, usage.dead_lettered), (3, 2, 1));
}

#[test]
fn an_entry_makes_no_more_bytes_of_rows_than_it_may_and_the_rest_is_parked() {
    // A resource of 3.6 MB in each of 25 rows.
    let attributes: Vec<String> = (0..60)
        .map(|n| format!(r#""k{n}":"{}""#, "x".repeat(60_000)))
        .collect();
    let events = vec![r#"{"service":"a","message":"m"}"#; 25].join(",");
    let body = format!(
        r#"{{"logs":[{events}],"resource":{{{}}}}}"#,
        attributes.join(",")
    );
    let mut meta = Meta::new(ORG, "key-1", NOW, (BodyFormat::Json, Encoding::Identity));
    meta.accepted = 25;
    let good = r#"{"logs":[{"service":"a","message":"kept"}]}"#;
    let entries = [
        entry(1, good),
        raw(2, &meta, body.into_bytes()),
        entry(3, good),
    ];
    let output = run(Signal::Logs, &entries);
    let target = &output.targets[0];
    assert!(target.body.len() <= ENTRY_ROW_BYTES_MAX + 10_000);
    let usage = output.usage[1].unwrap();
    assert_eq!(
        target.rows,
        usage.stored + 2,
        "its neighbours are untouched"
    );
    assert!(usage.stored > 10 && usage.dead_lettered > 5, "{usage:?}");
    assert_eq!(usage.stored + usage.dead_lettered, 25);
    let poison = &output.poison[0];
    assert_eq!(
        (poison.entry, poison.reason, poison.events),
        (1, DeadReason::Oversized, usage.dead_lettered)
    );
    let at = poison.events_at.as_ref().unwrap();
    assert_eq!(u32::from(at[0]), usage.stored);
    // Replayed, they are stored: they are fewer now.
    let parked: Vec<i32> = at.iter().copied().map(i32::from).collect();
    let again = meta.again(1, Some(&parked));
    let output = run(Signal::Logs, &[raw(9, &again, entries[1].body.to_vec())]);
    let usage = output.usage[0].unwrap();
    assert_eq!((usage.stored, usage.dead_lettered), (again.accepted, 0));
}

#[test]
fn escapes_hide_nothing_from_the_scrubber() {
    let escaped: String = "ada@example.com"
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect();
    let body = format!(
        r#"{{"logs":[{{"service":"s","message":"m","attributes":{{
            "mail":["{escaped}",{{"{escaped}":"x"}}],"lines":["paid with\t4111 1111 1111 1111\n536-22-8745\""],
            "pair":[{{"p\u0061ssword":"hunter2secret"}}],"kept":["a\\b","\"q\""]}}}}]}}"#
    );
    let output = run(Signal::Logs, &[entry(1, &body)]);
    assert_eq!(output.poison.len(), 0);
    for hidden in [
        escaped.as_str(),
        "ada@example.com",
        "4111 1111",
        "536-22-8745",
        "hunter2secret",
    ] {
        assert!(!contains(&output, hidden), "{hidden} is stored");
    }
    assert!(contains(&output, "[EMAIL]") && contains(&output, r#"["a\\b","\"q\""]"#));
}

const KEY: &str = "AKIAZ7QX2MVR5T4WKB3N";
const TOKEN: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

#[test]
fn a_leaked_secret_raises_an_alert_that_does_not_hold_it() {
    let log = |service: &str, message: &str, host: &str| json!({"service": service, "message": message, "host": host, "attributes": {"password": "hunter2-Zx9"}});
    let body = json!({"logs": [
        log("api", &format!("uses {KEY}"), "h"),
        log("api", &format!("sends {KEY} and {TOKEN}"), "h"),
        log("web", &format!("uses {KEY}"), "h"),
        log("api", &format!("uses {KEY}"), "vault"),
        log("api", "mail to jane@example.com", "h"),
        json!({"service": "liar", "message": "m", "attributes": {"pii.class": "secret"}}),
    ]});
    let output = run(Signal::Logs, &[entry(1, &body.to_string())]);
    let mut told: Vec<_> = output
        .alerts
        .iter()
        .map(|alert| (alert.rule.as_str(), alert.count, alert.group.as_str()))
        .collect();
    told.sort_unstable();
    let (api, web) = (r#"{"service":"api"}"#, r#"{"service":"web"}"#);
    let expected = [
        ("leak-jwt", 1, api),
        ("leak-secret", 1, web),
        ("leak-secret", 2, api),
    ];
    assert_eq!(told, expected);
    let said = format!("{:?}", output.alerts);
    for secret in [KEY, TOKEN, "hunter2"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(said.contains("uses [SECRET] [REDACTED] secret"), "{said}");
    assert!(contains(&output, "leak-jwt"), "the row names the rule");
}

#[test]
fn what_a_resource_gives_away_counts_for_its_events() {
    let body = json!({"logs": [{"service": "api", "message": "m"}], "resource": {"key": KEY}});
    let output = run(Signal::Logs, &[entry(1, &body.to_string())]);
    assert_eq!((output.alerts.len(), output.alerts[0].count), (1, 1));
    assert!(!format!("{:?}", output.alerts).contains(KEY));
}

#[test]
fn every_sample_that_gives_a_secret_away_counts() {
    let sample =
        |value: u32| json!({"name": "m", "value": value, "labels": {"key": KEY}, "service": "api"});
    let body = json!({"metrics": [sample(1), sample(2), {"name": "m", "value": 3}]});
    let output = run(Signal::Metrics, &[entry(1, &body.to_string())]);
    assert_eq!((output.series.len(), output.samples.len()), (2, 3));
    let counts: Vec<_> = output.alerts.iter().map(|alert| alert.count).collect();
    assert_eq!(counts, [2]);
}
