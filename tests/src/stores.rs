//! What the stores themselves say, past all services: for promises about what is stored, and for
//! those about what is not.

use crate::http::Http;
use crate::installation::Installation;
use serde_json::Value;

/// Every ClickHouse table with telemetry.
pub const TABLES: [&str; 4] = ["logs", "spans", "rum_events", "audit_events"];

/// Asks ClickHouse; answers the rows as JSON objects.
///
/// # Panics
/// When it refuses.
#[must_use]
pub fn clickhouse(installation: &Installation, sql: &str) -> Vec<Value> {
    let url =
        reqwest::Url::parse(&installation.engines.stack().clickhouse_url()).expect("an address");
    let query = format!("{sql} FORMAT JSONEachRow");
    let answer = Http::new()
        .post(url.as_str(), &[], query.as_bytes())
        .expect("ClickHouse");
    let answer = answer.must_be(200);
    let text = answer.text();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

/// One number from ClickHouse.
///
/// # Panics
/// When the answer is no number.
#[must_use]
pub fn number(installation: &Installation, sql: &str) -> u64 {
    let rows = clickhouse(installation, sql);
    let value = rows
        .first()
        .and_then(|row| row.as_object()?.values().next().cloned());
    match value {
        Some(Value::Number(number)) => number.as_u64().expect("a whole number"),
        Some(Value::String(text)) => text.parse().expect("a whole number"),
        other => panic!("no number: {other:?}"),
    }
}
