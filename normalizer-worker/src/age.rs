//! Entries that waited for longer than their signal is kept: a store would drop their rows as soon
//! as it has them, and the audit would miss them for ever. They are parked instead.
//!
//! Judged once, when the batch is cut; the ledger keeps the judgement for whoever makes it again.

use crate::poison::Parked;
use crate::work::RawEntry;
use millrace_runtime::clock::now_ns;
use millrace_shared::Signal;
use millrace_shared::limits::{NS_PER_DAY, is_past_retention};
use millrace_shared::outcome::DeadReason;
use std::sync::Arc;
use time::Date;

/// Julian day of 1970-01-01.
pub(crate) const JULIAN_1970: i64 = 2_440_588;

/// Whether what was received on that day (days after 1970) is past its retention by now.
pub(crate) fn is_over(signal: Signal, received_day: i64) -> bool {
    is_past_retention(signal, received_day, now_ns().div_euclid(NS_PER_DAY))
}

/// The days after 1970.
pub(crate) fn day_number(date: Date) -> i64 {
    i64::from(date.to_julian_day()) - JULIAN_1970
}

/// The entries of a batch that are worked on, and those that are parked: all of them if too old.
pub(crate) fn sort_out(
    entries: Arc<Vec<RawEntry>>,
    too_old: bool,
) -> (Arc<Vec<RawEntry>>, Vec<Parked>) {
    if !too_old {
        return (entries, Vec::new());
    }
    let detail = "received longer ago than its signal is kept";
    let park = |entry: &RawEntry| Parked::whole(entry.clone(), DeadReason::TooOld, detail);
    (Arc::default(), entries.iter().map(park).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::limits::retention_days;

    #[test]
    fn a_day_is_over_when_the_store_may_drop_it_today() {
        let today = now_ns().div_euclid(NS_PER_DAY);
        for signal in Signal::ALL {
            let kept = retention_days(signal);
            assert!(!is_over(signal, today));
            assert!(is_over(signal, today - kept));
            assert!(!is_over(signal, today - kept + 2));
            assert!(is_over(signal, 0));
        }
    }

    #[test]
    fn days_are_counted_from_1970() {
        let date = Date::from_calendar_date(2024, time::Month::October, 4).unwrap();
        assert_eq!(day_number(date), 20_000);
    }
}
