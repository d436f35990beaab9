//! The command line: options to a plan, a plan to a report.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use millrace_load::attack::{self, Attack};
use millrace_load::bench::{Bench, bench};
use millrace_load::body::Encoding;
use millrace_load::clock::now_ns;
use millrace_load::example;
use millrace_load::generate::{FIRST_SEQ, Recipe};
use millrace_load::planted;
use millrace_load::record::Record;
use millrace_load::replay::{Replay, replay};
use millrace_load::report::Report;
use millrace_load::run::{Mix, Plan, run};
use millrace_load::send::Sender;
use millrace_load::sign::{How, Scheme};
use millrace_load::target::{RUN_JSON, Target};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Sends signed telemetry to a Millrace gateway, or shows what it would send.
///
/// Ends with 0 when every request was acknowledged and every receipt holds, else with 1.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(flatten)]
    to: To,
    /// Report as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
struct To {
    /// Description of the running pipeline, as `make run` writes it.
    #[arg(long, global = true, default_value = RUN_JSON)]
    run_json: PathBuf,
    /// Send as the second organisation of that description.
    #[arg(long, global = true)]
    other_org: bool,
    /// Address of the gateway, instead of the description.
    #[arg(long, global = true, requires_all = ["key_id", "secret_file"])]
    gateway: Option<String>,
    /// Id of the ingest key.
    #[arg(long, global = true)]
    key_id: Option<String>,
    /// File with the key's secret (`-` for standard input): an argument would be seen by everybody.
    #[arg(long, global = true)]
    secret_file: Option<PathBuf>,
    /// Signature scheme.
    #[arg(long, global = true, value_enum, default_value = "body")]
    scheme: Scheme,
    /// Compression.
    #[arg(long, global = true, value_enum, default_value = "none")]
    encoding: Encoding,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Generated events at a given rate.
    Generate(Generate),
    /// Lines of a file (`-` for standard input) as log events.
    Replay(ReplayArgs),
    /// Prebuilt requests at little cost, to measure a gateway (http only). Quotas apply: set
    /// `MILLRACE_ADDRESS_REQUESTS_PER_MINUTE=0` there, and the organisation's own in its table.
    Bench(BenchArgs),
    /// Carries out the examples of the contract against the gateway.
    Examples {
        /// Their folder.
        #[arg(default_value = "docs/examples")]
        folder: PathBuf,
    },
    /// Prints the indicators that generated events mention, as an indicator file.
    Indicators,
}

#[derive(Debug, Args)]
struct Shape {
    /// Events due a second; 0 to send the next request as soon as one is answered.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Events in one request.
    #[arg(long, default_value_t = 100)]
    batch: u32,
    /// Share of the requests that carry each signal.
    #[arg(long, default_value = "logs=70,metrics=10,traces=10,rum=5,audit=5")]
    mix: String,
    /// Requests in flight at most.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Decides every event but its time.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Name of the run, written into each event; made up when absent.
    #[arg(long)]
    run: Option<String>,
    /// Events with planted personal data, in a thousand.
    #[arg(long, default_value_t = 100)]
    pii: u32,
}

#[derive(Debug, Args)]
struct Generate {
    #[command(flatten)]
    shape: Shape,
    /// Events to send, rounded up to whole requests.
    #[arg(long)]
    count: Option<u64>,
    /// Seconds for which requests are due; 10 when there is no count either.
    #[arg(long)]
    duration: Option<f64>,
    /// Logs with a planted indicator, in a thousand.
    #[arg(long, default_value_t = 2)]
    indicators: u32,
    /// An attack, sent before all else.
    #[arg(long, value_enum)]
    attack: Option<AttackKind>,
    /// The address that the attack comes from.
    #[arg(long, default_value_t = attack::ADDRESS)]
    attack_address: IpAddr,
    /// Number of the first event.
    #[arg(long, default_value_t = FIRST_SEQ)]
    first_seq: u64,
    /// Repeat each request, under an idempotency key, until it is taken.
    #[arg(long)]
    until_acknowledged: bool,
    /// New file that each acknowledgement is written and fsynced to, a JSON object a line.
    #[arg(long)]
    record: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AttackKind {
    /// Failed logins of one account from one address.
    BruteForce,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The file, or `-`.
    file: PathBuf,
    /// The service that the events name; else the program in the line, or the file's name.
    #[arg(long, default_value = "")]
    service: String,
    /// Lines a second at most; 0 for no limit.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Name of the run, written into each event; made up when absent.
    #[arg(long)]
    run: Option<String>,
    /// New file that each acknowledgement is written and fsynced to, a JSON object a line.
    #[arg(long)]
    record: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct BenchArgs {
    #[command(flatten)]
    shape: Shape,
    /// Seconds for which requests are due.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Different requests rendered ahead of time.
    #[arg(long, default_value_t = 16)]
    bodies: u32,
    /// Number the events of each request anew, at the cost of signing it again.
    #[arg(long)]
    unique: bool,
}

impl Cli {
    pub(crate) async fn go(self) -> anyhow::Result<ExitCode> {
        let Cli { to, json, what } = self;
        let stop = stop_on_interrupt();
        let report = match what {
            What::Generate(args) => args.go(&to, stop).await?,
            What::Replay(args) => args.go(&to, stop).await?,
            What::Bench(args) => args.go(&to, stop).await?,
            What::Examples { folder } => return examples(&folder, &to.target()?).await,
            What::Indicators => {
                write!(std::io::stdout(), "{}", planted::indicator_csv())?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        print(&report, json)?;
        Ok(if report.all_acknowledged() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Says of each example whether it came out as written.
async fn examples(folder: &Path, target: &Target) -> anyhow::Result<ExitCode> {
    let client = reqwest::Client::new();
    let mut outcome = ExitCode::SUCCESS;
    for example in example::read_all(folder)? {
        match example.execute(target, &client).await {
            Ok(()) => writeln!(std::io::stdout(), "holds   {}", example.about)?,
            Err(why) => {
                outcome = ExitCode::FAILURE;
                writeln!(
                    std::io::stdout(),
                    "DIFFERS {}\n        {why}",
                    example.about
                )?;
            }
        }
    }
    Ok(outcome)
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", report.text())?;
    }
    Ok(())
}

/// Called off by Ctrl-C: what is in flight is still waited for and reported.
fn stop_on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let called = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            called.cancel();
        }
    });
    stop
}

impl To {
    fn target(&self) -> anyhow::Result<Target> {
        let (Some(gateway), Some(key_id), Some(file)) =
            (&self.gateway, &self.key_id, &self.secret_file)
        else {
            return Ok(Target::from_run_json(&self.run_json, self.other_org)?);
        };
        let secret = if file == Path::new("-") {
            std::io::read_to_string(std::io::stdin())?
        } else {
            std::fs::read_to_string(file).with_context(|| file.display().to_string())?
        };
        Ok(Target::new(gateway, key_id, secret.trim())?)
    }

    const fn how(&self) -> How {
        How {
            scheme: self.scheme,
            encoding: self.encoding,
        }
    }
}

/// A name that no earlier run had.
fn run_name(given: Option<String>) -> String {
    given.unwrap_or_else(|| format!("{:x}", now_ns() / 1_000_000))
}

impl Shape {
    fn recipe(&self) -> anyhow::Result<Recipe> {
        let mut recipe = Recipe::new(self.seed, &run_name(self.run.clone()))?;
        recipe.pii_per_mille = self.pii;
        Ok(recipe)
    }
}

fn seconds(value: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(value).context("a duration is a number of seconds")
}

/// How long a run goes on that nobody gave an end.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

impl Generate {
    async fn go(self, to: &To, stop: CancellationToken) -> anyhow::Result<Report> {
        let mut recipe = self.shape.recipe()?;
        recipe.indicators_per_mille = self.indicators;
        let duration = self.duration.map(seconds).transpose()?;
        let batch = u64::from(self.shape.batch.max(1));
        let plan = Plan {
            mix: Mix::parse(&self.shape.mix)?,
            batch: self.shape.batch,
            first_seq: self.first_seq,
            rate: self.shape.rate,
            requests: self.count.map(|count| count.div_ceil(batch)),
            duration: duration.or(self.count.is_none().then_some(DURATION_DEFAULT)),
            connections: self.shape.connections,
            attack: self.attack.map(|AttackKind::BruteForce| Attack {
                address: self.attack_address,
                ..Attack::default()
            }),
            until_acknowledged: self.until_acknowledged || self.record.is_some(),
            recipe,
        };
        let sender = Sender::new(to.target()?, to.how(), self.shape.connections)?;
        let record = self.record.as_deref().map(Record::create).transpose()?;
        Ok(run(plan, sender, record, stop).await?)
    }
}

impl ReplayArgs {
    async fn go(self, to: &To, stop: CancellationToken) -> anyhow::Result<Report> {
        let from_stdin = self.file == Path::new("-");
        let stem = self.file.file_stem().unwrap_or_default();
        let how = Replay {
            service: self.service,
            fallback: if from_stdin {
                "stdin".to_owned()
            } else {
                stem.to_string_lossy().into_owned()
            },
            run: run_name(self.run),
            rate: self.rate,
        };
        let sender = Sender::new(to.target()?, to.how(), 1)?;
        let record = self.record.as_deref().map(Record::create).transpose()?;
        let path = if from_stdin {
            Path::new("/dev/stdin")
        } else {
            &self.file
        };
        let file = tokio::fs::File::open(path).await;
        let file = file.with_context(|| self.file.display().to_string())?;
        let input = tokio::io::BufReader::new(file);
        Ok(replay(how, input, sender, record, stop).await?)
    }
}

impl BenchArgs {
    async fn go(self, to: &To, stop: CancellationToken) -> anyhow::Result<Report> {
        let plan = Bench {
            recipe: self.shape.recipe()?,
            mix: Mix::parse(&self.shape.mix)?,
            batch: self.shape.batch,
            bodies: self.bodies,
            unique: self.unique,
            rate: self.shape.rate,
            duration: seconds(self.duration)?,
            requests: 0,
            connections: self.shape.connections,
            how: to.how(),
        };
        Ok(bench(plan, to.target()?, stop).await?)
    }
}
