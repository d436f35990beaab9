//! Log records of a shop: about 250 bytes each, most of them dull, as logs are.

use super::{Page, SERVICES};
use crate::planted::Personal;
use std::fmt::{self, Write as _};

const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "PUT", "DELETE"];
const RESOURCES: &[&str] = &[
    "orders",
    "products",
    "carts",
    "customers",
    "sessions",
    "prices",
];

pub(super) fn event(page: &mut Page<'_>, seq: u64) -> fmt::Result {
    let time = page.time();
    let service = page.dice.pick(SERVICES);
    // Below the 5 % of errors at which the built-in rule for error bursts takes notice.
    let (level, status) = match page.dice.below(1000) {
        0..20 => ("error", 500),
        20..80 => ("warn", 429),
        80..200 => ("debug", 200),
        _ => ("info", 200),
    };
    let method = page.dice.pick(METHODS);
    let elapsed = 1 + page.dice.below(400);
    write!(
        page.out,
        r#"{{"timestamp":"{time}","service":"{service}","level":"{level}","message":""#
    )?;
    message(page, seq, (method, status, elapsed))?;
    write!(
        page.out,
        r#"","attributes":{{"load_seq":{seq},"load_run":"{}","method":"{method}","status":{status},"elapsed_ms":{elapsed}}}}}"#,
        page.recipe.run
    )
}

fn message(page: &mut Page<'_>, seq: u64, request: (&str, u32, u64)) -> fmt::Result {
    if let Some(indicator) = page.indicator(seq) {
        return write!(page.out, "outbound request to {} was seen", indicator.value);
    }
    if let Some((kind, value)) = page.personal(seq) {
        return match kind {
            Personal::Email => write!(page.out, "password reset mail queued for {value}"),
            Personal::Card => write!(page.out, "card {value} declined by the issuer, code 05"),
            Personal::Ssn => write!(page.out, "identity check failed for SSN {value}"),
            Personal::Phone => write!(page.out, "text message sent to phone {value} on request"),
            Personal::Bearer => write!(page.out, "upstream refused authorization: {value}"),
        };
    }
    let (method, status, elapsed) = request;
    let resource = page.dice.pick(RESOURCES);
    let id = page.dice.below(1_000_000);
    write!(
        page.out,
        "{method} /api/v1/{resource}/{id} answered {status} after {elapsed} ms"
    )
}
