//! Which values make which rules candidates.
//!
//! For every rule the cheapest *cover* is chosen: a set of facts of which at least one must be
//! true of an event before the rule can select it. An equality is a lookup in a table per slot, a
//! text in a value is one of the slot's [`Texts`], everything else asks for the presence of the
//! slot. Rules that no fact covers are tried on every event.

use super::compile::EVERY_SLOT;
use super::condition::{Needle, OtherField, Place, Test};
use super::literal::{Literal, hash_folded, hash_text, is_caseless};
use super::texts::{LONG, Stand, Texts, Wanted};
use super::wildcard::Wildcard;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

/// Costs of facts: how often they will be true of events that the rule does not select, and what
/// it takes to look.
const COST_EQUAL: u32 = 2;
const COST_EDGE: u32 = 4;
const COST_TEXT: u32 = 8;
const COST_MIDDLING_TEXT: u32 = 20;
const COST_SHORT_TEXT: u32 = 60;
const COST_COMMON: u32 = 60;
const COST_IOC: u32 = 5;
const COST_PRESENT: u32 = 2_000;
/// Bytes of a text that is rare enough to be worth looking for.
const SHORT_TEXT: usize = 3;
/// So many further facts of which one must be true cost one more.
const FACTS_PER_COST: usize = 8;

/// A fact about an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fact {
    /// A value of the slot has this hash.
    Equal {
        slot: u32,
        hash: u64,
        any_case: bool,
        bytes: usize,
    },
    /// A value of the slot has this text in it or at an edge, ASCII case aside.
    Text {
        slot: u32,
        stand: Stand,
        text: Box<str>,
    },
    /// The slot has a value.
    Present { slot: u32 },
    /// The indicator score is not 0.
    Ioc,
}

/// Facts of which one must be true, and how little that says.
#[derive(Clone, Debug)]
pub(super) struct Cover {
    pub(super) cost: u32,
    pub(super) facts: Vec<Fact>,
}

impl Cover {
    fn one(cost: u32, fact: Fact) -> Option<Cover> {
        Some(Cover {
            cost,
            facts: vec![fact],
        })
    }

    /// Of several, one of which must hold: all of their facts, if each has some.
    pub(super) fn any(covers: impl Iterator<Item = Option<Cover>>) -> Option<Cover> {
        let mut all = Cover {
            cost: 0,
            facts: Vec::new(),
        };
        for cover in covers {
            let cover = cover?;
            all.cost = all.cost.max(cover.cost);
            all.facts.extend(cover.facts);
        }
        let further = u32::try_from(all.facts.len() / FACTS_PER_COST).unwrap_or(u32::MAX);
        all.cost = all.cost.saturating_add(further);
        Some(all)
    }

    /// Of several, all of which must hold: the cheapest.
    pub(super) fn all(covers: impl Iterator<Item = Option<Cover>>) -> Option<Cover> {
        covers.flatten().min_by_key(|cover| cover.cost)
    }

    /// Of one condition on a slot; `common` slots hold a handful of words only, and `shares` knows
    /// how many rules ask for the same value: what many ask for, many events have.
    pub(super) fn of(test: &Test, slot: u32, common: bool, shares: &Shares) -> Option<Cover> {
        let present = || {
            (slot != EVERY_SLOT).then(|| Cover {
                cost: COST_PRESENT,
                facts: vec![Fact::Present { slot }],
            })
        };
        match test {
            Test::Equal { negated: true, .. }
            | Test::Exists(false)
            | Test::Present(false)
            | Test::Field(OtherField { negated: true, .. })
            | Test::AfterHours(_) => None,
            Test::Ioc(_) => Cover::one(COST_IOC, Fact::Ioc),
            Test::Like(patterns) => {
                Cover::any(patterns.iter().map(|pattern| of_pattern(pattern, slot)))
                    .or_else(present)
            }
            Test::Regex(_, Some(texts)) => {
                let covers = texts.iter();
                Cover::any(covers.map(|text| Some(of_text(text, Stand::Anywhere, slot))))
            }
            Test::Exists(true)
            | Test::Present(true)
            | Test::Field(OtherField { negated: false, .. })
            | Test::Moment(..)
            | Test::Regex(_, None)
            | Test::Number(..)
            | Test::Rank(..)
            | Test::Cidr(_) => present(),
            Test::Equal {
                literals, any_case, ..
            } => {
                let base = if common { COST_COMMON } else { COST_EQUAL };
                of_literals(literals, slot, *any_case, |hash| {
                    base.saturating_add(shares.of(slot, hash))
                })
            }
            Test::Text {
                needles,
                any_case,
                place,
                ..
            } => {
                let covers = needles
                    .iter()
                    .map(|needle| of_needle(needle, slot, (*place, *any_case)));
                Cover::any(covers).or_else(present)
            }
        }
    }
}

/// Of equality with one of several values, each with its cost.
fn of_literals(
    literals: &[Literal],
    slot: u32,
    any_case: bool,
    cost: impl Fn(u64) -> u32,
) -> Option<Cover> {
    let hashes = literals.iter().flat_map(|literal| {
        let bytes = literal.text.len();
        literal.hashes(any_case).map(move |hash| (hash, bytes))
    });
    Cover::any(hashes.map(|(hash, bytes)| {
        let fact = Fact::Equal {
            slot,
            hash,
            any_case,
            bytes,
        };
        Cover::one(cost(hash), fact)
    }))
}

fn of_needle(needle: &Needle, slot: u32, (place, any_case): (Place, bool)) -> Option<Cover> {
    let text = if any_case {
        fixed_stretch(&needle.text)?
    } else {
        &needle.text
    };
    // A stretch that is not all of the text may stand further in.
    let stand = match place {
        Place::Start if text.len() == needle.text.len() => Stand::Start,
        Place::End if text.len() == needle.text.len() => Stand::End,
        Place::Start | Place::End | Place::Anywhere => Stand::Anywhere,
    };
    Some(of_text(text, stand, slot))
}

/// Of a pattern: its longest text.
fn of_pattern(pattern: &Wildcard, slot: u32) -> Option<Cover> {
    let stretches = pattern.texts().filter_map(fixed_stretch);
    let longest = stretches.max_by_key(|text| text.len())?;
    Some(of_text(longest, Stand::Anywhere, slot))
}

/// The longest stretch of a folded text that stands in every spelling of it, ASCII case aside.
fn fixed_stretch(text: &str) -> Option<&str> {
    let is_fixed = |letter: char| letter.is_ascii() || is_caseless(letter);
    let stretches = text.split(|letter| !is_fixed(letter));
    stretches
        .max_by_key(|stretch| stretch.len())
        .filter(|stretch| !stretch.is_empty())
}

fn of_text(text: &str, stand: Stand, slot: u32) -> Cover {
    let cost = match (stand, text.len()) {
        (Stand::Start | Stand::End, LONG..) => COST_EDGE,
        (Stand::Start | Stand::End, SHORT_TEXT..) | (Stand::Anywhere, LONG..) => COST_TEXT,
        (Stand::Anywhere, SHORT_TEXT..) => COST_MIDDLING_TEXT,
        (Stand::Start | Stand::End | Stand::Anywhere, _) => COST_SHORT_TEXT,
    };
    let text = text.to_ascii_lowercase().into();
    Cover {
        cost,
        facts: vec![Fact::Text { slot, stand, text }],
    }
}

/// How many rules ask for the same value of a slot.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<(u32, u64), u32>);

impl Shares {
    /// Counts what a condition of a rule asks for.
    pub(super) fn add(&mut self, test: &Test, slot: u32) {
        if let Test::Equal {
            literals,
            any_case,
            negated: false,
            ..
        } = test
        {
            let hashes = literals
                .iter()
                .flat_map(|literal| literal.hashes(*any_case));
            for hash in hashes {
                *self.0.entry((slot, hash)).or_default() += 1;
            }
        }
    }

    fn of(&self, slot: u32, hash: u64) -> u32 {
        self.0.get(&(slot, hash)).copied().unwrap_or(0)
    }
}

/// Rules by the hash of an equal value.
#[derive(Debug, Default)]
pub(super) struct Equals {
    table: HashMap<u64, Vec<u32>, FixedState>,
    longest: usize,
}

impl Equals {
    /// Candidates of a value with so many bytes of text.
    #[inline]
    pub(super) fn of(&self, bytes: usize, hash: impl FnOnce() -> Option<u64>) -> &[u32] {
        if bytes > self.longest {
            return &[];
        }
        hash()
            .and_then(|hash| self.table.get(&hash))
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// Candidates by what one slot holds.
#[derive(Debug, Default)]
pub(super) struct SlotIndex {
    pub(super) present: Vec<u32>,
    pub(super) equal: Equals,
    pub(super) equal_any_case: Equals,
    pub(super) texts: Option<Box<Texts>>,
}

/// The index of one signal's rules.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By slot; `None` where no fact is about the slot.
    pub(super) slots: Vec<Option<Box<SlotIndex>>>,
    /// By what any field holds.
    pub(super) every: Option<Box<SlotIndex>>,
    /// Candidates where the indicator score is not 0.
    pub(super) ioc: Vec<u32>,
    /// Candidates of every event.
    pub(super) always: Vec<u32>,
}

/// Puts an [`Index`] together.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    index: Index,
    slots: HashMap<u32, SlotIndex>,
    patterns: HashMap<u32, Wanted>,
    equal: HashMap<(u32, bool), Equals>,
    seen: HashSet<(u32, Fact)>,
}

impl IndexBuilder {
    /// Adds a rule under the facts of its cover.
    pub(super) fn add(&mut self, rule: u32, cover: Option<Cover>) {
        let Some(cover) = cover.filter(|cover| !cover.facts.is_empty()) else {
            self.index.always.push(rule);
            return;
        };
        for fact in cover.facts {
            if !self.seen.insert((rule, fact.clone())) {
                continue;
            }
            match fact {
                Fact::Equal {
                    slot,
                    hash,
                    any_case,
                    bytes,
                } => {
                    let equals = self.equal.entry((slot, any_case)).or_default();
                    equals.table.entry(hash).or_default().push(rule);
                    // Folding may change the length of a letter, at most threefold.
                    let bytes = if any_case {
                        bytes.saturating_mul(3)
                    } else {
                        bytes
                    };
                    equals.longest = equals.longest.max(bytes);
                }
                Fact::Text { slot, stand, text } => {
                    let patterns = self.patterns.entry(slot).or_default();
                    patterns.entry((stand, text)).or_default().push(rule);
                }
                Fact::Present { slot } => self.slot(slot).present.push(rule),
                Fact::Ioc => self.index.ioc.push(rule),
            }
        }
    }

    fn slot(&mut self, slot: u32) -> &mut SlotIndex {
        self.slots.entry(slot).or_default()
    }

    pub(super) fn finish(mut self) -> Index {
        for ((slot, any_case), equals) in std::mem::take(&mut self.equal) {
            let slot = self.slot(slot);
            if any_case {
                slot.equal_any_case = equals;
            } else {
                slot.equal = equals;
            }
        }
        for (slot, patterns) in std::mem::take(&mut self.patterns) {
            match Texts::build(&patterns) {
                Some(texts) => self.slot(slot).texts = Some(Box::new(texts)),
                // Too many patterns for an automaton: their rules are tried whenever there is text.
                None => self
                    .slot(slot)
                    .present
                    .extend(patterns.into_values().flatten()),
            }
        }
        self.index.every = self.slots.remove(&EVERY_SLOT).map(Box::new);
        let last = self.slots.keys().max().map_or(0, |last| *last as usize + 1);
        self.index.slots.resize_with(last, || None);
        for (slot, index) in self.slots {
            if let Some(place) = self.index.slots.get_mut(slot as usize) {
                *place = Some(Box::new(index));
            }
        }
        self.index
    }
}

/// The hash of a text as the tables have it.
#[inline]
pub(super) fn hash_of_text(text: &str, any_case: bool) -> u64 {
    if any_case {
        hash_folded(text)
    } else {
        hash_text(text)
    }
}
