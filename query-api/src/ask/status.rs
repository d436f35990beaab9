//! The life of an alert: which status may follow which.

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertStatus {
    /// Nobody has looked at it.
    Open,
    /// Somebody has seen it.
    Acknowledged,
    /// Somebody works on it.
    InProgress,
    /// The cause is gone.
    Resolved,
    /// Settled without resolving anything.
    Closed,
    /// It was nothing.
    FalsePositive,
}

impl AlertStatus {
    /// All of them.
    pub const ALL: [AlertStatus; 6] = [
        AlertStatus::Open,
        AlertStatus::Acknowledged,
        AlertStatus::InProgress,
        AlertStatus::Resolved,
        AlertStatus::Closed,
        AlertStatus::FalsePositive,
    ];

    /// The word as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertStatus::Open => "open",
            AlertStatus::Acknowledged => "acknowledged",
            AlertStatus::InProgress => "in_progress",
            AlertStatus::Resolved => "resolved",
            AlertStatus::Closed => "closed",
            AlertStatus::FalsePositive => "false_positive",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        AlertStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Whether nothing is left to be done.
    #[must_use]
    pub const fn settles(self) -> bool {
        match self {
            AlertStatus::Resolved | AlertStatus::Closed | AlertStatus::FalsePositive => true,
            AlertStatus::Open | AlertStatus::Acknowledged | AlertStatus::InProgress => false,
        }
    }

    /// open → acknowledged → in_progress → resolved | closed | false_positive; those may be
    /// opened again.
    #[must_use]
    pub const fn may_become(self, next: AlertStatus) -> bool {
        use AlertStatus::{Acknowledged, Closed, FalsePositive, InProgress, Open, Resolved};
        matches!(
            (self, next),
            (Open, Acknowledged)
                | (Acknowledged, InProgress)
                | (InProgress, Resolved | Closed | FalsePositive)
                | (Resolved | Closed | FalsePositive, Open)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_transitions_of_the_design_are_legal() {
        let mut legal = Vec::new();
        for from in AlertStatus::ALL {
            for to in AlertStatus::ALL
                .into_iter()
                .filter(|to| from.may_become(*to))
            {
                legal.push(format!("{} {}", from.as_str(), to.as_str()));
            }
        }
        assert_eq!(
            legal,
            [
                "open acknowledged",
                "acknowledged in_progress",
                "in_progress resolved",
                "in_progress closed",
                "in_progress false_positive",
                "resolved open",
                "closed open",
                "false_positive open",
            ]
        );
    }
}
