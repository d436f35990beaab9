//! Everything that decides what becomes of an event, compiled and immutable: one snapshot for one
//! control revision. Batches hold on to the snapshot they began with.

use crate::control_rows::{ControlRows, IndicatorRow, OrganisationRow, RuleRow};
pub use crate::geo::GeoDatabase;
use hashbrown::HashMap;
use millrace_detection::indicators::{Feed, IndicatorMatch, Known, ScoreMode};
use millrace_detection::observables::{Kind, Observable};
use millrace_detection::rules::{BusinessHours, Rule};
use millrace_detection::{
    Indicator, IndicatorIndex, OrgSettings, RuleDef, RuleMatch, RuleSet, Verdict,
};
use millrace_scrubber::{PathRule, Policy, Scrubber, Strategy};
use millrace_shared::entry::Meta;
use millrace_shared::ids::OrgId;
use millrace_shared::wire::Severity;
use std::sync::Arc;

/// What does not depend on the revision.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    /// The address database, where one is configured.
    pub geo: Option<Arc<GeoDatabase>>,
    /// How indicator matches are scored.
    pub ioc_mode: ScoreMode,
}

/// One snapshot.
#[derive(Debug)]
pub struct Control {
    revision: i64,
    organisations: HashMap<OrgId, Organisation>,
    /// For entries of an organisation that has since been deleted: everything is scrubbed, nothing
    /// is detected.
    nobody: Organisation,
    indicators: Arc<IndicatorIndex>,
    geo: Option<Arc<GeoDatabase>>,
}

/// What holds for one organisation.
#[derive(Debug)]
pub struct Organisation {
    org: OrgId,
    pub(crate) rules: RuleSet,
    pub(crate) scrubber: Scrubber,
    indicators: Arc<IndicatorIndex>,
    ioc_mode: ScoreMode,
}

/// Something in the control tables that cannot be used. It was valid when it was written, so this
/// is a fault to be looked at; all else goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Whose.
    pub org: OrgId,
    /// What and why.
    pub problem: String,
}

/// Fields that name a person and are joined on: hashed, not redacted, unless the policy says
/// otherwise, so that "the same user" can still be told.
const HASHED_PATHS: [&str; 2] = ["actor.email", "user_id"];

impl Control {
    /// Compiles a snapshot. `index` is the one built before, if the indicators are the same.
    #[must_use]
    pub fn build(
        rows: &ControlRows,
        index: Option<Arc<IndicatorIndex>>,
        fixed: &Fixed,
    ) -> (Control, Vec<Unusable>) {
        let indicators = index.unwrap_or_else(|| Arc::new(index_of(&rows.indicators)));
        let mut unusable = Vec::new();
        let mut rules: HashMap<OrgId, Vec<&RuleRow>> = HashMap::new();
        for rule in &rows.rules {
            rules.entry(rule.org).or_default().push(rule);
        }
        let organisations = rows
            .organisations
            .iter()
            .map(|row| {
                let rules = rules.remove(&row.org).unwrap_or_default();
                let made = organisation(row, &rules, (&indicators, fixed.ioc_mode), &mut unusable);
                (row.org, made)
            })
            .collect();
        let nobody = OrganisationRow {
            org: OrgId::nil(),
            pepper: [0; 32],
            pii_policy: serde_json::Value::Null,
            settings: serde_json::Value::Null,
        };
        let nothing = Arc::new(IndicatorIndex::default());
        let control = Control {
            revision: rows.revision,
            organisations,
            nobody: organisation(&nobody, &[], (&nothing, fixed.ioc_mode), &mut Vec::new()),
            indicators,
            geo: fixed.geo.clone(),
        };
        (control, unusable)
    }

    /// Which revision this is a snapshot of.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision
    }

    /// The index over the indicators, to be kept for a revision with the same ones.
    #[must_use]
    pub fn indicators(&self) -> Arc<IndicatorIndex> {
        Arc::clone(&self.indicators)
    }

    pub(crate) fn organisation(&self, org: OrgId) -> &Organisation {
        self.organisations.get(&org).unwrap_or(&self.nobody)
    }

    pub(crate) fn geo(&self) -> Option<&GeoDatabase> {
        self.geo.as_deref()
    }
}

impl Organisation {
    /// Weighs an event's observables.
    pub(crate) fn verdict(
        &self,
        observables: &[Observable<'_>],
        meta: &Meta,
        matches: &mut Vec<IndicatorMatch>,
    ) -> Verdict {
        matches.clear();
        let now = meta.received_at;
        self.indicators.matches(self.org, observables, now, matches);
        self.indicators
            .score(matches, observables.len(), self.ioc_mode, now)
    }

    /// What is known of the indicators that matched.
    pub(crate) fn known(&self, matches: &[IndicatorMatch]) -> impl Iterator<Item = Known<'_>> {
        matches
            .iter()
            .filter_map(|found| self.indicators.known(*found))
    }

    /// The rule that matched.
    pub(crate) fn rule(&self, found: &RuleMatch) -> Option<&Rule> {
        self.rules.rule(found.rule)
    }
}

fn organisation(
    row: &OrganisationRow,
    rules: &[&RuleRow],
    (indicators, ioc_mode): (&Arc<IndicatorIndex>, ScoreMode),
    unusable: &mut Vec<Unusable>,
) -> Organisation {
    let mut problem = |problem: String| {
        unusable.push(Unusable {
            org: row.org,
            problem,
        })
    };
    let hours = hours(&row.settings).unwrap_or_else(|error| {
        problem(format!("detection settings: {error}"));
        BusinessHours::default()
    });
    let mut defs = Vec::with_capacity(rules.len());
    for rule in rules {
        match RuleDef::from_json(&rule.body) {
            Ok(def) => defs.push(Arc::new(def)),
            Err(error) => problem(format!("rule {}: {error}", rule.id)),
        }
    }
    let settings = OrgSettings {
        hash_key: row.pepper,
        hours,
    };
    let (rules, errors) = RuleSet::compile(defs, settings);
    for error in errors {
        problem(error.to_string());
    }
    Organisation {
        org: row.org,
        rules,
        scrubber: scrubber(row, &mut problem),
        indicators: Arc::clone(indicators),
        ioc_mode,
    }
}

/// Working hours as an organisation's settings give them, all of it optional:
/// `{"hours": {"utc_offset_minutes": 60, "from": "09:00", "until": "17:00", "weekdays": [1, 2, 3]}}`
/// with Monday as day 1.
fn hours(settings: &serde_json::Value) -> Result<BusinessHours, serde_json::Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hours {
        #[serde(default)]
        utc_offset_minutes: i32,
        from: Option<String>,
        until: Option<String>,
        weekdays: Option<Vec<u8>>,
    }
    let mut hours = BusinessHours::default();
    let Some(given) = settings.get("hours") else {
        return Ok(hours);
    };
    let given: Hours = serde_json::from_value(given.clone())?;
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let read = |text: &Option<String>, default: u16| match text {
        None => Ok(default),
        Some(text) => minute(text).ok_or_else(|| serde::de::Error::custom("a time is HH:MM")),
    };
    hours.utc_offset_minutes = given.utc_offset_minutes;
    hours.from_minute = read(&given.from, hours.from_minute)?;
    hours.until_minute = read(&given.until, hours.until_minute)?;
    if let Some(days) = given.weekdays {
        if !days.iter().all(|day| (1..=7).contains(day)) {
            return Err(serde::de::Error::custom("weekdays are 1 (Monday) to 7"));
        }
        hours.weekdays = days.iter().fold(0, |bits, day| bits | 1 << (day - 1));
    }
    Ok(hours)
}

/// The organisation's scrubber. A policy that cannot be used falls back to the default one, which
/// scrubs more: never less than was asked for by accident.
fn scrubber(row: &OrganisationRow, problem: &mut impl FnMut(String)) -> Scrubber {
    let policy = if row.pii_policy.is_null() {
        Policy::default()
    } else {
        serde_json::from_value(row.pii_policy.clone()).unwrap_or_else(|error| {
            problem(format!("scrubbing policy: {error}"));
            Policy::default()
        })
    };
    Scrubber::new(&with_hashed_paths(policy), &row.pepper).unwrap_or_else(|error| {
        problem(format!("scrubbing policy: {error}"));
        Scrubber::new(&with_hashed_paths(Policy::default()), &row.pepper)
            .unwrap_or_else(|_| unreachable!("the default policy is valid and the pepper is long"))
    })
}

fn with_hashed_paths(mut policy: Policy) -> Policy {
    for path in HASHED_PATHS {
        if !policy.paths.iter().any(|rule| rule.path == path) {
            let classes = [(millrace_scrubber::Class::Email, Strategy::Hash)].into();
            policy.paths.push(PathRule {
                path: path.to_owned(),
                classes,
                value: None,
            });
        }
    }
    policy
}

fn index_of(rows: &[IndicatorRow]) -> IndicatorIndex {
    let mut feeds: HashMap<(&str, u8), Arc<Feed>> = HashMap::new();
    IndicatorIndex::build(rows.iter().filter_map(|row| {
        let feed = feeds.entry((&row.feed, row.trust)).or_insert_with(|| {
            Arc::new(Feed {
                name: row.feed.to_string(),
                trust: row.trust,
            })
        });
        Some(Indicator {
            id: row.id,
            org: row.org,
            kind: Kind::parse(&row.kind)?,
            value: row.value.clone(),
            feed: Arc::clone(feed),
            confidence: row.confidence,
            severity: Severity::parse(&row.severity).unwrap_or(Severity::Medium),
            threat: row.threat.clone(),
            tags: row.tags.clone(),
            match_private: row.match_private,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            expires_at: row.expires_at,
        })
    }))
}
