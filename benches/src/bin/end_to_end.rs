//! The whole pipeline on the real engines: signed standard batches as fast as they are answered,
//! until every event of them is committed. Everything shares the machine, generator included.

use anyhow::{Context, ensure};
use millrace_load::bench::{Bench, bench};
use millrace_load::clock::cpu_seconds;
use millrace_load::report::Report;
use millrace_load::target::Target;
use millrace_tests::engines::Engines;
use millrace_tests::installation::{Installation, Part, Running};
use millrace_tests::org::Org;
use millrace_tests::wait::block_on;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long load is sent.
const LOAD: Duration = Duration::from_secs(30);
/// How long the rest may take to be committed.
const DRAIN: Duration = Duration::from_secs(120);
/// Requests in flight: enough that one fsync serves several.
const CONNECTIONS: usize = 8;
/// Between two looks at the ledger.
const POLL: Duration = Duration::from_millis(50);

fn main() -> anyhow::Result<()> {
    let mut installation = Installation::on(Engines::own("bench"), "bench");
    installation.set("MILLRACE_LOG", "warn");
    installation.set("MILLRACE_BATCH_AGE_MS", "1000");
    installation.set("MILLRACE_AUDIT_DELAY_S", "30");
    let (gateway, worker) = (
        installation.start(Part::Gateway),
        installation.start(Part::Worker),
    );
    let org = Org::of(&installation, "bench", (&gateway.url, ""));
    let postgres = installation.postgres();
    let unlimited = "UPDATE organisation SET requests_per_minute = 100000000, \
                     events_per_second = 1000000000, bytes_per_second = 100000000000";
    block_on(postgres.execute(unlimited, &[]))?;
    let target = Target {
        gateway_url: gateway.url.clone(),
        key_id: org.key_id.clone(),
        secret: org.secret.clone(),
    };
    let load = Bench {
        connections: CONNECTIONS,
        ..Bench::standard("bench", LOAD)?
    };
    let cpu = || [used(&gateway), used(&worker), machine_cpu_s()];
    let (before, begun) = (cpu(), Instant::now());
    let report = block_on(bench(load, target, CancellationToken::new()))?;
    let sent_s = begun.elapsed().as_secs_f64();
    let stored = || -> anyhow::Result<u64> {
        let sum = "SELECT coalesce(sum(stored), 0)::bigint FROM usage_day WHERE org_id = $1";
        let row = block_on(postgres.query_one(sum, &[&org.id]))?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    };
    let stored_meanwhile = stored()?;
    while stored()? < report.accepted {
        ensure!(
            begun.elapsed() < LOAD + DRAIN,
            "not drained: see the worker's log"
        );
        std::thread::sleep(POLL);
    }
    let total_s = begun.elapsed().as_secs_f64();
    let cpu = cpu()
        .into_iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    print(&Run {
        report,
        sent_s,
        stored_meanwhile,
        total_s,
        cpu,
    });
    Ok(())
}

/// What was measured.
struct Run {
    report: Report,
    sent_s: f64,
    stored_meanwhile: u64,
    total_s: f64,
    /// Of gateway, worker, and the whole machine.
    cpu: Vec<f64>,
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]
#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
fn print(run: &Run) {
    let Run {
        report,
        sent_s,
        stored_meanwhile,
        total_s,
        cpu,
    } = run;
    let accepted = report.accepted as f64;
    println!(
        "{} events accepted, all committed; {:?}",
        report.accepted, report.outcomes
    );
    println!(
        "accepted   {:>9.0} events/s over {sent_s:.1} s",
        accepted / sent_s
    );
    println!(
        "committed  {:>9.0} events/s over {total_s:.1} s",
        accepted / total_s
    );
    println!(
        "           {:>9.0} events/s while load was sent",
        *stored_meanwhile as f64 / sent_s
    );
    let latency = &report.latency_ms;
    println!(
        "latency    p50 {:.1} ms  p99 {:.1} ms",
        latency.p50, latency.p99
    );
    let generator = report.generator_cpu_s.unwrap_or(f64::NAN);
    let whose = [
        "gateway",
        "worker",
        "everything, engines included",
        "generator",
    ];
    for (whose, seconds) in whose.iter().zip(cpu.iter().chain([&generator])) {
        println!(
            "{:>6.2} CPU s per million: {whose}",
            seconds / accepted * 1e6
        );
    }
}

fn used(service: &Running) -> f64 {
    cpu_seconds(Some(service.process.id())).unwrap_or(f64::NAN)
}

/// Processor seconds that the whole machine has used (Linux).
fn machine_cpu_s() -> f64 {
    let read = || -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().context("empty /proc/stat")?;
        let ticks: Vec<f64> = line
            .split_ascii_whitespace()
            .skip(1)
            .filter_map(|n| n.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq
        let busy = ticks
            .iter()
            .enumerate()
            .filter(|(at, _)| ![3, 4].contains(at))
            .take(5);
        Ok(busy.map(|(_, ticks)| ticks).sum::<f64>() / 100.0)
    };
    read().unwrap_or(f64::NAN)
}
