//! Everything there is at one moment: agents and their calls, the stream, the ledger, the store of
//! rows, two workers, and how many misfortunes are still to come. Data only; who may change it how
//! stands in the modules of the actors.
//!
//! Every list is kept in an order that does not depend on how it came about, so that two histories
//! that lead to the same facts lead to the same state.

/// A request of an agent: one batch under one idempotency key, with one event in it. Events of one
/// entry share its fate, so one of them stands for all.
pub type Request = u8;
/// The id of a stream entry.
pub type EntryId = u8;
/// The number of a batch.
pub type Seq = u8;
/// How often rows of a batch have been written anew.
pub type Attempt = u8;
/// Which worker.
pub type Who = u8;

/// Everything there is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Agents, one for each request.
    pub agents: Vec<Agent>,
    /// Redis.
    pub stream: Stream,
    /// PostgreSQL.
    pub ledger: Ledger,
    /// ClickHouse.
    pub store: Store,
    /// Workers.
    pub workers: Vec<Worker>,
    /// Misfortunes still to come.
    pub faults: Faults,
    /// What no actor sees and properties are judged by.
    pub ghost: Ghost,
}

/// An agent with one request to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    /// How often it may still send.
    pub sends: u8,
    /// Calls under way.
    pub calls: Vec<Call>,
    /// It has its 2xx.
    pub acknowledged: bool,
}

/// How far a call at the gateway has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Verified; the append has not run.
    Asked,
    /// Only where the look and the append are two steps: the key was not known.
    Unknown,
    /// The append has run; its answer is under way.
    Appended,
}

/// Redis: one stream, and what is remembered under idempotency keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Entries in order.
    pub entries: Vec<Entry>,
    /// Requests whose answer is remembered, with whether that is on disk.
    pub remembered: Vec<(Request, bool)>,
    /// The last id given away.
    pub last_id: EntryId,
    /// Where the consumer group is said to be.
    pub group: EntryId,
}

/// An entry of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// What is in it.
    pub request: Request,
    /// It is on disk.
    pub synced: bool,
}

/// PostgreSQL: the shard's row, its batches, the dead letters, and calls whose caller is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The shard's epoch.
    pub epoch: u8,
    /// Who has the lease.
    pub leased_to: Option<Who>,
    /// Number of the next batch.
    pub next_seq: Seq,
    /// The last entry that belongs to a batch.
    pub cursor: EntryId,
    /// Batches, by number.
    pub batches: Vec<Batch>,
    /// Requests in the dead-letter store.
    pub letters: Vec<Request>,
    /// Statements that may still run although nobody waits for them.
    pub strays: Vec<Statement>,
}

/// A batch as the ledger knows it. Its entries stand for range, count and digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Its number.
    pub seq: Seq,
    /// Its entries.
    pub entries: Vec<(EntryId, Request)>,
    /// The epoch under which it may be changed.
    pub epoch: u8,
    /// How far it has come.
    pub state: State,
    /// How often its rows have been written anew.
    pub attempt: Attempt,
    /// Requests that its rows are made without, as its commit says.
    pub left_out: Vec<Request>,
    /// How often its metric samples are stored.
    pub samples: u8,
    /// Its commit lies back longer than the writeback of the page cache.
    pub due: bool,
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// In the ledger; its rows may or may not be stored.
    Prepared,
    /// Its rows are stored.
    Committed,
    /// They were counted since.
    Audited,
    /// Given up, with an alarm that names it: its entries are gone.
    Parked,
}

/// A statement or transaction of the ledger, with the fence under which it was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    /// The epoch that it names.
    pub epoch: u8,
    /// Under which take-over it was sent. No actor sees this.
    pub tenure: u8,
    /// What it does.
    pub what: What,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Makes a batch of entries and moves the cursor past them.
    Prepare {
        /// The number expected to be the next.
        seq: Seq,
        /// The cursor expected.
        cursor: EntryId,
        /// The entries.
        entries: Vec<(EntryId, Request)>,
    },
    /// Begins another attempt at a batch's rows.
    NextAttempt(Seq),
    /// Commits a batch, samples and dead letters with it.
    Commit {
        /// Which.
        seq: Seq,
        /// Requests that its rows are made without.
        left_out: Vec<Request>,
        /// Those of them that become dead letters.
        letters: Vec<Request>,
    },
    /// Stores the samples alone: only where they are not part of the commit.
    Samples(Seq),
    /// Marks a batch audited.
    Audited(Seq),
    /// Has the rows of a batch, which were written anew, audited after the usual time.
    Repaired(Seq),
    /// Gives a batch up.
    Park(Seq),
}

/// ClickHouse: one table, the tokens it remembers, and calls that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    /// Rows.
    pub rows: Vec<Row>,
    /// Deduplication tokens.
    pub tokens: Vec<Token>,
    /// Calls.
    pub calls: Vec<StoreCall>,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Of which batch.
    pub seq: Seq,
    /// Written at which attempt.
    pub attempt: Attempt,
    /// Of which request.
    pub request: Request,
    /// It is on disk and not in the page cache only.
    pub durable: bool,
}

/// What an insert is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Of which batch.
    pub seq: Seq,
    /// Which of its inserts.
    pub kind: Kind,
}

/// Which insert of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// All rows, under the token that does not change.
    Whole,
    /// All rows, under a token made for this attempt and round.
    Fresh(Attempt, u8),
    /// The rows of one entry, in the search for poison.
    Part(Attempt, Request),
}

/// A call at the store that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreCall {
    /// Who waits for the answer; nobody any more if he gave up or died.
    pub caller: Option<Who>,
    /// For which batch.
    pub seq: Seq,
    /// It has begun to run, and can be seen among the running queries.
    pub running: bool,
    /// What it does.
    pub what: StoreWhat,
}

/// What a call does at the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreWhat {
    /// Inserts rows of these requests.
    Insert {
        /// At which attempt.
        attempt: Attempt,
        /// Of which requests.
        requests: Vec<Request>,
        /// Under which token.
        kind: Kind,
    },
    /// Deletes the rows of these attempts; of all if none is named.
    Delete(Vec<Attempt>),
}

/// A worker process, as far as it is concerned with this shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// It runs.
    pub up: bool,
    /// Its lease holds, by its own clock.
    pub lease: bool,
    /// Its epoch.
    pub epoch: u8,
    /// Its take-over. No actor sees this.
    pub tenure: u8,
    /// The batch number and cursor that it works on from.
    pub position: (Seq, EntryId),
    /// Entries after this have not been read by it.
    pub read_to: EntryId,
    /// What it does.
    pub doing: Doing,
    /// Batches that it has prepared and not committed.
    pub flights: Vec<Flight>,
    /// The statement whose answer it waits for.
    pub waits_for: Option<Statement>,
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    /// Nothing: it has no lease.
    Nothing,
    /// Looks what is prepared.
    Begin,
    /// Is about to make a batch again, without these requests.
    Remake(Remake),
    /// Brings the rows of a batch to exactly once.
    Settle(Settle),
    /// Reads, prepares, writes, commits; audits and trims in between.
    Flow,
    /// Is about to trim what is before an entry.
    Trim(EntryId),
}

/// A batch to be made again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remake {
    /// Which.
    pub seq: Seq,
    /// Without these requests, which the store refuses.
    pub parked: Vec<Request>,
    /// Without these, whose entries are gone: only where nobody compares them.
    pub missing: Vec<Request>,
    /// It is committed already, and its rows are not as they were.
    pub repair: bool,
}

/// The rows of a batch on their way to exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settle {
    /// Which batch, and what of it.
    pub remake: Remake,
    /// At which attempt.
    pub attempt: Attempt,
    /// The round of count and repair.
    pub round: u8,
    /// A token of its own is needed.
    pub fresh: bool,
    /// The store has claimed success in the round before.
    pub claimed: bool,
    /// Some rows are whole and stay; the others are being deleted.
    pub kept: bool,
    /// The request whose part was posted last, in the search for poison.
    pub asked: Option<Request>,
    /// What comes next.
    pub step: Step,
}

/// A step of bringing rows to exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Waits until nothing of the batch runs.
    Wait,
    /// Counts.
    Count,
    /// Is about to delete the rows of these attempts.
    Delete(Vec<Attempt>),
    /// Waits for the deletion.
    Deleting,
    /// Is about to insert.
    Post,
    /// Waits for the insert.
    Posting,
    /// Looks for poison: about to insert the entry at this place; these were refused.
    Find(u8, Vec<Request>),
    /// Waits for that insert.
    Finding(u8, Vec<Request>),
    /// About to remove what the store took of the parts; these were refused.
    Clean(Vec<Request>),
    /// Waits for that.
    Cleaning(Vec<Request>),
    /// Takes the rows to be right without counting them: only where answers are trusted.
    Done,
}

/// A batch that is prepared and being written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    /// Which.
    pub seq: Seq,
    /// How its write goes.
    pub write: Write,
}

/// How a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Not begun.
    Due,
    /// Under way.
    Posted,
    /// The store says that it wrote all.
    Written,
    /// In doubt, or refused.
    Failed,
}

/// How an insert or deletion was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, says the store.
    Done,
    /// Anything may have happened.
    Doubt,
    /// Refused for its content.
    Refused,
}

/// How many misfortunes of each kind are still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Leases that end under a worker that lives: a pause, a partition.
    pub pauses: u8,
    /// Workers killed.
    pub kills: u8,
    /// Statements of the ledger whose answer is lost; they run before, later or never.
    pub ledger_doubts: u8,
    /// Calls at the store whose answer is lost; they run before, later or never.
    pub store_doubts: u8,
    /// Kills of the store: part without token, token without part, neither.
    pub store_kills: u8,
    /// Losses of power at the store: what the page cache had not written back is gone.
    pub power_losses: u8,
    /// Kills of Redis: what was not fsynced is gone, the consumer group may go back.
    pub redis_kills: u8,
    /// Losses of what Redis had fsynced: a disk that lied, a restored copy.
    pub tail_losses: u8,
}

/// What no actor sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// Take-overs so far.
    pub tenure: u8,
    /// A statement of a former owner has changed the ledger.
    pub zombie_wrote: bool,
    /// A batch was committed while rows of it were missing.
    pub committed_unwritten: bool,
    /// An entry was trimmed whose batch was not audited.
    pub trimmed_unaudited: bool,
    /// Requests, as bits, that Redis lost after their fsync and before any batch held them: nobody
    /// but the agent's receipt knows of them.
    pub lost_by_redis: u8,
}

impl World {
    /// Brings every list into the order that does not depend on history.
    pub(crate) fn order(mut self) -> Self {
        for agent in &mut self.agents {
            agent.calls.sort_unstable();
        }
        self.ledger.letters.sort_unstable();
        self.ledger.strays.sort_unstable();
        self.store.rows.sort_unstable();
        self.store.tokens.sort_unstable();
        self.store.tokens.dedup();
        self.store.calls.sort_unstable();
        self.stream.remembered.sort_unstable();
        self
    }

    pub(crate) fn worker(&self, who: Who) -> Option<&Worker> {
        self.workers.get(usize::from(who))
    }

    pub(crate) fn worker_mut(&mut self, who: Who) -> Option<&mut Worker> {
        self.workers.get_mut(usize::from(who))
    }
}

impl Ledger {
    pub(crate) fn batch(&self, seq: Seq) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.seq == seq)
    }

    pub(crate) fn batch_mut(&mut self, seq: Seq) -> Option<&mut Batch> {
        self.batches.iter_mut().find(|batch| batch.seq == seq)
    }
}

impl Batch {
    /// Requests whose rows should be stored when these are left out.
    pub(crate) fn without(&self, parked: &[Request]) -> Vec<Request> {
        let all = self.entries.iter().map(|(_, request)| *request);
        all.filter(|request| !parked.contains(request)).collect()
    }

    /// In work: prepared or committed.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Prepared | State::Committed)
    }
}

impl Store {
    /// Rows of a batch by attempt.
    pub(crate) fn count(&self, seq: Seq) -> Vec<(Attempt, usize)> {
        let mut counts: Vec<(Attempt, usize)> = Vec::new();
        for row in self.rows.iter().filter(|row| row.seq == seq) {
            match counts
                .iter_mut()
                .find(|(attempt, _)| *attempt == row.attempt)
            {
                Some((_, rows)) => *rows += 1,
                None => counts.push((row.attempt, 1)),
            }
        }
        counts
    }
}
