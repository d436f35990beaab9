//! What thousands of Sigma rules cost an event that none of them selects, beside what one costs; and
//! what it takes to compile them, together and for a thousand small organisations.
//!
//! `sigma [directory of rules] [log file]`: without a directory the rules are made up, in the
//! proportions of the published ones; without a file the log lines are such as servers write. The
//! target is the last line of each sort of events: at most twice one rule.
//!
//! Windows events are measured twice: as they come, their fields with the same few values again and
//! again, and with no value twice, which nothing that is remembered of values helps.
//!
//! `sigma <directory> <log file> windows|fresh|lines one|all` only puts one sort of events, ten times each, to
//! all rules or to each of the single ones, for a tool that counts instructions within
//! `sigma::evaluate`.

#![expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]

use anyhow::{Context as _, ensure};
use bumpalo::Bump;
use millrace_benches::hop;
use millrace_detection::rules::BusinessHours;
use millrace_detection::sigma::{Import, Options, Source};
use millrace_detection::{EventView, OrgSettings, RuleDef, RuleMatch, RuleSet, Scratch, Verdict};
use millrace_shared::wire::{Body, BodyFormat, Validity};
use millrace_shared::{Event, Resource, Signal};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rules that are made up.
const RULES: usize = 3_000;
/// Events of each sort.
const EVENTS: usize = 1_000;
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
    let windows: Vec<Value> = (0..EVENTS).map(windows).collect();
    let fresh: Vec<Value> = windows.iter().enumerate().map(never_twice).collect();
    let lines = log_lines(lines.as_deref());
    if let Some(sort) = arguments.next() {
        let sent = match sort.as_str() {
            "lines" => &lines,
            "fresh" => &fresh,
            _ => &windows,
        };
        let some = match arguments.next().as_deref() {
            Some("one") => singles(&rules).collect(),
            _ => vec![rules.as_slice()],
        };
        return some.into_iter().try_for_each(|some| count(some, sent));
    }
    measure("Windows events", &rules, &windows)?;
    measure("Windows events, no value twice", &rules, &fresh)?;
    measure("log lines", &rules, &lines)?;
    organisations(&rules)
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

/// A process that starts, as Sysmon tells it.
fn windows(n: usize) -> Value {
    let image = match n % 4 {
        0 => r"C:\Program Files\Contoso\Agent\agentsvc.exe",
        1 => r"C:\Windows\System32\conhost.exe",
        2 => r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
        _ => r"C:\Users\anna\AppData\Local\Contoso\updater.exe",
    };
    json!({
        "service": "sysmon", "level": "info", "message": "Process Create", "attributes": {
            "EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Provider_Name": "Microsoft-Windows-Sysmon", "Computer": "ws-0042.corp.example",
            "UtcTime": "2026-01-05 08:51:00.008", "ProcessGuid": format!("c1b49677-43f4-5c7a-{n:08x}"),
            "ProcessId": 1_000 + n, "Image": image, "FileVersion": "1.3.28.13",
            "Description": "Contoso component", "Product": "Contoso Suite", "Company": "Contoso Ltd.",
            "OriginalFileName": "component.exe",
            "CommandLine": format!("\"{image}\" --type=renderer --lang=en-US --instance={n} /background"),
            "CurrentDirectory": r"C:\Users\anna\", "User": r"CORP\anna",
            "LogonGuid": "c1b49677-3fb9-5c09-0000-0020e7030000", "LogonId": "0x3e7",
            "TerminalSessionId": 1, "IntegrityLevel": "Medium",
            "Hashes": format!("MD5={n:032x},SHA256={n:064x},IMPHASH={:032x}", n * 7),
            "ParentProcessId": 900, "ParentImage": r"C:\Program Files\Contoso\Agent\launcher.exe",
            "ParentCommandLine": "\"C:\\Program Files\\Contoso\\Agent\\launcher.exe\" /service",
        },
    })
}

/// The event with its number within each text but for the channel's.
fn never_twice((n, event): (usize, &Value)) -> Value {
    let mut event = event.clone();
    let attributes = event.get_mut("attributes").and_then(Value::as_object_mut);
    for (key, value) in attributes.into_iter().flatten() {
        if let Value::String(text) = value
            && key != "Channel"
        {
            text.insert_str(text.len() / 2, &n.to_string());
        }
    }
    event
}

/// The lines of a file, or such as servers write.
fn log_lines(text: Option<&str>) -> Vec<Value> {
    let line = |text: &str| json!({"service": "syslog", "level": "info", "message": text, "attributes": {"pid": 4711}});
    if let Some(text) = text {
        return text.lines().take(EVENTS).map(line).collect();
    }
    let made = (0..EVENTS).map(|n| match n % 4 {
        0 => format!(
            "sshd[{n}]: Accepted publickey for deploy from 198.51.100.{} port 5{n:04} ssh2",
            n % 250
        ),
        1 => format!("CRON[{n}]: (root) CMD (/usr/lib/sysstat/sa1 1 1)"),
        2 => format!("kernel: [ 12{n}.004] eth0: link up, 1000Mbps, full-duplex, lpa 0xFFFF"),
        _ => format!(
            "nginx: 203.0.113.{} GET /api/v1/orders/{n} 200 512 0.012",
            n % 250
        ),
    });
    made.map(|text| line(&text)).collect()
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
fn count(rules: &[Arc<RuleDef>], sent: &[Value]) -> anyhow::Result<()> {
    let bytes = json!({ "logs": sent }).to_string().into_bytes();
    let arena = Bump::new();
    let (events, resource) = events(&bytes, &arena)?;
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
fn measure(what: &str, rules: &[Arc<RuleDef>], sent: &[Value]) -> anyhow::Result<()> {
    let bytes = json!({ "logs": sent }).to_string().into_bytes();
    let arena = Bump::new();
    let (events, resource) = events(&bytes, &arena)?;
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
    let mut singles = singles.collect::<anyhow::Result<Vec<f64>>>()?;
    singles.sort_by(f64::total_cmp);
    let one = singles.get(singles.len() / 2).copied().unwrap_or(f64::NAN);
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
