//! Detected → scrubbed: every string of the event, keys too, through the organisation's policy.
//!
//! Only a [`ScrubbedEvent`] can be made into a row, an alert or anything else that leaves.

use crate::detect::{DetectedEvent, Detection};
use crate::normalize::Facts;
use bumpalo::Bump;
use millrace_scrubber::{ClassSet, Scrubbed, Scrubber};
use millrace_shared::Event;

/// An event from which personal data is gone.
#[derive(Debug)]
pub(crate) struct ScrubbedEvent<'e, 'a> {
    pub(crate) event: &'e Event<'a>,
    pub(crate) facts: Facts,
    pub(crate) detection: Detection<'a>,
    pub(crate) classes: ClassSet,
}

impl<'e, 'a> DetectedEvent<'e, 'a> {
    /// Takes the personal data out. Positions of fields stay as they are.
    pub(crate) fn scrub(self, scrubber: &Scrubber, arena: &'a Bump) -> ScrubbedEvent<'e, 'a> {
        let DetectedEvent {
            event,
            facts,
            mut detection,
        } = self;
        let mut classes = ClassSet::EMPTY;
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
        ScrubbedEvent {
            event,
            facts,
            detection,
            classes,
        }
    }
}
