//! Compares the two evaluators.
//!
//! ```text
//! sigma-check --rules DIR … [--events DIR …] [--each N]   on the rules of directories, with events
//!                                       made of what they ask for (N each) and those of directories
//! sigma-check --record DIR              writes down what is said of the checked-in rules and streams
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "telling what came of it is all it is for"
)]

use millrace_sigma_check::compare::compare;
use millrace_sigma_check::dice::Dice;
use millrace_sigma_check::{events, files, record, streams};
use std::process::ExitCode;

/// Events made for each rule, unless said.
const EVENTS_OF_A_RULE: usize = 6;
/// Differences that are told.
const TOLD_MAX: usize = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sigma-check: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for: options, each with the values behind it.
#[derive(Default)]
struct Asked {
    rules: Vec<String>,
    events: Vec<String>,
    each: Option<usize>,
    record: Option<String>,
}

fn asked(arguments: &[String]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut option = "";
    for argument in arguments {
        match (option, argument.as_str()) {
            (_, name @ ("--rules" | "--events" | "--each" | "--record")) => option = name,
            ("--rules", value) => asked.rules.push(value.to_owned()),
            ("--events", value) => asked.events.push(value.to_owned()),
            ("--record", value) => asked.record = Some(value.to_owned()),
            ("--each", value) => {
                let number = value
                    .parse()
                    .map_err(|_| format!("--each {value} is no number"))?;
                asked.each = Some(number);
            }
            (_, other) => return Err(format!("does not know what {other} is")),
        }
    }
    Ok(asked)
}

fn run(arguments: &[String]) -> Result<bool, String> {
    let asked = asked(arguments)?;
    if let Some(directory) = asked.record {
        for (name, document) in [
            ("recorded.json", record::document()?),
            ("streams.json", streams::record::document()?),
        ] {
            let path = format!("{directory}/{name}");
            std::fs::write(&path, document).map_err(|error| format!("{path}: {error}"))?;
        }
        return Ok(true);
    }
    if asked.rules.is_empty() {
        return Err("name directories of rules behind --rules".to_owned());
    }
    let texts = files::rules(&asked.rules)?;
    let each = asked.each.unwrap_or(EVENTS_OF_A_RULE);
    let mut all = events::of_rules(&texts, each, &mut Dice(7));
    all.extend(files::events(&asked.events)?);
    let comparison = compare(&texts, &all)?;
    println!("{}", comparison.told(TOLD_MAX));
    Ok(comparison.differences.is_empty())
}
