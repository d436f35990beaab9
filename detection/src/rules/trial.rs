//! A rule tried on events: its own test cases, and dry runs on samples. The events are read as the
//! contract has them and go through the same engine and the same windows as live ones; a rule that
//! asks what the scrubber found is tried on events scrubbed by the default policy.

use super::compile::{OrgSettings, RuleSet};
use super::def::{Expect, RuleDef, TestDef};
use super::error::{Problem, RuleError};
use super::evaluate::{EventView, RuleMatch, Scratch};
use crate::indicators::{Verdict, severity_of_score};
use crate::windows::{Hit, WindowSpec, WindowState};
use bumpalo::Bump;
use hashbrown::HashMap;
use millrace_scrubber::{ClassSet, Pepper, Policy, Scrubber};
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::{Body, BodyFormat, Severity, Validity};
use millrace_shared::{Event, Resource, Role, Signal};
use serde_json::{Value, json};
use std::sync::Arc;

/// When events without a timestamp happen: on a Wednesday at noon UTC, a second apart.
const NOON: i64 = 1_718_193_600 * NS_PER_SECOND;

/// What became of a test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Whether the rule did as expected.
    pub passed: bool,
    /// How many events the rule selected.
    pub matches: usize,
    /// How often it fired.
    pub firings: usize,
}

/// What a rule made of sample events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Indexes of the events that the rule selected.
    pub matched: Vec<usize>,
    /// Indexes of the events at which it fired.
    pub fired: Vec<usize>,
}

/// Runs the rule's own test cases.
///
/// # Errors
/// [`RuleError`] when the rule cannot be compiled or an event of a test case is none.
pub fn run_tests(rule: &RuleDef, settings: OrgSettings) -> Result<Vec<Outcome>, RuleError> {
    let cases = rule.tests.iter().enumerate();
    let outcomes = cases.map(|(at, case)| {
        let TestDef {
            name,
            events,
            repeat,
            signal,
            ioc_score,
            expect,
        } = case;
        let events: Vec<Value> = (0..*repeat).flat_map(|_| events.clone()).collect();
        let signal = signal
            .or_else(|| rule.scope.first().copied())
            .unwrap_or(Signal::Logs);
        let run = dry_run(rule, settings, signal, &events, *ioc_score).map_err(|mut error| {
            error.problem.path = format!("tests[{at}].{}", error.problem.path);
            error
        })?;
        Ok(Outcome {
            name: name.clone(),
            passed: run.fired.is_empty() == (*expect == Expect::NoMatch),
            matches: run.matched.len(),
            firings: run.fired.len(),
        })
    });
    outcomes.collect()
}

/// Runs a rule, whether enabled or not, on events of a signal that have that indicator score.
///
/// # Errors
/// [`RuleError`] when the rule cannot be compiled or an event is not of the contract.
pub fn dry_run(
    rule: &RuleDef,
    settings: OrgSettings,
    signal: Signal,
    events: &[Value],
    ioc_score: u8,
) -> Result<DryRun, RuleError> {
    let enabled = Arc::new(RuleDef {
        enabled: true,
        ..rule.clone()
    });
    let (set, errors) = RuleSet::compile([enabled], settings);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let mut run = DryRun::default();
    let mut windows = Windows::default();
    evaluate(
        &set,
        signal,
        events,
        ioc_score,
        |(index, at_ns), matches| {
            let is_selected = matches.iter().any(|found| !found.is_base);
            if is_selected {
                run.matched.push(index);
            }
            let fires = |found: &RuleMatch, windows: &mut Windows| {
                let spec = set.rule(found.rule).and_then(|rule| rule.window);
                spec.is_none_or(|spec| windows.fires(&spec, index, found))
            };
            let mut has_fired = false;
            for found in matches {
                has_fired |= fires(found, &mut windows);
            }
            if has_fired | windows.have_fallen_silent(at_ns) {
                run.fired.push(index);
            }
        },
    )
    .map_err(|problem| RuleError {
        id: rule.id.clone(),
        problem,
    })?;
    Ok(run)
}

/// The windows of a run, by group.
#[derive(Default)]
struct Windows(HashMap<Option<u128>, (WindowSpec, WindowState)>);

impl Windows {
    fn fires(&mut self, spec: &WindowSpec, index: usize, found: &RuleMatch) -> bool {
        let hit = Hit {
            at_ns: found.at_ns,
            value: found.distinct.unwrap_or(0),
            event: index as u128,
        };
        let state = self.0.entry(found.group);
        let (_, state) = state.or_insert_with(|| (*spec, WindowState::new()));
        !state.apply(spec, &[hit]).is_empty()
    }

    /// The clock of a run is that of its events: whichever comes shows how late it is.
    fn have_fallen_silent(&mut self, now_ns: i64) -> bool {
        let ticks = self.0.values_mut();
        let ticks = ticks.map(|(spec, state)| !state.tick(spec, now_ns).is_empty());
        ticks.fold(false, |any, this| any | this)
    }
}

/// Reads the events and hands the matches of each over with its index and time.
fn evaluate(
    set: &RuleSet,
    signal: Signal,
    events: &[Value],
    ioc_score: u8,
    mut each: impl FnMut((usize, i64), &[RuleMatch]),
) -> Result<(), Problem> {
    let verdict = Verdict {
        score: ioc_score,
        severity: severity_of_score(ioc_score),
        indicator_severity: Severity::Info,
        indicator: None,
    };
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    let scrubber = scrubber(set, signal)?;
    let arena = Bump::new();
    read(signal, events, &arena, |resource, event| {
        let index = usize::from(event.index);
        let timestamp_ns = tried_at(event);
        derive(event);
        let view = EventView {
            event,
            resource,
            timestamp_ns,
            received_ns: timestamp_ns,
            verdict,
        };
        matches.clear();
        set.evaluate(&view, &mut scratch, &mut matches);
        if let Some(scrubber) = &scrubber {
            let resource = &scrub((&mut *event, resource), scrubber, &arena);
            let view = EventView {
                event,
                resource,
                timestamp_ns,
                received_ns: timestamp_ns,
                verdict,
            };
            set.evaluate_scrubbed(&view, &mut scratch, &mut matches);
        }
        each((index, timestamp_ns), &matches);
    })
}

/// What scrubs the events of a run, if any rule asks what is found then.
fn scrubber(set: &RuleSet, signal: Signal) -> Result<Option<Scrubber>, Problem> {
    if !set.asks_after_scrubbing(signal) {
        return Ok(None);
    }
    let made = Pepper::new(1, &set.settings.hash_key)
        .and_then(|pepper| Scrubber::new(&Policy::default().with_hashed_paths(), pepper));
    made.map(Some)
        .map_err(|error| Problem::new("events", error.to_string()))
}

/// Scrubs an event and a copy of its resource, as the worker does: what is found becomes fields of
/// the event.
fn scrub<'a>(
    (event, resource): (&mut Event<'a>, &Resource<'a>),
    scrubber: &Scrubber,
    arena: &'a Bump,
) -> Resource<'a> {
    let (mut resource, mut found) = (resource.clone(), ClassSet::EMPTY);
    for field in event.fields.iter_mut().chain(&mut resource.fields) {
        scrubber.scrub_field(field, arena, &mut found);
    }
    for class in found.names() {
        event.push(Role::PiiClass, millrace_shared::Value::Text(class));
    }
    resource
}

/// What live events have by the time rules see them, and sample events are sent without.
fn derive(event: &mut Event<'_>) {
    let (start, end) = (event.int(Role::StartTime), event.int(Role::EndTime));
    if let (Signal::Traces, Some(start), Some(end)) = (event.signal, start, end)
        && event.field(Role::Duration).is_none()
    {
        let duration = end.saturating_sub(start).max(0);
        event.push(Role::Duration, millrace_shared::Value::Int(duration));
    }
}

/// When a sample event counts as having happened, and been received.
pub(crate) fn tried_at(event: &Event<'_>) -> i64 {
    let later = i64::from(event.index) * NS_PER_SECOND;
    event.timestamp.unwrap_or(NOON + later)
}

/// Reads sample events as the contract has them.
///
/// # Errors
/// When there are none, or one is not of the contract.
pub fn read<'a>(
    signal: Signal,
    events: &[Value],
    arena: &'a Bump,
    mut each: impl FnMut(&Resource<'a>, &mut Event<'a>),
) -> Result<(), Problem> {
    if events.is_empty() {
        return Err(Problem::new("events", "must not be empty"));
    }
    let mut document = json!({ signal.body_key(): events });
    if matches!(signal, Signal::Traces | Signal::Logs)
        && let Some(members) = document.as_object_mut()
    {
        members.insert("resource".to_owned(), json!({"service_name": "test"}));
    }
    let body = Body {
        signal,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes: arena.alloc_str(&document.to_string()).as_bytes(),
    };
    let mut refused = None;
    let read = body.read(arena, |resource, event| match event {
        Ok(event) => each(resource, event),
        Err((index, reject)) => {
            let path = format!("events[{index}]");
            refused.get_or_insert_with(|| Problem::new(&path, reject.to_string()));
        }
    });
    match (read, refused) {
        (_, Some(problem)) => Err(problem),
        (Err(error), None) => Err(Problem::new("events", error.to_string())),
        (Ok(_), None) => Ok(()),
    }
}
