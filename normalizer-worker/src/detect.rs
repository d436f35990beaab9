//! Normalized → detected: observables, indicators that match them, rules that match the event.
//!
//! It sees the raw event, and keeps of it only what the scrubber can still reach: positions of
//! fields, keyed hashes, and observables that are scrubbed with the rest.

use crate::control::Organisation;
use crate::normalize::{Facts, NormalizedEvent};
use crate::own_records::names_indicators;
use bumpalo::Bump;
use millrace_detection::indicators::{Feed, IndicatorMatch};
use millrace_detection::rules;
use millrace_detection::{EventView, Observables, RuleMatch, Verdict};
use millrace_shared::Event;
use millrace_shared::entry::Meta;
use smallvec::SmallVec;

/// An event with everything that detection found in it. Still unscrubbed.
#[derive(Debug)]
pub(crate) struct DetectedEvent<'e, 'a> {
    pub(crate) event: &'e mut Event<'a>,
    pub(crate) facts: Facts,
    pub(crate) detection: Detection<'a>,
}

/// What was found in one event.
#[derive(Debug)]
pub(crate) struct Detection<'a> {
    pub(crate) observables: SmallVec<[&'a str; 8]>,
    pub(crate) verdict: Verdict,
    pub(crate) indicator_ids: SmallVec<[u64; 2]>,
    /// The feeds of these indicators, each as often as it has matched, and whether they are everybody's.
    pub(crate) feeds: SmallVec<[(&'a Feed, bool); 2]>,
    pub(crate) threat_names: SmallVec<[&'a str; 2]>,
    pub(crate) rule_ids: SmallVec<[&'a str; 2]>,
    pub(crate) matches: SmallVec<[RuleMatch; 3]>,
}

/// Memory reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    indicators: Vec<IndicatorMatch>,
    rules: rules::Scratch,
    matches: Vec<RuleMatch>,
}

impl Scratch {
    /// What rules need for an event, and where their matches go: nothing is in there yet.
    pub(crate) fn matched(&mut self) -> (&mut rules::Scratch, &mut Vec<RuleMatch>) {
        self.matches.clear();
        (&mut self.rules, &mut self.matches)
    }
}

impl<'a> Detection<'a> {
    /// Takes matches up. What only counts in the base of a share is not selected.
    pub(crate) fn note<'c: 'a>(
        &mut self,
        organisation: &'c Organisation,
        matches: &mut Vec<RuleMatch>,
    ) {
        let selected = matches.iter().filter(|found| !found.is_base);
        let rules = selected.filter_map(|found| organisation.rule(found));
        self.rule_ids.extend(rules.map(|rule| rule.def.id.as_str()));
        self.matches.extend(matches.drain(..));
    }
}

impl<'e, 'a> NormalizedEvent<'e, 'a> {
    /// Looks for observables, indicators and rules.
    pub(crate) fn detect<'c: 'a>(
        self,
        organisation: &'c Organisation,
        meta: &Meta,
        scratch: &mut Scratch,
        arena: &'a Bump,
    ) -> DetectedEvent<'e, 'a> {
        let NormalizedEvent {
            event,
            resource,
            facts,
        } = self;
        let mut found = Observables::new();
        found.extract_event(&event.fields, arena);
        found.extract_resource(&resource.fields, arena);
        let evidence = if names_indicators(meta, event) {
            &[]
        } else {
            found.as_slice()
        };
        let verdict = organisation.verdict(evidence, meta, &mut scratch.indicators);
        let mut detection = Detection {
            observables: found
                .as_slice()
                .iter()
                .map(|observable| observable.value)
                .collect(),
            verdict,
            indicator_ids: SmallVec::new(),
            feeds: SmallVec::new(),
            threat_names: SmallVec::new(),
            rule_ids: SmallVec::new(),
            matches: SmallVec::new(),
        };
        for known in organisation.known(&scratch.indicators) {
            detection.indicator_ids.push(known.id);
            detection.feeds.push((known.feed, known.everybodys));
            if !known.threat.is_empty() && !detection.threat_names.contains(&known.threat) {
                detection.threat_names.push(known.threat);
            }
        }
        let view = EventView {
            event,
            resource,
            timestamp_ns: facts.timestamp,
            received_ns: meta.received_at,
            verdict,
        };
        let (rules, matches) = scratch.matched();
        organisation.rules().evaluate(&view, rules, matches);
        detection.note(organisation, matches);
        DetectedEvent {
            event,
            facts,
            detection,
        }
    }
}
