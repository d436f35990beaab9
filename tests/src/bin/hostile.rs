//! Sends the corpus of malformed requests to a gateway of its own, on engines that are thrown away
//! afterwards, and says what came back; or lists the corpus, or writes it down.
//!
//! ```text
//! hostile            sends it all; fails when an answer was not due
//! hostile TEXT       sends the cases whose names contain TEXT, and shows the answers
//! hostile --list     what there is
//! hostile --timing N times of N refusals for each reason, compared
//! hostile --write D  each case as a file of raw bytes in the directory D
//! ```
//!
//! The services must be built (`cargo build --workspace --bins`).

#![allow(
    clippy::print_stdout,
    reason = "a tool's answer goes to its standard output"
)]

use anyhow::{Context as _, bail};
use millrace_runtime::clock::now_s;
use millrace_tests::engines::Engines;
use millrace_tests::hostile::stand::Stand;
use millrace_tests::hostile::{Case, Sender, corpus, exchange, judge};
use millrace_tests::installation::Installation;
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => send(None),
        ["--list"] => {
            list(&corpus(&Sender::example()));
            Ok(())
        }
        ["--timing", samples] => timing(samples.parse().context("a number of samples")?),
        ["--write", folder] => write(&corpus(&Sender::example()), Path::new(folder)),
        [text] if !text.starts_with('-') => send(Some(text)),
        other => bail!("no such arguments: {other:?}; see the first lines of this program"),
    }
}

fn list(cases: &[Case]) {
    for case in cases {
        let due: Vec<&[u16]> = case.due.iter().map(|due| due.statuses.as_slice()).collect();
        let silence = if case.silence { " or closed" } else { "" };
        println!(
            "{:?}\t{}\t{} bytes\t{due:?}{silence}",
            case.area,
            case.name,
            case.wire.len()
        );
    }
    let malformed = cases.iter().filter(|case| case.is_malformed()).count();
    println!("{} cases, {malformed} of them malformed", cases.len());
}

fn write(cases: &[Case], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, case) in cases.iter().enumerate() {
        let path = folder.join(format!("{number:05}.http"));
        std::fs::write(&path, &case.wire).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn send(text: Option<&str>) -> anyhow::Result<()> {
    let installation = Installation::on(Engines::own("hostile"), "hostile");
    let stand = Stand::on(&installation, "http://127.0.0.1:1", now_s());
    let cases = corpus(&stand.sender).into_iter();
    let cases: Vec<Case> = cases
        .filter(|case| text.is_none_or(|text| case.name.contains(text)))
        .collect();
    if text.is_some() {
        for case in &cases {
            show(case, stand.address())?;
        }
    }
    let before = stand.resident();
    let report = judge::carry_out_all(&cases, stand.address());
    let after = stand.resident();
    println!(
        "{} cases, answers by status: {:?}",
        cases.len(),
        report.statuses
    );
    println!("slowest: {:?}, {}", report.slowest, report.slowest_name);
    println!(
        "memory of the gateway: {} MiB, then {} MiB",
        before >> 20,
        after >> 20
    );
    for wrong in &report.wrong {
        println!("NOT DUE {wrong}");
    }
    if !report.wrong.is_empty() {
        bail!(
            "{} of {} cases were not answered as is due",
            report.wrong.len(),
            cases.len()
        );
    }
    Ok(())
}

/// Times of refusals, each class against bad signatures.
fn timing(samples: usize) -> anyhow::Result<()> {
    let installation = Installation::on(Engines::own("hostile"), "hostile");
    let stand = Stand::on(&installation, "http://127.0.0.1:1", now_s());
    let all = millrace_tests::hostile::timing::measure(&stand.sender, samples)?;
    let reference = all.first().context("no class")?;
    println!(
        "{samples} samples each, in turn; P is the chance to take longer than a bad signature"
    );
    for class in &all {
        let (low, median, high) = (
            class.quantile(0.1),
            class.quantile(0.5),
            class.quantile(0.9),
        );
        let chance = class.longer_than(reference);
        println!(
            "{:?}: 10 % {low:?}, median {median:?}, 90 % {high:?}, P {chance:.3}",
            class.failure
        );
    }
    Ok(())
}

fn show(case: &Case, address: &str) -> anyhow::Result<()> {
    let outcome = exchange::carry_out(case, address)?;
    println!(
        "{}: closed {} after {:?}",
        case.name, outcome.closed, outcome.took
    );
    for answer in &outcome.answers {
        println!("  {} {:?}", answer.status, answer.headers);
        println!("    {}", String::from_utf8_lossy(&answer.body));
    }
    if !outcome.rest.is_empty() {
        println!("  and {:?}", String::from_utf8_lossy(&outcome.rest));
    }
    Ok(())
}
