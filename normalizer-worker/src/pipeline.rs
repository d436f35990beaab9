//! The path of a batch, on one page:
//!
//! ```text
//! RawEntry → meta → body → DecodedEvent → (pipeline) → NormalizedEvent → DetectedEvent → ScrubbedEvent ┬→ row
//!                                                                                         ├→ sample
//!                                                                                         └→ alert
//! ```
//!
//! A pure function of the entries and of one control snapshot: no clock, no client, no randomness.
//! One arena serves each entry and is emptied after it.

use crate::agent::Agents;
use crate::alerts::Alerts;
use crate::control::{Control, Organisation};
use crate::decode::{self, DecodedEvent, Found};
use crate::detect::{DetectedEvent, Detection, Scratch};
use crate::normalize::Surroundings;
use crate::resource::EntryResource;
use crate::samples::{self, Samples};
use crate::scrub::{Around, ScrubbedEvent};
use crate::table_rows::{self, EntryContext};
use crate::work::{EntryUsage, IndicatorHits, Output, Poison, RawEntry, Source, Table, TargetRows};
use bumpalo::Bump;
use millrace_detection::pipelines::{self, Fate};
use millrace_shared::Signal;
use millrace_shared::entry::Meta;
use millrace_shared::ids::{EventId, LedgerId, OrgId, ShardId, StreamId};
use millrace_shared::limits::ENTRY_ROW_BYTES_MAX;
use millrace_shared::outcome::DeadReason;
use millrace_shared::rows::ATTEMPT_OFFSET;
use millrace_shared::wire::Reject;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// What is to be done: one ledger batch of one shard.
#[derive(Clone, Copy, Debug)]
pub struct Task<'c> {
    /// Which shard.
    pub shard: ShardId,
    /// Which of its batches.
    pub ledger: LedgerId,
    /// How often it was written before; stands in every row.
    pub attempt: u8,
    /// Rules, indicators and policies as of the batch's revision.
    pub control: &'c Control,
    /// Events that are left out because they are parked.
    pub aside: &'c [(StreamId, Vec<u16>)],
}

impl<'c> Task<'c> {
    /// Indexes of the events of an entry that are left out.
    fn aside_of(&self, entry: StreamId) -> impl Iterator<Item = u16> + 'c {
        let of_it = self.aside.iter().filter(move |(id, _)| *id == entry);
        of_it.flat_map(|(_, events)| events.iter().copied())
    }
}

/// Arena bytes at the start: what the unescaped and derived strings of an ordinary entry take.
const ARENA_BYTES: usize = 256 * 1024;

/// Turns a contiguous range of entries into everything that is stored of them.
#[must_use]
pub fn transform(task: &Task<'_>, entries: &[RawEntry]) -> Output {
    let mut broken: Vec<Poison> = Vec::new();
    loop {
        // A body that breaks off half-way has already left rows and alerts behind. That cannot
        // happen to a body the gateway took, unless it was damaged since; so begin again without.
        match attempt(task, entries, &broken) {
            Ok(output) => return output,
            Err(poison) => broken.push(poison),
        }
    }
}

fn attempt(task: &Task<'_>, entries: &[RawEntry], broken: &[Poison]) -> Result<Output, Poison> {
    let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
    let mut batch = Batch::new(*task, bytes);
    let mut arena = Bump::with_capacity(ARENA_BYTES);
    for (number, raw) in (0u32..).zip(entries) {
        match broken.iter().find(|poison| poison.entry == number) {
            Some(poison) => {
                batch.park_entry(poison.clone(), decode::meta(number, raw).ok().as_ref())
            }
            None => batch.entry(number, raw, &arena)?,
        }
        arena.reset();
    }
    Ok(batch.finish())
}

/// Everything that grows while a batch is transformed.
struct Batch<'c> {
    task: Task<'c>,
    agents: Agents,
    steps: pipelines::Scratch,
    scratch: Scratch,
    rows: Vec<u8>,
    row_count: u32,
    samples: Samples,
    alerts: Alerts,
    audit: Vec<(OrgId, u32, Sha256)>,
    output: Output,
}

/// RowBinary bytes per packed body byte, roughly: saves growing the buffer a dozen times.
const ROW_BYTES_PER_BODY_BYTE: usize = 4;

impl<'c> Batch<'c> {
    fn new(task: Task<'c>, bytes: usize) -> Self {
        let capacity = if task.shard.signal == Signal::Metrics {
            0
        } else {
            bytes
        };
        Batch {
            task,
            agents: Agents::default(),
            steps: pipelines::Scratch::default(),
            scratch: Scratch::default(),
            rows: Vec::with_capacity(capacity * ROW_BYTES_PER_BODY_BYTE),
            row_count: 0,
            samples: Samples::default(),
            alerts: Alerts::default(),
            audit: Vec::new(),
            output: Output::default(),
        }
    }

    /// Sets a whole entry aside; `meta` where that much of it can be read. Its rejected events were
    /// received and rejected all the same.
    fn park_entry(&mut self, poison: Poison, meta: Option<&Meta>) {
        self.output.usage.push(meta.map(|meta| EntryUsage {
            org: meta.org,
            events: meta.accepted.saturating_add(meta.rejected),
            stored: 0,
            rejected: meta.rejected,
            dead_lettered: meta.accepted,
            bytes: meta.wire_bytes,
            replay_of: meta.replay_of,
        }));
        self.output.poison.push(poison);
    }

    /// Takes one entry through; fails only when its body breaks off half-way.
    fn entry(&mut self, number: u32, raw: &RawEntry, arena: &Bump) -> Result<(), Poison> {
        let meta = match decode::meta(number, raw) {
            Ok(meta) => meta,
            Err(poison) => {
                self.park_entry(poison, None);
                return Ok(());
            }
        };
        let bytes = match decode::body(number, &meta, raw) {
            Ok(bytes) => bytes,
            Err(poison) => {
                self.park_entry(poison, Some(&meta));
                return Ok(());
            }
        };
        let organisation = self.task.control.organisation(meta.org);
        let (signal, begin) = (self.task.shard.signal, self.rows.len());
        let aside: HashSet<u16> = self.task.aside_of(raw.id).collect();
        let mut pass = EntryPass {
            batch: self,
            organisation,
            meta: &meta,
            place: (number, raw.id),
            begin,
            aside,
            arena,
            resource: None,
            stored: 0,
            dropped: 0,
            left_out: 0,
            unreadable: Vec::new(),
            oversized: Vec::new(),
            sources: Vec::new(),
        };
        decode::events(signal, &meta, &bytes, arena, |found| pass.event(found)).map_err(
            |error| decode::whole(number, &meta, DeadReason::Undecodable, error.to_string()),
        )?;
        pass.finish();
        Ok(())
    }

    fn finish(mut self) -> Output {
        if let Some(table) = Table::of(self.task.shard.signal).filter(|_| self.row_count > 0) {
            self.output.targets.push(TargetRows {
                table,
                rows: self.row_count,
                body: self.rows,
            });
        }
        self.output.series = self.samples.series;
        self.output.samples = self.samples.samples;
        self.alerts.into_output(&mut self.output);
        let audit = self.audit.into_iter();
        self.output.audit_rows = audit
            .map(|(org, rows, hash)| (org, rows, hash.finalize().into()))
            .collect();
        self.output
    }
}

/// One entry on its way through.
struct EntryPass<'p, 'c, 'a> {
    batch: &'p mut Batch<'c>,
    organisation: &'c Organisation,
    meta: &'p Meta,
    place: (u32, StreamId),
    /// Where its rows begin.
    begin: usize,
    /// Events that are parked already.
    aside: HashSet<u16>,
    arena: &'a Bump,
    /// Made at the first event: the resource is known only then.
    resource: Option<EntryResource<'a>>,
    stored: u32,
    /// By the organisation's own pipeline.
    dropped: u32,
    left_out: u32,
    unreadable: Vec<(u16, Reject)>,
    /// Events whose rows would have gone beyond what one entry may make.
    oversized: Vec<u16>,
    sources: Vec<(Source, i64, u64)>,
}

impl<'c: 'a, 'a> EntryPass<'_, 'c, 'a> {
    fn event(&mut self, found: Found<'_, 'a>) {
        let index = match &found {
            Found::Event(decoded) => decoded.event.index,
            Found::Unreadable(index, _) => *index,
        };
        if self.aside.contains(&index) {
            self.left_out += 1;
            return;
        }
        match found {
            Found::Event(decoded) => self.store(decoded),
            Found::Unreadable(index, reject) => self.unreadable.push((index, reject)),
        }
    }

    /// The path itself.
    fn store(&mut self, decoded: DecodedEvent<'_, 'a>) {
        let (organisation, arena, task) = (self.organisation, self.arena, self.batch.task);
        let Some(decoded) = self.piped(decoded) else {
            self.dropped += 1;
            return;
        };
        let event_id = EventId::new(task.shard, self.place.1, decoded.event.index);
        let resource = self.resource.take().unwrap_or_else(|| {
            EntryResource::new(decoded.resource, organisation.scrubber(), arena)
        });
        let context = EntryContext {
            meta: self.meta,
            ledger: task.ledger,
            attempt: task.attempt,
            resource: &resource,
        };
        let (meta, agents, geo) = (self.meta, &self.batch.agents, task.control.geo());
        let normalized = decoded.normalize(Surroundings { meta, agents, geo }, arena);
        let detected = normalized.detect(organisation, meta, &mut self.batch.scratch, arena);
        if task.shard.signal == Signal::Metrics {
            self.batch.hit(meta, &detected.detection);
            self.sample(detected, &context, event_id);
            self.stored += 1;
        } else {
            let index = detected.event.index;
            let scrubbed = detected.scrub(self.around_scrub(&resource), arena);
            if self.row(&scrubbed, &context, event_id) {
                self.batch.hit(meta, &scrubbed.detection);
                self.outcome(&scrubbed, &context, event_id);
                self.stored += 1;
            } else {
                self.oversized.push(index);
            }
        }
        self.resource = Some(resource);
    }

    fn around_scrub<'s>(&'s mut self, resource: &'s EntryResource<'a>) -> Around<'s, 'c, 'a> {
        Around {
            organisation: self.organisation,
            resource,
            received_ns: self.meta.received_at,
            scratch: &mut self.batch.scratch,
        }
    }

    /// Takes the event through the organisation's own steps; nothing when they drop it.
    fn piped<'e>(&mut self, decoded: DecodedEvent<'e, 'a>) -> Option<DecodedEvent<'e, 'a>> {
        let Some(pipeline) = self.organisation.pipeline(self.batch.task.shard.signal) else {
            return Some(decoded);
        };
        let DecodedEvent { event, resource } = decoded;
        let mut around = pipelines::Around {
            resource,
            received_ns: self.meta.received_at,
            arena: self.arena,
            scratch: &mut self.batch.steps,
        };
        match pipeline.apply(event, &mut around) {
            Fate::Kept => Some(DecodedEvent { event, resource }),
            Fate::Dropped => None,
        }
    }

    /// Appends the event's row; false when the entry's rows would take too much with it, and so
    /// with every one after it.
    fn row(
        &mut self,
        scrubbed: &ScrubbedEvent<'_, 'a>,
        context: &EntryContext<'_, 'a>,
        id: EventId,
    ) -> bool {
        if !self.oversized.is_empty() {
            return false;
        }
        let batch = &mut *self.batch;
        let start = batch.rows.len();
        table_rows::put(scrubbed, context, (id, batch.row_count), &mut batch.rows);
        if batch.rows.len() - self.begin > ENTRY_ROW_BYTES_MAX {
            batch.rows.truncate(start);
            return false;
        }
        batch.row_count += 1;
        if batch.task.shard.signal == Signal::Audit {
            batch.chain(self.meta.org, start);
        }
        true
    }

    /// A metric event: no row, but a sample of a series that is scrubbed when it is first met.
    fn sample(
        &mut self,
        detected: DetectedEvent<'_, 'a>,
        context: &EntryContext<'_, 'a>,
        id: EventId,
    ) {
        let key = samples::raw_key(detected.event, context);
        let place = (detected.facts.timestamp, self.place.0);
        let asks = self
            .organisation
            .rules()
            .asks_after_scrubbing(Signal::Metrics);
        let quiet = detected.detection.matches.is_empty() && !asks;
        if quiet && self.batch.samples.add_known(key, detected.event, place) {
            // The source was noted with the first sample of the series; its time still counts.
            self.seen_again(place.0);
            return;
        }
        let arena = self.arena;
        let scrubbed = detected.scrub(self.around_scrub(context.resource), arena);
        self.batch.samples.add(key, &scrubbed, context, place);
        self.outcome(&scrubbed, context, id);
    }

    /// What an event leaves besides its row: the source it came from, and alerts.
    fn outcome(
        &mut self,
        scrubbed: &ScrubbedEvent<'_, 'a>,
        context: &EntryContext<'_, 'a>,
        id: EventId,
    ) {
        self.seen(
            table_rows::service(scrubbed.event, context),
            scrubbed.facts.timestamp,
        );
        if !scrubbed.detection.matches.is_empty() {
            let whose = (self.organisation, self.meta.org);
            self.batch.alerts.add(scrubbed, context.resource, whose, id);
        }
    }

    fn seen(&mut self, service: &str, time: i64) {
        // Events of one body come from one service, or a few.
        if let Some(at) = self
            .sources
            .iter()
            .rposition(|(source, ..)| source.service == service)
        {
            let last = self.sources.len() - 1;
            self.sources.swap(at, last);
            self.seen_again(time);
            return;
        }
        let source = Source {
            org: self.meta.org,
            key: self.meta.key.clone(),
            service: service.to_owned(),
        };
        self.sources.push((source, time, 1));
    }

    fn seen_again(&mut self, time: i64) {
        if let Some((_, latest, events)) = self.sources.last_mut() {
            *latest = time.max(*latest);
            *events += 1;
        }
    }

    fn finish(mut self) {
        let count = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
        let (unreadable, oversized) = (count(self.unreadable.len()), count(self.oversized.len()));
        self.batch.output.usage.push(Some(EntryUsage {
            org: self.meta.org,
            events: self.meta.accepted.saturating_add(self.meta.rejected),
            stored: self.stored,
            rejected: self.meta.rejected.saturating_add(self.dropped),
            dead_lettered: unreadable + oversized + self.left_out,
            bytes: self.meta.wire_bytes,
            replay_of: self.meta.replay_of,
        }));
        if let Some((_, first)) = self.unreadable.first() {
            let detail = first.reason();
            let at = self.unreadable.iter().map(|(index, _)| *index).collect();
            self.park(at, DeadReason::Undecodable, detail);
        }
        if oversized > 0 {
            let detail =
                format!("its entry would make more than {ENTRY_ROW_BYTES_MAX} bytes of rows");
            let at = std::mem::take(&mut self.oversized);
            self.park(at, DeadReason::Oversized, detail);
        }
        self.batch.output.dropped += u64::from(self.dropped);
        self.tell_sources();
    }

    fn park(&mut self, events_at: Vec<u16>, reason: DeadReason, detail: String) {
        self.batch.output.poison.push(Poison {
            entry: self.place.0,
            events: u32::try_from(events_at.len()).unwrap_or(u32::MAX),
            events_at: Some(events_at),
            org: Some(self.meta.org),
            reason,
            detail,
        });
    }

    fn tell_sources(self) {
        let output = &mut self.batch.output;
        for (source, time, events) in self.sources {
            match output
                .sources
                .iter_mut()
                .find(|(known, ..)| *known == source)
            {
                Some((_, latest, count)) => {
                    *latest = time.max(*latest);
                    *count += events;
                }
                None => output.sources.push((source, time, events)),
            }
        }
    }
}

impl Batch<'_> {
    /// Counts the indicators that an event matched, for their feeds.
    fn hit(&mut self, meta: &Meta, detection: &Detection<'_>) {
        let all = &mut self.output.indicator_hits;
        for (feed, everybodys) in &detection.feeds {
            let known = |one: &&mut IndicatorHits| one.org == meta.org && one.feed == feed.id;
            match all.iter_mut().find(known) {
                Some(one) => {
                    one.hits += 1;
                    one.last = one.last.max(meta.received_at);
                }
                None => all.push(IndicatorHits {
                    org: meta.org,
                    feed: feed.id,
                    name: feed.name.clone(),
                    everybodys: *everybodys,
                    hits: 1,
                    last: meta.received_at,
                }),
            }
        }
    }

    /// Adds the row that begins at `start` to the hash over its organisation's audit rows. The
    /// attempt does not count: it says how often the row was written, not what it says.
    fn chain(&mut self, org: OrgId, start: usize) {
        let row = self.rows.get(start..).unwrap_or(&[]);
        let (before, after) = row.split_at_checked(ATTEMPT_OFFSET).unwrap_or((row, &[]));
        let at = self
            .audit
            .iter()
            .position(|(whose, ..)| *whose == org)
            .unwrap_or_else(|| {
                self.audit.push((org, 0, Sha256::new()));
                self.audit.len() - 1
            });
        if let Some((_, rows, hash)) = self.audit.get_mut(at) {
            *rows += 1;
            hash.update(before);
            hash.update([0]);
            hash.update(after.get(1..).unwrap_or(&[]));
        }
    }
}

#[cfg(test)]
mod tests;
