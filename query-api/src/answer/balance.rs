//! The books of an organisation: received = stored + rejected + dead-lettered + pending.

use serde::Serialize;
use utoipa::ToSchema;

/// The books of one signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Balance {
    /// The signal.
    pub signal: &'static str,
    /// Events received, those the gateway rejected among them.
    pub received: i64,
    /// Events stored.
    pub stored: i64,
    /// Events rejected.
    pub rejected: i64,
    /// Events in the dead-letter store.
    pub dead_lettered: i64,
    /// Events still on their way.
    pub pending: i64,
    /// Whether the books balance.
    pub balanced: bool,
}

impl Balance {
    /// Draws the balance of a signal. What is not settled must be on its way: so it is never less
    /// than nothing, and nothing when nothing is `under_way`. The settled counts must be those both
    /// before and after the rest was read.
    #[must_use]
    pub fn draw(signal: &'static str, received: i64, settled: [i64; 3], under_way: bool) -> Self {
        let [stored, rejected, dead_lettered] = settled;
        let pending = received - stored - rejected - dead_lettered;
        Balance {
            signal,
            received,
            stored,
            rejected,
            dead_lettered,
            pending,
            balanced: pending == 0 || (pending > 0 && under_way),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_must_be_under_way() {
        let balanced =
            |received, under_way| Balance::draw("logs", received, [10, 2, 3], under_way).balanced;
        assert!(balanced(15, false) && balanced(15, true));
        assert!(balanced(16, true), "one is pending");
        assert!(!balanced(16, false), "one is lost");
        assert!(!balanced(14, true), "one is doubled");
    }
}
