//! Everything that decides what becomes of an event, compiled and immutable: one snapshot for one
//! control revision. Batches hold on to the snapshot they began with.

use crate::control_rows::{
    AllowListRow, ControlRows, IndicatorRow, OrganisationRow, PipelineRow, RuleRow,
};
pub use crate::geo::GeoDatabase;
use hashbrown::HashMap;
use millrace_detection::indicators::{Allowed, Asking, Feed, IndicatorMatch, Known, ScoreMode};
use millrace_detection::observables::{Kind, Observable};
use millrace_detection::pipelines::Pipeline;
use millrace_detection::rules::{BusinessHours, Rule};
use millrace_detection::{
    Indicator, IndicatorIndex, OrgSettings, RuleDef, RuleMatch, RuleSet, Verdict,
};
use millrace_scrubber::{Pepper, Policy, Scrubber};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::OrgId;
use millrace_shared::wire::Severity;
use sha2::{Digest as _, Sha256};
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
    allowed: Arc<Allowed>,
    geo: Option<Arc<GeoDatabase>>,
}

/// What holds for one organisation.
#[derive(Debug)]
pub struct Organisation {
    org: OrgId,
    compiled: Arc<Compiled>,
    indicators: Arc<IndicatorIndex>,
    allowed: Arc<Allowed>,
    ioc_mode: ScoreMode,
}

/// An organisation's pipelines, rules and policies. Shared by all revisions at which they are the same.
#[derive(Debug)]
struct Compiled {
    /// Where it has some.
    pipelines: Vec<Pipeline>,
    rules: RuleSet,
    scrubber: Scrubber,
    /// SHA-256 over what they were made of.
    digest: [u8; 32],
}

/// What an earlier snapshot has that may be of use again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept<'k> {
    /// The index over the indicators, if those are the same.
    pub indicators: Option<&'k Arc<IndicatorIndex>>,
    /// The allow-lists, if those are the same.
    pub allowed: Option<&'k Arc<Allowed>>,
    /// The snapshot: organisations of which nothing has changed are taken from it.
    pub before: Option<&'k Control>,
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

impl Control {
    /// Compiles a snapshot, and tells of what cannot be used and was not there before.
    #[must_use]
    pub fn build(rows: &ControlRows, kept: Kept<'_>, fixed: &Fixed) -> (Control, Vec<Unusable>) {
        let indicators = kept
            .indicators
            .map_or_else(|| Arc::new(index_of(&rows.indicators)), Arc::clone);
        let mut unusable = Vec::new();
        let allowed = kept.allowed.map_or_else(
            || Arc::new(allowed_of(&rows.allow_lists, &mut unusable)),
            Arc::clone,
        );
        let mut sources: HashMap<OrgId, Sources<'_>> = HashMap::new();
        for rule in &rows.rules {
            sources.entry(rule.org).or_default().rules.push(rule);
        }
        for pipeline in &rows.pipelines {
            let of = sources.entry(pipeline.org).or_default();
            of.pipelines.push(pipeline);
        }
        let organisation = |org, compiled, indicators: &Arc<IndicatorIndex>| Organisation {
            org,
            compiled,
            indicators: Arc::clone(indicators),
            allowed: Arc::clone(&allowed),
            ioc_mode: fixed.ioc_mode,
        };
        let organisations = rows
            .organisations
            .iter()
            .map(|row| {
                let sources = sources.remove(&row.org).unwrap_or_default();
                let digest = digest(row, &sources);
                let before = kept.before.and_then(|before| before.compiled(row.org));
                let compiled = match before.filter(|before| before.digest == digest) {
                    Some(same) => Arc::clone(same),
                    None => Arc::new(compile(row, &sources, digest, &mut unusable)),
                };
                (row.org, organisation(row.org, compiled, &indicators))
            })
            .collect();
        let nobody = OrganisationRow {
            org: OrgId::nil(),
            pepper: [0; 32],
            pepper_version: 1,
            pii_policy: serde_json::Value::Null,
            settings: serde_json::Value::Null,
        };
        let nothing = Arc::new(IndicatorIndex::default());
        let scrubs = Arc::new(compile(
            &nobody,
            &Sources::default(),
            [0; 32],
            &mut Vec::new(),
        ));
        let control = Control {
            revision: rows.revision,
            organisations,
            nobody: organisation(nobody.org, scrubs, &nothing),
            indicators,
            allowed: Arc::clone(&allowed),
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

    /// The allow-lists, to be kept for a revision with the same ones.
    #[must_use]
    pub fn allowed(&self) -> Arc<Allowed> {
        Arc::clone(&self.allowed)
    }

    fn compiled(&self, org: OrgId) -> Option<&Arc<Compiled>> {
        self.organisations.get(&org).map(|found| &found.compiled)
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
        self.indicators
            .matches(&self.asking(now), observables, matches);
        self.indicators
            .score(matches, observables.len(), self.ioc_mode, now)
    }

    /// What is known of the indicators that matched.
    pub(crate) fn known(&self, matches: &[IndicatorMatch]) -> impl Iterator<Item = Known<'_>> {
        matches
            .iter()
            .filter_map(|found| self.indicators.known(*found))
    }

    /// Its steps for events of a signal.
    pub(crate) fn pipeline(&self, signal: Signal) -> Option<&Pipeline> {
        let mut pipelines = self.compiled.pipelines.iter();
        pipelines.find(|pipeline| pipeline.signal() == signal)
    }

    /// Its rules.
    pub(crate) fn rules(&self) -> &RuleSet {
        &self.compiled.rules
    }

    /// How indicator matches are scored.
    pub(crate) const fn ioc_mode(&self) -> ScoreMode {
        self.ioc_mode
    }

    /// How an index of indicators is asked for it.
    pub(crate) fn asking(&self, now_ns: i64) -> Asking<'_> {
        Asking {
            org: self.org,
            now_ns,
            allowed: Some(&self.allowed),
        }
    }

    /// Its scrubber.
    pub(crate) fn scrubber(&self) -> &Scrubber {
        &self.compiled.scrubber
    }

    /// The rule that matched.
    pub(crate) fn rule(&self, found: &RuleMatch) -> Option<&Rule> {
        self.rules().rule(found.rule)
    }
}

/// What an organisation has in the tables beside its own row.
#[derive(Default)]
struct Sources<'r> {
    rules: Vec<&'r RuleRow>,
    pipelines: Vec<&'r PipelineRow>,
}

/// Over everything that [`compile`] makes of it.
fn digest(row: &OrganisationRow, sources: &Sources<'_>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(&row.pepper);
    part(&row.pepper_version.to_le_bytes());
    part(row.pii_policy.to_string().as_bytes());
    part(row.settings.to_string().as_bytes());
    for pipeline in &sources.pipelines {
        part(pipeline.signal.as_str().as_bytes());
        part(pipeline.steps.to_string().as_bytes());
    }
    for rule in &sources.rules {
        part(rule.id.as_bytes());
        part(&rule.version.to_le_bytes());
        part(rule.body.to_string().as_bytes());
    }
    digest.finalize().into()
}

fn compile(
    row: &OrganisationRow,
    sources: &Sources<'_>,
    digest: [u8; 32],
    unusable: &mut Vec<Unusable>,
) -> Compiled {
    let mut problem = |problem: String| {
        unusable.push(Unusable {
            org: row.org,
            problem,
        })
    };
    let hours = BusinessHours::of_settings(&row.settings).unwrap_or_else(|error| {
        problem(format!("detection settings: {error}"));
        BusinessHours::default()
    });
    let mut pipelines = Vec::with_capacity(sources.pipelines.len());
    for pipeline in &sources.pipelines {
        match Pipeline::from_json(pipeline.signal, &pipeline.steps) {
            Ok(compiled) => pipelines.push(compiled),
            Err(error) => problem(format!("pipeline of {}: {error}", pipeline.signal)),
        }
    }
    let mut defs = Vec::with_capacity(sources.rules.len());
    for rule in &sources.rules {
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
    Compiled {
        pipelines,
        rules,
        scrubber: scrubber(row, &mut problem),
        digest,
    }
}

/// The organisation's scrubber. A policy that cannot be used falls back to the default one, which
/// scrubs more: never less than was asked for by accident.
pub(crate) fn scrubber(row: &OrganisationRow, problem: &mut impl FnMut(String)) -> Scrubber {
    let policy = if row.pii_policy.is_null() {
        Policy::default()
    } else {
        serde_json::from_value(row.pii_policy.clone()).unwrap_or_else(|error| {
            problem(format!("scrubbing policy: {error}"));
            Policy::default()
        })
    };
    let pepper = || Pepper::new(row.pepper_version, &row.pepper);
    let made = pepper().and_then(|pepper| Scrubber::new(&policy.with_hashed_paths(), pepper));
    made.unwrap_or_else(|error| {
        problem(format!("scrubbing policy: {error}"));
        pepper()
            .and_then(|pepper| Scrubber::new(&Policy::default().with_hashed_paths(), pepper))
            .unwrap_or_else(|_| unreachable!("the default policy is valid and the pepper is long"))
    })
}

fn allowed_of(rows: &[AllowListRow], unusable: &mut Vec<Unusable>) -> Allowed {
    Allowed::new(rows.iter().filter_map(|row| match row.list.compile() {
        Ok(list) => Some((row.org, Arc::new(list))),
        Err(error) => {
            unusable.push(Unusable {
                org: row.org.unwrap_or_default(),
                problem: format!("allow-list {}: {error}", row.list.name),
            });
            None
        }
    }))
}

fn index_of(rows: &[IndicatorRow]) -> IndicatorIndex {
    let mut feeds: HashMap<i64, Arc<Feed>> = HashMap::new();
    IndicatorIndex::build(rows.iter().filter_map(|row| {
        let feed = feeds.entry(row.feed_id).or_insert_with(|| {
            Arc::new(Feed {
                id: row.feed_id,
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn organisation(org: u128) -> OrganisationRow {
        OrganisationRow {
            org: OrgId::from_u128(org),
            pepper: [7; 32],
            pepper_version: 1,
            pii_policy: json!({}),
            settings: json!({}),
        }
    }

    fn rule(org: u128, message: &str) -> RuleRow {
        let body = json!({
            "id": "errors", "name": "Errors", "version": 1, "severity": "high", "enabled": true,
            "message": message, "scope": ["logs"],
            "selection": {"all": [{"field": "level", "op": "eq", "value": "error"}]},
        });
        RuleRow {
            org: OrgId::from_u128(org),
            id: "errors".to_owned(),
            version: 1,
            body,
        }
    }

    #[test]
    fn only_what_has_changed_is_compiled_again() {
        let mut rows = ControlRows {
            revision: 1,
            organisations: (1..=4).map(organisation).collect(),
            rules: (1..=4).map(|org| rule(org, "first")).collect(),
            ..ControlRows::default()
        };
        let (before, unusable) = Control::build(&rows, Kept::default(), &Fixed::default());
        assert_eq!(unusable, []);
        rows.rules[1] = rule(2, "second");
        rows.organisations[2].pepper = [8; 32];
        rows.organisations[3].settings = json!({"hours": Value::Null});
        let kept = Kept {
            indicators: Some(&before.indicators()),
            allowed: Some(&before.allowed()),
            before: Some(&before),
        };
        let (after, unusable) = Control::build(&rows, kept, &Fixed::default());
        let same = |org| {
            let of =
                |control: &Control| Arc::as_ptr(control.compiled(OrgId::from_u128(org)).unwrap());
            of(&before) == of(&after)
        };
        assert_eq!([1, 2, 3, 4].map(same), [true, false, false, false]);
        let told: Vec<OrgId> = unusable.iter().map(|one| one.org).collect();
        assert_eq!(told, [OrgId::from_u128(4)], "what is new and wrong");
        assert!(Arc::ptr_eq(&before.indicators(), &after.indicators()));
    }
}
