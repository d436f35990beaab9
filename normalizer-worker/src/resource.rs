//! The resource of an entry, scrubbed and encoded once for all its events.

use bumpalo::Bump;
use millrace_scrubber::{ClassSet, Scrubber};
use millrace_shared::rows::encode_map;
use millrace_shared::{Resource, Role};

/// A resource from which personal data is gone.
#[derive(Debug)]
pub(crate) struct EntryResource<'a> {
    /// Its fields, at the same positions as in the resource that was sent.
    pub(crate) scrubbed: Resource<'a>,
    /// Which classes were scrubbed from it.
    pub(crate) classes: ClassSet,
    /// The further attributes, as a RowBinary map.
    pub(crate) map: Vec<u8>,
}

impl<'a> EntryResource<'a> {
    pub(crate) fn new(raw: &Resource<'a>, scrubber: &Scrubber, arena: &'a Bump) -> Self {
        let mut scrubbed = raw.clone();
        let mut classes = ClassSet::EMPTY;
        scrubber.scrub_fields(&mut scrubbed.fields, arena, &mut classes);
        let mut map = Vec::new();
        encode_map(&scrubbed.fields, &mut map);
        EntryResource {
            scrubbed,
            classes,
            map,
        }
    }

    /// A core field of it, or nothing.
    pub(crate) fn text(&self, role: Role) -> &'a str {
        self.scrubbed.text(role).unwrap_or("")
    }
}
