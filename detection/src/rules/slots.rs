//! Slots: the values an event has for the paths that rules name.
//!
//! Of an event is noted which of its fields have an entry in the [`FieldMap`]; a slot is filled
//! when somebody asks for it, which for most events nobody does. Nothing is allocated once the
//! memory has grown.

use super::evaluate::EventView;
use super::fields::{Entry, FieldMap};
use super::path::RESOURCE_RANK;
use crate::field::FieldAt;
use millrace_shared::Value;
use millrace_shared::json::Reader;
use std::cell::RefCell;

/// Elements of an array that rules look at.
const ELEMENTS_MAX: usize = 256;
/// Depth of the arrays whose elements are looked at: one, and what must be skipped within.
const ELEMENT_DEPTH_MAX: usize = 32;

const NONE: u32 = u32::MAX;

/// A field of the event that has an entry.
#[derive(Clone, Copy, Debug)]
struct Found {
    entry: Entry,
    at: FieldAt,
}

/// The first and the last of the fields with an entry.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    epoch: u32,
    first: u32,
    last: u32,
}

/// One value: a field, or a stretch of the text of its array.
#[derive(Clone, Copy, Debug)]
struct Filling {
    at: FieldAt,
    from: u32,
    to: u32,
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
    filled: RefCell<Filled>,
}

#[derive(Clone, Debug, Default)]
struct Filled {
    /// By entry; of this event once `is_linked`.
    chains: Vec<Chain>,
    /// By the number of what was found: the next one with its entry.
    links: Vec<u32>,
    is_linked: bool,
    /// By slot.
    states: Vec<State>,
    fillings: Vec<Filling>,
    /// What fills the slot at hand, with ranks.
    sources: Vec<(u32, u8)>,
}

impl Slots {
    /// Forgets the event before.
    pub(super) fn begin(&mut self) {
        self.found.clear();
        let filled = self.filled.get_mut();
        filled.fillings.clear();
        filled.is_linked = false;
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            filled.states.clear();
            filled.chains.clear();
            self.epoch = 1;
        }
    }

    /// Notes a field that has an entry. Those of the event come before those of the resource.
    #[inline]
    pub(super) fn note(&mut self, entry: Entry, at: FieldAt) {
        self.found.push(Found { entry, at });
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
    ) -> impl Iterator<Item = (FieldAt, Value<'a>)> + use<'s, 'e, 'a> {
        let state = self.state(slot);
        (state.from..state.to).filter_map(move |number| {
            let filled = self.slots.filled.borrow();
            let filling = filled.fillings.get(number as usize)?;
            let field = filling.at.of(self.view.event, self.view.resource)?;
            Some((filling.at, filling.value(field.value)))
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
        if asking.map.feeds(slot).is_empty() {
            return State::default();
        }
        self.gather(slot, asking);
        let Filled {
            fillings, sources, ..
        } = self;
        let from = fillings.len();
        let (mut best, mut is_present) = (u8::MAX, false);
        for (number, rank) in sources.iter().copied() {
            let found = asking.slots.found.get(number as usize);
            let Some(at) = found.map(|found| found.at) else {
                continue;
            };
            let Some(field) = at.of(asking.view.event, asking.view.resource) else {
                continue;
            };
            let mut put = |stretch: (u32, u32)| {
                is_present = true;
                if rank < best {
                    best = rank;
                    fillings.truncate(from);
                }
                if rank == best {
                    let (from, to) = stretch;
                    fillings.push(Filling { at, from, to });
                }
            };
            match &field.value {
                Value::Null => is_present = true,
                Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => put(WHOLE),
                Value::Json(text) => {
                    if !each_element(text, &mut put) {
                        put(WHOLE);
                    }
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
        let Slots { epoch, found, .. } = asking.slots;
        if !self.is_linked {
            self.link(found, *epoch);
        }
        self.sources.clear();
        for feed in asking.map.feeds(slot) {
            let chain = self.chains.get(feed.entry as usize);
            let chain = chain.filter(|chain| chain.epoch == *epoch);
            let mut next = chain.map_or(NONE, |chain| chain.first);
            while let Some(one) = found.get(next as usize) {
                let further = if one.at.is_resource() {
                    RESOURCE_RANK
                } else {
                    0
                };
                self.sources.push((next, feed.rank.saturating_add(further)));
                next = self.links.get(next as usize).copied().unwrap_or(NONE);
            }
        }
        self.sources.sort_unstable();
    }

    /// Links the fields that have the same entry.
    fn link(&mut self, found: &[Found], epoch: u32) {
        self.links.clear();
        self.links.resize(found.len(), NONE);
        for (number, one) in (0_u32..).zip(found) {
            let place = one.entry as usize;
            if self.chains.len() <= place {
                self.chains.resize(place + 1, Chain::default());
            }
            let Some(chain) = self.chains.get_mut(place) else {
                continue;
            };
            if chain.epoch != epoch {
                *chain = Chain {
                    epoch,
                    first: number,
                    last: number,
                };
                continue;
            }
            if let Some(link) = self.links.get_mut(chain.last as usize) {
                *link = number;
            }
            chain.last = number;
        }
        self.is_linked = true;
    }
}

/// The stretch of a value that is not an element of an array.
const WHOLE: (u32, u32) = (0, NONE);

impl Filling {
    fn value<'a>(&self, whole: Value<'a>) -> Value<'a> {
        if self.to == NONE {
            return whole;
        }
        let text = whole.as_text();
        let text = text.and_then(|text| text.get(self.from as usize..self.to as usize));
        element(text.unwrap_or("null"))
    }
}

/// Hands over every value that a field gives a slot.
#[inline]
pub(super) fn each_value<'a>(value: &Value<'a>, visit: &mut impl FnMut(&Value<'a>)) {
    let Value::Json(text) = value else {
        return visit(value);
    };
    let all = each_element(text, &mut |(from, to)| {
        let text = text.get(from as usize..to as usize);
        visit(&element(text.unwrap_or("null")));
    });
    if !all {
        visit(value);
    }
}

/// Hands over where each element of an array stands. Says no when an element is more than a plain
/// scalar, so that the text as a whole is looked at too.
fn each_element(text: &str, visit: &mut impl FnMut((u32, u32))) -> bool {
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
            (Ok(from), Ok(to)) if is_plain(element) => visit((from, to)),
            _ => plain = false,
        }
    }
    plain
}

/// The value of an array's element.
fn element(text: &str) -> Value<'_> {
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

/// Whether an element is a scalar whose text needs no unescaping.
fn is_plain(element: &str) -> bool {
    !element.starts_with(['[', '{']) && !element.contains('\\')
}

#[cfg(test)]
mod tests {
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
            Value::Json(_) => vec![Value::Float(2.5), value],
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => vec![value],
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
        let (mut values, mut is_null) = (Vec::new(), false);
        for (at, field) in all(view) {
            if let Some(rank) = rank(path, field, at.is_resource()) {
                is_null |= field.value == Value::Null;
                let given = given(field.value).into_iter();
                values.extend(given.map(|value| (rank, at, value)));
            }
        }
        let is_present = is_null || !values.is_empty();
        let best = values.iter().map(|one| one.0).min();
        values.retain(|one| Some(one.0) == best);
        let values = values.into_iter().map(|(_, at, value)| (at, value));
        (values.collect(), is_present)
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
                for (at, field) in all(&view) {
                    let of_event = if at.is_resource() { None } else { map.of_event(field) };
                    let of_resource = at.is_resource().then(|| map.of_resource(field)).flatten();
                    if let Some(entry) = of_event.or(of_resource) {
                        slots.note(entry, at);
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
