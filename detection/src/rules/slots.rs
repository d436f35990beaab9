//! Slots: the values an event has for the paths that rules name.
//!
//! Of an event is noted which of its fields have an entry in the [`FieldMap`]; a slot is filled
//! when somebody asks for it, which for most events nobody does. Nothing is allocated once the
//! memory has grown.

use super::elements::{Elements, Stretch};
use super::evaluate::EventView;
use super::fields::{Entry, FieldMap, bit_of, entry_of, word_of};
use super::filter::Span;
use super::path::RESOURCE_RANK;
use crate::field::FieldAt;
use millrace_shared::Value;
use std::cell::RefCell;

const NONE: u32 = u32::MAX;
/// Entries of a word of bits.
const ENTRIES_OF_WORD: usize = u64::BITS as usize;

/// A field of the event that has an entry.
#[derive(Clone, Copy, Debug)]
struct Found {
    entry: Entry,
    at: FieldAt,
    /// Its values, where it is text of JSON.
    elements: Span,
    /// The number of the one before with the same entry.
    before: u32,
}

/// One value of a slot.
#[derive(Clone, Copy, Debug)]
struct Filling {
    at: FieldAt,
    stretch: Stretch,
}

/// Where the values of a slot are among all fillings.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    epoch: u32,
    from: u32,
    to: u32,
    is_present: bool,
}

/// The fields of one event, and the slots that were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    epoch: u32,
    found: Vec<Found>,
    /// The entries of what was found, a bit each.
    entries: Vec<u64>,
    /// By entry, if it was found: the number of the last with it.
    last: Vec<u32>,
    elements: Elements,
    filled: RefCell<Filled>,
}

#[derive(Clone, Debug, Default)]
struct Filled {
    /// By slot.
    states: Vec<State>,
    fillings: Vec<Filling>,
    /// What fills the slot at hand, with ranks.
    sources: Vec<(u32, u8)>,
}

impl Slots {
    /// Forgets the event before.
    pub(super) fn begin(&mut self) {
        for one in self.found.drain(..) {
            if let Some(word) = self.entries.get_mut(word_of(one.entry)) {
                *word = 0;
            }
        }
        self.elements.clear();
        let filled = self.filled.get_mut();
        filled.fillings.clear();
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            filled.states.clear();
            self.epoch = 1;
        }
    }

    /// Notes a field that has an entry. Those of the event come before those of the resource.
    #[inline]
    pub(super) fn note(&mut self, entry: Entry, at: FieldAt, value: &Value<'_>) {
        let elements = match value {
            Value::Json(text) => self.elements.read(text),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Null => {
                Span::default()
            }
        };
        let word = word_of(entry);
        if self.entries.len() <= word {
            self.entries.resize(word + 1, 0);
            self.last.resize((word + 1) * ENTRIES_OF_WORD, NONE);
        }
        let mut before = NONE;
        if let Some(word) = self.entries.get_mut(word)
            && let Some(last) = self.last.get_mut(entry as usize)
        {
            if *word & bit_of(entry) != 0 {
                before = *last;
            }
            *word |= bit_of(entry);
            *last = u32::try_from(self.found.len()).unwrap_or(NONE);
        }
        self.found.push(Found {
            entry,
            at,
            elements,
            before,
        });
    }

    /// Hands over every value that the field noted last gives a slot.
    #[inline]
    pub(super) fn each_of_last(&self, value: &Value<'_>, visit: &mut impl FnMut(&Value<'_>)) {
        let Value::Json(_) = value else {
            return visit(value);
        };
        let last = self.found.last().map(|last| last.elements);
        for stretch in self.elements.of(last.unwrap_or_default()) {
            visit(&self.elements.value(*stretch, *value));
        }
    }
}

/// The slots of an event, filled as they are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'s, 'e, 'a> {
    pub(super) slots: &'s Slots,
    pub(super) map: &'s FieldMap,
    pub(super) view: &'s EventView<'e, 'a>,
}

impl<'s, 'e, 'a> Asking<'s, 'e, 'a> {
    /// Whether the event has a field for the slot, be it null.
    pub(super) fn is_present(self, slot: u32) -> bool {
        self.state(slot).is_present
    }

    /// All values of a slot.
    #[inline]
    pub(super) fn values(
        self,
        slot: u32,
    ) -> impl Iterator<Item = (FieldAt, Value<'s>)> + use<'s, 'e, 'a> {
        let state = self.state(slot);
        (state.from..state.to).filter_map(move |number| {
            let filled = self.slots.filled.borrow();
            let filling = filled.fillings.get(number as usize)?;
            let field = filling.at.of(self.view.event, self.view.resource)?;
            let value = self.slots.elements.value(filling.stretch, field.value);
            Some((filling.at, value))
        })
    }

    #[inline]
    fn state(self, slot: u32) -> State {
        let mut filled = self.slots.filled.borrow_mut();
        let known = filled.states.get(slot as usize).copied();
        match known.filter(|state| state.epoch == self.slots.epoch) {
            Some(state) => state,
            None => filled.fill(slot, self),
        }
    }
}

impl Filled {
    /// Puts the values of a slot: those of the sources that its path prefers.
    fn fill(&mut self, slot: u32, asking: Asking<'_, '_, '_>) -> State {
        // Nothing is remembered of what no field fills: numbers that are of no slot are large.
        if asking.map.feeds_of(slot).is_empty() {
            return State::default();
        }
        self.gather(slot, asking);
        let Filled {
            fillings, sources, ..
        } = self;
        let from = fillings.len();
        let (mut best, mut is_present) = (u8::MAX, false);
        for (number, rank) in sources.iter().copied() {
            let Some(Found { at, elements, .. }) = asking.slots.found.get(number as usize) else {
                continue;
            };
            let Some(field) = at.of(asking.view.event, asking.view.resource) else {
                continue;
            };
            // There, though it may hold nothing.
            is_present = true;
            let mut put = |stretch: Stretch| {
                if rank < best {
                    best = rank;
                    fillings.truncate(from);
                }
                if rank == best {
                    fillings.push(Filling { at: *at, stretch });
                }
            };
            match &field.value {
                Value::Null => {}
                Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                    put(Stretch::Whole);
                }
                Value::Json(_) => {
                    let stretches = asking.slots.elements.of(*elements);
                    stretches.iter().copied().for_each(put);
                }
            }
        }
        let number = |place: usize| u32::try_from(place).unwrap_or(NONE);
        let state = State {
            epoch: asking.slots.epoch,
            from: number(from),
            to: number(fillings.len()),
            is_present,
        };
        self.remember(slot, state);
        state
    }

    fn remember(&mut self, slot: u32, state: State) {
        let place = slot as usize;
        if self.states.len() <= place {
            self.states.resize(place + 1, State::default());
        }
        if let Some(known) = self.states.get_mut(place) {
            *known = state;
        }
    }

    /// Finds the fields that fill a slot, in their order.
    fn gather(&mut self, slot: u32, asking: Asking<'_, '_, '_>) {
        let Slots {
            found,
            entries,
            last,
            ..
        } = asking.slots;
        self.sources.clear();
        for (word, feeds) in asking.map.feeds_of(slot) {
            let mut there = entries.get(*word).copied().unwrap_or(0) & feeds;
            while there != 0 {
                let entry = entry_of(*word, there.trailing_zeros());
                there &= there - 1;
                let rank = asking.map.rank(entry, slot).unwrap_or(u8::MAX);
                let mut number = last.get(entry as usize).copied().unwrap_or(NONE);
                while let Some(one) = found.get(number as usize) {
                    let further = if one.at.is_resource() {
                        RESOURCE_RANK
                    } else {
                        0
                    };
                    self.sources.push((number, rank.saturating_add(further)));
                    number = one.before;
                }
            }
        }
        self.sources.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Sequence;
    use super::*;
    use crate::indicators::Verdict;
    use crate::rules::path::{Source, all_sources, keys_of};
    use millrace_shared::{Event, Field, Resource, Role, Signal};
    use proptest::prelude::*;

    const PATHS: [&str; 10] = [
        "x",
        "attributes.x",
        "x || y || level",
        "user",
        "level",
        "resource.x",
        "resource.service",
        "service",
        "performance.x",
        "result || host",
    ];

    fn field() -> impl Strategy<Value = Field<'static>> {
        let named = prop::sample::select(vec![
            (Role::Attribute, "x"),
            (Role::Attribute, "y"),
            (Role::Attribute, "level"),
            (Role::Attribute, "host"),
            (Role::Performance, "performance.x"),
            (Role::ResourceAttribute, "x"),
            (Role::Level, "level"),
            (Role::Service, "service"),
            (Role::Host, "host"),
            (Role::Outcome, "outcome"),
            (Role::ActorId, "actor.id"),
            (Role::UserId, "user_id"),
        ]);
        let value = prop::sample::select(vec![
            Value::Text("a"),
            Value::Int(1),
            Value::Bool(true),
            Value::Null,
            Value::Json("[]"),
            Value::Json("[null]"),
            Value::Json(r#"[2, "b"]"#),
            Value::Json(r#"[2.5, [3]]"#),
            Value::Json(r#"["\\b", "c", "\u00e4\""]"#),
            Value::Json(r#"{"a": "\\"}"#),
        ]);
        (named, value).prop_map(|((role, name), value)| Field {
            name,
            value,
            role,
            sub: 0,
        })
    }

    /// What a field gives a slot.
    fn given(value: Value<'static>) -> Vec<Value<'static>> {
        match value {
            Value::Null | Value::Json("[]") => vec![],
            Value::Json("[null]") => vec![Value::Null],
            Value::Json(r#"[2, "b"]"#) => vec![Value::Int(2), Value::Text("b")],
            Value::Json(r#"[2.5, [3]]"#) => vec![Value::Float(2.5), value],
            Value::Json(text) if text.starts_with('[') => {
                vec![Value::Text(r"\b"), Value::Text("c"), Value::Text("ä\"")]
            }
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Json(_) => {
                vec![value]
            }
        }
    }

    /// The rank of a field for a path, by definition.
    fn rank(path: &str, field: &Field<'_>, of_resource: bool) -> Option<u8> {
        let is_meant = |source: &Source| match source {
            Source::Core(role) => field.role == *role,
            Source::ResourceCore(role) => of_resource && field.role == *role,
            Source::Key(keys, key) => keys_of(field.role) == Some(*keys) && field.name == key,
        };
        let sources = all_sources(path);
        let (rank, _) = sources.iter().find(|(_, source)| is_meant(source))?;
        Some(rank + if of_resource { RESOURCE_RANK } else { 0 })
    }

    /// The fields of an event, then those of its resource.
    fn all<'e>(view: &EventView<'e, 'static>) -> Vec<(FieldAt, &'e Field<'static>)> {
        let of_event = view.event.fields.iter().enumerate();
        let of_event = of_event.map(|(at, one)| (FieldAt::event(at), one));
        let of_resource = view.resource.fields.iter().enumerate();
        let of_resource = of_resource.map(|(at, one)| (FieldAt::resource(at), one));
        of_event.chain(of_resource).collect()
    }

    /// The values of a path, and whether it is there at all.
    fn by_definition(
        path: &str,
        view: &EventView<'_, 'static>,
    ) -> (Vec<(FieldAt, Value<'static>)>, bool) {
        let (mut values, mut is_present) = (Vec::new(), false);
        for (at, field) in all(view) {
            if let Some(rank) = rank(path, field, at.is_resource()) {
                is_present = true;
                let given = given(field.value).into_iter();
                values.extend(given.map(|value| (rank, at, value)));
            }
        }
        let best = values.iter().map(|one| one.0).min();
        values.retain(|one| Some(one.0) == best);
        let values = values.into_iter().map(|(_, at, value)| (at, value));
        (values.collect(), is_present)
    }

    #[test]
    fn a_number_that_is_of_no_slot_takes_no_memory() {
        let (map, slots) = (FieldMap::default(), Slots::default());
        let event = Event::new(Signal::Logs);
        let view = EventView {
            event: &event,
            resource: &Resource { fields: Vec::new() },
            timestamp_ns: 0,
            received_ns: 0,
            verdict: Verdict::NONE,
        };
        let asking = Asking {
            slots: &slots,
            map: &map,
            view: &view,
        };
        assert_eq!(asking.values(u32::MAX - 1).count(), 0);
        assert!(!asking.is_present(u32::MAX));
        assert!(slots.filled.borrow().states.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// One map and one memory serve several events; slots are asked for in any order.
        #[test]
        fn slots_are_filled_as_defined(
            events in prop::collection::vec((
                prop::collection::vec(field(), 0..8),
                prop::collection::vec(field(), 0..4),
                prop::collection::vec(0..PATHS.len(), 1..12),
            ), 1..4),
        ) {
            let (mut map, mut slots) = (FieldMap::default(), Slots::default());
            let mut names = Sequence::default();
            for (slot, path) in (0..).zip(PATHS) {
                map.add(slot, path);
            }
            for (of_event, of_resource, asked) in events {
                let mut event = Event::new(Signal::Logs);
                event.fields = of_event;
                let view = EventView {
                    event: &event,
                    resource: &Resource { fields: of_resource },
                    timestamp_ns: 0,
                    received_ns: 0,
                    verdict: Verdict::NONE,
                };
                slots.begin();
                names.begin(1);
                for (at, field) in all(&view) {
                    let entry = if at.is_resource() {
                        map.of_resource(field, &mut names)
                    } else {
                        map.of_event(field, &mut names)
                    };
                    if let Some(entry) = entry {
                        let mut seen = Vec::new();
                        slots.note(entry, at, &field.value);
                        slots.each_of_last(&field.value, &mut |value| seen.push(format!("{value:?}")));
                        let given = if matches!(field.value, Value::Null) {
                            vec![Value::Null]
                        } else {
                            given(field.value)
                        };
                        let given: Vec<String> = given.iter().map(|value| format!("{value:?}")).collect();
                        prop_assert_eq!(seen, given);
                    }
                }
                let asking = Asking { slots: &slots, map: &map, view: &view };
                for number in asked {
                    let (expected, is_present) = by_definition(PATHS[number], &view);
                    let slot = u32::try_from(number).unwrap();
                    let values: Vec<_> = asking.values(slot).collect();
                    prop_assert_eq!(values, expected, "{}", PATHS[number]);
                    prop_assert_eq!(asking.is_present(slot), is_present, "{}", PATHS[number]);
                }
            }
        }
    }
}
