//! The fault laboratory from the command line (`make chaos`). `chaos` runs a campaign as `SEED`,
//! `DURATION`, `FAULTS`, `KILLS`, `RATE` and `ROUND` say; `chaos report FILE…` adds up the tallies
//! of several runs and prints their section of `docs/reliability.md`.

#![allow(clippy::print_stdout, reason = "a program that prints its report")]

use millrace_tests::chaos::{self, Settings, Tally, report};
use std::path::Path;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("report") {
        let mut sum = Tally::default();
        for file in arguments {
            sum.join(Tally::read(Path::new(&file))?);
        }
        println!("{}", report::section(&sum));
        return Ok(());
    }
    let settings = Settings::of_environment().map_err(anyhow::Error::msg)?;
    println!("SEED={}", settings.seed);
    let tally = chaos::run(&settings);
    println!("{}", report::section(&tally));
    let kept = chaos::campaign::directory(settings.seed);
    anyhow::ensure!(
        tally.violations.is_empty(),
        "{} violations; SEED={} leads to them again; kept in {}",
        tally.violations.len(),
        settings.seed,
        kept.display()
    );
    Ok(())
}
