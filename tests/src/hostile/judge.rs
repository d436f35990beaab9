//! Whether what came back was due.

use super::case::{Case, Due, Pace};
use super::exchange::{Outcome, carry_out, patience};
use super::shape::MARK;
use crate::http::Answer;
use millrace_shared::outcome::Refusal;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a case is carried out before what it takes is not the machine's fault: a service that misses a
/// deadline misses it every time.
const TRIES: usize = 3;
/// Cases carried out at once: a few, so that the gateway is busy and none of them waits for another.
const AT_ONCE: usize = 4;

/// What came of a corpus.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases whose answers were not due, with what was wrong.
    pub wrong: Vec<String>,
    /// Answers by status; 0 stands for connections closed without one.
    pub statuses: std::collections::BTreeMap<u16, usize>,
    /// Events said to be accepted.
    pub accepted: u64,
    /// Cases whose answers did not all come in time at first: what they sent may have been accepted unheard.
    pub unheard: usize,
    /// The longest time of a prompt case.
    pub slowest: Duration,
    /// The name of that case.
    pub slowest_name: String,
}

/// Carries out all cases: prompt ones a few at a time, those that wait for a deadline all at once.
#[must_use]
pub fn carry_out_all(cases: &[Case], address: &str) -> Report {
    let report = Mutex::new(Report::default());
    let (mut prompt, waiting): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| case.pace == Pace::Prompt);
    // A corpus may take longer than the minutes for which a signature of a time holds.
    prompt.sort_by_key(|case| !is_signed_for_a_time(case));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for case in &waiting {
            scope.spawn(|| judge(case, address, &report));
        }
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = prompt.get(next.fetch_add(1, Ordering::Relaxed)) {
                    judge(case, address, &report);
                }
            });
        }
    });
    report
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn is_signed_for_a_time(case: &Case) -> bool {
    const NAME: &[u8] = b"webhook-timestamp";
    /// Whatever follows is a body.
    const HEAD: usize = 8 * 1024;
    let head = case.wire.get(..HEAD).unwrap_or(&case.wire);
    head.windows(NAME.len()).any(|part| part == NAME)
}

fn judge(case: &Case, address: &str, report: &Mutex<Report>) {
    let mut outcome = carry_out(case, address);
    let mut late = Vec::new();
    for _ in 1..TRIES {
        match outcome {
            Ok(tried) if !tried.closed => late.push(tried),
            other => {
                outcome = other;
                break;
            }
        }
        outcome = carry_out(case, address);
    }
    let mut report = report
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for tried in &late {
        report.accepted += accepted(tried);
        report.unheard += usize::from(tried.answers.len() < case.due.len());
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            report
                .wrong
                .push(format!("{:?} {}: {error}", case.area, case.name));
            return;
        }
    };
    if outcome.answers.is_empty() {
        *report.statuses.entry(0).or_default() += 1;
    }
    for answer in &outcome.answers {
        *report.statuses.entry(answer.status).or_default() += 1;
    }
    report.accepted += accepted(&outcome);
    if case.pace == Pace::Prompt && outcome.took > report.slowest {
        report.slowest = outcome.took;
        report.slowest_name.clone_from(&case.name);
    }
    if let Err(problem) = check(case, &outcome) {
        report
            .wrong
            .push(format!("{:?} {}: {problem}", case.area, case.name));
    }
}

/// Events that the answers say are accepted.
fn accepted(outcome: &Outcome) -> u64 {
    let taken = outcome.answers.iter().filter(|answer| answer.status == 202);
    taken
        .map(|answer| answer.json()["accepted"].as_u64().unwrap_or(0))
        .sum()
}

/// What is wrong with the outcome of a case.
///
/// # Errors
/// Says what.
pub fn check(case: &Case, outcome: &Outcome) -> Result<(), String> {
    if !outcome.rest.is_empty() {
        let rest = String::from_utf8_lossy(&outcome.rest);
        return Err(format!(
            "something that is no answer: {:?}",
            rest.chars().take(80).collect::<String>()
        ));
    }
    let (came, due) = (outcome.answers.len(), case.due.len());
    let enough = came == due || (case.silence && (came + 1 == due || came == 0));
    if !enough {
        let statuses: Vec<u16> = outcome.answers.iter().map(|answer| answer.status).collect();
        return Err(format!(
            "{came} answers {statuses:?} where {due} are due, closed: {}",
            outcome.closed
        ));
    }
    if !outcome.closed {
        return Err(format!("still open after {:?}", patience(case.pace)));
    }
    for (answer, due) in outcome.answers.iter().zip(&case.due) {
        check_answer(answer, due, case)?;
    }
    Ok(())
}

fn check_answer(answer: &Answer, due: &Due, case: &Case) -> Result<(), String> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if !due.statuses.contains(&answer.status) {
        return Err(format!(
            "{} where {:?} is due: {text}",
            answer.status, due.statuses
        ));
    }
    if case.bare {
        return Ok(());
    }
    if answer.header("x-request-id").is_none() {
        return Err("no x-request-id".to_owned());
    }
    if case.headless {
        return Ok(());
    }
    let told: Value = serde_json::from_str(&text).map_err(|_| format!("no JSON: {text:?}"))?;
    if answer.status >= 400 {
        check_problem(answer, due, &told)?;
    }
    if let Some(code) = due.event
        && told["errors"][0]["code"] != code
    {
        return Err(format!("the event's code is not {code}: {text}"));
    }
    if text.contains(MARK) {
        return Err(format!("the answer repeats what was sent: {text}"));
    }
    Ok(())
}

fn check_problem(answer: &Answer, due: &Due, told: &Value) -> Result<(), String> {
    if answer.header("content-type") != Some("application/problem+json") {
        return Err(format!("content-type {:?}", answer.header("content-type")));
    }
    let code = told["code"].as_str().unwrap_or_default();
    let Some(refusal) = Refusal::ALL.iter().find(|refusal| refusal.code() == code) else {
        return Err(format!("no known code: {told}"));
    };
    if refusal.status() != answer.status || told["status"] != answer.status {
        return Err(format!(
            "the code is not of the status {}: {told}",
            answer.status
        ));
    }
    if !due.codes.is_empty() && !due.codes.contains(&code) {
        return Err(format!("the code is none of {:?}: {told}", due.codes));
    }
    if told["detail"].as_str().is_none_or(str::is_empty) || !told["retryable"].is_boolean() {
        return Err(format!("no detail, or not whether to try again: {told}"));
    }
    if told["request_id"].as_str() != answer.header("x-request-id") {
        return Err(format!(
            "the request's id is not that of the header: {told}"
        ));
    }
    Ok(())
}
