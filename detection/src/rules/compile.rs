//! All rules of an organisation, compiled together.

use super::condition::{self, Test};
use super::correlation::Correlated;
use super::def::{DedupeDef, MissingGroup, RuleDef, Selection};
use super::error::{Problem, RuleError};
use super::facts::{Cover, Shares};
use super::fields::FieldMap;
use super::gates;
use super::hours::BusinessHours;
use super::index::{Index, IndexBuilder};
use super::keys::{INDICATOR_SLOT, KeySlot};
use super::order::order;
use super::path::{EVERY, INDICATOR_PATH, Source, all_sources};
use super::window_def::WindowDef;
use super::{DEDUPE_SECONDS_DEFAULT, RULES_MAX};
use crate::windows::WindowSpec;
use hashbrown::HashMap;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::{Role, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an organisation's rules need to know of it.
#[derive(Clone, Copy, Debug)]
pub struct OrgSettings {
    /// The key under which values of groups are hashed.
    pub hash_key: [u8; 32],
    /// When the organisation works.
    pub hours: BusinessHours,
}

/// The number of a rule in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIndex(pub u32);

/// A compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// As it is written.
    pub def: Arc<RuleDef>,
    /// Its window, if it has one.
    pub window: Option<WindowSpec>,
    /// How long after its last firing an alert takes up the next one, nanoseconds.
    pub dedupe_ns: i64,
    /// The paths of [`RuleMatch::dedupe_fields`](super::RuleMatch::dedupe_fields), in their order:
    /// the rule's own or the default ones.
    pub dedupe_keys: Vec<String>,
    /// Whether it asks what the scrubber found, and so looks at events after they were scrubbed.
    pub after_scrubbing: bool,
    pub(super) selection: Node,
    pub(super) exceptions: Vec<(Node, Option<i64>)>,
    pub(super) group: Vec<KeySlot>,
    pub(super) dedupe: Vec<KeySlot>,
    /// Whether the dedupe key is that of the group, which then need not be hashed again.
    pub(super) dedupes_by_group: bool,
    pub(super) worth: Worth,
    /// Whether it counts when an event was received rather than when it happened.
    pub(super) by_receipt: bool,
    /// Whether each series is a group of its own, beside those that the rule asks for.
    pub(super) by_series: bool,
    pub(super) missing_counts: bool,
    /// What each member of the selection's `any` stands for in a correlation or a sequence; else
    /// none.
    pub(super) steps: Vec<Step>,
}

/// What a hit of a window is worth.
#[derive(Debug)]
pub(super) enum Worth {
    /// Nothing but itself.
    Nothing,
    /// The value of a field, as a hash.
    Hash(KeySlot),
    /// The number in a field.
    Number(u32),
    /// Whether this holds too: then it is more than the base of a share. And the field that says how many
    /// events it stands for; one without.
    Part(Node, Option<u32>),
    /// The place that two fields name, degrees north and east.
    Place(u32, u32),
}

/// A step of a correlation or of a sequence.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) group: Vec<KeySlot>,
    pub(super) value: StepValue,
}

/// What a hit of a step is worth.
#[derive(Debug)]
pub(super) enum StepValue {
    Number(u64),
    Hash(Vec<KeySlot>),
    Measured(u32),
}

/// Conditions and groups of them, with slots for fields.
#[derive(Clone, Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    None(Vec<Node>),
    /// What several rules demand alike, by its number.
    Gate(u32, Arc<Node>),
    Condition {
        slot: u32,
        test: Test,
    },
}

/// The slot of conditions that are not about a field.
pub(super) const NO_SLOT: u32 = u32::MAX;
/// The slot of conditions that are about every field of the event (`u32::MAX - 1` is that of the
/// indicator among keys).
pub(super) const EVERY_SLOT: u32 = u32::MAX - 2;

/// What one signal's events need.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// No other matcher has it.
    pub(super) id: u64,
    pub(super) fields: FieldMap,
    pub(super) index: Index,
}

/// The number of the next matcher.
static NEXT_MATCHER: AtomicU64 = AtomicU64::new(0);

/// By signal; nothing where no rule looks.
pub(super) type Matchers = [Option<Matcher>; Signal::ALL.len()];

/// The enabled rules of an organisation, ready to be asked about events.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) rules: Vec<Rule>,
    pub(super) matchers: Matchers,
    /// Of rules that look at scrubbed events.
    pub(super) after_scrubbing: Matchers,
    /// How many demands rules share.
    pub(super) gates: usize,
    /// What each slot is of.
    pub(super) paths: Vec<Box<str>>,
    pub(super) settings: OrgSettings,
}

impl RuleSet {
    /// Compiles the enabled rules. What cannot be used is left out and named.
    #[must_use]
    pub fn compile(
        rules: impl IntoIterator<Item = Arc<RuleDef>>,
        settings: OrgSettings,
    ) -> (RuleSet, Vec<RuleError>) {
        let mut compiler = Compiler::default();
        let mut errors = Vec::new();
        for def in rules {
            if !def.enabled {
                continue;
            }
            if compiler.rules.len() == RULES_MAX {
                let problem = Problem::new("", format!("is one of more than {RULES_MAX}"));
                errors.push(RuleError {
                    id: def.id.clone(),
                    problem,
                });
                continue;
            }
            match compiler.rule(&def) {
                Ok(rule) => compiler.rules.push(rule),
                Err(problem) => errors.push(RuleError {
                    id: def.id.clone(),
                    problem,
                }),
            }
        }
        (compiler.finish(settings), errors)
    }

    /// The same rules, every one of them tried on every event: slow, and what saving work must never
    /// change.
    #[must_use]
    pub fn exhaustive(mut self) -> RuleSet {
        for (after, matchers) in [
            (false, &mut self.matchers),
            (true, &mut self.after_scrubbing),
        ] {
            for (signal, matcher) in Signal::ALL.into_iter().zip(matchers) {
                if let Some(matcher) = matcher {
                    let numbered = looking(&self.rules, signal, after);
                    matcher.index = Index::default();
                    matcher.index.always = numbered.map(|(number, _)| number).collect();
                }
            }
        }
        self
    }

    /// The rule with that number.
    #[must_use]
    pub fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(index.0 as usize)
    }

    /// All rules, in the order of their numbers.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether no rule looks at the signal.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        of_signal(&self.matchers, signal).is_none() && !self.asks_after_scrubbing(signal)
    }

    /// Whether any rule asks what the scrubber found in events of the signal.
    #[must_use]
    pub fn asks_after_scrubbing(&self, signal: Signal) -> bool {
        of_signal(&self.after_scrubbing, signal).is_some()
    }
}

/// The matcher of a signal.
pub(super) fn of_signal(matchers: &Matchers, signal: Signal) -> Option<&Matcher> {
    matchers.get(usize::from(signal.number()))?.as_ref()
}

/// The rules that look at events of a signal, before or after they are scrubbed, with their numbers.
fn looking(rules: &[Rule], signal: Signal, after: bool) -> impl Iterator<Item = (u32, &Rule)> {
    let numbered = (0..).zip(rules);
    numbered
        .filter(move |(_, rule)| rule.after_scrubbing == after && rule.def.scope.contains(&signal))
}

#[derive(Default)]
struct Compiler {
    rules: Vec<Rule>,
    paths: HashMap<String, u32>,
    common: Vec<bool>,
    /// By slot: whether it is of what the scrubber finds.
    found: Vec<bool>,
}

impl Compiler {
    fn rule(&mut self, def: &Arc<RuleDef>) -> Result<Rule, Problem> {
        let (selection, worth) = self.selected(def)?;
        let mut exceptions = Vec::new();
        for (at, exception) in def.exceptions.iter().enumerate() {
            let path = format!("exceptions[{at}].selection");
            exceptions.push((
                self.node(&exception.selection, &path)?,
                exception.expires_at,
            ));
        }
        let default = default_dedupe(def);
        let dedupe = def.dedupe.as_ref().unwrap_or(&default);
        let mut rule = Rule {
            def: Arc::clone(def),
            window: def.window.as_ref().map(WindowDef::spec),
            dedupe_ns: i64::from(dedupe.window_seconds) * NS_PER_SECOND,
            selection,
            exceptions,
            group: def.group_by.iter().map(|path| self.key(path)).collect(),
            dedupe_keys: dedupe.keys.clone(),
            after_scrubbing: false,
            dedupe: dedupe.keys.iter().map(|path| self.key(path)).collect(),
            dedupes_by_group: dedupes_by_group(def, dedupe),
            worth,
            by_receipt: matches!(def.window, Some(WindowDef::Silence { .. })),
            by_series: is_by_series(def),
            missing_counts: def.missing_group == MissingGroup::Own,
            steps: self.steps(def),
        };
        // The steps of a correlation or a sequence are the members of its selection, in their order.
        if rule.steps.is_empty() {
            order(&mut rule.selection);
        }
        for (exception, _) in &mut rule.exceptions {
            order(exception);
        }
        let mut after_scrubbing = false;
        rule.each_slot(&mut |slot| {
            after_scrubbing |= self.found.get(slot as usize).is_some_and(|found| *found);
        });
        Ok(Rule {
            after_scrubbing,
            ..rule
        })
    }

    /// Which events a rule looks at, and what each of them is worth to its window.
    fn selected(&mut self, def: &RuleDef) -> Result<(Node, Worth), Problem> {
        let selection = self.node(&def.selection, "selection")?;
        Ok(match &def.window {
            Some(WindowDef::Distinct { field, .. } | WindowDef::NewValue { field, .. }) => {
                (selection, Worth::Hash(self.key(field)))
            }
            Some(WindowDef::Sum { field, .. } | WindowDef::Measure { field, .. }) => {
                (selection, Worth::Number(self.slot(field)))
            }
            Some(WindowDef::Travel {
                latitude,
                longitude,
                ..
            }) => {
                let place = Worth::Place(self.slot(latitude), self.slot(longitude));
                (selection, place)
            }
            Some(WindowDef::Ratio { base, .. }) => {
                (self.base(base.as_ref())?, Worth::Part(selection, None))
            }
            Some(WindowDef::BurnRate { base, field, .. }) => {
                let field = field.as_ref().map(|field| self.slot(field));
                (self.base(base.as_ref())?, Worth::Part(selection, field))
            }
            Some(WindowDef::Sequence { steps, .. }) => {
                let mut members = Vec::with_capacity(steps.len());
                for (at, step) in steps.iter().enumerate() {
                    let path = format!("window.steps[{at}].selection");
                    members.push(self.node(&step.selection, &path)?);
                }
                let all = vec![selection, Node::Any(members)];
                (Node::All(all), Worth::Nothing)
            }
            Some(
                WindowDef::Count { .. }
                | WindowDef::Rate { .. }
                | WindowDef::Silence { .. }
                | WindowDef::Spike { .. }
                | WindowDef::Correlation(_),
            )
            | None => (selection, Worth::Nothing),
        })
    }

    /// What a share is of. Without a base every event counts.
    fn base(&mut self, base: Option<&Selection>) -> Result<Node, Problem> {
        let base = base.map(|base| self.node(base, "window.base"));
        Ok(base.transpose()?.unwrap_or_else(|| Node::All(Vec::new())))
    }

    fn steps(&mut self, def: &RuleDef) -> Vec<Step> {
        if let Some(WindowDef::Sequence { steps, .. }) = &def.window {
            let group = || def.group_by.iter();
            let steps = (0..).zip(steps);
            let steps = steps.map(|(number, _)| Step {
                group: group().map(|path| self.key(path)).collect(),
                value: StepValue::Number(number),
            });
            return steps.collect();
        }
        let Some(WindowDef::Correlation(correlation)) = &def.window else {
            return Vec::new();
        };
        let mut keys = |paths: &[String]| paths.iter().map(|path| self.key(path)).collect();
        let steps = (0..).zip(&correlation.steps);
        let steps = steps.map(|(number, step)| Step {
            group: keys(&step.group_by),
            value: match correlation.of {
                Correlated::Count => StepValue::Number(0),
                Correlated::Temporal | Correlated::Ordered => {
                    StepValue::Number(step.of.map_or(number, u64::from))
                }
                Correlated::Distinct | Correlated::Share => StepValue::Hash(keys(&step.fields)),
                Correlated::Sum | Correlated::Average | Correlated::Percentile(_) => {
                    let slots: Vec<KeySlot> = keys(&step.fields);
                    StepValue::Measured(slots.first().map_or(NO_SLOT, |key| key.slot))
                }
            },
        });
        steps.collect()
    }

    fn node(&mut self, selection: &Selection, path: &str) -> Result<Node, Problem> {
        let mut list = |list: &[Selection], group: &str| -> Result<Vec<Node>, Problem> {
            let nodes = list.iter().enumerate();
            nodes
                .map(|(at, item)| self.node(item, &format!("{path}.{group}[{at}]")))
                .collect()
        };
        Ok(match selection {
            Selection::All(all) => Node::All(list(all, "all")?),
            Selection::Any(any) => Node::Any(list(any, "any")?),
            Selection::None(none) => Node::None(list(none, "none")?),
            Selection::Condition(written) => {
                let mut test = condition::compile(written)
                    .map_err(|(member, what)| Problem::new(&format!("{path}.{member}"), what))?;
                if let Test::Field(other) = &mut test {
                    other.slot = self.slot(&other.path);
                }
                let slot = match test {
                    Test::AfterHours(_) | Test::Ioc(_) => NO_SLOT,
                    Test::Equal { .. }
                    | Test::Text { .. }
                    | Test::Like(_)
                    | Test::Regex(..)
                    | Test::Exists(_)
                    | Test::Present(_)
                    | Test::Field(_)
                    | Test::Moment(..)
                    | Test::Number(..)
                    | Test::Rank(..)
                    | Test::Cidr(_) => self.slot(&written.field),
                };
                Node::Condition { slot, test }
            }
        })
    }

    fn slot(&mut self, path: &str) -> u32 {
        if path == EVERY {
            return EVERY_SLOT;
        }
        if let Some(slot) = self.paths.get(path) {
            return *slot;
        }
        let slot = u32::try_from(self.paths.len()).unwrap_or(NO_SLOT);
        self.paths.insert(path.to_owned(), slot);
        let sources = all_sources(path);
        let has = |is: &dyn Fn(&Source) -> bool| sources.iter().any(|(_, source)| is(source));
        self.common.push(has(&is_common));
        self.found
            .push(has(&|source| *source == Source::Core(Role::PiiClass)));
        slot
    }

    fn key(&mut self, path: &str) -> KeySlot {
        if path == INDICATOR_PATH {
            return KeySlot {
                slot: INDICATOR_SLOT,
                is_address: false,
            };
        }
        let is_address = all_sources(path)
            .iter()
            .any(|(_, source)| *source == Source::Core(Role::Ip));
        KeySlot {
            slot: self.slot(path),
            is_address,
        }
    }

    fn finish(mut self, settings: OrgSettings) -> RuleSet {
        let gates = gates::share(&mut self.rules);
        let slots = self.paths.len();
        let mut paths = vec![""; slots];
        for (path, slot) in &self.paths {
            if let Some(place) = paths.get_mut(*slot as usize) {
                *place = path;
            }
        }
        let matchers = |after| Signal::ALL.map(|signal| self.matcher((signal, after), &paths));
        let (matchers, after_scrubbing) = (matchers(false), matchers(true));
        RuleSet {
            paths: paths.into_iter().map(Box::from).collect(),
            rules: self.rules,
            matchers,
            after_scrubbing,
            gates,
            settings,
        }
    }

    /// Of the rules that look at events of a signal, before or after they are scrubbed.
    fn matcher(&self, (signal, after): (Signal, bool), paths: &[&str]) -> Option<Matcher> {
        let mut fields = FieldMap::default();
        let mut index = IndexBuilder::default();
        let mut used = vec![false; paths.len()];
        let mut any = false;
        let of_signal = || looking(&self.rules, signal, after);
        let mut shares = Shares::default();
        for (_, rule) in of_signal() {
            rule.selection
                .each_condition(&mut |slot, test| shares.add(test, slot));
        }
        for (number, rule) in of_signal() {
            any = true;
            index.add(number, self.cover(&rule.selection, &shares));
            rule.each_slot(&mut |slot| {
                if let (Some(used), Some(path)) =
                    (used.get_mut(slot as usize), paths.get(slot as usize))
                    && !std::mem::replace(used, true)
                {
                    fields.add(slot, path);
                }
            });
        }
        any.then(|| Matcher {
            id: NEXT_MATCHER.fetch_add(1, Ordering::Relaxed),
            index: index.finish(&fields),
            fields,
        })
    }

    fn cover(&self, node: &Node, shares: &Shares) -> Option<Cover> {
        match node {
            Node::All(all) => Cover::all(all.iter().map(|node| self.cover(node, shares))),
            Node::Any(any) => Cover::any(any.iter().map(|node| self.cover(node, shares))),
            Node::None(_) => None,
            Node::Gate(_, node) => self.cover(node, shares),
            Node::Condition { slot, test } => {
                let common = self.common.get(*slot as usize).copied().unwrap_or(false);
                Cover::of(test, *slot, common, shares)
            }
        }
    }
}

/// Fields that hold one of a few words in every event: an equality with them says little.
fn is_common(source: &Source) -> bool {
    match source {
        Source::Key(..) => false,
        Source::Core(role) | Source::ResourceCore(role) => matches!(
            role,
            Role::Service
                | Role::Environment
                | Role::Level
                | Role::Kind
                | Role::Status
                | Role::MetricType
                | Role::EventType
                | Role::Outcome
                | Role::Severity
                | Role::ActorType
        ),
    }
}

impl Rule {
    pub(super) fn each_slot(&self, visit: &mut impl FnMut(u32)) {
        self.selection.each_slot(visit);
        for (exception, _) in &self.exceptions {
            exception.each_slot(visit);
        }
        let keys = self.group.iter().chain(&self.dedupe);
        keys.for_each(|key| visit(key.slot));
        match &self.worth {
            Worth::Nothing => {}
            Worth::Hash(key) => visit(key.slot),
            Worth::Number(slot) => visit(*slot),
            Worth::Part(node, field) => {
                node.each_slot(visit);
                field.iter().for_each(|slot| visit(*slot));
            }
            Worth::Place(latitude, longitude) => {
                visit(*latitude);
                visit(*longitude);
            }
        }
        for step in &self.steps {
            step.group.iter().for_each(|key| visit(key.slot));
            match &step.value {
                StepValue::Number(_) => {}
                StepValue::Hash(keys) => keys.iter().for_each(|key| visit(key.slot)),
                StepValue::Measured(slot) => visit(*slot),
            }
        }
    }
}

impl Rule {
    /// The members of the selection that are steps.
    pub(super) fn members(&self) -> &[Node] {
        match &self.selection {
            Node::Any(members) => members,
            Node::All(all) => match all.last() {
                Some(Node::Any(members)) => members,
                Some(Node::All(_) | Node::None(_) | Node::Gate(..) | Node::Condition { .. })
                | None => &[],
            },
            Node::None(_) | Node::Gate(..) | Node::Condition { .. } => &[],
        }
    }
}

impl Node {
    fn each_slot(&self, visit: &mut impl FnMut(u32)) {
        self.each_condition(&mut |slot, test| {
            visit(slot);
            if let Test::Field(other) = test {
                visit(other.slot);
            }
        });
    }

    fn each_condition(&self, visit: &mut impl FnMut(u32, &Test)) {
        match self {
            Node::All(list) | Node::Any(list) | Node::None(list) => {
                list.iter().for_each(|node| node.each_condition(visit));
            }
            Node::Gate(_, node) => node.each_condition(visit),
            Node::Condition { slot, test } => visit(*slot, test),
        }
    }
}

/// A counter is compared with itself: those of other series go their own ways. Alerts are told apart by
/// what the rule groups by all the same.
fn is_by_series(def: &RuleDef) -> bool {
    matches!(&def.window, Some(WindowDef::Measure { of, .. }) if of.is_of_counter())
}

/// Whether the group tells alerts apart as well. Rules of the kinds that were there first keep a hash
/// of its own for that: alerts that are open go by it.
fn dedupes_by_group(def: &RuleDef, dedupe: &DedupeDef) -> bool {
    match &def.window {
        Some(WindowDef::Correlation(_)) => true,
        Some(WindowDef::Measure { of, .. }) if of.is_of_counter() => false,
        Some(
            WindowDef::Sum { .. }
            | WindowDef::Ratio { .. }
            | WindowDef::Rate { .. }
            | WindowDef::BurnRate { .. }
            | WindowDef::Measure { .. }
            | WindowDef::Sequence { .. }
            | WindowDef::NewValue { .. }
            | WindowDef::Silence { .. }
            | WindowDef::Spike { .. }
            | WindowDef::Travel { .. },
        ) => !def.group_by.is_empty() && dedupe.keys == def.group_by,
        Some(WindowDef::Count { .. } | WindowDef::Distinct { .. }) | None => false,
    }
}

/// Alerts are told apart by the groups of the rule where it has any; else by who acted, or, for
/// signals without anybody acting, by the service.
fn default_dedupe(def: &RuleDef) -> DedupeDef {
    let someone_acts = |signal: &Signal| matches!(signal, Signal::Audit | Signal::Rum);
    let keys = if let Some(WindowDef::Correlation(correlation)) = &def.window {
        // The alert names the fields of the first step, whichever step was hit last.
        let first = correlation.steps.first();
        first.map(|step| step.group_by.clone()).unwrap_or_default()
    } else if def.window.is_some() || !def.group_by.is_empty() {
        def.group_by.clone()
    } else if def.scope.iter().all(someone_acts) {
        vec!["actor".to_owned()]
    } else {
        vec!["service".to_owned()]
    };
    DedupeDef {
        keys,
        window_seconds: DEDUPE_SECONDS_DEFAULT,
    }
}
