//! Slots: the values an event has for the paths that rules name, gathered in one pass over its
//! fields.

use super::path::{Keys, RESOURCE_RANK, Source, all_sources, keys_of};
use crate::field::FieldAt;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use millrace_shared::json::Reader;
use millrace_shared::{Event, Field, Resource, Role, Value};

/// Elements of an array that rules look at.
const ELEMENTS_MAX: usize = 256;
/// Depth of the arrays whose elements are looked at: one, and what must be skipped within.
const ELEMENT_DEPTH_MAX: usize = 32;

const NONE: u32 = u32::MAX;

/// A slot that a field fills, and how much the path prefers that field.
#[derive(Clone, Copy, Debug)]
struct Target {
    slot: u32,
    rank: u8,
}

/// Which fields of a signal's events fill which slots.
#[derive(Debug)]
pub(super) struct FieldMap {
    roles: Vec<Vec<Target>>,
    resource_roles: Vec<Vec<Target>>,
    keys: [HashMap<Box<str>, Vec<Target>, FixedState>; Keys::ALL.len()],
}

impl Default for FieldMap {
    fn default() -> Self {
        FieldMap {
            roles: vec![Vec::new(); Role::COUNT],
            resource_roles: vec![Vec::new(); Role::COUNT],
            keys: std::array::from_fn(|_| HashMap::with_hasher(FixedState::default())),
        }
    }
}

impl FieldMap {
    /// Has the slot filled by the fields that the path may mean.
    pub(super) fn add(&mut self, slot: u32, path: &str) {
        for (rank, source) in all_sources(path) {
            let target = Target { slot, rank };
            match source {
                Source::Core(role) => {
                    add(self.roles.get_mut(role.index()), target);
                    add(self.resource_roles.get_mut(role.index()), target);
                }
                Source::ResourceCore(role) => {
                    add(self.resource_roles.get_mut(role.index()), target);
                }
                Source::Key(keys, key) => {
                    let table = self.keys.get_mut(keys as usize);
                    add(
                        table.map(|table| table.entry(key.into()).or_default()),
                        target,
                    );
                }
            }
        }
    }

    #[inline]
    fn targets<'m>(&'m self, roles: &'m [Vec<Target>], field: &Field<'_>) -> &'m [Target] {
        let found = match keys_of(field.role) {
            None => roles.get(field.role.index()),
            Some(keys) => {
                let table = self
                    .keys
                    .get(keys as usize)
                    .filter(|table| !table.is_empty());
                table.and_then(|table| table.get(field.name))
            }
        };
        found.map_or(&[], Vec::as_slice)
    }
}

/// Adds a target, unless a source of lower rank fills the slot from the same field already.
fn add(targets: Option<&mut Vec<Target>>, target: Target) {
    if let Some(targets) = targets
        && targets.iter().all(|other| other.slot != target.slot)
    {
        targets.push(target);
    }
}

/// One value: a field, or a stretch of the text of its array.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: FieldAt,
    from: u32,
    to: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct State {
    epoch: u32,
    rank: u8,
    head: u32,
    tail: u32,
}

/// The slots of one event.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    states: Vec<State>,
    entries: Vec<Entry>,
    touched: Vec<u32>,
    epoch: u32,
}

impl Slots {
    /// Empties all slots.
    pub(super) fn begin(&mut self, slots: usize) {
        const EMPTY: State = State {
            epoch: 0,
            rank: 0,
            head: NONE,
            tail: NONE,
        };
        self.entries.clear();
        self.touched.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.states.clear();
            self.epoch = 1;
        }
        if self.states.len() < slots {
            self.states.resize(slots, EMPTY);
        }
    }

    /// Fills the slots from the event and its resource.
    pub(super) fn fill(&mut self, map: &FieldMap, event: &Event<'_>, resource: &Resource<'_>) {
        for (index, field) in event.fields.iter().enumerate() {
            for target in map.targets(&map.roles, field) {
                self.put(*target, FieldAt::event(index), &field.value);
            }
        }
        for (index, field) in resource.fields.iter().enumerate() {
            for target in map.targets(&map.resource_roles, field) {
                let rank = target.rank.saturating_add(RESOURCE_RANK);
                self.put(
                    Target { rank, ..*target },
                    FieldAt::resource(index),
                    &field.value,
                );
            }
        }
    }

    fn put(&mut self, target: Target, at: FieldAt, value: &Value<'_>) {
        let whole = |slots: &mut Slots| slots.push(target, at, 0, NONE);
        match value {
            Value::Null => self.touch(target.slot, u8::MAX),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => whole(self),
            Value::Json(text) => {
                if !self.elements(target, at, text) {
                    whole(self);
                }
            }
        }
    }

    /// Puts each element of an array. Says no when an element is more than a plain scalar, so that
    /// the text as a whole is looked at too.
    fn elements(&mut self, target: Target, at: FieldAt, text: &str) -> bool {
        let mut reader = Reader::new(text);
        if reader.begin_array().is_err() {
            return false;
        }
        let (mut first, mut plain, mut count) = (true, true, 0);
        while let Ok(true) = reader.next_item(&mut first) {
            reader.kind();
            let from = reader.position();
            count += 1;
            if count > ELEMENTS_MAX || reader.skip(ELEMENT_DEPTH_MAX).is_err() {
                return false;
            }
            let element = reader.slice(from, reader.position());
            match (u32::try_from(from), u32::try_from(reader.position())) {
                (Ok(from), Ok(to)) if is_plain(element) => self.push(target, at, from, to),
                _ => plain = false,
            }
        }
        plain
    }

    fn push(&mut self, target: Target, at: FieldAt, from: u32, to: u32) {
        self.touch(target.slot, target.rank);
        let Some(state) = self.states.get_mut(target.slot as usize) else {
            return;
        };
        if target.rank > state.rank {
            return;
        }
        if target.rank < state.rank {
            *state = State {
                rank: target.rank,
                head: NONE,
                tail: NONE,
                ..*state
            };
        }
        let Ok(number) = u32::try_from(self.entries.len()) else {
            return;
        };
        match self.entries.get_mut(state.tail as usize) {
            Some(tail) => tail.next = number,
            None => state.head = number,
        }
        state.tail = number;
        self.entries.push(Entry {
            at,
            from,
            to,
            next: NONE,
        });
    }

    /// Makes a slot one of this event's, though without a value yet.
    fn touch(&mut self, slot: u32, rank: u8) {
        if let Some(state) = self.states.get_mut(slot as usize)
            && state.epoch != self.epoch
        {
            *state = State {
                epoch: self.epoch,
                rank,
                head: NONE,
                tail: NONE,
            };
            self.touched.push(slot);
        }
    }

    /// Whether the event has a field for the slot, be it null.
    pub(super) fn is_present(&self, slot: u32) -> bool {
        self.states
            .get(slot as usize)
            .is_some_and(|state| state.epoch == self.epoch)
    }

    /// The slots that hold something.
    pub(super) fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// All values of a slot.
    #[inline]
    pub(super) fn values<'s, 'a>(
        &'s self,
        slot: u32,
        event: &'s Event<'a>,
        resource: &'s Resource<'a>,
    ) -> impl Iterator<Item = (FieldAt, Value<'a>)> + use<'s, 'a> {
        let state = self
            .states
            .get(slot as usize)
            .filter(|state| state.epoch == self.epoch);
        let mut next = state.map_or(NONE, |state| state.head);
        std::iter::from_fn(move || {
            let entry = self.entries.get(next as usize)?;
            next = entry.next;
            let field = entry.at.of(event, resource)?;
            Some((entry.at, entry.value(field.value)))
        })
    }
}

impl Entry {
    fn value<'a>(&self, whole: Value<'a>) -> Value<'a> {
        if self.to == NONE {
            return whole;
        }
        let text = whole
            .as_text()
            .and_then(|text| text.get(self.from as usize..self.to as usize));
        match text.unwrap_or("null") {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            text => match text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
            {
                Some(inner) => Value::Text(inner),
                None => match text.parse() {
                    Ok(int) => Value::Int(int),
                    Err(_) => text.parse().map_or(Value::Null, Value::Float),
                },
            },
        }
    }
}

/// Whether an element is a scalar whose text needs no unescaping.
fn is_plain(element: &str) -> bool {
    !element.starts_with(['[', '{']) && !element.contains('\\')
}
