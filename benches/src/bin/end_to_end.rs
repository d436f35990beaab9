//! The whole pipeline on the real engines: signed standard batches as fast as they are answered,
//! until every event of them is committed. Everything shares the machine, generator included.

use anyhow::{Context, ensure};
use millrace_load::bench::{Bench, bench};
use millrace_load::clock::cpu_seconds;
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

#[expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark is for"
)]
#[expect(clippy::cast_precision_loss, reason = "figures for reading")]
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
    let before = (used(&gateway), used(&worker), machine_cpu_s());
    let begun = Instant::now();
    let report = block_on(bench(load, target, CancellationToken::new()))?;
    let sent = begun.elapsed().as_secs_f64();
    let stored = || -> anyhow::Result<u64> {
        let sum = "SELECT coalesce(sum(stored), 0)::bigint FROM usage_day WHERE org_id = $1";
        let row = block_on(postgres.query_one(sum, &[&org.id]))?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    };
    let at_end_of_load = stored()?;
    while stored()? < report.accepted {
        ensure!(
            begun.elapsed() < LOAD + DRAIN,
            "not drained: see the worker's log"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let total = begun.elapsed().as_secs_f64();
    let millions = report.accepted as f64 / 1e6;
    let per_million = |from: f64, to: f64| (to - from) / millions;
    println!(
        "{} events accepted, all committed; {:?}",
        report.accepted, report.outcomes
    );
    println!(
        "accepted   {:>9.0} events/s over {sent:.1} s",
        report.accepted as f64 / sent
    );
    println!(
        "committed  {:>9.0} events/s over {total:.1} s, {:.0} events/s while load was sent",
        report.accepted as f64 / total,
        at_end_of_load as f64 / sent
    );
    println!(
        "latency    p50 {:.1} ms  p99 {:.1} ms",
        report.latency_ms.p50, report.latency_ms.p99
    );
    println!(
        "gateway    {:.2} CPU s per million",
        per_million(before.0, used(&gateway))
    );
    println!(
        "worker     {:.2} CPU s per million",
        per_million(before.1, used(&worker))
    );
    println!(
        "generator  {:.2} CPU s per million",
        report.generator_cpu_s.unwrap_or(f64::NAN) / millions
    );
    println!(
        "everything {:.2} CPU s per million, engines included",
        per_million(before.2, machine_cpu_s())
    );
    Ok(())
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
