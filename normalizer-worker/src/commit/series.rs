//! Metric series and their samples: ids looked up or made, samples copied in binary form.
//!
//! An organisation over its limit of series gets no new ones; samples of the series it has go on.

use crate::commit::text;
use crate::error::WorkerError;
use crate::metrics;
use crate::work::{Output, Sample, Series};
use bytes::{BufMut as _, Bytes, BytesMut};
use deadpool_postgres::Transaction;
use futures_util::SinkExt as _;
use millrace_shared::ids::{LedgerId, OrgId};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What tells a series from all others.
pub(crate) type SeriesKey = (OrgId, [u8; 16]);

/// Series remembered: about 100 bytes each, so 100 MB at most with the older generation.
const REMEMBERED_MAX: usize = 500_000;
/// How long an organisation's number of series is believed: others create series too.
const COUNT_TRUSTED: Duration = Duration::from_secs(60);

/// Ids of series seen lately, and how many each organisation has. Never holds what was not
/// committed.
#[derive(Debug, Default)]
pub struct SeriesCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    young: HashMap<SeriesKey, i64, foldhash::fast::RandomState>,
    old: HashMap<SeriesKey, i64, foldhash::fast::RandomState>,
    counts: HashMap<OrgId, (Instant, u64)>,
}

impl Inner {
    fn remember(&mut self, key: SeriesKey, id: i64) {
        if self.young.len() >= REMEMBERED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, id);
    }

    fn find(&mut self, key: &SeriesKey) -> Option<i64> {
        if let Some(id) = self.young.get(key) {
            return Some(*id);
        }
        let id = self.old.remove(key)?;
        self.remember(*key, id);
        Some(id)
    }
}

impl SeriesCache {
    fn find_all(&self, series: &[Series]) -> Vec<Option<i64>> {
        let Ok(mut inner) = self.inner.lock() else {
            return vec![None; series.len()];
        };
        series
            .iter()
            .map(|one| inner.find(&(one.org, one.fingerprint)))
            .collect()
    }

    fn known_count(&self, org: OrgId) -> Option<u64> {
        let inner = self.inner.lock().ok()?;
        let (at, count) = inner.counts.get(&org)?;
        (at.elapsed() < COUNT_TRUSTED).then_some(*count)
    }

    fn learn_count(&self, org: OrgId, count: u64) {
        if let Ok(mut inner) = self.inner.lock() {
            inner.counts.insert(org, (Instant::now(), count));
        }
    }

    /// Remembers what a committed transaction found and made.
    pub fn learn(&self, stored: &Stored) {
        let Ok(mut inner) = self.inner.lock() else {
            return;
        };
        for (key, id) in &stored.learnt {
            inner.remember(*key, *id);
        }
        for (org, made) in &stored.made {
            if let Some((_, count)) = inner.counts.get_mut(org) {
                *count += made;
            }
        }
    }
}

/// What storing samples has done, to be remembered after the commit.
#[derive(Debug, Default)]
pub struct Stored {
    /// Samples written.
    pub samples: u64,
    /// Samples refused because of the limit, by index of their entry.
    pub refused: HashMap<u32, u32>,
    learnt: Vec<(SeriesKey, i64)>,
    made: HashMap<OrgId, u64>,
}

/// Writes the samples of a batch, making the series they need.
///
/// # Errors
/// When PostgreSQL does not take them.
pub(crate) async fn store(
    tx: &Transaction<'_>,
    cache: &SeriesCache,
    limit: u64,
    (output, ledger): (&Output, LedgerId),
) -> Result<Stored, WorkerError> {
    let mut stored = Stored::default();
    if output.samples.is_empty() {
        return Ok(stored);
    }
    let mut ids = cache.find_all(&output.series);
    let cached = ids.iter().filter(|id| id.is_some()).count();
    metrics::SERIES.add(&["cached"], cached as u64);
    if cached < ids.len() {
        let mut lookup = Lookup {
            tx,
            series: &output.series,
            ids: &mut ids,
            stored: &mut stored,
        };
        lookup.find_stored().await?;
        lookup.make_missing(cache, limit).await?;
    }
    let (rows, count) = copy_rows(&output.samples, &ids, ledger, &mut stored.refused);
    stored.samples = count;
    let refused: u32 = stored.refused.values().sum();
    metrics::SERIES_LIMIT.add(&[], u64::from(refused));
    copy(tx, rows).await?;
    Ok(stored)
}

struct Lookup<'l, 't> {
    tx: &'l Transaction<'t>,
    series: &'l [Series],
    ids: &'l mut [Option<i64>],
    stored: &'l mut Stored,
}

impl Lookup<'_, '_> {
    /// Series without an id, in the one order in which all transactions touch them.
    fn missing(&self) -> Vec<usize> {
        let mut missing: Vec<usize> = self
            .ids
            .iter()
            .enumerate()
            .filter(|(_, id)| id.is_none())
            .map(|(at, _)| at)
            .collect();
        missing
            .sort_unstable_by_key(|at| self.series.get(*at).map(|one| (one.org, one.fingerprint)));
        missing
    }

    fn found(
        &mut self,
        places: &HashMap<SeriesKey, usize>,
        row: &tokio_postgres::Row,
    ) -> Result<(), WorkerError> {
        let (org, print, id): (OrgId, &[u8], i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Ok(print) = <[u8; 16]>::try_from(print) else {
            return Ok(());
        };
        if let Some(slot) = places
            .get(&(org, print))
            .and_then(|at| self.ids.get_mut(*at))
        {
            *slot = Some(id);
            self.stored.learnt.push(((org, print), id));
        }
        Ok(())
    }

    fn places(&self, missing: &[usize]) -> HashMap<SeriesKey, usize> {
        let at = |at: &usize| {
            self.series
                .get(*at)
                .map(|one| ((one.org, one.fingerprint), *at))
        };
        missing.iter().filter_map(at).collect()
    }

    async fn find_stored(&mut self) -> Result<(), WorkerError> {
        let missing = self.missing();
        let some = || missing.iter().filter_map(|at| self.series.get(*at));
        let orgs: Vec<OrgId> = some().map(|one| one.org).collect();
        let prints: Vec<&[u8]> = some().map(|one| one.fingerprint.as_slice()).collect();
        let sql = "SELECT s.org_id, s.fingerprint, s.id FROM metric_series AS s \
                     JOIN unnest($1::uuid[], $2::bytea[]) AS k (org, print) \
                       ON s.org_id = k.org AND s.fingerprint = k.print";
        let statement = self.tx.prepare_cached(sql).await?;
        let rows = self.tx.query(&statement, &[&orgs, &prints]).await?;
        metrics::SERIES.add(&["found"], rows.len() as u64);
        let places = self.places(&missing);
        rows.iter().try_for_each(|row| self.found(&places, row))
    }

    /// Makes as many of the missing series as the limits allow.
    async fn make_missing(&mut self, cache: &SeriesCache, limit: u64) -> Result<(), WorkerError> {
        let missing = self.missing();
        let mut allowed = Vec::with_capacity(missing.len());
        let mut room: HashMap<OrgId, u64> = HashMap::new();
        for at in missing {
            let Some(one) = self.series.get(at) else {
                continue;
            };
            let left = match room.get_mut(&one.org) {
                Some(left) => left,
                None => {
                    let count = count_of(self.tx, cache, one.org).await?;
                    room.entry(one.org).or_insert(limit.saturating_sub(count))
                }
            };
            if *left > 0 {
                *left -= 1;
                allowed.push(at);
            } else {
                metrics::SERIES.add(&["refused"], 1);
            }
        }
        if allowed.is_empty() {
            return Ok(());
        }
        self.insert(&allowed).await?;
        // Those that another transaction has made in between are there now.
        if allowed.iter().any(|at| self.ids.get(*at) == Some(&None)) {
            self.find_stored().await?;
        }
        Ok(())
    }

    async fn insert(&mut self, allowed: &[usize]) -> Result<(), WorkerError> {
        let some: Vec<&Series> = allowed
            .iter()
            .filter_map(|at| self.series.get(*at))
            .collect();
        let texts = |part: fn(&Series) -> &str| -> Vec<String> {
            some.iter().map(|one| text::plain(part(one))).collect()
        };
        let orgs: Vec<OrgId> = some.iter().map(|one| one.org).collect();
        let prints: Vec<&[u8]> = some.iter().map(|one| one.fingerprint.as_slice()).collect();
        let labels: Vec<serde_json::Value> =
            some.iter().map(|one| text::json(&one.labels)).collect();
        let kinds: Vec<&str> = some.iter().map(|one| one.kind).collect();
        let sql = "INSERT INTO metric_series \
                     (org_id, fingerprint, name, labels, service, host, environment, type, unit) \
                   SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::jsonb[], $5::text[], \
                                        $6::text[], $7::text[], $8::text[], $9::text[]) \
                   ON CONFLICT (org_id, fingerprint) DO NOTHING RETURNING org_id, fingerprint, id";
        let statement = self.tx.prepare_cached(sql).await?;
        let (names, services, hosts, environments, units) = (
            texts(|one| &one.name),
            texts(|one| &one.service),
            texts(|one| &one.host),
            texts(|one| &one.environment),
            texts(|one| &one.unit),
        );
        let rows = self
            .tx
            .query(
                &statement,
                &[
                    &orgs,
                    &prints,
                    &names,
                    &labels,
                    &services,
                    &hosts,
                    &environments,
                    &kinds,
                    &units,
                ],
            )
            .await?;
        metrics::SERIES.add(&["created"], rows.len() as u64);
        let places = self.places(allowed);
        for row in &rows {
            self.found(&places, row)?;
            *self.stored.made.entry(row.try_get(0)?).or_default() += 1;
        }
        Ok(())
    }
}

/// How many series an organisation has: remembered for a while, so the limit is kept to within what
/// several workers create in that time.
async fn count_of(
    tx: &Transaction<'_>,
    cache: &SeriesCache,
    org: OrgId,
) -> Result<u64, WorkerError> {
    if let Some(count) = cache.known_count(org) {
        return Ok(count);
    }
    let sql = "SELECT count(*) FROM metric_series WHERE org_id = $1";
    let count: i64 = tx.query_one(sql, &[&org]).await?.try_get(0)?;
    let count = u64::try_from(count).unwrap_or(0);
    cache.learn_count(org, count);
    Ok(count)
}

/// PostgreSQL's binary copy format: signature, flags, no extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// After the last row.
const COPY_END: i16 = -1;
/// A row: a count of fields and four fields of eight bytes with their lengths.
const COPY_ROW_BYTES: usize = 2 + 4 * (4 + 8);
/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The samples whose series have an id, as binary copy; those without are counted by entry.
fn copy_rows(
    samples: &[Sample],
    ids: &[Option<i64>],
    ledger: LedgerId,
    refused: &mut HashMap<u32, u32>,
) -> (Bytes, u64) {
    let mut out = BytesMut::with_capacity(COPY_HEADER.len() + samples.len() * COPY_ROW_BYTES + 2);
    out.put_slice(COPY_HEADER);
    let mut count = 0;
    for sample in samples {
        let Some(id) = ids.get(sample.series as usize).copied().flatten() else {
            *refused.entry(sample.entry).or_default() += 1;
            continue;
        };
        count += 1;
        out.put_i16(4);
        out.put_i32(8);
        out.put_i64(sample.time.div_euclid(1_000) - POSTGRES_EPOCH_US);
        out.put_i32(8);
        out.put_i64(id);
        out.put_i32(8);
        out.put_f64(sample.value);
        out.put_i32(8);
        out.put_u64(ledger.0);
    }
    out.put_i16(COPY_END);
    (out.freeze(), count)
}

async fn copy(tx: &Transaction<'_>, rows: Bytes) -> Result<(), WorkerError> {
    let sql = "COPY metric_samples (time, series_id, value, batch_id) FROM STDIN (FORMAT binary)";
    let mut sink = pin!(tx.copy_in::<_, Bytes>(sql).await?);
    sink.send(rows).await?;
    sink.finish().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_laid_out_as_postgresql_reads_them() {
        let samples = [
            Sample {
                series: 0,
                time: 946_684_800_000_001_999,
                value: 1.5,
                entry: 0,
            },
            Sample {
                series: 1,
                time: 0,
                value: 2.0,
                entry: 3,
            },
        ];
        let mut refused = HashMap::new();
        let (bytes, count) = copy_rows(&samples, &[Some(7), None], LedgerId(9), &mut refused);
        let mut expected = COPY_HEADER.to_vec();
        expected.extend_from_slice(&4i16.to_be_bytes());
        for field in [
            1i64.to_be_bytes(),
            7i64.to_be_bytes(),
            1.5f64.to_be_bytes(),
            9u64.to_be_bytes(),
        ] {
            expected.extend_from_slice(&8i32.to_be_bytes());
            expected.extend_from_slice(&field);
        }
        expected.extend_from_slice(&(-1i16).to_be_bytes());
        assert_eq!(bytes.as_ref(), expected.as_slice());
        assert_eq!((count, refused.get(&3)), (1, Some(&1)));
    }

    #[test]
    fn ids_are_remembered_in_two_generations() {
        let key = |n: u8| (OrgId::from_u128(1), [n; 16]);
        let mut inner = Inner::default();
        inner.remember(key(1), 1);
        inner.old = std::mem::take(&mut inner.young);
        inner.remember(key(2), 2);
        assert_eq!(
            (
                inner.find(&key(1)),
                inner.find(&key(2)),
                inner.find(&key(3))
            ),
            (Some(1), Some(2), None)
        );
        assert!(inner.old.is_empty() && inner.young.len() == 2);
    }
}
