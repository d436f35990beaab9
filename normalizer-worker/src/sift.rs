//! Finds what a store refuses for its content among what it takes: the entries first, then the
//! events within them, by asking about halves. Only the smallest part at fault is parked.
//!
//! Nothing stays stored of what is asked: PostgreSQL is asked in transactions that are rolled back,
//! and what ClickHouse takes is deleted before the rest of the batch is written. Its rows carry an
//! attempt of their own, so that whoever counts them after a crash never takes them for the batch.

use crate::age;
use crate::commit::Work;
use crate::draft::{self, Draft, Order};
use crate::error::WorkerError;
use crate::ledger::{ASKED, Batch};
use crate::metrics;
use crate::poison::{Bisect, Parked};
use crate::probe::Step;
use crate::shard::Shard;
use crate::store::InsertName;
use crate::work::{RawEntry, Table};
use crate::write::{self, Outcome};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{OrgId, StreamId};
use millrace_shared::inflate::Encoding;
use millrace_shared::limits::NS_PER_DAY;
use millrace_shared::outcome::DeadReason;
use millrace_shared::wire::BodyFormat;
use std::sync::Arc;

/// Questions asked about the events of one entry: enough to find two or three among thousands. An
/// entry with more bad ones is parked whole, rather than tried event by event.
const EVENT_QUESTIONS_MAX: u32 = 64;

/// Which store refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// ClickHouse, the rows of a table.
    ClickHouse(Table),
    /// PostgreSQL, the commit.
    PostgreSql,
}

/// Finds what the store refuses of a batch; it may turn out to be nothing.
///
/// # Errors
/// [`WorkerError::RefusesAll`] and [`WorkerError::CommitRefusesAll`] when the store does not even
/// take what nothing can be wrong with. Any error leaves the batch in doubt.
pub(crate) async fn refused(
    (shard, batch): (&Shard, &Batch),
    draft: &Draft,
    asked: Asked,
) -> Result<Vec<Parked>, WorkerError> {
    let order = Order {
        shard: shard.id(),
        ledger: batch.ledger_id(shard.id()),
        attempt: ASKED,
        snapshot: shard.plant.controls.at(batch.revision).await?,
    };
    let mut sift = Sift {
        shard,
        batch,
        order,
        asked,
        said: None,
        posts: 0,
    };
    shard.lease.probe.at(Step::Bisecting);
    let found = sift.search(&draft.entries, &draft.parked).await;
    if let Err(WorkerError::RefusesAll(_) | WorkerError::CommitRefusesAll(_)) = &found {
        metrics::ALARMS.add(&["refuses_all"], 1);
    }
    if let Asked::ClickHouse(table) = asked {
        let of = (batch.received_day, batch.ledger_id(shard.id()));
        let deletion = shard.plant.store.delete(table, of, &[ASKED]);
        shard.lease.within(deletion).await??;
    }
    shard.lease.probe.at(Step::Bisected);
    found
}

struct Sift<'s> {
    shard: &'s Shard,
    batch: &'s Batch,
    order: Order,
    asked: Asked,
    /// What the store said when it last refused.
    said: Option<WorkerError>,
    /// Names what is posted.
    posts: u32,
}

impl Sift<'_> {
    async fn search(
        &mut self,
        entries: &[RawEntry],
        parked: &[Parked],
    ) -> Result<Vec<Parked>, WorkerError> {
        let mut search = Bisect::new(entries.len());
        while let Some(range) = search.ask() {
            let part = entries.get(range).unwrap_or_default().to_vec();
            search.tell(self.takes(part, parked.to_vec()).await?);
        }
        let bad = search.found();
        if !bad.is_empty() && bad.len() == entries.len() {
            self.touchstone().await?;
        }
        let mut found = Vec::new();
        for entry in bad.iter().filter_map(|at| entries.get(*at)) {
            found.extend(self.within(entry, parked).await?);
        }
        Ok(found)
    }

    /// Fails unless the store takes an entry with which nothing can be wrong. Where every entry is
    /// refused, this tells many bad entries from a store that would refuse anything.
    async fn touchstone(&mut self) -> Result<(), WorkerError> {
        let day = age::day_number(self.batch.received_day);
        let stone = touchstone(self.order.shard.signal, day);
        if self.takes(vec![stone], Vec::new()).await? {
            return Ok(());
        }
        Err(match self.said.take() {
            Some(WorkerError::RefusedRows(code)) => WorkerError::RefusesAll(code),
            Some(error) => WorkerError::CommitRefusesAll(error.to_string()),
            None => WorkerError::Ledger("a refusal without an answer"),
        })
    }

    /// The refused part of one entry: some of its events, or the whole of it; nothing when the store
    /// takes it now, because what was wrong with the store has been put right meanwhile.
    async fn within(
        &mut self,
        entry: &RawEntry,
        parked: &[Parked],
    ) -> Result<Option<Parked>, WorkerError> {
        let before: Vec<Parked> = parked
            .iter()
            .filter(|one| one.entry.id == entry.id)
            .cloned()
            .collect();
        if self.takes(vec![entry.clone()], before.clone()).await? {
            return Ok(None);
        }
        let (reason, detail) = (DeadReason::RefusedByStore, self.detail());
        let events = events_of(entry, &before);
        let mut search = Bisect::new(events.len());
        let mut questions = 0;
        while let Some(range) = search.ask().filter(|_| questions < EVENT_QUESTIONS_MAX) {
            questions += 1;
            let asked = events.get(range).unwrap_or_default();
            let others = events.iter().filter(|at| !asked.contains(at)).copied();
            let mut without = before.clone();
            without.push(Parked {
                events_at: Some(others.collect()),
                ..Parked::whole(entry.clone(), reason, "")
            });
            search.tell(self.takes(vec![entry.clone()], without).await?);
        }
        let given_up = search.ask().is_some();
        let bad = search.found();
        let all = given_up || bad.is_empty() || bad.len() == events.len();
        let events_at = match (all, before.is_empty()) {
            (true, true) => None,
            (true, false) => Some(events),
            (false, _) => Some(
                bad.iter()
                    .filter_map(|at| events.get(*at))
                    .copied()
                    .collect(),
            ),
        };
        Ok(Some(Parked {
            events_at,
            ..Parked::whole(entry.clone(), reason, &detail)
        }))
    }

    /// In words that quote nothing of the entry.
    fn detail(&self) -> String {
        match &self.said {
            Some(WorkerError::RefusedRows(code)) => {
                format!("ClickHouse refuses its rows with code {code}")
            }
            Some(error) => match error.refusal() {
                Some(state) => format!("PostgreSQL refuses what it makes with SQLSTATE {state}"),
                None => "a store refuses what it makes".to_owned(),
            },
            None => "a store refuses what it makes".to_owned(),
        }
    }

    /// Whether the store takes what these entries make, without what is parked.
    async fn takes(
        &mut self,
        entries: Vec<RawEntry>,
        parked: Vec<Parked>,
    ) -> Result<bool, WorkerError> {
        let cpu = &self.shard.plant.cpu;
        let draft = draft::make(cpu, &self.order, Arc::new(entries), parked).await?;
        let refusal = match self.asked {
            Asked::ClickHouse(table) => self.post(&draft, table).await?,
            Asked::PostgreSql => self.rehearse(&draft).await?,
        };
        let taken = refusal.is_none();
        self.said = refusal.or(self.said.take());
        Ok(taken)
    }

    async fn post(
        &mut self,
        draft: &Draft,
        table: Table,
    ) -> Result<Option<WorkerError>, WorkerError> {
        let Some(rows) = draft.rows(table) else {
            return Ok(None);
        };
        self.posts += 1;
        let token = self.batch.token(self.order.shard, table);
        let name = format!("{token}:part-{}.{}", self.batch.attempt, self.posts);
        let name = InsertName {
            token: name.clone(),
            query_id: name,
        };
        let (store, lease) = (&self.shard.plant.store, &*self.shard.lease);
        match write::post(store, lease, &rows, &name).await? {
            Outcome::Written => Ok(None),
            Outcome::InDoubt => Err(WorkerError::Store("part in doubt".to_owned())),
            Outcome::Refused(code) => Ok(Some(WorkerError::RefusedRows(code))),
        }
    }

    async fn rehearse(&self, draft: &Draft) -> Result<Option<WorkerError>, WorkerError> {
        let work = Work {
            fence: self.shard.lease.fence,
            batch: self.batch,
            entries: &draft.entries,
            parked: &draft.parked,
            output: &draft.output,
        };
        let desk = &self.shard.plant.desk;
        match desk.rehearse(&self.shard.lease, &work).await {
            Ok(()) => Ok(None),
            Err(error) if error.refusal().is_some() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

/// Indexes of an entry's events that are neither rejected nor parked before.
fn events_of(entry: &RawEntry, before: &[Parked]) -> Vec<u16> {
    let Ok(meta) = Meta::parse(&entry.meta) else {
        return Vec::new();
    };
    let gone = |at: &u16| {
        meta.rejected_at.contains(at)
            || before
                .iter()
                .any(|one| one.events_at.as_ref().is_some_and(|all| all.contains(at)))
    };
    (0..meta.body_events()).filter(|at| !gone(at)).collect()
}

/// An entry of nobody, of the same day, as plain as the contract allows.
fn touchstone(signal: Signal, day: i64) -> RawEntry {
    let body = match signal {
        Signal::Logs => r#"{"logs":[{"service":"millrace","message":"-"}]}"#,
        Signal::Metrics => r#"{"metrics":[{"name":"millrace","value":0,"service":"millrace"}]}"#,
        Signal::Traces => {
            r#"{"resource":{"service.name":"millrace"},"traces":[{"trace_id":"0af7651916cd43dd8448eb211c80319c",
                "span_id":"b7ad6b7169203331","name":"-","start_time":1700000000000,"end_time":1700000000001}]}"#
        }
        Signal::Rum => {
            r#"{"events":[{"event_type":"pageview","session_id":"-","page_url":"https://localhost/"}]}"#
        }
        Signal::Audit => {
            r#"{"events":[{"event_type":"AUTHENTICATION","action":"-","outcome":"SUCCESS"}]}"#
        }
    };
    let how = (BodyFormat::Json, Encoding::Identity);
    let mut meta = Meta::new(OrgId::nil(), "millrace", day * NS_PER_DAY, how);
    meta.accepted = 1;
    RawEntry {
        id: StreamId::ZERO,
        meta: meta.to_text().into(),
        body: body.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;
    use millrace_shared::wire::{Body, Validity};

    #[test]
    fn nothing_is_wrong_with_a_touchstone() {
        for signal in Signal::ALL {
            let stone = touchstone(signal, 20_000);
            let meta = Meta::parse(&stone.meta).unwrap();
            assert_eq!(meta.received_day(), 20_000);
            let body = Body {
                signal,
                format: meta.format(),
                validity: Validity::ANY,
                bytes: &stone.body,
            };
            let counts = body.read(&Bump::new(), |_, event| assert!(event.is_ok(), "{signal}"));
            assert_eq!(counts.unwrap().accepted, 1, "{signal}");
        }
    }

    #[test]
    fn events_are_those_neither_rejected_nor_parked() {
        let mut entry = touchstone(Signal::Logs, 1);
        let mut meta = Meta::parse(&entry.meta).unwrap();
        (meta.accepted, meta.rejected, meta.rejected_at) = (4, 1, vec![1]);
        entry.meta = meta.to_text().into();
        let before = Parked {
            events_at: Some(vec![3]),
            ..Parked::whole(entry.clone(), DeadReason::RefusedByStore, "")
        };
        assert_eq!(events_of(&entry, &[]), [0, 2, 3, 4]);
        assert_eq!(events_of(&entry, &[before]), [0, 2, 4]);
    }
}
