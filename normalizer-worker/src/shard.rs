//! The life of one shard under one lease:
//!
//! ```text
//! recover what is prepared ─→ ┬ intake → transform → prepare → write ┐ (a few in flight)
//!                             │                     in order: commit ┘
//!                             └ audit → trim
//! ```
//!
//! Whatever goes wrong, the shard waits and begins again from the ledger, which is where every
//! doubt is settled. Nothing here trusts what it remembers of before.

use crate::backoff::Backoff;
use crate::budget::{Budget, Held};
use crate::commit::{Desk, Usage, Work};
use crate::control_loader::Controls;
use crate::cut::Full;
use crate::draft::{self, Draft, Order};
use crate::error::{Then, WorkerError};
use crate::intake::{Cut, Intake};
use crate::lease::Lease;
use crate::ledger::{self, Batch, Position, SAMPLES_TARGET};
use crate::metrics;
use crate::probe::Step;
use crate::reader::Reader;
use crate::store::{InsertName, Rows, Store};
use crate::work::Table;
use crate::write::{self, Outcome};
use crate::{age, audit, entry_ids, recover};
use millrace_runtime::redis::ConnectionManager;
use millrace_shared::ids::{LedgerId, ShardId, StreamId};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::Date;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Batches of a shard that are prepared and not committed: enough to transform, write and commit
/// at the same time, few enough to redo in a second or two.
const IN_FLIGHT: usize = 3;
/// A shard that ran this long without error begins again without waiting long.
const STEADY: Duration = Duration::from_secs(10);

/// What all shards of a worker share.
pub struct Plant {
    /// Redis, for connections of one shard's own.
    pub redis_url: String,
    /// Redis, for what is short.
    pub redis: ConnectionManager,
    /// Where commits go, PostgreSQL with it.
    pub desk: Desk,
    /// Where rows go.
    pub store: Store,
    /// What configures the pure half.
    pub controls: Controls,
    /// Memory of all batches.
    pub budget: Budget,
    /// Turns at the processor.
    pub cpu: Semaphore,
    /// When a batch is full.
    pub full: Full,
    /// From a batch's commit to its audit.
    pub audit_delay: Duration,
    /// Changes whenever ClickHouse was started anew.
    pub store_started: watch::Sender<i64>,
}

/// One shard under one lease.
pub struct Shard {
    /// What it shares with the others.
    pub plant: Arc<Plant>,
    /// Its lease.
    pub lease: Arc<Lease>,
    /// The last entry that belongs to a batch, as far as this worker knows.
    cursor: Mutex<StreamId>,
}

/// A batch that is prepared and being written.
struct Flight {
    batch: Batch,
    draft: Draft,
    write: JoinHandle<Result<(), WorkerError>>,
    held: Held,
    since: Instant,
    /// From preparing to commit, for whoever follows the pipeline itself.
    span: tracing::Span,
}

impl Shard {
    /// A shard that nothing has been done for yet.
    #[must_use]
    pub fn new(plant: Arc<Plant>, lease: Arc<Lease>) -> Self {
        let cursor = Mutex::new(StreamId::ZERO);
        Shard {
            plant,
            lease,
            cursor,
        }
    }

    pub(crate) fn cursor(&self) -> StreamId {
        self.cursor.lock().map(|cursor| *cursor).unwrap_or_default()
    }

    fn moved(&self, to: StreamId) {
        if let Ok(mut cursor) = self.cursor.lock() {
            *cursor = to;
        }
    }

    pub(crate) fn id(&self) -> ShardId {
        self.lease.fence.shard
    }

    pub(crate) fn signal(&self) -> &'static str {
        self.id().signal.as_str()
    }

    /// Works until it is told to stop or somebody else has the shard.
    pub async fn live(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let Err(error) = self.run(stop).await else {
                return;
            };
            if error.then() == Then::GiveUp || self.lease.lost.is_cancelled() {
                tracing::info!(shard = %self.id(), %error, "giving the shard up");
                return;
            }
            metrics::RESTARTS.add(&[error.part()], 1);
            if began.elapsed() > STEADY {
                backoff.reset();
            }
            // A store that is down is told of once a shard, not every few seconds.
            if backoff.is_fresh() {
                tracing::warn!(shard = %self.id(), %error, "beginning again from the ledger");
            } else {
                tracing::debug!(shard = %self.id(), %error, "beginning again from the ledger");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }

    async fn run(&self, stop: &CancellationToken) -> Result<(), WorkerError> {
        recover::all(self, stop).await?;
        let client = self.plant.desk.pool.get().await?;
        let position = ledger::position(&client, self.lease.fence).await?;
        drop(client);
        self.moved(position.cursor);
        self.keep_stream_ahead(position.cursor).await?;
        let halt = stop.child_token();
        let (send, receive) = mpsc::channel(IN_FLIGHT - 1);
        let head = async {
            let ended = self.head(position, send, &halt).await;
            halt_on_error(&halt, ended)
        };
        let tail = async { halt_on_error(&halt, self.tail(receive).await) };
        let audit = async { halt_on_error(&halt, audit::keep_auditing(self, &halt).await) };
        let (head, tail, audit) = tokio::join!(head, tail, audit);
        head.and(tail).and(audit)
    }

    /// A Redis that lost its tail and whose clock went back would give new entries ids that lie
    /// behind the cursor, where nobody would read them.
    async fn keep_stream_ahead(&self, cursor: StreamId) -> Result<(), WorkerError> {
        let mut reader = Reader::shared(&self.plant.redis, self.id());
        if let Some(last) = reader.keep_ahead_of(cursor).await? {
            metrics::ALARMS.add(&["stream_behind"], 1);
            tracing::error!(shard = %self.id(), %last, %cursor, "the stream ends before the ledger's cursor: Redis has lost entries");
        }
        Ok(())
    }

    /// Reads, transforms, prepares; writing goes on beside it.
    async fn head(
        &self,
        mut position: Position,
        flights: mpsc::Sender<Flight>,
        halt: &CancellationToken,
    ) -> Result<(), WorkerError> {
        let reader = Reader::new(&self.plant.redis_url, self.id())?;
        let memory = (&self.plant.budget, self.plant.full);
        let mut intake = Intake::new(reader, &self.lease, memory, position.cursor);
        while let Some(cut) = intake.next(halt).await? {
            self.observe("read", cut.since);
            let flight = self.take_off(&mut position, cut).await?;
            if flights.send(flight).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn take_off(&self, position: &mut Position, cut: Cut) -> Result<Flight, WorkerError> {
        let plant = &self.plant;
        let Cut { range, held, since } = cut;
        self.lease.probe.at(Step::Read);
        let seq = u64::try_from(position.next_seq).unwrap_or(0);
        let order = Order {
            shard: self.id(),
            ledger: LedgerId::new(self.id().shard, seq),
            attempt: 0,
            snapshot: plant.controls.current(),
        };
        let (day, bytes) = (range.day, range.bytes);
        let entries = Arc::new(range.entries);
        let digest = ledger::digest(&entries);
        let ids = entry_ids::pack(entries.iter().map(|entry| entry.id));
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Err(WorkerError::Ledger("a batch without entries"));
        };
        let (first, last, count) = (first.id, last.id, entries.len());
        let started = Instant::now();
        let too_old = age::is_over(self.id().signal, day);
        let (kept, parked) = age::sort_out(entries, too_old);
        let draft = draft::make(&plant.cpu, &order, kept, parked).await?;
        self.observe("transform", started);
        metrics::BATCH_BYTES.observe(&[self.signal()], as_float(bytes));
        let batch = Batch {
            seq: position.next_seq,
            first,
            last,
            entries: i32::try_from(count).unwrap_or(i32::MAX),
            events: events_of(&draft),
            digest,
            targets: targets_of(&draft),
            revision: order.snapshot.revision,
            received_day: date(day)?,
            attempt: 0,
            ids,
            lost: 0,
            too_old,
        };
        let span = self.span_of(&batch, &draft);
        self.prepare(position, &batch).await?;
        let write = tokio::spawn(write_all(
            Arc::clone(plant),
            Arc::clone(&self.lease),
            self.posts(&batch, &draft),
        ));
        Ok(Flight {
            batch,
            draft,
            write,
            held,
            since,
            span,
        })
    }

    /// A batch of the pipeline's own telemetry alone is marked, so that it is not told to itself.
    fn span_of(&self, batch: &Batch, draft: &Draft) -> tracing::Span {
        let mut orgs = draft.output.usage.iter().flatten().map(|usage| usage.org);
        let own = orgs.all(|org| self.plant.controls.is_own(org));
        let (events, revision) = (batch.events, batch.revision);
        tracing::info_span!("batch", shard = %self.id(), seq = batch.seq, events, revision, own)
    }

    async fn prepare(&self, position: &mut Position, batch: &Batch) -> Result<(), WorkerError> {
        self.lease.check()?;
        self.lease.probe.at(Step::Drafted);
        let started = Instant::now();
        let client = self.plant.desk.pool.get().await?;
        ledger::prepare(&client, self.lease.fence, *position, batch).await?;
        *position = Position {
            next_seq: batch.seq + 1,
            cursor: batch.last,
        };
        self.moved(batch.last);
        self.observe("prepare", started);
        self.lease.probe.at(Step::Prepared);
        Ok(())
    }

    fn posts(&self, batch: &Batch, draft: &Draft) -> Vec<(Rows, InsertName)> {
        let table = Table::of(self.id().signal);
        let rows = table.and_then(|table| draft.rows(table));
        let name = |rows: Rows| {
            let token = batch.token(self.id(), rows.table);
            let query_id = format!("{token}:{}", batch.attempt);
            (rows, InsertName { token, query_id })
        };
        rows.map(name).into_iter().collect()
    }

    /// Commits in order. After an error it still waits for the writes that are under way, so that
    /// none of them goes on while the shard begins again.
    async fn tail(&self, mut flights: mpsc::Receiver<Flight>) -> Result<(), WorkerError> {
        let mut outcome = Ok(());
        while let Some(flight) = flights.recv().await {
            let Flight {
                batch,
                draft,
                write,
                held,
                since,
                span,
            } = flight;
            let written = write.await.unwrap_or(Err(WorkerError::Stopping));
            if outcome.is_ok() {
                outcome = match written {
                    Ok(()) => self.land(&batch, &draft).await,
                    Err(error) => Err(error),
                };
                flights_close_on_error(&mut flights, &outcome);
            }
            if outcome.is_ok() {
                self.observe("whole", since);
            }
            drop((held, span));
        }
        outcome
    }

    async fn land(&self, batch: &Batch, draft: &Draft) -> Result<(), WorkerError> {
        self.lease.probe.at(Step::Written);
        self.commit(batch, draft).await?;
        self.show_cursor().await;
        Ok(())
    }

    /// Shows how far the shard is read: gateways judge by it whether the workers keep up. A view
    /// only, and the audit shows it again, so a failure is no error here.
    async fn show_cursor(&self) {
        let mut reader = Reader::shared(&self.plant.redis, self.id());
        if let Err(error) = reader.show_cursor(self.cursor()).await {
            tracing::debug!(shard = %self.id(), %error, "cannot show the cursor");
        }
    }

    /// Commits a batch whose rows are in ClickHouse.
    pub(crate) async fn commit(&self, batch: &Batch, draft: &Draft) -> Result<(), WorkerError> {
        let started = Instant::now();
        let work = Work {
            fence: self.lease.fence,
            batch,
            entries: &draft.entries,
            parked: &draft.parked,
            output: &draft.output,
        };
        let usage = self.plant.desk.commit(&self.lease, &work).await?;
        self.observe("commit", started);
        self.count(batch, draft, &usage);
        self.lease.probe.at(Step::Committed);
        Ok(())
    }

    fn count(&self, batch: &Batch, draft: &Draft, usage: &Usage) {
        let signal = self.signal();
        metrics::ENTRIES.add(&[signal], u64::try_from(batch.entries).unwrap_or(0));
        let ends = [
            ("stored", usage.stored),
            ("rejected", usage.rejected),
            ("dead_lettered", usage.dead_lettered),
        ];
        for (outcome, events) in ends {
            metrics::EVENTS.add(&[signal, outcome], u64::try_from(events).unwrap_or(0));
        }
        if draft.output.dropped > 0 {
            metrics::DROPPED.add(&[signal], draft.output.dropped);
        }
        for target in &draft.output.targets {
            metrics::ROWS.add(&[target.table.as_str()], u64::from(target.rows));
        }
        if !draft.output.samples.is_empty() {
            metrics::ROWS.add(&[SAMPLES_TARGET], u64::try_from(usage.rows).unwrap_or(0));
        }
        metrics::BATCH_ROWS.observe(
            &[signal],
            as_float(usize::try_from(usage.rows).unwrap_or(0)),
        );
        for one in &draft.output.indicator_hits {
            metrics::INDICATOR_HITS.add(&[metrics::feed_label(one)], one.hits);
        }
        for poison in &draft.output.poison {
            metrics::POISON.add(&[signal, poison.reason.as_str()], u64::from(poison.events));
        }
        for parked in &draft.parked {
            let events = u64::from(parked.events());
            metrics::POISON.add(&[signal, parked.reason.as_str()], events);
            metrics::ALARMS.add(&["poison"], 1);
        }
    }

    pub(crate) fn observe(&self, stage: &'static str, since: Instant) {
        metrics::STAGE_SECONDS.observe(&[self.signal(), stage], since.elapsed().as_secs_f64());
    }
}

fn halt_on_error(
    halt: &CancellationToken,
    ended: Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    if ended.is_err() {
        halt.cancel();
    }
    ended
}

/// After an error no more batches are taken; those already sent are still received.
fn flights_close_on_error(flights: &mut mpsc::Receiver<Flight>, outcome: &Result<(), WorkerError>) {
    if outcome.is_err() {
        flights.close();
    }
}

async fn write_all(
    plant: Arc<Plant>,
    lease: Arc<Lease>,
    posts: Vec<(Rows, InsertName)>,
) -> Result<(), WorkerError> {
    let signal = lease.fence.shard.signal.as_str();
    for (rows, name) in posts {
        let started = Instant::now();
        let (table, bytes) = (rows.table, rows.body.len() as u64);
        match write::post(&plant.store, &lease, &rows, &name).await? {
            Outcome::Written => {}
            Outcome::InDoubt => return Err(WorkerError::Store("an insert is in doubt".to_owned())),
            Outcome::Refused(code) => return Err(WorkerError::RefusedRows(code)),
        }
        metrics::ROW_BYTES.add(&[table.as_str()], bytes);
        metrics::STAGE_SECONDS.observe(&[signal, "write"], started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn targets_of(draft: &Draft) -> ledger::Targets {
    let rows = draft.output.targets.iter();
    let mut targets: ledger::Targets = rows
        .map(|target| (target.table.as_str().to_owned(), i64::from(target.rows)))
        .collect();
    if !draft.output.samples.is_empty() {
        let samples = i64::try_from(draft.output.samples.len()).unwrap_or(i64::MAX);
        targets.insert(SAMPLES_TARGET.to_owned(), samples);
    }
    targets
}

fn events_of(draft: &Draft) -> i32 {
    let made: u32 = draft
        .output
        .usage
        .iter()
        .flatten()
        .map(|usage| usage.events)
        .sum();
    let parked: u32 = draft
        .parked
        .iter()
        .filter_map(|parked| Some(parked.usage()?.events))
        .sum();
    i32::try_from(made.saturating_add(parked)).unwrap_or(i32::MAX)
}

/// The day that is so many days after 1970.
fn date(days: i64) -> Result<Date, WorkerError> {
    i32::try_from(days.saturating_add(age::JULIAN_1970))
        .ok()
        .and_then(|day| Date::from_julian_day(day).ok())
        .ok_or(WorkerError::Ledger("a day out of range"))
}

#[expect(clippy::cast_precision_loss, reason = "a histogram takes floats")]
fn as_float(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(date(0).unwrap().to_string(), "1970-01-01");
        assert_eq!(date(20_000).unwrap().to_string(), "2024-10-04");
        assert!(date(i64::MAX).is_err());
    }
}
