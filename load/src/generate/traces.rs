//! Spans in traces of five: a request and the four calls it makes, one after the other.

use super::{NS_PER_MILLI, Page, millis};
use std::fmt::{self, Write as _};

const SPANS_PER_TRACE: u64 = 5;
const CALLS: &[(&str, &str, &str)] = &[
    ("gateway", "GET /checkout", "server"),
    ("accounts", "load session", "client"),
    ("catalog", "SELECT products", "client"),
    ("payments", "POST /charge", "client"),
    ("shipping", "publish order", "producer"),
];

pub(super) fn event(page: &mut Page<'_>, seq: u64) -> fmt::Result {
    let (trace, step) = (seq / SPANS_PER_TRACE, seq % SPANS_PER_TRACE);
    let call = usize::try_from(step).ok().and_then(|step| CALLS.get(step));
    let (service, name, kind) = call.copied().unwrap_or(("shop", "work", "internal"));
    let root = trace * SPANS_PER_TRACE;
    let status = if page.dice.chance(20) { "error" } else { "ok" };
    let (start, end) = interval(page, step);
    // An odd multiplier is a bijection: different traces never share an id.
    let high = trace.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ page.recipe.seed;
    write!(
        page.out,
        r#"{{"trace_id":"{high:016x}{trace:016x}","span_id":"{:016x}","#,
        seq + 1
    )?;
    if step > 0 {
        write!(page.out, r#""parent_span_id":"{:016x}","#, root + 1)?;
    }
    write!(
        page.out,
        r#""name":"{name}","kind":"{kind}","service":"{service}","start_time":"{start}","end_time":"{end}","status":"{status}","attributes":{{"load_seq":{seq},"load_run":"{}""#,
        page.recipe.run
    )?;
    if let Some((_, value)) = page.personal(seq) {
        write!(page.out, r#","enduser.contact":"{value}""#)?;
    }
    page.out.push_str("}}");
    Ok(())
}

/// The root lasts 100 ms, the calls in it 20 ms each.
fn interval(page: &Page<'_>, step: u64) -> (String, String) {
    let step = i64::try_from(step).unwrap_or(0);
    let begin = millis(page.now) - 200 * NS_PER_MILLI;
    let (from, to) = if step == 0 {
        (0, 100)
    } else {
        (step * 22 - 12, step * 22 + 8)
    };
    let at = |ms: i64| millrace_shared::time::rfc3339(begin + ms * NS_PER_MILLI);
    (at(from), at(to))
}
