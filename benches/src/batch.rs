//! The standard batch: 1,000 JSON log events of about 250 bytes, about a tenth with personal data.

use std::fmt::Write as _;

/// Events in the standard batch.
pub const EVENTS: usize = 1_000;

const SERVICES: [&str; 8] = [
    "checkout",
    "cart",
    "auth",
    "search",
    "billing",
    "gateway",
    "profile",
    "inventory",
];
const LEVELS: [&str; 5] = ["info", "info", "info", "warn", "error"];
const VERBS: [&str; 6] = [
    "loaded",
    "stored",
    "queued",
    "retried",
    "skipped",
    "completed",
];

/// The body of the standard batch, timestamps around `now_s` (Unix seconds).
#[must_use]
pub fn standard(now_s: i64) -> Vec<u8> {
    let mut body = String::from("{\"logs\":[");
    for n in 0..EVENTS {
        let separator = if n == 0 { "" } else { "," };
        let pick = |from: &[&'static str]| from.get(n % from.len()).copied().unwrap_or("");
        let personal = match n % 40 {
            0 => " for jane.doe@example.com",
            10 => " card 4111 1111 1111 1111",
            20 => " ssn 536-22-8145",
            30 => " from 203.0.113.77",
            _ => "",
        };
        let _ = write!(
            body,
            "{separator}{{\"timestamp\":{},\"service\":\"{}\",\"level\":\"{}\",\
             \"message\":\"request {n} {} order batch in {} ms{personal}\",\
             \"attributes\":{{\"http.method\":\"GET\",\"http.route\":\"/api/v1/items/:id\",\
             \"http.status\":{},\"region\":\"eu-west-{}\",\"build\":\"2026.11.{}\"}},\
             \"trace_id\":\"4bf92f3577b34da6a3ce929d{n:08x}\"}}",
            now_s * 1000,
            pick(&SERVICES),
            pick(&LEVELS),
            pick(&VERBS),
            n % 977,
            200 + n % 5,
            n % 3,
            n % 28,
        );
    }
    body.push_str("]}");
    body.into_bytes()
}
