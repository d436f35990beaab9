//! Facts about an event of which one must be true before a rule can select it.
//!
//! For every rule the cheapest *cover* is chosen: facts that are seldom true of events the rule does
//! not select, and that little is needed to look for. Rules that no fact covers are tried on every
//! event. A fact may be true of events the rule does not select, never the other way round.

use super::compile::EVERY_SLOT;
use super::condition::{Needle, OtherField, Place, Test};
use super::literal::{Literal, is_caseless};
use super::texts::{LONG, SHORTEST, Stand};
use super::tiny::is_rare;
use super::wildcard::Wildcard;
use hashbrown::{HashMap, HashSet};

/// Costs of facts: how often they will be true of events that the rule does not select, and what
/// it takes to look.
const COST_EQUAL: u32 = 2;
const COST_EDGE: u32 = 3;
const COST_EDGE_MIDDLING: u32 = 6;
const COST_EDGE_SHORT: u32 = 30;
const COST_EDGE_SHORTEST: u32 = 100;
const COST_TEXT: u32 = 8;
const COST_TEXT_MIDDLING: u32 = 14;
const COST_TEXT_SHORT: u32 = 24;
const COST_TEXT_SHORTEST: u32 = 80;
const COST_TEXT_TINY: u32 = 150;
const COST_NOT_ASCII: u32 = 12;
const COST_COMMON: u32 = 60;
const COST_ORDINARY: u32 = 120;
const COST_ORDINARY_VALUE: u32 = 300;
const COST_IOC: u32 = 5;
const COST_PRESENT: u32 = 2_000;
/// What is looked for in every field is looked for so much longer.
const COST_EVERY: u32 = 20;
/// So many further facts of which one must be true cost one more.
const FACTS_PER_COST: usize = 8;

/// Texts that ordinary events are full of: parts of them say little.
const ORDINARY: [&str; 23] = [
    r"c:\windows\system32\cmd.exe",
    r"c:\windows\syswow64\rundll32.exe",
    r"c:\windows\system32\svchost.exe",
    r"c:\windows\system32\windowspowershell\v1.0\powershell.exe",
    r"c:\windows\system32\conhost.exe",
    r"c:\windows\explorer.exe",
    r"c:\program files (x86)\microsoft\edge\application\msedge.exe",
    r"c:\program files\google\chrome\application\chrome.exe",
    r"c:\program files\mozilla firefox\firefox.exe",
    r"c:\program files (x86)\microsoft\",
    r"\appdata\local\",
    r"c:\program files\common files\",
    r"c:\programdata\microsoft\windows\start menu\programs\",
    r"c:\users\public\appdata\local\temp\",
    r"c:\users\default\appdata\roaming\microsoft\windows\",
    r"\registry\machine\hklm\software\microsoft\windows nt\currentversion\",
    r"hklm\system\currentcontrolset\services\",
    "nt authority\\system",
    "microsoft corporation",
    "https://www.example.com/index.html",
    "/usr/local/sbin/bin/bash",
    "/var/log/ /usr/lib/ /etc/ /home/ /tmp/ /root/ /opt/",
    "localhost 127.0.0.1 192.168.0.0 10.0.0.0",
];

/// What fields of ordinary events are: integrity levels, the system's logon and names, answers.
const ORDINARY_VALUES: [&str; 17] = [
    "low",
    "medium",
    "high",
    "system",
    "s-1-16-4096",
    "s-1-16-8192",
    "s-1-16-12288",
    "s-1-16-16384",
    "0x3e7",
    "s-1-5-18",
    "nt authority\\system",
    "microsoft corporation",
    "true",
    "false",
    "success",
    "failure",
    "none",
];

/// A fact about an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fact {
    /// A value of the slot is this number.
    Number { slot: u32, bits: u64 },
    /// A value of the slot has this text in it, in the place where it stands, ASCII case aside.
    Text {
        slot: u32,
        stand: Stand,
        text: Box<str>,
    },
    /// A value of the slot is text that is not all ASCII.
    NotAscii { slot: u32 },
    /// The event has a field for the slot.
    Present { slot: u32 },
    /// The indicator score is not 0.
    Ioc,
}

/// A fact with its cost as long as no other rule asks for it.
type Costed = (u32, Fact);

/// Facts of which one must be true, and how little that says.
#[derive(Clone, Debug)]
pub(super) struct Cover {
    pub(super) cost: u32,
    pub(super) facts: Vec<Fact>,
}

impl Cover {
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
    /// how many rules ask for the same: what many ask for, many events have.
    pub(super) fn of(test: &Test, slot: u32, common: bool, shares: &Shares) -> Option<Cover> {
        let facts = distinct(facts(test, slot)?).map(|(cost, fact)| {
            let is_equality = matches!(
                fact,
                Fact::Number { .. }
                    | Fact::Text {
                        stand: Stand::Whole,
                        ..
                    }
            );
            let cost = if common && is_equality {
                COST_COMMON
            } else {
                cost
            };
            Some(Cover {
                cost: cost.saturating_add(shares.of(&fact)),
                facts: vec![fact],
            })
        });
        Cover::any(facts)
    }
}

/// How many conditions ask for the same fact.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Fact, u32>);

impl Shares {
    /// Counts what a condition of a rule asks for.
    pub(super) fn add(&mut self, test: &Test, slot: u32) {
        for (_, fact) in distinct(facts(test, slot).unwrap_or_default()) {
            *self.0.entry(fact).or_default() += 1;
        }
    }

    /// How many others do, as far as that says how often it is true.
    fn of(&self, fact: &Fact) -> u32 {
        match fact {
            Fact::NotAscii { .. } | Fact::Ioc => 0,
            Fact::Number { .. } | Fact::Text { .. } | Fact::Present { .. } => {
                self.0.get(fact).map_or(0, |count| count.saturating_sub(1))
            }
        }
    }
}

/// Each fact once.
fn distinct(mut facts: Vec<Costed>) -> impl Iterator<Item = Costed> {
    let mut seen = HashSet::new();
    facts.retain(|(_, fact)| seen.insert(fact.clone()));
    facts.into_iter()
}

/// The facts of which one must be true for a condition to hold; `None` where there are none.
fn facts(test: &Test, slot: u32) -> Option<Vec<Costed>> {
    let present = || {
        let fact = Fact::Present { slot };
        (slot != EVERY_SLOT).then(|| vec![(COST_PRESENT, fact)])
    };
    match test {
        Test::Equal { negated: true, .. }
        | Test::Exists(false)
        | Test::Present(false)
        | Test::Field(OtherField { negated: true, .. })
        | Test::AfterHours(_) => None,
        Test::Ioc(_) => Some(vec![(COST_IOC, Fact::Ioc)]),
        Test::Like(patterns) => {
            let facts = patterns.iter().map(|pattern| of_pattern(pattern, slot));
            facts.collect::<Option<Vec<_>>>().or_else(present)
        }
        Test::Regex(_, Some(texts)) => {
            let facts = texts.iter();
            let facts = facts.map(|text| of_text(text, Stand::Anywhere, slot));
            facts.collect::<Option<Vec<_>>>().or_else(present)
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
            let facts = literals.iter();
            let facts = facts.map(|literal| of_literal(literal, slot, *any_case));
            let facts = facts.collect::<Option<Vec<_>>>();
            facts.map(|facts| facts.concat()).or_else(present)
        }
        Test::Text {
            needles,
            any_case,
            place,
            ..
        } => {
            let facts = needles.iter();
            let facts = facts.map(|needle| of_needle(needle, slot, (*place, *any_case)));
            facts.collect::<Option<Vec<_>>>().or_else(present)
        }
    }
}

/// Of equality: as text, and as a number where it is one.
fn of_literal(literal: &Literal, slot: u32, any_case: bool) -> Option<Vec<Costed>> {
    let stand = if any_case && !is_fixed(&literal.text) {
        Stand::Anywhere
    } else {
        Stand::Whole
    };
    let mut facts = vec![of_text(&literal.text, stand, slot)?];
    facts.extend(literal.number.map(|number| {
        let bits = number_bits(number);
        (COST_EQUAL, Fact::Number { slot, bits })
    }));
    Some(facts)
}

/// The bits of a number, one for every way of writing it: zero has two signs.
pub(super) fn number_bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

fn of_needle(needle: &Needle, slot: u32, (place, any_case): (Place, bool)) -> Option<Costed> {
    let stand = match place {
        // What stands at an edge in one spelling of its letters need not in all.
        Place::Start | Place::End if any_case && !is_fixed(&needle.text) => Stand::Anywhere,
        Place::Start => Stand::Start,
        Place::End => Stand::End,
        Place::Anywhere => Stand::Anywhere,
    };
    of_text(&needle.text, stand, slot)
}

/// Of a pattern: its longest text.
fn of_pattern(pattern: &Wildcard, slot: u32) -> Option<Costed> {
    let facts = pattern.texts();
    let facts = facts.filter_map(|text| of_text(text, Stand::Anywhere, slot));
    facts.min_by_key(|(cost, fact)| {
        let bytes = match fact {
            Fact::Text { text, .. } => text.len(),
            Fact::Number { .. } | Fact::NotAscii { .. } | Fact::Present { .. } | Fact::Ioc => 0,
        };
        (*cost, usize::MAX - bytes)
    })
}

/// Whether a folded text has only one spelling, ASCII case aside.
fn is_fixed(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_ascii() || is_caseless(letter))
}

/// Of a text in a value; anywhere its letters may be spelt in any way, for no other than an ASCII
/// letter folds to one. `None` where it is too short to look for.
fn of_text(text: &str, stand: Stand, slot: u32) -> Option<Costed> {
    let text = if stand == Stand::Anywhere && !text.is_ascii() {
        let stretches = text.split(|letter: char| !letter.is_ascii());
        let longest = stretches.max_by_key(|stretch| stretch.len());
        let Some(longest) = longest.filter(|longest| longest.len() >= LONG) else {
            return Some((COST_NOT_ASCII, Fact::NotAscii { slot }));
        };
        longest
    } else {
        text
    };
    if stand == Stand::Anywhere && text.len() < SHORTEST {
        let first = text.bytes().next().filter(|byte| is_rare(*byte));
        first.filter(|_| slot != EVERY_SLOT)?;
    }
    let text = text.to_ascii_lowercase();
    let mut cost = cost(stand, text.len());
    if stand == Stand::Whole && ORDINARY_VALUES.contains(&text.as_str()) {
        cost = COST_ORDINARY_VALUE;
    }
    if stand != Stand::Whole && ORDINARY.iter().any(|ordinary| ordinary.contains(&text)) {
        cost = cost.max(COST_ORDINARY);
    }
    if slot == EVERY_SLOT {
        cost += COST_EVERY;
    }
    let text = text.into();
    Some((cost, Fact::Text { slot, stand, text }))
}

const fn cost(stand: Stand, bytes: usize) -> u32 {
    match (stand, bytes) {
        (Stand::Whole, _) => COST_EQUAL,
        (Stand::Start | Stand::End, LONG..) => COST_EDGE,
        (Stand::Start | Stand::End, 5..) => COST_EDGE_MIDDLING,
        (Stand::Start | Stand::End, 3..) => COST_EDGE_SHORT,
        (Stand::Start | Stand::End, _) => COST_EDGE_SHORTEST,
        (Stand::Anywhere, LONG..) => COST_TEXT,
        (Stand::Anywhere, 6..) => COST_TEXT_MIDDLING,
        (Stand::Anywhere, 4..) => COST_TEXT_SHORT,
        (Stand::Anywhere, SHORTEST..) => COST_TEXT_SHORTEST,
        (Stand::Anywhere, _) => COST_TEXT_TINY,
    }
}
