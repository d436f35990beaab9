//! A back-test under way: rows of all signals, merged by time, put to the rule a step at a time.

use super::source::{Page, Source};
use super::tally::{BacktestAnswer, CutOff, Progress, Rest, Tally};
use super::{BYTES_MAX, Question, STEP_ROWS};
use crate::Api;
use crate::answer::Moment;
use crate::error::Problem;
use crate::metrics;
use crate::principal::Caller;
use crate::store::history::Place;
use millrace_detection::history::{Full, Replay};
use millrace_shared::Signal;
use millrace_shared::rows::{RowError, Stored};
use std::time::Instant;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to do.
    More,
    /// It is done, or cut off.
    Done,
}

/// A back-test under way.
#[derive(Debug)]
pub(crate) struct Run {
    rule_id: String,
    signals: Vec<Signal>,
    sources: Vec<Source>,
    /// Away while a step is done.
    engine: Option<Box<Engine>>,
    rows_max: u64,
    deadline: Instant,
    rows_in_range: u64,
    bytes: u64,
    cut_off: Option<(&'static str, String)>,
    ended: bool,
}

/// The rule and what it has made of the rows.
#[derive(Debug)]
struct Engine {
    replay: Replay,
    tally: Tally,
}

/// Why a step breaks off.
enum Stop {
    Full(Full),
    Row(RowError),
}

impl Run {
    /// Counts the rows in the range; nothing is looked at yet.
    ///
    /// # Errors
    /// 403 when the caller may not read a signal of the rule; those of the store.
    pub(crate) async fn begin(
        api: &Api,
        caller: &Caller,
        question: Question,
        deadline: Instant,
    ) -> Result<Run, Problem> {
        let Question {
            rule,
            signals,
            range,
            step_ns,
            rows_max,
            replay,
            compared,
        } = question;
        let (mut sources, mut rows_in_range) = (Vec::new(), 0);
        for signal in &signals {
            let (source, rows) = Source::open(api, caller, (*signal, range)).await?;
            sources.push(source);
            rows_in_range += rows;
        }
        let tally = Tally::new(range, step_ns, compared);
        Ok(Run {
            rule_id: rule.id,
            signals,
            sources,
            engine: Some(Box::new(Engine { replay, tally })),
            rows_max,
            deadline,
            rows_in_range,
            bytes: 0,
            cut_off: None,
            ended: false,
        })
    }

    /// Reads what is missing and looks at some of it. Dropping the future kills what it asks the
    /// store.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn step(&mut self, api: &Api, caller: &Caller) -> Result<Step, Problem> {
        if Instant::now() >= self.deadline {
            return Ok(self.cut("time", "the time of a back-test".to_owned()));
        }
        for source in &mut self.sources {
            if source.page.spent && !source.ended {
                self.bytes += source.fill(api, caller).await?;
            }
        }
        if self.sources.iter().all(|source| source.ended) {
            self.ended = true;
            return Ok(Step::Done);
        }
        let left = self.rows_max.saturating_sub(self.rows());
        if left == 0 {
            let detail = format!("{} rows", self.rows_max);
            return Ok(self.cut("rows", detail));
        }
        if self.bytes > BYTES_MAX {
            return Ok(self.cut("bytes", format!("{BYTES_MAX} bytes")));
        }
        self.look(left.min(u64::from(STEP_ROWS))).await
    }

    async fn look(&mut self, most: u64) -> Result<Step, Problem> {
        let gone = || Problem::internal("a back-test without its rule", &self.rule_id);
        let mut engine = self.engine.take().ok_or_else(gone)?;
        let take = |source: &mut Source| {
            let page = std::mem::take(&mut source.page);
            (source.signal, source.ended, page)
        };
        let mut pages: Vec<_> = self.sources.iter_mut().map(take).collect();
        let work = tokio::task::spawn_blocking(move || {
            let outcome = engine.work(&mut pages, most);
            (engine, pages, outcome)
        });
        let worked = work.await;
        let (engine, pages, outcome) =
            worked.map_err(|error| Problem::internal("the back-test broke off", &error))?;
        self.engine = Some(engine);
        for (source, (_, _, page)) in self.sources.iter_mut().zip(pages) {
            source.page = page;
        }
        match outcome {
            Ok(rows) => {
                metrics::BACKTEST_ROWS.add(&[], rows);
                Ok(Step::More)
            }
            Err(Stop::Full(full)) => Ok(self.cut("memory", full.to_string())),
            Err(Stop::Row(error)) => {
                Err(Problem::internal("ClickHouse answered other rows", &error))
            }
        }
    }

    fn cut(&mut self, reason: &'static str, detail: String) -> Step {
        self.cut_off = Some((reason, detail));
        self.ended = true;
        Step::Done
    }

    fn rows(&self) -> u64 {
        self.engine.as_ref().map_or(0, |engine| engine.tally.rows)
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> Progress {
        let of = |count: fn(&Engine) -> u64| self.engine.as_deref().map_or(0, count);
        let until = self.engine.as_ref().map_or(0, |engine| engine.tally.until);
        Progress {
            rows_scanned: self.rows(),
            rows_in_range: self.rows_in_range,
            matches: of(|engine| engine.tally.matches),
            alerts_raised: of(|engine| engine.replay.raised()),
            until: Moment(until),
        }
    }

    /// What came of it.
    ///
    /// # Errors
    /// When a step broke down before.
    pub(crate) fn finish(mut self) -> Result<BacktestAnswer, Problem> {
        let gone = || Problem::internal("a back-test without its rule", &self.rule_id);
        let engine = self.engine.take().ok_or_else(gone)?;
        let Engine { mut replay, tally } = *engine;
        replay.conclude();
        let until = Moment(tally.until);
        let cut_off = self.cut_off.take().map(|(reason, detail)| CutOff {
            reason,
            detail: format!("it was cut off at {detail}"),
            until,
        });
        let outcome = if cut_off.is_some() {
            "cut_off"
        } else {
            "whole"
        };
        metrics::BACKTESTS.add(&[outcome], 1);
        let rest = Rest {
            rule_id: std::mem::take(&mut self.rule_id),
            signals: self.signals.iter().map(|signal| signal.as_str()).collect(),
            rows_in_range: self.rows_in_range,
            bytes_read: self.bytes,
            cut_off,
            alerts_raised: replay.raised(),
            alerts: replay.finish(),
        };
        Ok(tally.answer(rest))
    }
}

impl Drop for Run {
    /// One that did not end was dropped by a client that went, or broke off.
    fn drop(&mut self) {
        if !self.ended {
            metrics::BACKTESTS.add(&["broken_off"], 1);
        }
    }
}

impl Engine {
    /// Looks at rows of all pages in the order of time, until a page must be read on; how many.
    fn work(&mut self, pages: &mut [(Signal, bool, Page)], most: u64) -> Result<u64, Stop> {
        let mut looked = 0;
        let mut readers = Vec::with_capacity(pages.len());
        for (signal, ended, page) in pages.iter() {
            let mut reader = Reader::new(*signal, *ended, page);
            reader.advance().map_err(Stop::Row)?;
            readers.push(reader);
        }
        while looked < most
            && readers
                .iter()
                .all(|reader| reader.ended || reader.ready > 0)
        {
            let ready = readers.iter_mut().filter(|reader| reader.ready > 0);
            let Some(next) = ready.min_by_key(|reader| reader.at()) else {
                break;
            };
            let seen = self.replay.look(&next.stored);
            self.tally.count(&next.stored, seen);
            next.step().map_err(Stop::Row)?;
            looked += 1;
        }
        let marks: Vec<Mark> = readers.iter().map(Reader::mark).collect();
        drop(readers);
        for ((_, _, page), mark) in pages.iter_mut().zip(marks) {
            (page.seen, page.rows, page.last) = (mark.seen, mark.rows, mark.last);
            page.spent = mark.spent;
        }
        self.replay.settle().map_err(Stop::Full)?;
        Ok(looked)
    }
}

/// Reads a page, one row ahead.
struct Reader<'p> {
    bytes: &'p [u8],
    cut: bool,
    ended: bool,
    stored: Stored<'p>,
    /// Bytes of the row that is read; 0 without one.
    ready: usize,
    seen: usize,
    rows: u32,
    last: Option<Place>,
}

/// How far a page has been looked at.
struct Mark {
    seen: usize,
    rows: u32,
    last: Option<Place>,
    spent: bool,
}

impl<'p> Reader<'p> {
    fn new(signal: Signal, ended: bool, page: &'p Page) -> Self {
        Reader {
            bytes: &page.bytes,
            cut: page.cut,
            ended,
            stored: Stored::new(signal),
            ready: 0,
            seen: page.seen,
            rows: page.rows,
            last: page.last,
        }
    }

    /// When the row that is read counts.
    fn at(&self) -> i64 {
        self.stored.timestamp.min(self.stored.received)
    }

    /// Reads the next row, if there is one whole.
    fn advance(&mut self) -> Result<(), RowError> {
        self.ready = 0;
        let rest = self.bytes.get(self.seen..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        match self.stored.read(rest) {
            Ok(length) => self.ready = length,
            Err(RowError::Incomplete) if self.cut => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Leaves the row behind that was looked at.
    fn step(&mut self) -> Result<(), RowError> {
        self.last = Some(Place {
            at: self.at(),
            id: self.stored.id.0,
        });
        self.seen += self.ready;
        self.rows += 1;
        self.advance()
    }

    fn mark(&self) -> Mark {
        Mark {
            seen: self.seen,
            rows: self.rows,
            last: self.last,
            spent: self.ready == 0,
        }
    }
}
