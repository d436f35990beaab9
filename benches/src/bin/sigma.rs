//! What thousands of Sigma rules cost an event that none of them selects, beside what one costs; and
//! what it takes to compile them, together and for a thousand small organisations.
//!
//! `sigma [directory of rules] [log file]`: without a directory the rules are made up, in the
//! proportions of the published ones; without a file the log lines are such as servers write. Each sort
//! of events is measured twice: in the rule engine alone, and all the way through the worker, from the
//! packed body to rows, of which the rules are a part. The target is the last line of each: at most
//! twice one rule.
//!
//! Windows events come in two sorts: as they come, their fields with the same few values again and
//! again, and with no value twice, which nothing that is remembered of values helps.
//!
//! `sigma <directory> <log file> windows|fresh|lines one|all [whole]` only puts one sort of events to all
//! rules or to each of the single ones, for a tool that counts instructions within `sigma::evaluate`
//! or, of whole events, within `sigma::whole`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]

use anyhow::{Context as _, ensure};
use bumpalo::Bump;
use millrace_benches::control::of_rules;
use millrace_benches::hop;
use millrace_benches::sent::{log_line, windows, windows_fresh};
use millrace_benches::worker::{entries, task};
use millrace_detection::rules::BusinessHours;
use millrace_detection::sigma::{Import, Options, Source};
use millrace_detection::{EventView, OrgSettings, RuleDef, RuleMatch, RuleSet, Scratch, Verdict};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use millrace_shared::{Event, Resource, Signal};
use normalizer_worker::control::Control;
use normalizer_worker::pipeline::transform;
use normalizer_worker::work::{Output, RawEntry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rules that are made up.
const RULES: usize = 3_000;
/// Events of each sort that the rule engine gets again and again, and of a body.
const EVENTS: usize = 1_000;
/// Bodies of a batch, no two with the same events.
const BODIES: usize = 8;
/// When they are received, nanoseconds.
const RECEIVED_AT: i64 = 1_790_000_000_000_000_000;
/// Single rules of which the median is what one rule costs.
const SINGLES: usize = 5;
/// How often every event is evaluated while instructions are counted.
const COUNTED: usize = 10;
/// Organisations, and the rules of each.
const ORGS: usize = 1_000;
const ORG_RULES: usize = 50;

const SETTINGS: OrgSettings = OrgSettings {
    hash_key: [1; 32],
    hours: BusinessHours::UTC_OFFICE,
};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut sources = Vec::new();
    match arguments.next() {
        Some(directory) => read(Path::new(&directory), &mut sources)?,
        None => sources.extend((0..RULES).map(made_up)),
    }
    let lines = arguments
        .next()
        .map(|path| std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}")));
    let lines = lines.transpose()?;
    let start = Instant::now();
    let import = Import::new(&sources, &Options::default());
    let seconds = start.elapsed().as_secs_f64();
    let (taken, refused) = (import.rules.len(), import.refused.len());
    println!("{taken} rules taken in, {refused} refused, in {seconds:.1} s");
    ensure!(taken > 0, "there is no rule to measure");
    let rules = import.rules.into_iter().map(|one| Arc::new(one.rule));
    let rules: Vec<Arc<RuleDef>> = rules.collect();
    let lines: Vec<&str> = lines.iter().flat_map(|text| text.lines()).collect();
    let line = |n: usize| log_line(n, &lines);
    if let Some(sort) = arguments.next() {
        let sent = match sort.as_str() {
            "lines" => sent(&line),
            "fresh" => sent(&windows_fresh),
            _ => sent(&windows),
        };
        let some = match arguments.next().as_deref() {
            Some("one") => singles(&rules).collect(),
            _ => vec![rules.as_slice()],
        };
        let count = match arguments.next() {
            Some(_) => count_whole,
            None => count,
        };
        return some.into_iter().try_for_each(|some| count(some, &sent));
    }
    for (what, sent) in [
        ("Windows events", sent(&windows)),
        ("Windows, no value twice", sent(&windows_fresh)),
        ("log lines", sent(&line)),
    ] {
        measure(what, &rules, &sent)?;
        measure_whole(what, &rules, &sent)?;
    }
    organisations(&rules)
}

/// The bodies of one sort of events.
fn sent(event: &dyn Fn(usize) -> Value) -> Vec<Vec<u8>> {
    let body = |body: usize| {
        let events = (body * EVENTS..(body + 1) * EVENTS).map(event);
        json!({ "logs": events.collect::<Vec<Value>>() })
            .to_string()
            .into_bytes()
    };
    (0..BODIES).map(body).collect()
}

fn read(directory: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read(&path, sources)?;
        } else if path.extension().is_some_and(|end| end == "yml") {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
            sources.push(Source { name, text });
        }
    }
    Ok(())
}

/// A rule as people publish them.
fn made_up(n: usize) -> Source {
    let (logsource, detection) = match n % 10 {
        0..=2 => (
            "{product: windows, category: process_creation}",
            format!(
                "s: {{Image|endswith: ['\\tool{n}.exe', '\\util{n}.exe'], CommandLine|contains: ' -option{n}'}}"
            ),
        ),
        3 => (
            "{product: windows, category: process_creation}",
            format!("s: {{CommandLine|contains|all: ['Invoke-Function{n}', '-Path']}}"),
        ),
        4 => (
            "{product: windows, category: process_creation}",
            format!(
                "s: {{ParentImage|endswith: '\\parent{n}.exe', OriginalFileName: 'ORIGINAL{n}.EXE'}}"
            ),
        ),
        5 => (
            "{product: windows, category: registry_set}",
            format!(
                "s: {{TargetObject|contains: '\\Software\\Vendor{n}\\', Details: 'DWORD (0x00000001)'}}"
            ),
        ),
        6 => (
            "{product: windows, category: file_event}",
            format!("s: {{TargetFilename|endswith: '\\payload{n}.dll'}}"),
        ),
        7 => (
            "{product: windows, service: security}",
            format!(
                "s: {{EventID: {}, SubjectUserName|endswith: '$'}}",
                5_000 + n
            ),
        ),
        8 => (
            "{product: windows, category: process_creation}",
            format!("s: {{CommandLine|re: '(?:cmd|sh)\\s.{{0,5}}script{n}\\.(?:ps1|vbs)'}}"),
        ),
        _ => (
            "{product: linux, service: syslog}",
            format!("s: ['exploit attempt {n}', 'segfault in lib{n}*.so']"),
        ),
    };
    let text = format!(
        "title: Rule {n}\nid: rule-{n}\nlogsource: {logsource}\ndetection:\n  {detection}\n  condition: s\n"
    );
    Source {
        name: format!("{n}.yml"),
        text,
    }
}

/// The single rules, spread over all.
fn singles(rules: &[Arc<RuleDef>]) -> impl Iterator<Item = &[Arc<RuleDef>]> {
    let some = rules.chunks(rules.len().div_ceil(SINGLES));
    some.filter_map(|some| some.get(..1))
}

fn compiled(rules: &[Arc<RuleDef>]) -> anyhow::Result<RuleSet> {
    let (set, errors) = RuleSet::compile(rules.iter().cloned(), SETTINGS);
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(set)
}

/// Puts every event to the rules. Not inlined, so that instructions within are counted by its name.
#[inline(never)]
fn evaluate(
    set: &RuleSet,
    (events, resource): (&[Event<'_>], &Resource<'_>),
    scratch: &mut Scratch,
    matches: &mut Vec<RuleMatch>,
) {
    for event in events {
        let view = EventView {
            event,
            resource,
            timestamp_ns: 0,
            received_ns: 0,
            verdict: Verdict::NONE,
        };
        set.evaluate(&view, scratch, matches);
    }
}

/// Evaluates and times nothing.
fn count(rules: &[Arc<RuleDef>], sent: &[Vec<u8>]) -> anyhow::Result<()> {
    let (bytes, arena) = (sent.first().context("nothing is sent")?, Bump::new());
    let (events, resource) = events(bytes, &arena)?;
    let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
    let set = compiled(rules)?;
    for _ in 0..COUNTED {
        matches.clear();
        evaluate(&set, (&events, &resource), &mut scratch, &mut matches);
    }
    println!(
        "{} rules: {} evaluations, {} matches of each round",
        rules.len(),
        COUNTED * events.len(),
        matches.len()
    );
    Ok(())
}

/// Measures one rule and all of them on events, and says how many times one rule all cost.
fn measure(what: &str, rules: &[Arc<RuleDef>], sent: &[Vec<u8>]) -> anyhow::Result<()> {
    let (bytes, arena) = (sent.first().context("nothing is sent")?, Bump::new());
    let (events, resource) = events(bytes, &arena)?;
    let run = |name: &str, some: &[Arc<RuleDef>]| -> anyhow::Result<(f64, Vec<String>)> {
        let set = compiled(some)?;
        let (mut scratch, mut matches) = (Scratch::default(), Vec::new());
        let time = hop(name, events.len(), bytes.len(), || {
            matches.clear();
            evaluate(&set, (&events, &resource), &mut scratch, &mut matches);
            matches.len()
        });
        let ids = matches.iter().filter_map(|one| set.rule(one.rule));
        Ok((time, ids.map(|rule| rule.def.id.clone()).collect()))
    };
    let singles = singles(rules).map(|one| run(&format!("{what}: one rule"), one));
    let singles = singles.map(|run| run.map(|(time, _)| time));
    let one = median(singles.collect::<anyhow::Result<Vec<f64>>>()?);
    let count = rules.len();
    let (all, matches) = run(&format!("{what}: {count} rules"), rules)?;
    println!(
        "{what}: {count} rules cost {:.2} times one rule ({} matches)",
        all / one,
        matches.len()
    );
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for id in &matches {
        *by_rule.entry(id).or_default() += 1;
    }
    for (id, times) in by_rule {
        println!("{what}: {times} of {} events matched {id}", events.len());
    }
    Ok(())
}

/// Takes a batch through the worker's whole pure path. Not inlined, as [`evaluate`].
#[inline(never)]
fn whole(control: &Control, batch: &[RawEntry]) -> Output {
    transform(&task(control), batch)
}

/// Takes one batch through and times nothing.
fn count_whole(rules: &[Arc<RuleDef>], sent: &[Vec<u8>]) -> anyhow::Result<()> {
    let batch = entries(sent.iter().map(Vec::as_slice), EVENTS, RECEIVED_AT)?;
    let alerts = whole(&of_rules(rules)?, &batch).alerts.len();
    println!(
        "{} rules: {} events, {alerts} alerts",
        rules.len(),
        EVENTS * BODIES
    );
    Ok(())
}

/// As [`measure`], of all that is done with an event.
fn measure_whole(what: &str, rules: &[Arc<RuleDef>], sent: &[Vec<u8>]) -> anyhow::Result<()> {
    let batch = entries(sent.iter().map(Vec::as_slice), EVENTS, RECEIVED_AT)?;
    let bytes = sent.iter().map(Vec::len).sum();
    let run = |name: &str, some: &[Arc<RuleDef>]| -> anyhow::Result<f64> {
        let control = of_rules(some)?;
        let parked = whole(&control, &batch).poison.len();
        ensure!(parked == 0, "{parked} entries or events were set aside");
        let events = EVENTS * BODIES;
        Ok(hop(name, events, bytes, || {
            whole(&control, &batch).targets.len()
        }))
    };
    let none = run(&format!("{what}: whole, no rule"), &[])?;
    let singles = singles(rules).map(|one| run(&format!("{what}: whole, one rule"), one));
    let one = median(singles.collect::<anyhow::Result<Vec<f64>>>()?);
    let count = rules.len();
    let all = run(&format!("{what}: whole, {count} rules"), rules)?;
    println!(
        "{what}: a whole event with {count} rules costs {:.2} times one with one rule, {:.2} times one without",
        all / one,
        all / none
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What compiling takes, and what compiled rules hold, their definitions aside.
fn organisations(rules: &[Arc<RuleDef>]) -> anyhow::Result<()> {
    let (start, before) = (Instant::now(), resident());
    let all = compiled(rules)?;
    println!(
        "{} rules compiled in {:.0} ms, {:.1} MB",
        all.rules().len(),
        start.elapsed().as_secs_f64() * 1e3,
        resident() - before
    );
    let (start, before) = (Instant::now(), resident());
    let starts = (0..ORGS).map(|org| org * ORG_RULES % rules.len());
    let sets = starts.map(|from| {
        let own = rules.iter().cycle().skip(from).take(ORG_RULES);
        let own: Vec<Arc<RuleDef>> = own.cloned().collect();
        compiled(&own)
    });
    let sets = sets.collect::<anyhow::Result<Vec<RuleSet>>>()?;
    println!(
        "{} organisations of {ORG_RULES} rules compiled in {:.0} ms, {:.1} MB",
        sets.len(),
        start.elapsed().as_secs_f64() * 1e3,
        resident() - before
    );
    Ok(())
}

/// Resident memory of this process, megabytes (Linux, pages of 4 kB).
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0.0) * 4_096.0 / 1e6
}

fn events<'a>(bytes: &'a [u8], arena: &'a Bump) -> anyhow::Result<(Vec<Event<'a>>, Resource<'a>)> {
    let body = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes,
    };
    let (mut events, mut resource, mut refused) = (Vec::new(), Resource::default(), None);
    let read = body.read(arena, |of_body, event| {
        resource = of_body.clone();
        match event {
            Ok(event) => events.push(event.clone()),
            Err((_, reject)) => refused = Some(reject.to_string()),
        }
    });
    ensure!(read.is_ok() && refused.is_none(), "{read:?}: {refused:?}");
    Ok((events, resource))
}
