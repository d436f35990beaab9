//! Metric samples: counters whose value is the number of the event, so that each sample can be
//! told from every other without a series of its own.

use super::{Page, SERVICES};
use std::fmt::{self, Write as _};

const NAMES: &[&str] = &[
    "load_requests_total",
    "load_bytes_total",
    "load_cache_hits_total",
    "load_jobs_total",
];

pub(super) fn event(page: &mut Page<'_>, seq: u64) -> fmt::Result {
    let time = page.time();
    let name = page.dice.pick(NAMES);
    let service = page.dice.pick(SERVICES);
    let host = page.dice.below(16);
    write!(
        page.out,
        r#"{{"timestamp":"{time}","name":"{name}","value":{seq},"type":"counter","labels":{{"service":"{service}","host":"load-{host}","load_run":"{}""#,
        page.recipe.run
    )?;
    if let Some((_, value)) = page.personal(seq) {
        write!(page.out, r#","customer":"{value}""#)?;
    }
    page.out.push_str("}}");
    Ok(())
}
