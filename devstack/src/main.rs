//! The command line of devstack: what `make run`, `make test` and a developer call.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Context;
use clap::{Parser, Subcommand};
use millrace_devstack::{Engine, Options, Ports, Stack, install, migrate, place, run};

#[derive(Parser)]
#[command(
    about = "Starts Redis, ClickHouse and PostgreSQL with TimescaleDB without Docker",
    version
)]
struct Arguments {
    /// Directory that holds clickhouse-init and timescale-init [default: the workspace]
    #[arg(long, global = true)]
    schema: Option<PathBuf>,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start everything in the background: engines, tables, demo organisation, services
    Run {
        #[command(flatten)]
        which: Which,
        /// Build the services without optimisation: sooner, for trying a change
        #[arg(long)]
        debug: bool,
    },
    /// Stop everything that `run` started; the data stays
    Stop(Kept),
    /// Install the engines and start nothing
    Install,
    /// Start a kept instance in the background, and apply the init folders
    Up(Which),
    /// Stop a kept instance; its data stays
    Down(Kept),
    /// Say what runs and where
    Status(Kept),
    /// Stop one engine of a kept instance in good order and start it again
    Restart(One),
    /// End one engine of a kept instance at once (kill -9)
    Kill(One),
    /// Apply the init folders to the engines that the environment names, or to a kept instance
    Migrate(Kept),
    /// Run a command with an instance of its own, which is thrown away afterwards
    Exec {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Kept {
    /// Names the instance
    #[arg(long, default_value = "run")]
    name: String,
    /// Its directory [default: target/millrace/NAME]
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Kept {
    fn directory(&self) -> PathBuf {
        self.data
            .clone()
            .unwrap_or_else(|| place::state().join(&self.name))
    }
}

#[derive(clap::Args)]
struct Which {
    #[command(flatten)]
    kept: Kept,
    /// Port of Redis; another is taken when it is in use
    #[arg(long, default_value_t = 16379)]
    redis_port: u16,
    /// Port of ClickHouse's HTTP interface; another is taken when it is in use
    #[arg(long, default_value_t = 18123)]
    clickhouse_port: u16,
    /// Port of PostgreSQL; another is taken when it is in use
    #[arg(long, default_value_t = 15432)]
    postgres_port: u16,
}

#[derive(clap::Args)]
struct One {
    #[command(flatten)]
    kept: Kept,
    /// Which engine
    engine: Engine,
}

fn main() -> ExitCode {
    let Arguments { schema, command } = Arguments::parse();
    let schema = schema.unwrap_or_else(place::workspace);
    match act(command, schema) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    eprintln!("devstack: {line}");
}

fn act(action: Action, schema: PathBuf) -> anyhow::Result<ExitCode> {
    match action {
        Action::Install => {
            let root = install::ensure(&say)?;
            say(&format!("engines are in {}", root.path().display()));
        }
        Action::Run { which, debug } => {
            let told = run::start(&options(&which, schema), &which.kept.directory(), !debug)?;
            std::io::stdout().write_all(told.as_bytes())?;
        }
        Action::Stop(kept) => run::stop(&kept.directory(), &say)?,
        Action::Up(which) => show(&Stack::start(&options(&which, schema))?),
        Action::Down(kept) => {
            Stack::attach(&kept.directory())?.stop()?;
            say("stopped");
        }
        Action::Status(kept) => show(&Stack::attach(&kept.directory())?),
        Action::Restart(one) => Stack::attach(&one.kept.directory())?.restart(one.engine)?,
        Action::Kill(one) => Stack::attach(&one.kept.directory())?.kill(one.engine)?,
        Action::Migrate(kept) => migrated(&kept, &schema)?,
        Action::Exec { command } => return exec(&command, schema),
    }
    Ok(ExitCode::SUCCESS)
}

fn options(which: &Which, schema: PathBuf) -> Options {
    Options {
        name: which.kept.name.clone(),
        keep: Some(which.kept.directory()),
        ports: Ports {
            redis: Some(which.redis_port),
            clickhouse: Some(which.clickhouse_port),
            postgres: Some(which.postgres_port),
        },
        schema: Some(schema),
        ..Options::default()
    }
}

/// Lines for people, which a shell can also read.
fn show(stack: &Stack) {
    for (setting, url) in stack.settings() {
        say(&format!("export {setting}='{url}'"));
    }
    for engine in Engine::ALL {
        let state = match stack.pid(engine) {
            Some(pid) if stack.serves(engine) => format!("serves (process {pid})"),
            Some(pid) => format!("runs and does not answer (process {pid})"),
            None => "is not run here".to_owned(),
        };
        say(&format!("{engine} {state}"));
    }
    say(&format!("logs are in {}", stack.logs().display()));
}

fn migrated(kept: &Kept, schema: &Path) -> anyhow::Result<()> {
    let given =
        |engine: Engine| std::env::var_os(engine.setting()).and_then(|url| url.into_string().ok());
    let urls = match (given(Engine::Clickhouse), given(Engine::Postgres)) {
        (Some(clickhouse), Some(postgres)) => (clickhouse, postgres),
        _ => {
            let stack = Stack::attach(&kept.directory())?;
            (stack.clickhouse_url(), stack.postgres_url())
        }
    };
    let applied = migrate::apply(&urls.0, &urls.1, schema)?;
    for file in &applied {
        say(&format!("applied {file}"));
    }
    say(&format!(
        "{} file(s) applied, the schema is current",
        applied.len()
    ));
    Ok(())
}

/// The command runs in the foreground: Ctrl-C reaches it as it would without devstack, and its end
/// ends the instance.
fn exec(command: &[String], schema: PathBuf) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command")?;
    let child = Arc::new(AtomicI32::new(0));
    pass_signals_on(&child)?;
    let options = Options {
        name: "exec".to_owned(),
        schema: Some(schema),
        ..Options::default()
    };
    let mut stack = Stack::start(&options)?;
    let started = Command::new(program)
        .args(arguments)
        .envs(stack.settings())
        .spawn();
    let mut process = started.with_context(|| format!("cannot start {program}"))?;
    child.store(i32::try_from(process.id())?, Ordering::SeqCst);
    let status = process.wait()?;
    stack.stop()?;
    if status.success() {
        stack.forget_logs();
    } else {
        say(&format!(
            "the engines' logs are in {}",
            stack.logs().display()
        ));
    }
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// SIGINT and SIGTERM are left to the command; SIGTERM is passed on, as a terminal passes SIGINT on
/// by itself. Before the command runs they end devstack, and the janitor removes the instance.
fn pass_signals_on(child: &Arc<AtomicI32>) -> anyhow::Result<()> {
    let child = Arc::clone(child);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            loop {
                let terminated = tokio::select! {
                    _ = interrupt.recv() => false,
                    _ = terminate.recv() => true,
                };
                match child.load(Ordering::SeqCst) {
                    0 => std::process::exit(130),
                    pid if terminated => {
                        let _ended = nix::sys::signal::kill(
                            nix::unistd::Pid::from_raw(pid),
                            nix::sys::signal::Signal::SIGTERM,
                        );
                    }
                    _ => {}
                }
            }
        });
    });
    Ok(())
}
