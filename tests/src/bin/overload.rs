//! Overload and fairness on this machine (`make overload`): runs the chosen scenarios against the
//! whole pipeline and prints a page. Ends with an error when an answer was not one of the contract,
//! an event was lost or doubled, or a limit of memory was passed; figures that depend on how busy
//! the machine is are told and not judged.

use clap::Parser;
use millrace_devstack::Engine;
use millrace_tests::overload::capacity::{self, Capacity};
use millrace_tests::overload::cores::confine;
use millrace_tests::overload::gauge::busy_cores;
use millrace_tests::overload::outage::{LIVE, Outage};
use millrace_tests::overload::report::Report;
use millrace_tests::overload::site::Site;
use millrace_tests::overload::{excess, noisy, outage};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Twice the capacity.
    #[value(name = "2x")]
    Twice,
    /// Five times the capacity.
    #[value(name = "5x")]
    FiveTimes,
    /// An organisation at twenty times its quota.
    Noisy,
    /// ClickHouse away.
    Clickhouse,
    /// PostgreSQL away.
    Postgres,
}

/// What to run.
#[derive(Debug, Parser)]
struct Options {
    /// Scenarios, in this order; the capacity is measured before the first.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "2x,5x,noisy,clickhouse,postgres"
    )]
    scenarios: Vec<Scenario>,
    /// Seconds of each overload, and of measuring the capacity.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Turns of each overload; between them the capacity is measured again.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Seconds of each outage.
    #[arg(long, default_value_t = 60)]
    outage: u64,
    /// Events a second that go on during an outage.
    #[arg(long, default_value_t = LIVE)]
    live: f64,
    /// Takes this as the capacity (events a second) and measures none.
    #[arg(long)]
    capacity: Option<f64>,
    /// Cores of the engines and the services (as `taskset` writes them); all when not given.
    #[arg(long, requires = "load_cores")]
    pipeline_cores: Option<String>,
    /// Cores of the load, so that what it takes is not missing in the pipeline.
    #[arg(long, requires = "pipeline_cores")]
    load_cores: Option<String>,
}

impl Options {
    fn cores(&self) -> String {
        match (&self.pipeline_cores, &self.load_cores) {
            (Some(pipeline), Some(load)) => format!("{pipeline} and {load}"),
            (None, _) | (_, None) => "shared".to_owned(),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let time = Duration::from_secs(options.seconds);
    let turns = (options.turns, time / options.turns);
    let away = |engine| Outage {
        engine,
        name: match engine {
            Engine::Redis => "Redis",
            Engine::Clickhouse => "ClickHouse",
            Engine::Postgres => "PostgreSQL",
        },
        time: Duration::from_secs(options.outage),
        live: options.live,
    };
    let settings = [
        ("MILLRACE_LOG", "warn".to_owned()),
        ("MILLRACE_BACKLOG_S", "10".to_owned()),
        ("MILLRACE_BATCH_AGE_MS", "1000".to_owned()),
        ("MILLRACE_AUDIT_DELAY_S", "30".to_owned()),
        ("MILLRACE_LEASE_S", "15".to_owned()),
    ];
    let mut report = Report::default();
    if let Some(cores) = &options.pipeline_cores {
        confine(cores);
    }
    let site = Site::start("overload", &settings);
    if let Some(cores) = &options.load_cores {
        confine(cores);
    }
    report.scenario("machine");
    report.note("cores of the pipeline and of the load", options.cores());
    let mut capacity = options.capacity.map_or_else(
        || capacity::measure(&site, time, &mut report),
        |stored| Capacity {
            stored,
            accepted: f64::NAN,
        },
    );
    for scenario in &options.scenarios {
        report.scenario("machine");
        quiet(&mut report);
        match *scenario {
            Scenario::Twice => {
                capacity = excess::run(&site, (2.0, capacity), turns, &mut report);
            }
            Scenario::FiveTimes => {
                capacity = excess::run(&site, (5.0, capacity), turns, &mut report);
            }
            Scenario::Noisy => noisy::run(&site, capacity, time / 2, &mut report),
            Scenario::Clickhouse => outage::run(&site, &away(Engine::Clickhouse), &mut report),
            Scenario::Postgres => outage::run(&site, &away(Engine::Postgres), &mut report),
        }
        print(&report);
    }
    if report.wrong().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How busy the machine is before a scenario begins: with other things, and with what is left to do
/// of the scenario before.
fn quiet(report: &mut Report) {
    let busy = busy_cores();
    report.note("busy before", format!("{busy:.1} cores"));
}

/// The page so far; a run that is broken off leaves what was found by then.
#[expect(clippy::print_stdout, reason = "the page is what this program is for")]
fn print(report: &Report) {
    println!("commit {}\n\n{}", commit(), report.table());
}

fn commit() -> String {
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
