//! Matches of a batch → alerts in the making, joined by what they would be joined by anyway, so
//! that a storm of matches costs one draft.
//!
//! Everything an alert says is read from the scrubbed event.

use crate::control::Organisation;
use crate::resource::EntryResource;
use crate::scrub::ScrubbedEvent;
use crate::work::{AlertDraft, Output, SAMPLES_MAX, WindowHits};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use millrace_detection::rules::Rule;
use millrace_detection::windows::{WindowKind, of_base};
use millrace_detection::{EventView, RuleMatch, WindowSpec, alert};
use millrace_shared::ids::{EventId, OrgId};
use millrace_shared::limits::NS_PER_SECOND;

/// Observables kept with an alert: enough to act upon, few enough to read.
const OBSERVABLES_MAX: usize = 20;

/// Values of one group in one batch that have an alert of their own; any further ones are told of
/// with the first.
const VALUES_TOLD_MAX: usize = 16;

type Key = (OrgId, u32, u128);

/// What has matched so far.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    drafts: Vec<AlertDraft>,
    by_key: HashMap<Key, usize, FixedState>,
    windows: Vec<WindowSpec>,
    hits: Vec<WindowHits>,
    hits_by_key: HashMap<Key, usize, FixedState>,
}

impl Alerts {
    /// Adds the matches of one event.
    pub(crate) fn add<'a>(
        &mut self,
        scrubbed: &ScrubbedEvent<'_, 'a>,
        resource: &EntryResource<'a>,
        (organisation, org): (&Organisation, OrgId),
        id: EventId,
    ) {
        for found in &scrubbed.detection.matches {
            let Some(rule) = organisation.rule(found) else {
                continue;
            };
            let said = Said {
                scrubbed,
                resource,
                org,
                id,
            };
            match &rule.window {
                None => self.alert(&said, rule, found),
                Some(window) => self.hit(&said, rule, found, window),
            }
        }
    }

    fn alert(&mut self, said: &Said<'_, '_>, rule: &Rule, found: &RuleMatch) {
        // Without a dedupe key an alert is the same as no other: the event's own id tells it apart.
        let dedupe = found.dedupe.unwrap_or(said.id.0.as_u128());
        let key = (said.org, found.rule.0, dedupe);
        if let Some(draft) = self
            .by_key
            .get(&key)
            .and_then(|at| self.drafts.get_mut(*at))
        {
            join(draft, said, found);
            return;
        }
        self.by_key.insert(key, self.drafts.len());
        self.drafts.push(said.draft(rule, found, dedupe));
    }

    fn hit(&mut self, said: &Said<'_, '_>, rule: &Rule, found: &RuleMatch, window: &WindowSpec) {
        let Some(group) = alert::window_group(rule, found) else {
            return;
        };
        let hit = (found.at_ns, found.distinct.unwrap_or(0), said.id);
        let key = (said.org, found.rule.0, group);
        if let Some(hits) = self
            .hits_by_key
            .get(&key)
            .and_then(|at| self.hits.get_mut(*at))
        {
            if hits.of_base && !found.is_base {
                hits.alert = said.draft(rule, found, found.dedupe.unwrap_or(group));
                hits.of_base = false;
            } else if !found.is_base {
                join(&mut hits.alert, said, found);
            }
            if tells_of_values(window)
                && hits.by_value.len() < VALUES_TOLD_MAX
                && hits.hits.iter().all(|(_, value, _)| *value != hit.1)
            {
                let draft = said.draft(rule, found, found.dedupe.unwrap_or(group));
                hits.by_value.push((hit.1, draft));
            }
            if !(found.is_base && joins_base(&mut hits.hits, hit)) {
                hits.hits.push(hit);
            }
            return;
        }
        let at = self
            .windows
            .iter()
            .position(|known| known == window)
            .unwrap_or_else(|| {
                self.windows.push(*window);
                self.windows.len() - 1
            });
        self.hits_by_key.insert(key, self.hits.len());
        self.hits.push(WindowHits {
            alert: said.draft(rule, found, found.dedupe.unwrap_or(group)),
            group: group.to_be_bytes(),
            window: u32::try_from(at).unwrap_or(u32::MAX),
            by_value: Vec::new(),
            of_base: found.is_base,
            hits: vec![hit],
        });
    }

    pub(crate) fn into_output(self, output: &mut Output) {
        output.alerts = self.drafts;
        output.windows = self.windows;
        output.hits = self.hits;
    }
}

/// Whether a hit of the base of a share joins the last one, which is of the base and of the same instant:
/// most events of most batches are no more to a rule than one more in its base.
fn joins_base(hits: &mut [(i64, u64, EventId)], hit: (i64, u64, EventId)) -> bool {
    let Some((_, worth, _)) = hits.last_mut().filter(|last| last.0 == hit.0) else {
        return false;
    };
    let joined = of_base(*worth, hit.1);
    *worth = joined.unwrap_or(*worth);
    joined.is_some()
}

/// Whether an alert of the window is about what one event is worth, rather than about all of them.
const fn tells_of_values(window: &WindowSpec) -> bool {
    matches!(window.kind, WindowKind::NewValue | WindowKind::Travel(_))
}

/// An event that matched, and whose.
struct Said<'s, 'a> {
    scrubbed: &'s ScrubbedEvent<'s, 'a>,
    resource: &'s EntryResource<'a>,
    org: OrgId,
    id: EventId,
}

fn join(draft: &mut AlertDraft, said: &Said<'_, '_>, found: &RuleMatch) {
    draft.count += 1;
    draft.first_seen = draft.first_seen.min(found.at_ns);
    draft.last_seen = draft.last_seen.max(found.at_ns);
    draft.severity = draft.severity.max(found.severity);
    draft.risk_score = draft.risk_score.max(said.scrubbed.detection.verdict.score);
    if draft.event_ids.len() < SAMPLES_MAX {
        draft.event_ids.push(said.id);
    }
}

impl<'s, 'a> Said<'s, 'a> {
    fn draft(&self, rule: &Rule, found: &RuleMatch, dedupe: u128) -> AlertDraft {
        let def = &rule.def;
        let observables = &self.scrubbed.detection.observables;
        AlertDraft {
            org: self.org,
            rule: def.id.clone(),
            version: i32::try_from(def.version).unwrap_or(i32::MAX),
            severity: found.severity,
            title: def.name.clone(),
            message: alert::message(def, &self.view()),
            kind: def.id.clone(),
            attack: def.attack.clone(),
            group: alert::group(rule, found, &self.view()).to_string(),
            dedupe: dedupe.to_be_bytes(),
            dedupe_window_s: u32::try_from(rule.dedupe_ns / NS_PER_SECOND).unwrap_or(u32::MAX),
            first_seen: found.at_ns,
            last_seen: found.at_ns,
            count: 1,
            event_ids: vec![self.id],
            observables: observables
                .iter()
                .take(OBSERVABLES_MAX)
                .map(|o| (*o).to_owned())
                .collect(),
            risk_score: self.scrubbed.detection.verdict.score,
            hidden: None,
        }
    }

    /// The event as its alert may tell of it.
    fn view(&self) -> EventView<'s, 'a> {
        EventView {
            event: self.scrubbed.event,
            resource: &self.resource.scrubbed,
            timestamp_ns: self.scrubbed.facts.timestamp,
            received_ns: self.scrubbed.facts.timestamp,
            verdict: self.scrubbed.detection.verdict,
        }
    }
}
