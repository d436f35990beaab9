//! Where a field is: in the event or in the body's resource. It never holds the field's text.

use millrace_shared::{Event, Field, Resource};

/// The top bit tells the resource's fields from the event's.
const RESOURCE: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

/// The position of a field: of the event, of the resource, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldAt(u32);

impl FieldAt {
    /// No field.
    pub const NONE: FieldAt = FieldAt(NONE);

    /// The event's field with that index.
    #[must_use]
    pub fn event(index: usize) -> Self {
        u32::try_from(index).map_or(Self::NONE, |index| FieldAt(index & !RESOURCE))
    }

    /// The resource's field with that index.
    #[must_use]
    pub fn resource(index: usize) -> Self {
        u32::try_from(index).map_or(Self::NONE, |index| FieldAt(index | RESOURCE))
    }

    /// Whether there is a field at all.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != NONE
    }

    /// Whether the field belongs to the resource.
    #[must_use]
    pub const fn is_resource(self) -> bool {
        self.is_some() && self.0 & RESOURCE != 0
    }

    /// Its index in the list it belongs to.
    #[must_use]
    pub const fn index(self) -> Option<usize> {
        if self.is_some() {
            Some((self.0 & !RESOURCE) as usize)
        } else {
            None
        }
    }

    /// The field itself.
    #[must_use]
    pub fn of<'f, 'a>(
        self,
        event: &'f Event<'a>,
        resource: &'f Resource<'a>,
    ) -> Option<&'f Field<'a>> {
        let fields = if self.is_resource() {
            &resource.fields
        } else {
            &event.fields
        };
        fields.get(self.index()?)
    }
}
