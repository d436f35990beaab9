//! What is searched: a scenario, which bounds how much there is and what can go wrong, and possibly
//! one rule of the protocol left out.

use crate::world::{Agent, Doing, Entry, Faults, Request, Stream, Worker, World};

/// What one search covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// How many requests there are.
    pub requests: u8,
    /// How often an agent may send each; 0: they are accepted before the search begins.
    pub sends: u8,
    /// The request whose rows the store refuses.
    pub poison: Option<Request>,
    /// Batches that may be prepared and not committed at a time.
    pub depth: usize,
    /// What goes wrong at most.
    pub faults: Faults,
    /// An insert whose sender has given up may arrive even after the audit of its batch. The
    /// protocol rests on this not happening.
    pub late_beyond_audit: bool,
}

const CALM: Faults = Faults {
    pauses: 0,
    kills: 0,
    ledger_doubts: 0,
    store_doubts: 0,
    store_kills: 0,
    power_losses: 0,
    redis_kills: 0,
    tail_losses: 0,
};
const PLAIN: Scenario = Scenario {
    name: "plain",
    requests: 2,
    sends: 0,
    poison: None,
    depth: 1,
    faults: CALM,
    late_beyond_audit: false,
};

/// Agents that repeat themselves, gateways that die, and Redis killed before it has fsynced.
pub const ACCEPTING: Scenario = Scenario {
    name: "accepting",
    sends: 2,
    faults: Faults {
        redis_kills: 1,
        ..CALM
    },
    ..PLAIN
};
/// Workers that are killed, paused past their lease and resumed, with batches in flight.
pub const WORKERS: Scenario = Scenario {
    name: "workers",
    depth: 2,
    faults: Faults {
        pauses: 1,
        kills: 1,
        ..CALM
    },
    ..PLAIN
};
/// The same with an answer of the ledger lost instead of a worker.
pub const DOUBTS: Scenario = Scenario {
    name: "doubts",
    faults: Faults {
        pauses: 1,
        ledger_doubts: 1,
        ..CALM
    },
    ..PLAIN
};
/// Two workers paused in turn, and an answer of the store lost.
pub const PAUSES: Scenario = Scenario {
    name: "pauses",
    requests: 1,
    faults: Faults {
        pauses: 2,
        store_doubts: 1,
        ..CALM
    },
    ..PLAIN
};
/// A store that forgets or invents tokens when it is killed, and whose answers are lost.
pub const STORE: Scenario = Scenario {
    name: "store",
    requests: 1,
    faults: Faults {
        pauses: 1,
        store_doubts: 1,
        store_kills: 1,
        ..CALM
    },
    ..PLAIN
};
/// The same with two kills and no pause.
pub const STORE_KILLS: Scenario = Scenario {
    name: "store killed twice",
    requests: 2,
    faults: Faults {
        store_doubts: 1,
        store_kills: 2,
        ..CALM
    },
    ..PLAIN
};
/// A store that loses power: rows that it had acknowledged are gone.
pub const POWER: Scenario = Scenario {
    name: "power",
    requests: 1,
    faults: Faults {
        kills: 1,
        power_losses: 2,
        ..CALM
    },
    ..PLAIN
};
/// An entry whose rows the store refuses.
pub const POISON: Scenario = Scenario {
    name: "poison",
    poison: Some(1),
    faults: Faults {
        pauses: 1,
        store_doubts: 1,
        ..CALM
    },
    ..PLAIN
};
/// Redis loses what it had fsynced, or is killed while its consumer group goes back.
pub const REDIS: Scenario = Scenario {
    name: "redis",
    faults: Faults {
        kills: 1,
        redis_kills: 1,
        tail_losses: 1,
        ..CALM
    },
    ..PLAIN
};
/// Misfortunes of several kinds around one request.
pub const TOGETHER: Scenario = Scenario {
    name: "together",
    requests: 1,
    faults: Faults {
        pauses: 1,
        store_kills: 1,
        power_losses: 1,
        ..CALM
    },
    ..PLAIN
};

/// Everything that the protocol must hold in.
pub const SCENARIOS: [Scenario; 10] = [
    ACCEPTING,
    WORKERS,
    DOUBTS,
    PAUSES,
    STORE,
    STORE_KILLS,
    POWER,
    POISON,
    REDIS,
    TOGETHER,
];

/// A rule of the protocol that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The gateway looks for the idempotency key, and appends in a second step.
    KeyCheckedOutsideAppend,
    /// The append does not remember its answer.
    AppendNotRemembered,
    /// Redis answers before it has fsynced (`appendfsync everysec`).
    AnsweredBeforeFsync,
    /// The worker reads entries that are not fsynced, as from a replica.
    ReadBeforeFsync,
    /// The worker reads on from where the consumer group is.
    CursorOfConsumerGroup,
    /// Prepare does not look at the epoch.
    PrepareWithoutEpoch,
    /// Prepare does not look at the cursor and takes whatever number is next.
    PrepareWithoutCursor,
    /// The batch is committed, and written after that.
    CommitBeforeWrite,
    /// Commit does not look at the epoch.
    CommitWithoutEpoch,
    /// Commit does not ask for a batch that is prepared.
    CommitWithoutState,
    /// Samples are stored before the commit, in a transaction of their own.
    SamplesOutsideCommit,
    /// A take-over does not raise the epoch.
    TakeOverKeepsEpoch,
    /// A take-over raises the epoch of the shard and not that of its open batches.
    TakeOverLeavesBatches,
    /// A batch found prepared is committed without looking at its rows.
    TakeOverTrustsPrepared,
    /// A batch made again is not compared with what it was.
    RemadeWithoutDigest,
    /// A batch whose entries are gone is not given up.
    GoneBatchKept,
    /// The writer does not look at its lease.
    LeaseIgnored,
    /// Rows are counted, for resolving and for the audit, while inserts and deletions run.
    CountedWhileRunning,
    /// Resolving inserts under the batch's token without counting: the store drops what it has.
    ResolveTrustsToken,
    /// An insert that the store says it made is not counted.
    ResolveTrustsAnswer,
    /// Every insert has a token of its own.
    FreshTokenAlways,
    /// No insert has another token than the batch's.
    FreshTokenNever,
    /// Rows of which there are too many or too few are left where they are, and written again.
    DeletionSkipped,
    /// A deletion removes all rows of a batch instead of those that were counted.
    DeletionOfWholeBatch,
    /// Rows that are stored to ask whether the store takes them carry the attempt of the batch.
    AskedCountAsRows,
    /// An entry that the store refuses is not parked.
    PoisonNotParked,
    /// Entries are trimmed as soon as they belong to a batch.
    TrimBeforeAudit,
    /// The audit looks for the token instead of counting.
    AuditTrustsToken,
    /// The audit does not wait for the writeback of the page cache.
    AuditBeforeWriteback,
    /// A batch is marked audited as soon as its rows were repaired.
    RepairIsAudit,
    /// A worker that begins takes the rows of committed batches to be as old as their commit.
    RewrittenRowsTakenAsOld,
    /// A batch is marked audited under whatever epoch.
    AuditWithoutEpoch,
}

/// A scenario, and the rule left out of the protocol in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What is covered.
    pub scenario: Scenario,
    /// What is left out.
    pub broken: Option<Broken>,
}

impl Rules {
    /// Whether this rule is left out.
    #[must_use]
    pub fn without(&self, rule: Broken) -> bool {
        self.broken == Some(rule)
    }

    /// Whether the store remembers the token of every insert that it has made: then a late copy
    /// of one is never seen. The search for poison has tokens of its own.
    #[must_use]
    pub fn tokens_hold(&self) -> bool {
        let Faults {
            store_kills,
            power_losses,
            ..
        } = self.scenario.faults;
        store_kills == 0 && power_losses == 0 && self.scenario.poison.is_none()
    }

    pub(crate) fn is_poison(&self, request: Request) -> bool {
        self.scenario.poison == Some(request)
    }

    /// The world before anything has happened.
    #[must_use]
    pub fn beginning(&self) -> World {
        let Scenario {
            requests,
            sends,
            faults,
            ..
        } = self.scenario;
        let agent = Agent {
            sends,
            calls: Vec::new(),
            acknowledged: sends == 0,
        };
        let worker = Worker {
            up: true,
            lease: false,
            epoch: 0,
            tenure: 0,
            position: (0, 0),
            read_to: 0,
            doing: Doing::Nothing,
            flights: Vec::new(),
            waits_for: None,
        };
        let mut stream = Stream::default();
        for request in (0..requests).filter(|_| sends == 0) {
            stream.last_id += 1;
            stream.entries.push(Entry {
                id: stream.last_id,
                request,
                synced: true,
            });
            stream.remembered.push((request, true));
        }
        World {
            agents: vec![agent; usize::from(requests)],
            stream,
            ledger: crate::world::Ledger::default(),
            store: crate::world::Store::default(),
            workers: vec![worker.clone(), worker],
            faults,
            ghost: crate::world::Ghost::default(),
        }
    }
}
