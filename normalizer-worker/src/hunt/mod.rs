//! Retro-hunts: when a feed brings new indicators, what was stored before is searched for them, in the
//! background and within a budget.
//!
//! ```text
//! feed changed ─→ retro_hunt ─ chunk of indicators ─→ index
//!    stored observables, page after page ─ look ─→ found ─→ alerts + progress, in one transaction
//! ```
//!
//! One worker hunts at a time, under a lock of the database, and goes on where another left off: how far a
//! hunt has come is written together with the alerts of what was found up to there, by whoever knows its
//! step. So each stored event counts once, whatever is killed when. Hunts take turns.
//!
//! An event is judged once by an indicator: when it came, or by a hunt. A hunt waits until all that was made
//! without its indicators is stored, and leaves out what they matched when it came.
//!
//! The observables that were stored with events are searched, with the index that judges live ones.
//! It reads nothing else of what was in an event, and writes nothing but alerts and its own progress.

mod past;
mod pieces;
mod hidden;
mod look;
mod pace;
mod record;

pub use pace::Pace;

use crate::error::WorkerError;
use crate::metrics;
use crate::shard::Plant;
use crate::work::Table;
use hidden::Hidden;
use look::Lens;
use millrace_shared::Signal;
use millrace_shared::limits::NS_PER_DAY;
use past::Past;
use record::{Hunt, Place, Progress};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often it is looked whether there is something to hunt for.
pub const EVERY: Duration = Duration::from_secs(5);
/// Where observables are stored, in the order of `retro_hunt.table_number`.
const TABLES: [(Table, Signal); 4] = [
    (Table::Logs, Signal::Logs),
    (Table::Spans, Signal::Traces),
    (Table::RumEvents, Signal::Rum),
    (Table::AuditEvents, Signal::Audit),
];
/// Rows of a page, at most; and no more than may be looked at in a second.
const PAGE_ROWS: u32 = 20_000;
/// By how much the clocks of gateways may be ahead of the database's, nanoseconds.
const CLOCKS_NS: i64 = 60 * 1_000_000_000;
/// Days in which rows are counted with one question, at most: an organisation that sends little costs little.
const DAYS_MAX: i64 = 16;
/// A hunt's turn, where others wait.
const TURN: Duration = Duration::from_secs(120);

/// Within which bounds is hunted.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Days of history that are searched when a feed brings something new; 0: none.
    pub days: i32,
    /// Rows looked at in a second.
    pub rows_per_second: u64,
}

/// Why a hunt is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// It is at its end.
    Done,
    /// It was cancelled, or somebody else has gone on with it.
    Taken,
    /// Others wait.
    Waiting,
    /// The worker stops.
    Stopping,
}

impl Left {
    const fn as_str(self) -> &'static str {
        match self {
            Left::Done => "done",
            Left::Taken => "cancelled",
            Left::Waiting | Left::Stopping => "interrupted",
        }
    }
}

type Client = deadpool_postgres::Client;

/// Begins hunts for what is new and goes on with those there are, one after the other; nothing
/// happens while another worker is at it.
///
/// # Errors
/// When PostgreSQL is not available; hunts then go on from their last steps.
pub async fn round(
    plant: &Plant,
    terms: Terms,
    shutdown: &CancellationToken,
) -> Result<(), WorkerError> {
    let mut client = plant.desk.pool.get().await?;
    if !record::lock(&client).await? {
        return Ok(());
    }
    let hunted = hunts(plant, &mut client, (terms, shutdown)).await;
    match record::unlock(&client).await {
        Ok(()) => {}
        // The lock goes with the connection.
        Err(_) => drop(deadpool_postgres::Object::take(client)),
    }
    hunted
}

async fn hunts(
    plant: &Plant,
    client: &mut Client,
    (terms, shutdown): (Terms, &CancellationToken),
) -> Result<(), WorkerError> {
    let mut pace = Pace::new(terms.rows_per_second);
    while !shutdown.is_cancelled() {
        record::begin(client, terms.days).await?;
        let Some(hunt) = record::next(client).await? else {
            break;
        };
        let mut hunting = Hunting {
            plant,
            hunt,
            pace: &mut pace,
            shutdown,
            page: u32::try_from(terms.rows_per_second)
                .unwrap_or(u32::MAX)
                .clamp(1, PAGE_ROWS),
            ends: Instant::now(),
        };
        let outcome = match hunting.pursue(client).await {
            Ok(left) => left.as_str(),
            Err(error) => {
                tracing::warn!(hunt = %hunting.hunt.id, %error, "a retro-hunt failed, trying again");
                record::failed(client, &hunting.hunt, &error).await?;
                "failed"
            }
        };
        metrics::HUNTS.add(&[outcome], 1);
    }
    Ok(())
}

/// A hunt under way.
struct Hunting<'h> {
    plant: &'h Plant,
    hunt: Hunt,
    pace: &'h mut Pace,
    shutdown: &'h CancellationToken,
    /// Rows of a page.
    page: u32,
    /// When its turn ends, once it looks.
    ends: Instant,
}

impl Hunting<'_> {
    async fn pursue(&mut self, client: &mut Client) -> Result<Left, WorkerError> {
        tracing::info!(hunt = %self.hunt.id, feed = self.hunt.feed, "hunting in history");
        record::measure(client, &self.hunt).await?;
        let hidden = record::hidden(client, &self.hunt).await?;
        loop {
            let Some((lens, count)) = self.lens(client, &hidden).await? else {
                let ended = record::end(client, &self.hunt).await?;
                return Ok(if ended { Left::Done } else { Left::Taken });
            };
            // All of them may have ended meanwhile.
            let left = match lens.is_of_use() {
                true => self.tables(client, &lens).await?,
                false => None,
            };
            if let Some(left) = left {
                if left == Left::Waiting {
                    record::queue(client, &mut self.hunt).await?;
                }
                return Ok(left);
            }
            let place = self.hunt.place;
            let next = Place {
                after_indicator: place.last_indicator.unwrap_or(place.after_indicator),
                ..Place::default()
            };
            let progress = Progress {
                indicators: count,
                ..Progress::default()
            };
            if !record::advance(client, &mut self.hunt, (next, progress)).await? {
                return Ok(Left::Taken);
            }
        }
    }

    /// What looks for the next chunk of indicators, and how many these are; none when there are no more.
    async fn lens(
        &mut self,
        client: &Client,
        hidden: &Hidden,
    ) -> Result<Option<(Arc<Lens>, u64)>, WorkerError> {
        let chunk = record::chunk(client, &self.hunt, hidden).await?;
        let Some(last) = self.hunt.place.last_indicator.or(chunk.last) else {
            return Ok(None);
        };
        self.hunt.place.last_indicator = Some(last);
        let snapshot = self.plant.controls.current();
        let of = (self.hunt.org, self.hunt.started_ns);
        let made = tokio::task::spawn_blocking(move || Arc::new(chunk.sought.lens(of, snapshot)));
        let lens = made.await.map_err(|_| WorkerError::Transform)?;
        // Getting ready is not what its turn is for.
        self.ends = Instant::now() + TURN;
        Ok(Some((lens, chunk.count)))
    }

    /// Searches all tables for a chunk of indicators; why not, if it did not come to the end.
    async fn tables(
        &mut self,
        client: &mut Client,
        lens: &Arc<Lens>,
    ) -> Result<Option<Left>, WorkerError> {
        while let Some(table) = TABLES.get(self.hunt.place.table).copied() {
            if let Some(left) = self.table(client, lens, table).await? {
                return Ok(Some(left));
            }
            let next = Place {
                table: self.hunt.place.table + 1,
                after: None,
                ..self.hunt.place
            };
            let done = (next, Progress::default());
            if !record::advance(client, &mut self.hunt, done).await? {
                return Ok(Some(Left::Taken));
            }
        }
        Ok(None)
    }

    /// Window after window, wider where little is, in pieces that cost about the same.
    async fn table(
        &mut self,
        client: &mut Client,
        lens: &Arc<Lens>,
        table: (Table, Signal),
    ) -> Result<Option<Left>, WorkerError> {
        let (start, end) = self.hunt.range;
        let mut from = self.hunt.place.after.map_or(start, |(at, _)| at.max(start));
        let mut days = 1;
        while from < end {
            let until = (from - from.rem_euclid(NS_PER_DAY)).saturating_add(days * NS_PER_DAY);
            let window = (from, until.min(end));
            let past = self.past(table.0, window);
            let counted = tokio::select! {
                () = self.shutdown.cancelled() => return Ok(Some(Left::Stopping)),
                counted = past.stretches(&self.plant.store, pieces::STRETCH_NS) => counted,
            };
            let counted = match counted {
                // More than was expected: what can be counted in a day can be counted.
                Err(_) if days > 1 => {
                    days = 1;
                    continue;
                }
                counted => counted?,
            };
            for piece in pieces::pieces(&counted, window, self.page) {
                if let Some(left) = self.piece(client, lens, (table, piece)).await? {
                    return Ok(Some(left));
                }
            }
            // That nothing was there need not be found out again.
            self.hunt.place.after = Some((until, Uuid::nil()));
            if let Some(left) = self.interrupted() {
                return Ok(Some(left));
            }
            let rows: u64 = counted.iter().map(|(_, rows)| rows).sum();
            days = match rows < u64::from(PAGE_ROWS) {
                true => (2 * days).min(DAYS_MAX),
                false => 1,
            };
            from = until;
        }
        Ok(None)
    }

    async fn piece(
        &mut self,
        client: &mut Client,
        lens: &Arc<Lens>,
        ((table, signal), piece): ((Table, Signal), (i64, i64)),
    ) -> Result<Option<Left>, WorkerError> {
        loop {
            if let Some(left) = self.interrupted() {
                return Ok(Some(left));
            }
            let past = self.past(table, piece);
            let page = tokio::select! {
                () = self.shutdown.cancelled() => return Ok(Some(Left::Stopping)),
                page = past.page(&self.plant.store, self.page) => page?,
            };
            let Some(last) = page.last().map(|row| (row.at, row.id)) else {
                return Ok(None);
            };
            let (rows, lens) = (page.len() as u64, Arc::clone(lens));
            let found = tokio::task::spawn_blocking(move || lens.look(&page)).await;
            let found = found.map_err(|_| WorkerError::Transform)?;
            let next = Place {
                after: Some(last),
                ..self.hunt.place
            };
            if !record::found(client, &mut self.hunt, (next, rows), (signal, found)).await? {
                return Ok(Some(Left::Taken));
            }
            self.pace.after(rows, self.shutdown).await;
            if rows < u64::from(self.page) {
                return Ok(None);
            }
        }
    }

    fn interrupted(&self) -> Option<Left> {
        if self.shutdown.is_cancelled() {
            return Some(Left::Stopping);
        }
        (Instant::now() >= self.ends).then_some(Left::Waiting)
    }

    fn past(&self, table: Table, range: (i64, i64)) -> Past {
        Past {
            table,
            org: self.hunt.org,
            range,
            received_before: self.hunt.started_ns.saturating_add(CLOCKS_NS),
            after: self.hunt.place.after,
        }
    }
}
