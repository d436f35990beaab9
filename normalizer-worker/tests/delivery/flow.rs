//! The way of entries of every signal into the stores, and out of the streams.

use crate::stage::{Stage, shard};
use millrace_shared::Signal;
use serde_json::{Value, json};

fn body(signal: Signal) -> Value {
    match signal {
        Signal::Logs => json!({"logs": [
            {"service": "api", "message": "one", "level": "error"},
            {"service": "api", "message": "two from jane@example.com"},
        ]}),
        Signal::Metrics => json!({"metrics": [
            {"name": "requests", "value": 3, "type": "counter", "service": "api", "labels": {"code": "200"}},
            {"name": "requests", "value": 4, "type": "counter", "service": "api", "labels": {"code": "500"}},
        ]}),
        Signal::Traces => json!({"resource": {"service.name": "api"}, "traces": [
            {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "name": "GET /",
             "service": "api", "start_time": 1_790_000_000_000_u64, "end_time": 1_790_000_000_500_u64},
            {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203332", "name": "query",
             "service": "api", "start_time": 1_790_000_000_100_u64, "end_time": 1_790_000_000_200_u64},
        ]}),
        Signal::Rum => json!({"events": [
            {"event_type": "pageview", "session_id": "s1", "page_url": "https://example.com/a"},
            {"event_type": "pageview", "session_id": "s1", "page_url": "https://example.com/b"},
        ]}),
        Signal::Audit => json!({"events": [
            {"event_type": "AUTHENTICATION", "action": "login", "outcome": "SUCCESS", "service": "api"},
            {"event_type": "AUTHENTICATION", "action": "login", "outcome": "FAILURE", "service": "api"},
        ]}),
    }
}

#[test]
fn entries_of_every_signal_become_rows_and_leave_the_stream() {
    let stage = Stage::new();
    for signal in Signal::ALL {
        stage.append(shard(signal, 0), &body(signal), 2);
        stage.append(shard(signal, 1), &body(signal), 2);
    }
    let worker = stage.worker(&[]);
    stage.until("the books", &[20, 20, 0, 0], || stage.books());
    for table in ["logs", "spans", "rum_events", "audit_events"] {
        assert_eq!(stage.rows(table), (4, 4), "{table}");
    }
    let samples = format!(
        "SELECT count(*) FROM metric_samples JOIN metric_series ON id = series_id WHERE org_id = '{}'",
        stage.org
    );
    assert_eq!(stage.number(&samples), 4);
    let series = format!(
        "SELECT count(*) FROM metric_series WHERE org_id = '{}'",
        stage.org
    );
    assert_eq!(stage.number(&series), 2);
    for signal in Signal::ALL {
        for number in 0..2 {
            stage.until("an empty stream", &0, || {
                stage.length(shard(signal, number))
            });
        }
    }
    // What another test has had parked stays so.
    let open = "SELECT count(*) FROM batch WHERE state IN ('PREPARED', 'COMMITTED')";
    stage.until("all batches audited", &0, || stage.number(open));
    let sources = format!(
        "SELECT sum(events) FROM source_health WHERE org_id = '{}'",
        stage.org
    );
    assert_eq!(stage.number(&sources), 20);
    worker.stop();
    assert_eq!(
        stage.number("SELECT count(*) FROM shard WHERE owner <> ''"),
        0
    );
}

#[test]
fn nothing_is_trimmed_before_its_audit() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 0);
    // Only of these: what another test left there audited may be trimmed at any moment.
    let mut ids = stage.append_logs(logs, 0, 5);
    let worker = stage.worker(&[("MILLRACE_AUDIT_DELAY_S", "86400")]);
    stage.until("rows", &(50, 50), || stage.rows("logs"));
    let committed = "SELECT count(*) FROM batch WHERE state = 'COMMITTED' AND signal = 'logs'";
    stage.until("a committed batch", &true, || stage.number(committed) > 0);
    ids.extend(stage.append_logs(logs, 50, 1));
    stage.until("more rows", &(60, 60), || stage.rows("logs"));
    assert_eq!(stage.held(logs, &ids), 6);
    worker.stop();
    let worker = stage.worker(&[]);
    stage.until("an empty stream", &0, || stage.length(logs));
    assert_eq!(stage.rows("logs"), (60, 60));
    worker.stop();
}

#[test]
fn the_consumer_group_shows_the_cursor() {
    let stage = Stage::new();
    let logs = shard(Signal::Logs, 1);
    stage.append_logs(logs, 0, 3);
    let worker = stage.worker(&[]);
    stage.until("rows", &(30, 30), || stage.rows("logs"));
    let cursor = || {
        stage
            .number("SELECT cursor_ms FROM shard WHERE signal = 'logs' AND shard = 1")
            .to_string()
    };
    stage.until("the group at the cursor", &true, || {
        let cursor = cursor();
        stage.runtime.block_on(async {
            let mut connection = stage
                .redis
                .get_multiplexed_async_connection()
                .await
                .unwrap();
            let groups: redis::Value = redis::cmd("XINFO")
                .arg("GROUPS")
                .arg(logs.stream())
                .query_async(&mut connection)
                .await
                .unwrap();
            cursor != "0" && format!("{groups:?}").contains(&cursor)
        })
    });
    worker.stop();
}
