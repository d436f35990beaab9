//! Detected → scrubbed: every string of the event, keys too, through the organisation's policy; and
//! then the rules that ask what was found.
//!
//! Only a [`ScrubbedEvent`] can be made into a row, an alert or anything else that leaves.

use crate::control::Organisation;
use crate::detect::{DetectedEvent, Detection, Scratch};
use crate::normalize::Facts;
use crate::resource::EntryResource;
use bumpalo::Bump;
use millrace_detection::EventView;
use millrace_scrubber::{ClassSet, Scrubbed};
use millrace_shared::{Event, Role, Value};

/// An event from which personal data is gone.
#[derive(Debug)]
pub(crate) struct ScrubbedEvent<'e, 'a> {
    pub(crate) event: &'e Event<'a>,
    pub(crate) facts: Facts,
    pub(crate) detection: Detection<'a>,
    /// What was scrubbed from it and from its resource.
    pub(crate) classes: ClassSet,
}

/// What scrubbing needs to know beside the event.
#[derive(Debug)]
pub(crate) struct Around<'s, 'c, 'a> {
    pub(crate) organisation: &'c Organisation,
    pub(crate) resource: &'s EntryResource<'a>,
    /// When the event was received, nanoseconds.
    pub(crate) received_ns: i64,
    pub(crate) scratch: &'s mut Scratch,
}

impl<'e, 'a> DetectedEvent<'e, 'a> {
    /// Takes the personal data out. Positions of fields stay as they are.
    pub(crate) fn scrub<'c: 'a>(
        self,
        around: Around<'_, 'c, 'a>,
        arena: &'a Bump,
    ) -> ScrubbedEvent<'e, 'a> {
        let DetectedEvent {
            event,
            facts,
            mut detection,
        } = self;
        let scrubber = around.organisation.scrubber();
        let mut classes = around.resource.classes;
        scrubber.scrub_fields(&mut event.fields, arena, &mut classes);
        let plan = scrubber.plan("observables");
        detection.observables.retain_mut(|observable| {
            match scrubber.scrub_planned(arena, plan, observable, &mut classes) {
                None => true,
                Some(Scrubbed::Replaced(text)) => {
                    *observable = text;
                    // A bare `[EMAIL]` tells nothing; a hash or a pseudonym still joins.
                    !text.starts_with('[')
                }
                Some(Scrubbed::Removed) => false,
            }
        });
        if !classes.is_empty() {
            around.look_again(event, (facts, classes), &mut detection);
        }
        ScrubbedEvent {
            event,
            facts,
            detection,
            classes,
        }
    }
}

impl<'c: 'a, 'a> Around<'_, 'c, 'a> {
    /// Puts the scrubbed event, with a field for each class, to the rules that ask what was found.
    fn look_again(
        self,
        event: &mut Event<'a>,
        (facts, classes): (Facts, ClassSet),
        detection: &mut Detection<'a>,
    ) {
        let rules = self.organisation.rules();
        if !rules.asks_after_scrubbing(event.signal) {
            return;
        }
        for class in classes.names() {
            event.push(Role::PiiClass, Value::Text(class));
        }
        let view = EventView {
            event,
            resource: &self.resource.scrubbed,
            timestamp_ns: facts.timestamp,
            received_ns: self.received_ns,
            verdict: detection.verdict,
        };
        let (scratch, matches) = self.scratch.matched();
        rules.evaluate_scrubbed(&view, scratch, matches);
        detection.note(self.organisation, matches);
    }
}
