//! Indicator feeds and allow-lists in the control tables: what the services and the operator's tool
//! do alike with them.
//!
//! ```text
//! credential what the server of a feed asks for, sealed
//! settings what a feed is: trust, expiry, address
//! load     the content of a feed, replaced or added to, under one control revision
//! end      the end of an indicator, and of a feed
//! files    which feeds came from files
//! lists    allow-lists
//! hunts    searches of stored history for a feed's indicators, as they are asked for
//! source   what is fetched from a feed's address, and read
//! fetch    the feeds that are due, one worker at a feed at a time
//! ```
//!
//! Whatever decides about events is versioned: rows are closed and added under a revision, and those
//! of an older one stay as they were, so that a batch can be made again. Whoever takes a revision
//! holds its lock until the end of his transaction, and takes it before any row.

mod error;
mod credential;
mod settings;
mod load;
mod end;
mod files;
mod lists;
mod hunts;
mod source;
mod fetch;

pub use credential::{Credential, Sealed};
pub use end::{Ended, end_feed, end_indicator};
pub use error::FeedError;
pub use fetch::{Fetched, Fetcher};
pub use files::{absent, is_loaded};
pub use hunts::{BegunHunt, HUNT_DAYS, HUNTS_OPEN_MAX, NewHunt, begin_hunt, cancel_hunt};
pub use lists::{put_list, remove_list};
pub use load::{Changes, Load, Mode, load};
pub use settings::{Access, FeedSettings, put_feed};

use deadpool_postgres::Transaction;
use millrace_shared::schema::REVISION_LOCK;

/// Characters of the name of a feed or of an allow-list.
pub const NAME_CHARS_MAX: usize = 100;
/// Seconds between two fetches of a feed: publishers ask for at most one every few minutes.
pub const EVERY_S: std::ops::RangeInclusive<i32> = 300..=7 * 86_400;
/// Days after which indicators without an end of their own may cease to match.
pub const EXPIRE_DAYS: std::ops::RangeInclusive<i32> = 1..=3650;
/// Bytes of what is fetched as one feed.
pub const FETCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Whether a feed or a list may be called so: letters, digits, and `.`, `_`, `-` between them.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(byte)
        && ends(name.bytes().next())
        && ends(name.bytes().next_back())
}

/// Waits for the lock under which revisions are taken.
async fn lock(tx: &Transaction<'_>) -> Result<(), FeedError> {
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&REVISION_LOCK])
        .await?;
    Ok(())
}

/// Takes a revision, under the lock; workers hear of it when the transaction commits.
async fn revision(tx: &Transaction<'_>) -> Result<i64, FeedError> {
    let row = tx
        .query_one("SELECT nextval('control_revision')", &[])
        .await?;
    tx.batch_execute("NOTIFY millrace_control").await?;
    Ok(row.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_plain() {
        for good in ["a", "urlhaus", "abuse.ch_url-haus", "9"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(101);
        for bad in [
            "",
            ".",
            "a/b",
            "a b",
            "../a",
            "-a",
            "ä",
            "a\n",
            long.as_str(),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
