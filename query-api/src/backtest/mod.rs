//! Back-tests: a rule put to stored history, a bounded stretch at a time.
//!
//! ```text
//! question   parameters → range, signals, limits                       pure
//! privacy    what scrubbing keeps from history makes a rule unfit      pure
//! source     the rows of one signal in order, page after page          store
//! run        rows of all signals, merged → rule engine → tally         one step at a time
//! places     how many run at once
//! ```
//!
//! A step reads what is missing and puts it to the rule on a thread where that may take its time.
//! Nothing runs between steps, so whoever drops a run has ended it. What is held is bounded: a page a
//! signal, the windows of so many groups, so many alerts.

mod places;
mod privacy;
mod question;
mod run;
mod source;
mod tally;

pub(crate) use places::{Place, Places};
pub(crate) use question::{Asks, Question};
pub(crate) use run::{Run, Step};
pub(crate) use tally::BacktestAnswer;

use std::time::Duration;

/// Rows looked at by one back-test: some minutes of a machine's time.
pub(crate) const ROWS_MAX: u64 = 20_000_000;
/// Bytes of rows read by one back-test.
pub(crate) const BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Time of a back-test whose progress is streamed. Without it is the time of a query: a proxy that
/// hears nothing for longer has given up.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(600);
/// Back-tests of one process at a time: each keeps a thread busy, and may hold some 200 MB.
const AT_ONCE: usize = 4;
/// Rows put to the rule in one step: some milliseconds, after which others have their turn.
const STEP_ROWS: u32 = 10_000;
/// Bytes of a page of rows.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a page with a row that is larger than a page: the largest event, several times over.
const ROW_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Rows of a page, at first and at most.
const PAGE_ROWS: (u32, u32) = (2_000, 20_000);
/// Stretches of time that rows are counted in beforehand, so that pages read what they answer.
const STRETCHES: i64 = 2_000;
/// Bars of the answer unless said otherwise, and at most.
const BARS: (i64, i64) = (60, 2_000);
/// Alerts listed in the answer; all are counted.
const ALERTS_LISTED: usize = 500;
/// Events listed in the answer; all are counted.
const EVENTS_LISTED: usize = 20;

const _: () = assert!(PAGE_ROWS.1 <= 100_000, "rows of one answer of ClickHouse");
