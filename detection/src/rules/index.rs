//! Which values make which rules candidates.
//!
//! For every rule the cheapest *cover* is chosen: a set of facts of which at least one must be
//! true of an event before the rule can select it. An equality is a lookup in a table per slot, a
//! text within a value is a pattern of one Aho–Corasick automaton per slot, everything else asks
//! for the presence of the slot. Rules that no fact covers are tried on every event.

use super::condition::{Needle, Test};
use super::literal::{hash_folded, hash_text};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

/// Costs of facts: how often they will be true of events that the rule does not select.
const COST_EQUAL: u32 = 10;
const COST_TEXT: u32 = 8;
const COST_SHORT_TEXT: u32 = 60;
const COST_COMMON: u32 = 60;
const COST_IOC: u32 = 5;
const COST_PRESENT: u32 = 200;
/// Bytes of a text that is rare enough to be worth looking for.
const SHORT_TEXT: usize = 3;
/// Patterns up to which the automaton is a full table, which is faster and larger.
const DFA_PATTERNS_MAX: usize = 2_000;

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
    /// A value of the slot contains this text, ASCII case aside.
    Text { slot: u32, text: Box<str> },
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
            all.cost = all.cost.saturating_add(cover.cost);
            all.facts.extend(cover.facts);
        }
        Some(all)
    }

    /// Of several, all of which must hold: the cheapest.
    pub(super) fn all(covers: impl Iterator<Item = Option<Cover>>) -> Option<Cover> {
        covers.flatten().min_by_key(|cover| cover.cost)
    }

    /// Of one condition on a slot; `common` slots hold a handful of words only.
    pub(super) fn of(test: &Test, slot: u32, common: bool) -> Option<Cover> {
        let present = || Cover::one(COST_PRESENT, Fact::Present { slot });
        match test {
            Test::Equal { negated: true, .. } | Test::Exists(false) | Test::AfterHours(_) => None,
            Test::Ioc(_) => Cover::one(COST_IOC, Fact::Ioc),
            Test::Exists(true)
            | Test::Regex(_)
            | Test::Number(..)
            | Test::Rank(..)
            | Test::Cidr(_) => present(),
            Test::Equal {
                literals, any_case, ..
            } => {
                let each = if common { COST_COMMON } else { COST_EQUAL };
                let cost = each.saturating_add(u32::try_from(literals.len()).unwrap_or(u32::MAX));
                let facts = literals.iter().flat_map(|literal| {
                    let bytes = literal.text.len();
                    let fact = move |hash| Fact::Equal {
                        slot,
                        hash,
                        any_case: *any_case,
                        bytes,
                    };
                    literal.hashes(*any_case).map(fact)
                });
                Some(Cover {
                    cost,
                    facts: facts.collect(),
                })
            }
            Test::Text {
                needles, any_case, ..
            } => {
                let covers = needles
                    .iter()
                    .map(|needle| of_needle(needle, slot, *any_case));
                Cover::any(covers).or_else(present)
            }
        }
    }
}

fn of_needle(needle: &Needle, slot: u32, any_case: bool) -> Option<Cover> {
    let text: &str = if needle.text.is_ascii() || !any_case {
        &needle.text
    } else {
        // Letters outside ASCII fold outside of it, so an ASCII stretch stands in the event too.
        let stretches = needle.text.split(|letter: char| !letter.is_ascii());
        stretches
            .max_by_key(|stretch| stretch.len())
            .filter(|stretch| !stretch.is_empty())?
    };
    let cost = if text.len() < SHORT_TEXT {
        COST_SHORT_TEXT
    } else {
        COST_TEXT
    };
    Cover::one(
        cost,
        Fact::Text {
            slot,
            text: text.to_ascii_lowercase().into(),
        },
    )
}

/// A stretch of the list of postings.
type Postings = (u32, u32);

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

/// Rules by a text within a value.
#[derive(Debug)]
pub(super) struct Texts {
    automaton: AhoCorasick,
    postings: Vec<Postings>,
    rules: Vec<u32>,
}

impl Texts {
    fn build(patterns: &HashMap<Box<str>, Vec<u32>>) -> Option<Texts> {
        let kind = (patterns.len() <= DFA_PATTERNS_MAX).then_some(AhoCorasickKind::DFA);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(kind)
            .build(patterns.keys().map(|text| text.as_bytes()))
            .ok()?;
        let (mut postings, mut rules) = (Vec::new(), Vec::new());
        for list in patterns.values() {
            let from = u32::try_from(rules.len()).ok()?;
            rules.extend(list);
            postings.push((from, u32::try_from(rules.len()).ok()?));
        }
        Some(Texts {
            automaton,
            postings,
            rules,
        })
    }

    /// Hands over the candidates of a text, perhaps several times.
    #[inline]
    pub(super) fn each(&self, text: &str, mut candidates: impl FnMut(&[u32])) {
        for found in self.automaton.find_overlapping_iter(text) {
            let postings = self.postings.get(found.pattern().as_usize()).copied();
            let (from, to) = postings.unwrap_or_default();
            candidates(
                self.rules
                    .get(from as usize..to as usize)
                    .unwrap_or_default(),
            );
        }
    }
}

/// Candidates by what one slot holds.
#[derive(Debug, Default)]
pub(super) struct SlotIndex {
    pub(super) present: Vec<u32>,
    pub(super) equal: Equals,
    pub(super) equal_any_case: Equals,
    pub(super) texts: Option<Texts>,
}

/// The index of one signal's rules.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By slot; `None` where no fact is about the slot.
    pub(super) slots: Vec<Option<Box<SlotIndex>>>,
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
    patterns: HashMap<u32, HashMap<Box<str>, Vec<u32>>>,
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
                Fact::Text { slot, text } => {
                    let patterns = self.patterns.entry(slot).or_default();
                    patterns.entry(text).or_default().push(rule);
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
                Some(texts) => self.slot(slot).texts = Some(texts),
                // Too many patterns for an automaton: their rules are tried whenever there is text.
                None => self
                    .slot(slot)
                    .present
                    .extend(patterns.into_values().flatten()),
            }
        }
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
