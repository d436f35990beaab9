//! Which values make which rules candidates.
//!
//! What rules ask of a slot is looked for in every field that may fill it. Fields that fill the same
//! slots share what is looked for in them, so that the value of a field is looked at once, however
//! many paths mean it.

use super::compile::EVERY_SLOT;
use super::condition::written;
use super::facts::{Cover, Fact, number_bits};
use super::fields::{Entry, FieldMap};
use super::filter::Filtered;
use super::keywords::Keywords;
use super::texts::{Stand, Texts, Wanted};
use hashbrown::{HashMap, HashSet};
use millrace_shared::Value;
use std::collections::BTreeMap;

/// The number of no values.
pub(super) const NONE: u32 = u32::MAX;

/// Candidates by what a field holds.
#[derive(Debug, Default)]
pub(super) struct Values {
    present: Box<[u32]>,
    not_ascii: Box<[u32]>,
    numbers: Filtered<u32>,
    texts: Texts,
}

impl Values {
    /// Of texts and numbers alone.
    pub(super) fn of_texts(texts: &[Wanted<'_>], numbers: Vec<(u64, u32)>) -> Values {
        Values {
            numbers: Filtered::new(numbers),
            texts: Texts::build(texts),
            ..Values::default()
        }
    }

    /// Hands over the candidates of a field that is there, even if it holds no value.
    #[inline]
    pub(super) fn each_of_presence(&self, candidates: &mut impl FnMut(&[u32])) {
        if !self.present.is_empty() {
            candidates(&self.present);
        }
    }

    /// Whether a text is read from its beginning to its end.
    #[inline]
    pub(super) fn are_searched_for(&self) -> bool {
        self.texts.are_searched_for()
    }

    /// Hands over the candidates of a value, perhaps several times.
    #[inline]
    pub(super) fn each(&self, value: &Value<'_>, candidates: &mut impl FnMut(&[u32])) {
        match value {
            Value::Text(text) | Value::Json(text) => self.each_of_text(text, candidates),
            Value::Int(_) | Value::Float(_) => self.of_number(value, candidates),
            Value::Bool(true) => self.each_of_text("true", candidates),
            Value::Bool(false) => self.each_of_text("false", candidates),
            Value::Null => {}
        }
    }

    /// Hands over the candidates of a text, perhaps several times.
    #[inline]
    pub(super) fn each_of_text(&self, text: &str, candidates: &mut impl FnMut(&[u32])) {
        if !self.not_ascii.is_empty() && !text.is_ascii() {
            candidates(&self.not_ascii);
        }
        self.texts.each(text.as_bytes(), candidates);
    }

    #[inline]
    fn of_number(&self, value: &Value<'_>, candidates: &mut impl FnMut(&[u32])) {
        if let Some(number) = value.as_number() {
            candidates(self.numbers.of(number_bits(number)));
        }
        if self.texts.are_in_numbers() {
            let mut buffer = [0; 32];
            if let Some(text) = written(value, &mut buffer) {
                self.texts.each(text.as_bytes(), candidates);
            }
        }
    }
}

/// The index of one signal's rules.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By entry of the [`FieldMap`].
    of_entry: Vec<u32>,
    values: Vec<Values>,
    /// By what any field of the event holds.
    pub(super) every: Option<Box<Keywords>>,
    /// Candidates where the indicator score is not 0.
    pub(super) ioc: Vec<u32>,
    /// Candidates of every event.
    pub(super) always: Vec<u32>,
}

impl Index {
    /// What is looked for in the fields of an entry, and its number.
    #[inline]
    pub(super) fn of(&self, entry: Entry) -> Option<(u32, &Values)> {
        let number = self.of_entry.get(entry as usize)?;
        Some((*number, self.values.get(*number as usize)?))
    }
}

/// What rules ask of one slot.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) present: Vec<u32>,
    pub(super) not_ascii: Vec<u32>,
    pub(super) numbers: Vec<(u64, u32)>,
    pub(super) texts: HashMap<(Stand, Box<str>), Vec<u32>>,
}

/// Puts an [`Index`] together.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    index: Index,
    slots: HashMap<u32, Asked>,
}

impl IndexBuilder {
    /// Adds a rule under the facts of its cover.
    pub(super) fn add(&mut self, rule: u32, cover: Option<Cover>) {
        let Some(cover) = cover.filter(|cover| !cover.facts.is_empty()) else {
            self.index.always.push(rule);
            return;
        };
        let facts: HashSet<Fact> = cover.facts.into_iter().collect();
        for fact in facts {
            match fact {
                Fact::Number { slot, bits } => self.slot(slot).numbers.push((bits, rule)),
                Fact::Text { slot, stand, text } => {
                    let texts = &mut self.slot(slot).texts;
                    texts.entry((stand, text)).or_default().push(rule);
                }
                Fact::NotAscii { slot } => self.slot(slot).not_ascii.push(rule),
                Fact::Present { slot } => self.slot(slot).present.push(rule),
                Fact::Ioc => self.index.ioc.push(rule),
            }
        }
    }

    fn slot(&mut self, slot: u32) -> &mut Asked {
        self.slots.entry(slot).or_default()
    }

    pub(super) fn finish(mut self, fields: &FieldMap) -> Index {
        let every = self.slots.remove(&EVERY_SLOT);
        self.index.every = every.map(|asked| Box::new(Keywords::new(&asked)));
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        for feeds in fields.feeds() {
            let slots = feeds.iter().map(|feed| feed.slot);
            let asked = slots.filter(|slot| self.slots.contains_key(slot));
            let mut asked: Vec<u32> = asked.collect();
            asked.sort_unstable();
            let number = if asked.is_empty() {
                NONE
            } else if let Some(number) = known.get(&asked) {
                *number
            } else {
                let of_slots: Vec<&Asked> = asked
                    .iter()
                    .filter_map(|slot| self.slots.get(slot))
                    .collect();
                let number = u32::try_from(self.index.values.len()).unwrap_or(NONE);
                self.index.values.push(values(&of_slots));
                known.insert(asked, number);
                number
            };
            self.index.of_entry.push(number);
        }
        self.index
    }
}

/// What is asked of several slots together.
fn values(asked: &[&Asked]) -> Values {
    let mut texts: BTreeMap<(Stand, &str), Vec<u32>> = BTreeMap::new();
    for ((stand, text), rules) in asked.iter().flat_map(|asked| &asked.texts) {
        texts.entry((*stand, &**text)).or_default().extend(rules);
    }
    let texts: Vec<_> = texts.into_iter().collect();
    let numbers = asked.iter().flat_map(|asked| &asked.numbers);
    Values {
        present: rules(asked, |asked| &asked.present),
        not_ascii: rules(asked, |asked| &asked.not_ascii),
        ..Values::of_texts(&texts, numbers.copied().collect())
    }
}

fn rules(asked: &[&Asked], of: impl Fn(&Asked) -> &Vec<u32>) -> Box<[u32]> {
    let mut rules: Vec<u32> = asked.iter().flat_map(|asked| of(asked)).copied().collect();
    rules.sort_unstable();
    rules.dedup();
    rules.into()
}
