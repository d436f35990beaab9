//! An event scrubbed to see what becomes of it: which of its fields were changed, and for which classes.

use bumpalo::Bump;
use millrace_shared::Event;
use std::collections::BTreeMap;

use crate::class::ClassSet;
use crate::scrubber::Scrubber;

impl Scrubber {
    /// Scrubs every field of an event in place. The fields that were changed, under the names they
    /// were sent with, with what was found in each.
    pub fn try_event<'a>(
        &self,
        event: &mut Event<'a>,
        arena: &'a Bump,
    ) -> BTreeMap<String, ClassSet> {
        let mut changed = BTreeMap::new();
        for field in &mut event.fields {
            let (sent, mut found) = (*field, ClassSet::EMPTY);
            self.scrub_field(field, arena, &mut found);
            if *field != sent {
                changed.insert(sent.name.to_owned(), found);
            }
        }
        changed
    }
}
