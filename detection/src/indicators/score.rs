//! The score of an event: what its matches say, 0–100.
//!
//! Only sums, products and quotients of floating-point numbers are used, no library functions, so
//! the same matches have the same score on every machine, and a batch computed again is the same.

use super::index::{IndicatorIndex, IndicatorMatch, Known};
use crate::observables::Kind;
use millrace_shared::limits::NS_PER_DAY;
use millrace_shared::wire::Severity;

/// What every further observable that matches adds, and at most.
const PER_FURTHER_MATCH: f64 = 5.0;
const FURTHER_MATCHES_MAX: f64 = 15.0;
/// What every further feed that agrees adds, and at most.
const PER_FURTHER_SOURCE: f64 = 5.0;
const FURTHER_SOURCES_MAX: f64 = 10.0;

/// The classic mode's base, the most its number of observables adds, and what each adds.
const CLASSIC_BASE: u32 = 10;
const CLASSIC_PER_OBSERVABLE: u32 = 3;
const CLASSIC_OBSERVABLES_MAX: u32 = 20;
/// The confidence the classic mode gives to what no feed knows.
const CLASSIC_UNKNOWN: u32 = 30;

/// The least scores of the severities.
const CRITICAL_FROM: u8 = 85;
const HIGH_FROM: u8 = 70;
const MEDIUM_FROM: u8 = 40;

/// Days after which an indicator is worth half: leased addresses change hands in weeks, names are
/// taken down in months, links die in weeks, a digest and a CVE stay what they are.
const fn half_life_days(kind: Kind) -> i64 {
    match kind {
        Kind::Ipv4 | Kind::Ipv6 => 30,
        Kind::Cidr => 60,
        Kind::Url => 45,
        Kind::Domain => 90,
        Kind::Email => 180,
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => 730,
        Kind::Cve => 1825,
    }
}

/// How matches become a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreMode {
    /// Highest confidence, decayed with age, raised for several matches and several feeds, scaled
    /// by the feed's trust. What matches nothing adds nothing.
    #[default]
    Decayed,
    /// `min(100, 10 + highest confidence + min(20, 3 × observables))`, unknown counting 30.
    Classic,
}

/// What the indicators say of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 0–100.
    pub score: u8,
    /// The score as a severity; info where the score is 0.
    pub severity: Severity,
    /// The highest severity that a matching indicator has of its own; info where none matched.
    pub indicator_severity: Severity,
    /// The control-table id of the match that weighs most.
    pub indicator: Option<u64>,
}

impl Verdict {
    /// Of an event that mentions nothing of note.
    pub const NONE: Verdict = Verdict {
        score: 0,
        severity: Severity::Info,
        indicator_severity: Severity::Info,
        indicator: None,
    };
}

impl Default for Verdict {
    fn default() -> Self {
        Verdict::NONE
    }
}

/// The severity of a score.
#[must_use]
pub const fn severity_of_score(score: u8) -> Severity {
    match score {
        CRITICAL_FROM.. => Severity::Critical,
        HIGH_FROM.. => Severity::High,
        MEDIUM_FROM.. => Severity::Medium,
        1.. => Severity::Low,
        0 => Severity::Info,
    }
}

impl IndicatorIndex {
    /// Weighs the matches of one event that has so many observables, at the time `now_ns` (the
    /// time of its receipt, so that doing it again gives the same).
    #[must_use]
    pub fn score(
        &self,
        matches: &[IndicatorMatch],
        observables: usize,
        mode: ScoreMode,
        now_ns: i64,
    ) -> Verdict {
        let known = || matches.iter().filter_map(|found| self.known(*found));
        let mut weightiest: Option<(f64, u64)> = None;
        for known in known() {
            let worth = worth(&known, now_ns);
            if weightiest.is_none_or(|(most, _)| worth > most) {
                weightiest = Some((worth, known.id));
            }
        }
        let score = match mode {
            ScoreMode::Decayed => self.decayed(matches, weightiest.map_or(0.0, |(worth, _)| worth)),
            ScoreMode::Classic => self.classic(matches, observables),
        };
        Verdict {
            score,
            severity: severity_of_score(score),
            indicator_severity: known()
                .map(|known| known.severity)
                .max()
                .unwrap_or(Severity::Info),
            indicator: weightiest.map(|(_, id)| id),
        }
    }

    fn decayed(&self, matches: &[IndicatorMatch], base: f64) -> u8 {
        let known = |found: &IndicatorMatch| self.known(*found);
        if base <= 0.0 {
            return 0;
        }
        let mut further_matches = -PER_FURTHER_MATCH;
        let mut further_sources = -PER_FURTHER_SOURCE;
        for (at, found) in matches.iter().enumerate() {
            let earlier = matches.get(..at).unwrap_or_default();
            if earlier
                .iter()
                .all(|other| other.observable != found.observable)
            {
                further_matches += PER_FURTHER_MATCH;
            }
            let feed = known(found).map(|known| known.feed);
            if earlier
                .iter()
                .all(|other| known(other).map(|known| known.feed) != feed)
            {
                further_sources += PER_FURTHER_SOURCE;
            }
        }
        let raised = base
            + further_matches.min(FURTHER_MATCHES_MAX)
            + further_sources.min(FURTHER_SOURCES_MAX);
        rounded(raised)
    }

    fn classic(&self, matches: &[IndicatorMatch], observables: usize) -> u8 {
        let Ok(observables) = u32::try_from(observables) else {
            return 100;
        };
        if observables == 0 {
            return 0;
        }
        let known = matches.iter().filter_map(|found| self.known(*found));
        let highest = known.map(|known| u32::from(known.confidence)).max();
        let many = (CLASSIC_PER_OBSERVABLE * observables).min(CLASSIC_OBSERVABLES_MAX);
        let score = CLASSIC_BASE + highest.unwrap_or(CLASSIC_UNKNOWN) + many;
        u8::try_from(score.min(100)).unwrap_or(100)
    }
}

/// Confidence, halved once per half-life since last seen (straight lines between the halvings),
/// times trust.
fn worth(known: &Known<'_>, now_ns: i64) -> f64 {
    let age = known
        .last_seen
        .map_or(0, |seen| now_ns.saturating_sub(seen).max(0));
    let half_life = half_life_days(known.kind) * NS_PER_DAY;
    let halvings = i32::try_from(age / half_life).unwrap_or(i32::MAX).min(64);
    let mut worth = f64::from(known.confidence) * f64::from(known.feed.trust) / 100.0;
    for _ in 0..halvings {
        worth /= 2.0;
    }
    worth * (1.0 - ratio(age % half_life, half_life) / 2.0)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of times needs no more")]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0–100 before"
)]
fn rounded(score: f64) -> u8 {
    (score.clamp(0.0, 100.0) + 0.5) as u8
}
