//! What must hold at rest, whatever was struck:
//!
//! * acknowledged − stored = ∅, stored − sent = ∅, each number once, contents equal
//! * received = stored + rejected + dead-lettered, for each organisation and signal, and what is
//!   booked as stored is what is stored
//! * what a store refuses is a dead letter, once; nothing is told to be lost
//! * one alert for each attack that passed the threshold, with the count of its stored failures;
//!   none for the others
//!
//! Asks the stores and the journals; trusts nothing that an agent or a service remembers.

use super::journal::Record;
use super::request::{Request, address, columns};
use super::site::Site;
use super::sources::{clickhouse, number, postgres, redis, shards};
use millrace_shared::Signal;
use std::collections::{BTreeMap, HashMap};

/// Failed logins from one address that make an attack.
const THRESHOLD: u64 = 5;
/// Examples of one kind of violation that are told.
const TOLD: usize = 5;

/// What a check has found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Events that are stored.
    pub stored: u64,
    /// Alerts that were to be raised, and were.
    pub alerts: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

/// Checks the events and alerts of one round.
///
/// # Errors
/// When a store does not answer.
pub fn round(site: &Site, round: u32, record: &Record) -> Result<Findings, String> {
    let mut findings = Findings::default();
    let mut failures: BTreeMap<(usize, u32), u64> = BTreeMap::new();
    for org in 0..site.orgs.len() {
        for signal in Signal::ALL {
            let rows = stored(site, (org, signal), round)?;
            let mut expected: HashMap<u64, (&Request, bool)> = HashMap::new();
            for request in &record.sent {
                if request.org == org && request.signal == signal && !request.poison {
                    let acked = record.acknowledged.contains(&request.id);
                    expected.extend(request.numbers().map(|n| (n, (request, acked))));
                }
            }
            findings.stored += rows.len() as u64;
            for n in rows.iter().map(|(n, _)| n) {
                if let Some((request, _)) = expected.get(n).filter(|(r, _)| r.attack > 0) {
                    *failures.entry((org, request.attack)).or_default() += 1;
                }
            }
            let wrong = compare(&rows, &expected);
            let place = |wrong| format!("round {round}, organisation {org}, {signal}: {wrong}");
            findings.violations.extend(wrong.into_iter().map(place));
        }
    }
    alerts(site, &failures, &mut findings)?;
    Ok(findings)
}

/// Compares rows with what was sent and acknowledged.
fn compare(rows: &[(u64, String)], expected: &HashMap<u64, (&Request, bool)>) -> Vec<String> {
    let mut times: HashMap<u64, u64> = HashMap::new();
    let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (n, row) in rows {
        *times.entry(*n).or_default() += 1;
        match expected.get(n) {
            None => wrong
                .entry("stored and never sent")
                .or_default()
                .push(n.to_string()),
            Some((request, _)) if request.row(*n) != *row => {
                let told = format!("{n}: {row:?} instead of {:?}", request.row(*n));
                wrong
                    .entry("stored with other contents")
                    .or_default()
                    .push(told);
            }
            Some(_) => {}
        }
    }
    let doubled = times.iter().filter(|(_, times)| **times > 1);
    let doubled: Vec<String> = doubled.map(|(n, times)| format!("{n} × {times}")).collect();
    let lost = expected
        .iter()
        .filter(|(n, (_, acked))| *acked && !times.contains_key(n));
    let lost: Vec<String> = lost
        .map(|(n, (request, _))| format!("{n} of request {}", request.id))
        .collect();
    wrong.insert("stored more than once", doubled);
    wrong.insert("acknowledged and not stored", lost);
    wrong.retain(|_, which| !which.is_empty());
    let told = wrong.into_iter().map(|(what, mut which)| {
        which.sort();
        let examples = which
            .iter()
            .take(TOLD)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        format!("{} events {what}: {examples}", which.len())
    });
    told.collect()
}

/// The rows of a round: number, and the rest as [`Request::row`] has it.
fn stored(
    site: &Site,
    (org, signal): (usize, Signal),
    round: u32,
) -> Result<Vec<(u64, String)>, String> {
    let (org, service) = (site.orgs[org].id, Request::service(round));
    let Some((table, columns)) = columns(signal) else {
        return samples(site, &org.to_string(), &service);
    };
    let sql = format!(
        "SELECT {columns} FROM millrace.{table} WHERE OrgId = '{org}' AND ServiceName = '{service}' \
         FORMAT TabSeparatedRaw"
    );
    let text = clickhouse(site, &sql)?;
    let read = |line: &str| {
        let (n, rest) = line.split_once('\t')?;
        Some((n.parse().ok()?, rest.to_owned()))
    };
    let rows = text
        .lines()
        .map(|line| read(line).ok_or_else(|| format!("an event without number: {line}")));
    rows.collect()
}

fn samples(site: &Site, org: &str, name: &str) -> Result<Vec<(u64, String)>, String> {
    let sql = format!(
        "SELECT value::bigint, (extract(epoch FROM time) * 1000000)::bigint, labels->>'series' \
           FROM metric_samples JOIN metric_series ON metric_series.id = series_id \
          WHERE org_id = '{org}' AND name = '{name}' AND service = '{name}'"
    );
    let rows = postgres(site, &sql)?.into_iter().map(|row| {
        let n = row[0]
            .parse()
            .map_err(|_| format!("a sample without number: {row:?}"))?;
        Ok((n, format!("{}\t{}", row[1], row[2])))
    });
    rows.collect()
}

/// Compares the alerts of attacks with their stored failures.
fn alerts(
    site: &Site,
    failures: &BTreeMap<(usize, u32), u64>,
    findings: &mut Findings,
) -> Result<(), String> {
    for (place, org) in site.orgs.iter().enumerate() {
        let sql = format!(
            "SELECT group_key->>'ip', count, rule_id FROM alert WHERE org_id = '{}'",
            org.id
        );
        let mut raised: HashMap<String, Vec<String>> = HashMap::new();
        for row in postgres(site, &sql)? {
            if row[2] != "BRUTE_FORCE_ATTACK" {
                findings
                    .violations
                    .push(format!("an alert nobody gave cause to: {row:?}"));
            }
            raised
                .entry(row[0].clone())
                .or_default()
                .push(row[1].clone());
        }
        for ((_, attack), count) in failures.iter().filter(|((org, _), _)| *org == place) {
            let expected = if *count >= THRESHOLD {
                vec![count.to_string()]
            } else {
                Vec::new()
            };
            let found = raised.remove(&address(*attack)).unwrap_or_default();
            if found != expected {
                let told =
                    format!("attack {attack} with {count} stored failures: alerts {found:?}");
                findings.violations.push(told);
            }
            findings.alerts += expected.len() as u64;
        }
    }
    Ok(())
}

/// Makes the alerts of a round old. A rule raises so many within a quarter of an hour and counts the
/// rest in one; each round is to be judged by itself.
///
/// # Errors
/// When the store does not answer.
pub fn age_alerts(site: &Site) -> Result<(), String> {
    let sql = "UPDATE alert SET created_at = created_at - interval '1 day'";
    postgres(site, sql).map(drop)
}

/// Balances the books of the whole site; the violations. `poison` are the requests that the store
/// refuses, of each organisation: sent and acknowledged.
///
/// # Errors
/// When a store does not answer.
pub fn books(site: &Site, poison: &[(u64, u64)]) -> Result<Vec<String>, String> {
    let mut violations = Vec::new();
    for (place, org) in site.orgs.iter().enumerate() {
        for signal in Signal::ALL {
            let book = Book::of(site, &org.id, signal)?;
            if !book.balances() {
                violations.push(format!(
                    "the books of organisation {place}, {signal}: {book:?}"
                ));
            }
        }
        let sql = format!(
            "SELECT count(*) FROM dead_letter WHERE org_id = '{}'",
            org.id
        );
        let letters = count(number(site, &sql)?);
        let (sent, acknowledged) = poison.get(place).copied().unwrap_or_default();
        if letters < acknowledged || letters > sent {
            violations.push(format!(
                "{letters} dead letters of organisation {place}, {sent} poisoned requests sent, \
                 {acknowledged} of them acknowledged"
            ));
        }
    }
    let parked = number(site, "SELECT count(*) FROM batch WHERE state = 'PARKED'")?;
    if parked != 0 {
        violations.push(format!("{parked} batches parked"));
    }
    // A killed Redis loses nothing that it acknowledged; whoever says so is wrong.
    let lost = number(site, "SELECT count(*) FROM lost_entry")?;
    if lost != 0 {
        violations.push(format!("{lost} entries told to be lost"));
    }
    Ok(violations)
}

/// The books of one organisation and signal.
#[derive(Debug)]
struct Book {
    /// Counted by the gateways: accepted, and rejected beside them.
    received: (u64, u64),
    /// Counted by the workers.
    stored: u64,
    rejected: u64,
    dead_lettered: u64,
    /// Rows in the store.
    there: u64,
}

impl Book {
    fn of(site: &Site, org: &uuid::Uuid, signal: Signal) -> Result<Book, String> {
        let mut received = (0, 0);
        for shard in shards().filter(|shard| shard.signal == signal) {
            let field = |what: &str| -> Result<u64, String> {
                let field = format!("{}:{what}", org.simple());
                let found: Option<u64> = redis(site, &["HGET", &shard.received(), &field])?;
                Ok(found.unwrap_or(0))
            };
            received.0 += field("events")?;
            received.1 += field("rejected")?;
        }
        let sum = |column: &str| {
            let sql = format!(
                "SELECT coalesce(sum({column}), 0)::bigint FROM usage_day \
                  WHERE org_id = '{org}' AND signal = '{signal}'"
            );
            number(site, &sql).map(count)
        };
        Ok(Book {
            received,
            stored: sum("stored")?,
            rejected: sum("rejected")?,
            dead_lettered: sum("dead_lettered")?,
            there: rows(site, &org.to_string(), signal)?,
        })
    }

    fn balances(&self) -> bool {
        let (accepted, rejected) = self.received;
        accepted == self.stored + self.dead_lettered
            && rejected == self.rejected
            && self.stored == self.there
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn rows(site: &Site, org: &str, signal: Signal) -> Result<u64, String> {
    let Some((table, _)) = columns(signal) else {
        let sql = format!(
            "SELECT count(*) FROM metric_samples JOIN metric_series ON metric_series.id = series_id \
              WHERE org_id = '{org}'"
        );
        return number(site, &sql).map(count);
    };
    let sql = format!("SELECT count() FROM millrace.{table} WHERE OrgId = '{org}'");
    clickhouse(site, &sql)?
        .trim()
        .parse()
        .map_err(|error| format!("no number: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_being_wrong_is_told() {
        let request = Request {
            id: 1,
            round: 0,
            org: 0,
            signal: Signal::Logs,
            first: 10,
            events: 4,
            rejected: 0,
            at_us: 5,
            attack: 0,
            poison: false,
        };
        let expected: HashMap<u64, (&Request, bool)> =
            request.numbers().map(|n| (n, (&request, true))).collect();
        let good: Vec<(u64, String)> = request.numbers().map(|n| (n, request.row(n))).collect();
        assert_eq!(compare(&good, &expected), Vec::<String>::new());
        let mut rows = good.clone();
        rows.pop();
        assert!(compare(&rows, &expected)[0].contains("1 events acknowledged and not stored: 13"));
        rows.push(good[0].clone());
        rows.push((99, String::new()));
        rows[1].1.push('x');
        let wrong = compare(&rows, &expected);
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        let unknown: HashMap<u64, (&Request, bool)> =
            request.numbers().map(|n| (n, (&request, false))).collect();
        assert_eq!(
            compare(&good[..2], &unknown),
            Vec::<String>::new(),
            "it may be stored or not"
        );
    }
}
