//! The formulas of the SOC overview, exactly as the design has them.

use serde::Serialize;
use utoipa::ToSchema;

/// Alert types that weigh most.
pub const GRAVE_TYPES: [&str; 3] = [
    "BRUTE_FORCE_ATTACK",
    "DATA_BREACH_ATTEMPT",
    "PRIVILEGE_ESCALATION",
];

/// What the security score is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posture {
    /// Events in the range.
    pub events: u64,
    /// Events of severity critical.
    pub critical: u64,
    /// Active alerts.
    pub active: u64,
    /// Alerts of the [`GRAVE_TYPES`] among the top five types.
    pub grave: u64,
}

/// 100 − min(30, 2·critical) − min(25, 3·active) − min(20, 5·grave) − (events > 1000:
/// min(15, (events − 1000)/100)); rounded, not below 0.
#[must_use]
pub fn security_score(posture: Posture) -> u8 {
    let capped = |weight: u64, count: u64, most: u64| weight.saturating_mul(count).min(most) as f64;
    let volume = posture.events.saturating_sub(1000) as f64 / 100.0;
    let score = 100.0
        - capped(2, posture.critical, 30)
        - capped(3, posture.active, 25)
        - capped(5, posture.grave, 20)
        - volume.min(15.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 10 and 100: the deductions end at 90"
    )]
    let rounded = score.round().max(0.0) as u8;
    rounded
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ThreatLevel {
    /// Nothing out of the ordinary.
    Low,
    /// Something to look at.
    Moderate,
    /// Something to look at now.
    High,
    /// Something to act upon now.
    Critical,
}

/// CRITICAL if score < 50 or active ≥ 5 or critical ≥ 3; HIGH if < 70 or ≥ 3 or ≥ 2; MODERATE if
/// < 85 or ≥ 1 or ≥ 1; else LOW.
#[must_use]
pub const fn threat_level(score: u8, active: u64, critical: u64) -> ThreatLevel {
    if score < 50 || active >= 5 || critical >= 3 {
        ThreatLevel::Critical
    } else if score < 70 || active >= 3 || critical >= 2 {
        ThreatLevel::High
    } else if score < 85 || active >= 1 || critical >= 1 {
        ThreatLevel::Moderate
    } else {
        ThreatLevel::Low
    }
}

/// What a user's risk is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Failed authentications.
    pub failed: u64,
    /// Rate-limited actions.
    pub rate_limited: u64,
    /// Critical events.
    pub critical: u64,
    /// Countries the user was seen in.
    pub countries: u64,
}

/// 10·failed + 15·rate-limited + 25·critical, + 20 if more than 2 countries; at most 100.
#[must_use]
pub fn user_risk(conduct: Conduct) -> u8 {
    let travel = if conduct.countries > 2 { 20 } else { 0 };
    let risk = conduct
        .failed
        .saturating_mul(10)
        .saturating_add(conduct.rate_limited.saturating_mul(15))
        .saturating_add(conduct.critical.saturating_mul(25))
        .saturating_add(travel);
    u8::try_from(risk.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(events: u64, critical: u64, active: u64, grave: u64) -> u8 {
        security_score(Posture {
            events,
            critical,
            active,
            grave,
        })
    }

    #[test]
    fn each_deduction_counts_and_ends_at_its_most() {
        assert_eq!(score(0, 0, 0, 0), 100);
        assert_eq!(score(1000, 0, 0, 0), 100);
        assert_eq!(score(0, 4, 0, 0), 92);
        assert_eq!(score(0, 15, 0, 0), 70);
        assert_eq!(score(0, 1000, 0, 0), 70);
        assert_eq!(score(0, 0, 2, 0), 94);
        assert_eq!(score(0, 0, 8, 0), 76);
        assert_eq!(score(0, 0, 9, 0), 75);
        assert_eq!(score(0, 0, 0, 3), 85);
        assert_eq!(score(0, 0, 0, 5), 80);
        assert_eq!(score(u64::MAX, u64::MAX, u64::MAX, u64::MAX), 10);
    }

    #[test]
    fn the_volume_is_a_fraction_and_the_result_is_rounded() {
        assert_eq!(score(1049, 0, 0, 0), 100);
        assert_eq!(score(1051, 0, 0, 0), 99);
        assert_eq!(score(1800, 0, 0, 0), 92);
        assert_eq!(score(2500, 0, 0, 0), 85);
        assert_eq!(score(1_000_000, 0, 0, 0), 85);
    }

    #[test]
    fn the_threat_level_follows_the_worst_of_the_three() {
        use ThreatLevel::{Critical, High, Low, Moderate};
        for (score, active, critical, level) in [
            (100, 0, 0, Low),
            (85, 0, 0, Low),
            (84, 0, 0, Moderate),
            (100, 1, 0, Moderate),
            (100, 0, 1, Moderate),
            (70, 2, 1, Moderate),
            (69, 0, 0, High),
            (100, 3, 0, High),
            (100, 0, 2, High),
            (50, 4, 2, High),
            (49, 0, 0, Critical),
            (100, 5, 0, Critical),
            (100, 0, 3, Critical),
        ] {
            assert_eq!(
                threat_level(score, active, critical),
                level,
                "{score} {active} {critical}"
            );
        }
    }

    #[test]
    fn a_users_risk_adds_up_to_a_hundred_at_most() {
        let risk = |failed, rate_limited, critical, countries| {
            user_risk(Conduct {
                failed,
                rate_limited,
                critical,
                countries,
            })
        };
        assert_eq!(risk(0, 0, 0, 0), 0);
        assert_eq!(risk(2, 1, 1, 2), 60);
        assert_eq!(risk(2, 1, 1, 3), 80);
        assert_eq!(risk(0, 0, 0, 3), 20);
        assert_eq!(risk(10, 0, 0, 1), 100);
        assert_eq!(risk(u64::MAX, u64::MAX, 1, 9), 100);
    }
}
