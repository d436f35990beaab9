//! A compiled policy with an organisation's pepper: the one thing callers hold.
//!
//! Never changes after it was built, so that one can be shared between threads; a new policy is a
//! new scrubber.

use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet};

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use fearless_simd::Level;

use crate::class::{Class, ClassSet};
use crate::detect::{self, Scene};
use crate::keys::{KeyKind, Keys};
use crate::pepper::Pepper;
use crate::policy::{Policy, PolicyError, Strategies, Strategy, overlay};
use crate::replace;
use crate::sheet::Sheet;
use crate::spans::{self, Spans};

/// Rounds over one text: ordinary text needs one and a look whether it was enough. Crafted text is
/// cut a few times, then the rest is redacted, and in the end left as it is.
const MAX_ROUNDS: usize = 8;
const MAX_CUTS: usize = 4;

/// What became of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrubbed<'a> {
    /// The text to store instead.
    Replaced(&'a str),
    /// Nothing is left: the field goes.
    Removed,
}

/// What the policy says about one field path. Small, and valid for as long as the scrubber that
/// made it: callers that see the same paths again may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldPlan {
    /// Which path rule holds here; past the last when none does.
    table: usize,
    /// Replace the whole value.
    whole: Option<Strategy>,
    /// What the field's name says about its value.
    kind: KeyKind,
}

impl FieldPlan {
    /// Whether the whole value is replaced, whatever it is: numbers and booleans too.
    #[must_use]
    pub const fn replaces_whole_value(&self) -> bool {
        self.whole.is_some()
    }

    /// Whether the value is only looked at where its bytes are of a shape that says so.
    pub(crate) fn leaves_to_triggers(&self) -> bool {
        self.whole.is_none() && self.kind != KeyKind::Phone
    }
}

/// The strategies of one policy or path rule, and which classes they look for.
#[derive(Clone, Debug)]
struct Table {
    strategies: Strategies,
    active: ClassSet,
    value: Option<Strategy>,
}

/// A policy, compiled, with the organisation's pepper.
#[derive(Clone)]
pub struct Scrubber {
    /// Where no path rule holds.
    base: Table,
    /// One per path rule.
    tables: Vec<Table>,
    exact: HashMap<Box<str>, usize, FixedState>,
    /// The first letters of all paths that have rules: most others end here.
    firsts: u32,
    /// Prefixes with their dot, the longest first.
    prefixes: Vec<(Box<str>, usize)>,
    /// What is looked for anywhere.
    looked_for: ClassSet,
    keys: Keys,
    pepper: Pepper,
    /// The vector instructions of the machine.
    level: Level,
}

impl std::fmt::Debug for Scrubber {
    /// Without the pepper.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrubber")
            .field("base", &self.base)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl Scrubber {
    /// Compiles a policy.
    ///
    /// # Errors
    /// When the policy is wrong.
    pub fn new(policy: &Policy, pepper: Pepper) -> Result<Scrubber, PolicyError> {
        policy.validate()?;
        let base = policy.strategies();
        let mut scrubber = Scrubber {
            base: Table::new(base, None),
            tables: Vec::with_capacity(policy.paths.len()),
            exact: HashMap::default(),
            firsts: 0,
            prefixes: Vec::new(),
            looked_for: ClassSet::EMPTY,
            keys: Keys::new(
                lower_set(&policy.sensitive_keys),
                lower_set(&policy.plain_keys),
            ),
            pepper,
            level: Level::new(),
        };
        for rule in &policy.paths {
            let index = scrubber.tables.len();
            scrubber
                .tables
                .push(Table::new(overlay(base, &rule.classes), rule.value));
            scrubber.firsts |= first_letter(&rule.path);
            match rule.path.strip_suffix('*') {
                Some(prefix) => scrubber.prefixes.push((prefix.into(), index)),
                None => drop(scrubber.exact.insert(rule.path.as_str().into(), index)),
            }
        }
        scrubber
            .prefixes
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        scrubber.looked_for = scrubber
            .tables
            .iter()
            .fold(scrubber.base.active, |all, table| all.union(table.active));
        Ok(scrubber)
    }

    /// What the policy says about a field path.
    #[must_use]
    #[inline]
    pub fn plan(&self, path: &str) -> FieldPlan {
        let table = if self.firsts & first_letter(path) == 0 {
            usize::MAX
        } else {
            self.rule_for(path)
        };
        let kind = self.keys.kind_of_path(path.as_bytes());
        let rules = self.table(table);
        let whole = match (rules.value, kind) {
            (Some(strategy), _) => Some(strategy),
            (None, KeyKind::Sensitive(_)) => Some(of(&rules.strategies, Class::SensitiveKey)),
            (None, KeyKind::Plain | KeyKind::Phone | KeyKind::Ssn) => None,
        };
        FieldPlan {
            table,
            whole: whole.filter(|strategy| *strategy != Strategy::Keep),
            kind,
        }
    }

    /// Whether the whole value at this path is replaced because of the path, numbers too.
    #[must_use]
    #[inline]
    pub fn is_sensitive_key(&self, path: &str) -> bool {
        self.plan(path).replaces_whole_value()
    }

    /// Scrubs one string at a field path. `None`, the common and fast case: nothing to change,
    /// the caller keeps its string. Adds what was scrubbed to `found`.
    #[inline]
    pub fn scrub<'a>(
        &self,
        arena: &'a Bump,
        path: &str,
        text: &str,
        found: &mut ClassSet,
    ) -> Option<Scrubbed<'a>> {
        self.scrub_planned(arena, self.plan(path), text, found)
    }

    /// As [`Scrubber::scrub`], with the plan of the path at hand.
    #[inline]
    pub fn scrub_planned<'a>(
        &self,
        arena: &'a Bump,
        plan: FieldPlan,
        text: &str,
        found: &mut ClassSet,
    ) -> Option<Scrubbed<'a>> {
        if let Some(strategy) = plan.whole {
            let scrubbed = self.scrub_whole(arena, strategy, text)?;
            *found = found.union(self.counted_as(arena, plan, text));
            return Some(scrubbed);
        }
        let table = self.table(plan.table);
        let scene = self.scene(plan, text);
        let mut spans = spans::none(arena);
        detect::run(self.level, &scene, &mut spans);
        if spans.is_empty() {
            return None;
        }
        Some(self.rewrite(&scene, spans, &table.strategies, found))
    }

    /// Scrubs a field name: keys can hold personal data too. Never removes a key; what would be
    /// removed is redacted.
    pub fn scrub_key<'a>(
        &self,
        arena: &'a Bump,
        key: &str,
        found: &mut ClassSet,
    ) -> Option<&'a str> {
        let plan = FieldPlan {
            table: usize::MAX,
            whole: None,
            kind: KeyKind::Plain,
        };
        let mut classes = ClassSet::EMPTY;
        let scrubbed = self.scrub_planned(arena, plan, key, &mut classes)?;
        *found = found.union(classes);
        Some(match scrubbed {
            Scrubbed::Replaced(key) => key,
            Scrubbed::Removed => classes
                .iter()
                .next()
                .map_or("[REDACTED]", Class::placeholder),
        })
    }

    /// Looks at the texts of a sheet for whatever any path is looked at.
    pub(crate) fn read(&self, sheet: &mut Sheet) {
        sheet.read(self.level, self.looked_for, &self.keys);
    }

    /// What hashes and pseudonyms are made with.
    #[must_use]
    pub const fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// The classes that are looked for where no path rule says otherwise.
    #[must_use]
    pub fn active(&self) -> ClassSet {
        self.base.active
    }

    #[inline]
    fn scene<'s>(&'s self, plan: FieldPlan, text: &'s str) -> Scene<'s> {
        Scene {
            text,
            active: self.table(plan.table).active,
            keys: &self.keys,
            kind: plan.kind,
        }
    }

    /// What a value that is replaced as a whole counts as: as secret where its field's name says so,
    /// and where only a rule of the policy does, as what it holds.
    #[cold]
    fn counted_as(&self, arena: &Bump, plan: FieldPlan, text: &str) -> ClassSet {
        match plan.kind {
            KeyKind::Sensitive(_) => ClassSet::of(Class::SensitiveKey),
            KeyKind::Plain | KeyKind::Phone | KeyKind::Ssn => {
                let mut spans = spans::none(arena);
                detect::run(self.level, &self.scene(plan, text), &mut spans);
                spans::settle(&mut spans);
                spans.iter().map(|span| span.class).collect()
            }
        }
    }

    #[cold]
    fn scrub_whole<'a>(
        &self,
        arena: &'a Bump,
        strategy: Strategy,
        text: &str,
    ) -> Option<Scrubbed<'a>> {
        if text.is_empty() || replace::is_scrubbed(text.as_bytes()) {
            return None;
        }
        if strategy == Strategy::Remove {
            return Some(Scrubbed::Removed);
        }
        let mut out = BumpString::new_in(arena);
        replace::write(
            &mut out,
            &self.pepper,
            (Class::SensitiveKey, strategy),
            text,
        );
        Some(Scrubbed::Replaced(out.into_bump_str()))
    }

    /// Replaces what was found. What is written may join with its neighbours into something new,
    /// so the text is read again until nothing is found; this is what makes scrubbing idempotent.
    #[cold]
    fn rewrite<'a>(
        &self,
        scene: &Scene<'_>,
        mut spans: Spans<'a>,
        strategies: &Strategies,
        found: &mut ClassSet,
    ) -> Scrubbed<'a> {
        let mut strategies = *strategies;
        let pseudonym = |class: &Class| of(&strategies, *class) == Strategy::Pseudonym;
        let active = scene
            .active
            .without(Class::ALL.into_iter().filter(pseudonym).collect());
        spans::settle(&mut spans);
        let mut scrubbed = self.assemble(scene.text, &spans, &strategies);
        for round in 1..MAX_ROUNDS {
            *found = found.union(spans.iter().map(|span| span.class).collect());
            let cut = spans
                .iter()
                .any(|span| of(&strategies, span.class) == Strategy::Remove);
            if cut && scrubbed.trim().is_empty() {
                return Scrubbed::Removed;
            }
            spans.clear();
            detect::run(
                self.level,
                &Scene {
                    text: scrubbed,
                    active,
                    ..*scene
                },
                &mut spans,
            );
            if spans.is_empty() {
                break;
            }
            if round == MAX_CUTS {
                strategies = strategies.map(redact_instead);
            }
            spans::settle(&mut spans);
            scrubbed = self.assemble(scrubbed, &spans, &strategies);
        }
        Scrubbed::Replaced(scrubbed)
    }

    /// The text with every finding replaced.
    fn assemble<'a>(&self, text: &str, spans: &Spans<'a>, strategies: &Strategies) -> &'a str {
        let arena = spans.bump();
        let mut out = BumpString::with_capacity_in(text.len() + 16 * spans.len(), arena);
        let mut done = 0;
        for span in spans {
            out.push_str(text.get(done..span.start).unwrap_or_default());
            let value = text.get(span.start..span.end).unwrap_or_default();
            push_quotes(&mut out, span.quotes);
            let how = (span.class, of(strategies, span.class));
            replace::write(&mut out, &self.pepper, how, value);
            push_quotes(&mut out, span.quotes);
            done = span.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out.into_bump_str()
    }

    #[inline]
    fn table(&self, index: usize) -> &Table {
        self.tables.get(index).unwrap_or(&self.base)
    }

    /// The index of the rule that holds for the path, or one past the last for the policy's own.
    fn rule_for(&self, path: &str) -> usize {
        let prefix = || {
            self.prefixes
                .iter()
                .find(|(prefix, _)| path.starts_with(&**prefix))
        };
        let exact = self.exact.get(path).copied();
        exact
            .or_else(|| prefix().map(|(_, index)| *index))
            .unwrap_or(usize::MAX)
    }
}

impl Table {
    fn new(strategies: Strategies, value: Option<Strategy>) -> Table {
        let looked_for = |class: &Class| of(&strategies, *class) != Strategy::Keep;
        let active = Class::ALL.into_iter().filter(looked_for).collect();
        Table {
            strategies,
            active,
            value,
        }
    }
}

fn of(strategies: &Strategies, class: Class) -> Strategy {
    strategies
        .get(usize::from(class.bit()))
        .copied()
        .unwrap_or(Strategy::Redact)
}

const fn redact_instead(strategy: Strategy) -> Strategy {
    match strategy {
        Strategy::Remove => Strategy::Redact,
        Strategy::Redact
        | Strategy::Mask
        | Strategy::Hash
        | Strategy::Keep
        | Strategy::Pseudonym => strategy,
    }
}

fn push_quotes(out: &mut BumpString<'_>, quotes: Option<u8>) {
    if let Some(backslashes) = quotes {
        out.extend(std::iter::repeat_n('\\', usize::from(backslashes)));
        out.push('"');
    }
}

/// The first letter of a path as a bit; all of them for `*`, which any path begins like.
fn first_letter(path: &str) -> u32 {
    match path.as_bytes().first() {
        Some(b'*') | None => u32::MAX,
        Some(first) => 1 << (first & 0x1f),
    }
}

fn lower_set(words: &[String]) -> HashSet<Box<str>> {
    words
        .iter()
        .map(|word| word.to_ascii_lowercase().into_boxed_str())
        .collect()
}
