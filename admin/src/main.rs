//! The operator's command line: organisations, keys, tokens, indicators, hunts, rules, dead letters.
//!
//! It works on the control tables and, for replays and audit events, on the streams; only a back-test
//! needs a service to run. It never shows a stored secret, and never changes what is stored of an event.

mod output;
mod stores;
mod revision;
mod install;
mod organisations;
mod keys;
mod tokens;
mod rules;
mod rule_import;
mod sigma;
mod backtest;
mod privacy;
mod indicators;
mod feeds;
mod allow_lists;
mod hunts;
mod trail;
mod dead_letters;
mod lost;
mod demo;

use clap::{Parser, Subcommand};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use stores::Stores;

/// Administers a Millrace installation. Reads the same settings as the services
/// (`MILLRACE_POSTGRES_URL`, `MILLRACE_REDIS_URL`, `MILLRACE_MASTER_KEY`).
#[derive(Parser)]
#[command(name = "millrace-admin", version)]
struct Arguments {
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fix the number of shards per signal, before the first event is accepted
    Install {
        /// Shards per signal, 1 to 256
        #[arg(long, value_parser = clap::value_parser!(i16).range(1..=256))]
        shards: i16,
    },
    /// Make the organisations demo, other and millrace-self with keys, tokens and rules
    SeedDemo {
        /// File that holds the secrets and tokens; what it holds already is kept where still valid
        #[arg(long)]
        out: PathBuf,
    },
    /// Organisations
    #[command(subcommand)]
    Orgs(organisations::Action),
    /// Ingest keys
    #[command(subcommand)]
    Keys(keys::Action),
    /// Tokens of the query API
    #[command(subcommand)]
    Tokens(tokens::Action),
    /// Indicators of compromise
    #[command(subcommand)]
    Indicators(indicators::Action),
    /// Searches of stored history for the indicators of a feed
    #[command(subcommand)]
    Hunts(hunts::Action),
    /// Detection rules
    #[command(subcommand)]
    Rules(rules::Action),
    /// Personal data: policies and peppers
    #[command(subcommand)]
    Privacy(privacy::Action),
    /// What could not be stored
    #[command(subcommand)]
    DeadLetters(dead_letters::Action),
    /// Acknowledged batches that Redis lost before they were stored
    Lost(lost::Filter),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(act(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody else to tell.
            let _untold = writeln!(std::io::stderr(), "millrace-admin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(arguments: Arguments) -> anyhow::Result<()> {
    let stores = Stores::from_environment()?;
    let page = match arguments.command {
        Command::Install { shards } => install::run(&stores, shards).await?,
        Command::SeedDemo { out } => demo::run(&stores, &out).await?,
        Command::Orgs(action) => organisations::run(&stores, action).await?,
        Command::Keys(action) => keys::run(&stores, action).await?,
        Command::Tokens(action) => tokens::run(&stores, action).await?,
        Command::Indicators(action) => indicators::run(&stores, action).await?,
        Command::Hunts(action) => hunts::run(&stores, action).await?,
        Command::Rules(action) => rules::run(&stores, action).await?,
        Command::Privacy(action) => privacy::run(&stores, action).await?,
        Command::DeadLetters(action) => dead_letters::run(&stores, action).await?,
        Command::Lost(which) => lost::run(&stores, &which).await?,
    };
    page.print(arguments.json)
}
