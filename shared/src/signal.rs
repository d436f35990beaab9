//! The five kinds of telemetry. Never grows a sixth without a stream, a table and a contract page.

use std::fmt;

/// A kind of telemetry: one endpoint, one family of streams, one home in the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Metric samples.
    Metrics,
    /// Spans.
    Traces,
    /// Browser (real user monitoring) events.
    Rum,
    /// Audit events.
    Audit,
}

impl Signal {
    /// All signals, in the order of their numbers.
    pub const ALL: [Signal; 5] = [
        Signal::Logs,
        Signal::Metrics,
        Signal::Traces,
        Signal::Rum,
        Signal::Audit,
    ];

    /// The name used in paths, stream keys, tables of the control database and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
            Signal::Rum => "rum",
            Signal::Audit => "audit",
        }
    }

    /// A stable small number, for compact identifiers. Never renumbered.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Signal::Logs => 0,
            Signal::Metrics => 1,
            Signal::Traces => 2,
            Signal::Rum => 3,
            Signal::Audit => 4,
        }
    }

    /// The signal with that [`number`](Self::number).
    #[must_use]
    pub fn from_number(number: u8) -> Option<Signal> {
        Signal::ALL.get(usize::from(number)).copied()
    }

    /// The signal with that [`as_str`](Self::as_str) name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Signal> {
        Signal::ALL
            .into_iter()
            .find(|signal| signal.as_str() == name)
    }

    /// The member of the request body that holds the events.
    #[must_use]
    pub const fn body_key(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
            Signal::Rum | Signal::Audit => "events",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
