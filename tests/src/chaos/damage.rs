//! Damage behind the system's back. An insert is atomic, so a killed worker leaves all rows of a
//! batch or none; that *some* are there, or *more* than all, needs a store that breaks its word.
//! Here the rows are deleted or doubled while no worker lives.

use super::chance::Chance;
use super::member::Member;
use super::proxy::Rule;
use super::recovery::within;
use super::site::Site;
use super::sources::{clickhouse, postgres};
use super::strike::{LOOK_AGAIN, Striker};
use millrace_devstack::Engine;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// Workers that are to die at a fail point do it within this, if any comes by it.
const POINT_PATIENCE: Duration = Duration::from_secs(60);
/// So many batches in doubt are waited for, so long.
const IN_DOUBT: usize = 4;
const DOUBT_PATIENCE: Duration = Duration::from_secs(180);
/// Batches damaged in one drill: each costs a mutation or two.
const BATCHES: usize = 12;
/// Some rows gone, all doubled, all gone.
const KINDS: u64 = 3;
/// The workers.
const WORKERS: [&str; 2] = ["worker-1", "worker-2"];

/// Kills all workers with batches in doubt, damages rows, and lets the workers live again. With a
/// point they first come back to die at it.
///
/// # Errors
/// When a store refuses what is asked of it here.
pub(super) fn drill(
    striker: &Striker<'_>,
    seed: u64,
    point: Option<&'static str>,
) -> Result<bool, String> {
    let site = striker.site;
    let proxies = WORKERS.map(|name| site.around(name).to(Engine::Clickhouse));
    for proxy in proxies.into_iter().flatten() {
        // That to a count too: what is in doubt stays so.
        proxy.set(Rule::LoseAnswer(""));
    }
    within(DOUBT_PATIENCE, || {
        batches(site).is_ok_and(|found| found.len() >= IN_DOUBT)
    });
    // Both are held, so that nobody starts one of them.
    let mut workers = WORKERS.map(|name| site.member(name));
    for worker in &mut workers {
        worker.kill();
    }
    for proxy in proxies.into_iter().flatten() {
        proxy.set(Rule::Pass);
    }
    let damaged = damage(site, &mut Chance::of(seed, "damage"));
    if let Some(point) = point {
        for worker in &mut workers {
            worker.start(&[("MILLRACE_FAIL_POINT", point.to_owned())]);
        }
        let died = died(&mut workers)?;
        striker.count(&format!("point worker {point}"), died);
    }
    for worker in &mut workers {
        worker.kill();
        worker.start(&[]);
    }
    Ok(damaged? > 0)
}

/// How many of the workers die at their fail point in time.
fn died(workers: &mut [MutexGuard<'_, Member>]) -> Result<u64, String> {
    let end = Instant::now() + POINT_PATIENCE;
    loop {
        let mut died = 0;
        for worker in workers.iter_mut() {
            died += u64::from(worker.aborted()?);
        }
        if died == workers.len() as u64 || Instant::now() > end {
            return Ok(died);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A batch whose rows are not audited yet.
struct Batch {
    id: u64,
    table: &'static str,
    rows: u64,
}

/// Damages batches by chance; how many.
fn damage(site: &Site, chance: &mut Chance) -> Result<usize, String> {
    // An insert that was posted goes on without its worker.
    let running = || {
        clickhouse(
            site,
            "SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'",
        )
    };
    crate::until("no insert runs", || match running() {
        Ok(count) if count.trim() == "0" => Ok(()),
        other => Err(other),
    });
    let mut struck = 0;
    // Chance says where it begins, and then every kind has its turn: each is drilled wherever there are a few.
    let first = chance.below(KINDS);
    for (batch, kind) in batches(site)?.into_iter().zip(first..) {
        let Batch { id, table, rows } = batch;
        let delete = |upto: u64| {
            let sql = format!(
                "ALTER TABLE millrace.{table} DELETE WHERE BatchId = {id} AND RowNumber < {upto} \
                 SETTINGS mutations_sync = 2"
            );
            clickhouse(site, &sql)
        };
        match kind % KINDS {
            // At least one row goes and one stays, where there are two.
            0 if rows > 1 => delete(chance.between(1, rows))?,
            1 => {
                let sql = format!(
                    "INSERT INTO millrace.{table} SELECT * FROM millrace.{table} WHERE BatchId = {id} \
                     SETTINGS insert_deduplicate = 0"
                );
                clickhouse(site, &sql)?
            }
            _ => delete(rows)?,
        };
        struck += 1;
    }
    Ok(struck)
}

/// Batches that are all there and not audited yet.
fn batches(site: &Site) -> Result<Vec<Batch>, String> {
    let sql = "SELECT signal, (shard::bigint << 48) | seq, (SELECT max(value::bigint) FROM jsonb_each_text(targets)) \
                 FROM batch WHERE state IN ('PREPARED', 'COMMITTED') AND signal <> 'metrics' \
                ORDER BY state DESC, prepared_at DESC";
    let mut found = Vec::new();
    for row in postgres(site, sql)? {
        let table = match row[0].as_str() {
            "logs" => "logs",
            "traces" => "spans",
            "rum" => "rum_events",
            _ => "audit_events",
        };
        let (id, rows): (u64, u64) = match (row[1].parse(), row[2].parse()) {
            (Ok(id), Ok(rows)) => (id, rows),
            _ => continue,
        };
        let sql = format!("SELECT count() FROM millrace.{table} WHERE BatchId = {id}");
        if clickhouse(site, &sql)?.trim() == rows.to_string() {
            found.push(Batch { id, table, rows });
        }
        if found.len() == BATCHES {
            break;
        }
    }
    Ok(found)
}
