//! Which rules are worth trying on an event: one pass over its fields, in which every value is looked
//! at once, for all rules together. It finds too many rather than too few, and decides nothing.

use super::compile::Matcher;
use super::evaluate::EventView;
use super::fields::{Entry, Sequence};
use super::index::{NONE, Values};
use super::keywords::{Keywords, is_sent};
use super::recent::{Recent, Seen, Where};
use super::slots::Slots;
use crate::field::FieldAt;
use millrace_shared::{Field, Value};

/// Bytes of the shortest value worth remembering: a shorter one is looked at as fast.
const REMEMBERED_MIN: usize = 8;
/// Bits of a word.
const WORD: usize = 64;

/// Rules, a bit each, so that they come in the order of their numbers, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    words: Vec<u64>,
    /// Which words are not empty, a bit each.
    touched: Vec<u64>,
}

impl Candidates {
    /// Empties it, and makes room for so many rules.
    fn begin(&mut self, rules: usize) {
        while self.pop().is_some() {}
        let words = rules.div_ceil(WORD);
        if self.words.len() < words {
            self.words.resize(words, 0);
            self.touched.resize(words.div_ceil(WORD), 0);
        }
    }

    #[inline]
    fn add(&mut self, rules: &[u32]) {
        for rule in rules {
            let (word, bit) = (*rule as usize / WORD, *rule as usize % WORD);
            if let Some(bits) = self.words.get_mut(word)
                && let Some(touched) = self.touched.get_mut(word / WORD)
            {
                *bits |= 1 << bit;
                *touched |= 1 << (word % WORD);
            }
        }
    }

    /// Takes out the first.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        for (place, touched) in self.touched.iter_mut().enumerate() {
            while *touched != 0 {
                let word = place * WORD + touched.trailing_zeros() as usize;
                let bits = self.words.get_mut(word)?;
                let bit = bits.trailing_zeros() as usize;
                if bit == WORD {
                    *touched &= *touched - 1;
                    continue;
                }
                *bits &= *bits - 1;
                return u32::try_from(word * WORD + bit).ok();
            }
        }
        None
    }
}

/// Gathers candidates, event after event.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathering {
    pub(super) candidates: Candidates,
    names: Sequence,
    recent: Recent,
    /// Texts of the event that keywords are looked for in together.
    together: Vec<u8>,
    /// One text in lower case.
    lower: Vec<u8>,
}

/// What is looked for in a value.
#[derive(Clone, Copy)]
struct Wanted<'m> {
    at: Where,
    values: Option<&'m Values>,
    keywords: Option<&'m Keywords>,
}

impl Wanted<'_> {
    /// Whether a text is read from its beginning to its end.
    fn is_searched_for(&self) -> bool {
        let by_values = |values: &Values| values.are_searched_for();
        self.keywords.is_some() || self.values.is_some_and(by_values)
    }
}

impl Gathering {
    /// Gathers the rules, of so many, that the event's values make candidates, and notes its fields.
    pub(super) fn gather(
        &mut self,
        matcher: &Matcher,
        view: &EventView<'_, '_>,
        slots: &mut Slots,
        rules: usize,
    ) {
        let Matcher { id, fields, index } = matcher;
        self.candidates.begin(rules);
        self.candidates.add(&index.always);
        if view.verdict.score > 0 {
            self.candidates.add(&index.ioc);
        }
        self.names.begin(*id);
        let every = index.every.as_deref();
        for (number, field) in view.event.fields.iter().enumerate() {
            let entry = fields.of_event(field, &mut self.names);
            let keywords = every.filter(|_| is_sent(field));
            let at = entry.map(|entry| (entry, FieldAt::event(number)));
            self.field(matcher, field, (at, keywords), slots);
        }
        for (number, field) in view.resource.fields.iter().enumerate() {
            let entry = fields.of_resource(field, &mut self.names);
            let at = entry.map(|entry| (entry, FieldAt::resource(number)));
            self.field(matcher, field, (at, None), slots);
        }
        if let Some(keywords) = every {
            let candidates = &mut self.candidates;
            keywords.each_together(&mut self.together, &mut |rules| candidates.add(rules));
        }
    }

    #[inline]
    fn field(
        &mut self,
        Matcher { id, index, .. }: &Matcher,
        field: &Field<'_>,
        (at, keywords): (Option<(Entry, FieldAt)>, Option<&Keywords>),
        slots: &mut Slots,
    ) {
        let mut asked = None;
        if let Some((entry, at)) = at {
            slots.note(entry, at, &field.value);
            asked = index.of(entry);
        }
        let values = asked.map(|(_, values)| values);
        if values.is_none() && keywords.is_none() {
            return;
        }
        if let Some(values) = values {
            let candidates = &mut self.candidates;
            values.each_of_presence(&mut |rules| candidates.add(rules));
        }
        let number = asked.map_or(NONE, |(number, _)| number);
        let mut wanted = Wanted {
            at: (*id, number, keywords.is_some()),
            values,
            keywords,
        };
        match &field.value {
            Value::Text(text) => self.text(text, wanted),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => self.anew(&field.value, wanted),
            Value::Null => {}
            Value::Json(_) => {
                if let Some(keywords) = keywords {
                    let candidates = &mut self.candidates;
                    let mut add = |rules: &[u32]| candidates.add(rules);
                    keywords.put_all(&field.value, &mut self.together, &mut add);
                }
                // Keywords have been looked for in what the list or object holds.
                wanted.at.2 = false;
                wanted.keywords = None;
                if values.is_some() {
                    slots.each_of_last(&field.value, &mut |value| match value.as_text() {
                        Some(text) => self.text(text, wanted),
                        None => self.anew(value, wanted),
                    });
                }
            }
        }
    }

    /// Adds the candidates of a text; of one that came lately what was found then.
    #[inline]
    fn text(&mut self, text: &str, wanted: Wanted<'_>) {
        if text.len() < REMEMBERED_MIN || !wanted.is_searched_for() {
            return self.anew(&Value::Text(text), wanted);
        }
        match self.recent.ask(wanted.at, text.as_bytes()) {
            Seen::Kept(rules) => self.candidates.add(rules),
            Seen::Again(place) => {
                let lower = &mut self.lower;
                let rules = place.keep(wanted.at, text.as_bytes(), |mut found| {
                    if let Some(values) = wanted.values {
                        values.each_of_text(text, &mut found);
                    }
                    if let Some(keywords) = wanted.keywords {
                        keywords.each_of_text(text, lower, &mut found);
                    }
                });
                self.candidates.add(rules);
            }
            Seen::New => self.anew(&Value::Text(text), wanted),
        }
    }

    /// Adds the candidates of a value, but for keywords, which are looked for later.
    #[inline]
    fn anew(&mut self, value: &Value<'_>, wanted: Wanted<'_>) {
        let candidates = &mut self.candidates;
        let mut add = |rules: &[u32]| candidates.add(rules);
        if let Some(values) = wanted.values {
            values.each(value, &mut add);
        }
        if let Some(keywords) = wanted.keywords {
            keywords.put(value, &mut self.together, &mut add);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn rules_come_out_once_each_in_their_order_and_none_stays(
            events in prop::collection::vec(prop::collection::vec(0..9_000_u32, 0..40), 1..5),
            left in 0..9_usize,
        ) {
            let mut candidates = Candidates::default();
            for rules in events {
                candidates.begin(9_000);
                for rules in rules.chunks(7) {
                    candidates.add(rules);
                }
                let expected: BTreeSet<u32> = rules.into_iter().collect();
                let taken = expected.len().saturating_sub(left);
                let popped: Vec<u32> = (0..taken).filter_map(|_| candidates.pop()).collect();
                let expected: Vec<u32> = expected.into_iter().take(taken).collect();
                prop_assert_eq!(popped, expected);
            }
        }
    }
}
