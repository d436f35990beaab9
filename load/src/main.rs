//! `millrace-load`: signed load against a running pipeline.

mod cli;

use clap::Parser as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    cli::Cli::parse().go().await
}
