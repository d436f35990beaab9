//! Slots: the values an event has for the paths that rules name, gathered in one pass over its
//! fields.

use super::path::{Keys, RESOURCE_RANK, Source, all_sources, keys_of};
use crate::field::FieldAt;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use millrace_shared::json::{JsonError, Kind, Reader};
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

/// One value: a field, a stretch of the text of its array, or one of what its escapes meant.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: FieldAt,
    stretch: Stretch,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
enum Stretch {
    Whole,
    OfArray { from: u32, to: u32 },
    Unescaped { from: u32, to: u32 },
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
    /// Elements of arrays that are written with escapes, without them.
    texts: String,
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
        self.texts.clear();
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
        let whole = |slots: &mut Slots| slots.push(target, at, Stretch::Whole);
        match value {
            Value::Null => self.touch(target.slot, u8::MAX),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => whole(self),
            Value::Json(text) => {
                // There, though it may hold nothing.
                self.touch(target.slot, u8::MAX);
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
            let stretch = self.stretch(&reader, from);
            match stretch {
                Some(stretch) => self.push(target, at, stretch),
                None => plain = false,
            }
        }
        plain
    }

    /// The element that begins there and that the reader has just read, unless it is more than a
    /// scalar.
    fn stretch(&mut self, reader: &Reader<'_>, from: usize) -> Option<Stretch> {
        let element = reader.slice(from, reader.position());
        if element.starts_with(['[', '{']) {
            return None;
        }
        if !element.contains('\\') {
            let (from, to) = range(from, reader.position())?;
            return Some(Stretch::OfArray { from, to });
        }
        let from = self.texts.len();
        let string = Reader::new(element).string().ok()?;
        string.append_to(&mut self.texts).ok()?;
        let (from, to) = range(from, self.texts.len())?;
        Some(Stretch::Unescaped { from, to })
    }

    fn push(&mut self, target: Target, at: FieldAt, stretch: Stretch) {
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
            stretch,
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
    ) -> impl Iterator<Item = (FieldAt, Value<'s>)> + use<'s, 'a> {
        let state = self
            .states
            .get(slot as usize)
            .filter(|state| state.epoch == self.epoch);
        let mut next = state.map_or(NONE, |state| state.head);
        std::iter::from_fn(move || {
            let entry = self.entries.get(next as usize)?;
            next = entry.next;
            let field = entry.at.of(event, resource)?;
            Some((entry.at, entry.value(field.value, &self.texts)))
        })
    }
}

impl Entry {
    fn value<'s>(&self, whole: Value<'s>, texts: &'s str) -> Value<'s> {
        let stretch = |text: &'s str, from: u32, to: u32| text.get(from as usize..to as usize);
        match self.stretch {
            Stretch::Whole => whole,
            Stretch::OfArray { from, to } => {
                let text = whole.as_text().and_then(|text| stretch(text, from, to));
                scalar(text.unwrap_or("null"))
            }
            Stretch::Unescaped { from, to } => {
                Value::Text(stretch(texts, from, to).unwrap_or_default())
            }
        }
    }
}

/// A scalar as JSON writes it, a text without escapes.
fn scalar(text: &str) -> Value<'_> {
    match text {
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

fn range(from: usize, to: usize) -> Option<(u32, u32)> {
    Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?))
}

/// Whether a value, or one of those that an array holds however deep, is as asked for. Names of
/// members are no values.
pub(super) fn any_scalar(value: &Value<'_>, holds: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
    let Value::Json(text) = value else {
        return holds(value);
    };
    let mut text_of_element = String::new();
    let found = any_in(&mut Reader::new(text), 0, &mut text_of_element, holds);
    // What cannot be read to its end is looked at as it is.
    found.unwrap_or_else(|_| holds(value))
}

fn any_in(
    reader: &mut Reader<'_>,
    depth: usize,
    unescaped: &mut String,
    holds: &mut dyn FnMut(&Value<'_>) -> bool,
) -> Result<bool, JsonError> {
    let mut first = true;
    match reader.kind() {
        Kind::Array | Kind::Object if depth > ELEMENT_DEPTH_MAX => {
            // An error: no container is within a depth of 0.
            reader.skip(0)?;
        }
        Kind::Array => {
            reader.begin_array()?;
            while reader.next_item(&mut first)? {
                if any_in(reader, depth + 1, unescaped, holds)? {
                    return Ok(true);
                }
            }
        }
        Kind::Object => {
            reader.begin_object()?;
            while reader.next_key(&mut first)?.is_some() {
                if any_in(reader, depth + 1, unescaped, holds)? {
                    return Ok(true);
                }
            }
        }
        Kind::String => {
            let string = reader.string()?;
            if let Some(text) = string.plain() {
                return Ok(holds(&Value::Text(text)));
            }
            unescaped.clear();
            return Ok(string.append_to(unescaped).is_ok() && holds(&Value::Text(unescaped)));
        }
        Kind::Number => return Ok(holds(&scalar(reader.number()?))),
        Kind::Bool => return Ok(holds(&Value::Bool(reader.boolean()?))),
        Kind::Null | Kind::Other => {
            reader.null()?;
            return Ok(holds(&Value::Null));
        }
    }
    Ok(false)
}
