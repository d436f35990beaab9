//! Who can do what next: every step of every actor and every misfortune, as a list of named next
//! worlds. Each actor's steps stand in a module of their own.

use crate::rules::Rules;
use crate::world::{EntryId, Request, Seq, Who, World};
use crate::{accept, ledger, store, worker};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An agent sends a request, for the first time or again.
    AgentSends(Request),
    /// The gateway looks for the key, in a step of its own.
    GatewayLooks(Request),
    /// The append runs.
    Append(Request),
    /// The 2xx reaches the agent.
    Answer(Request),
    /// A call ends without an answer: the gateway died, the connection broke.
    CallBreaks(Request),
    /// Redis has fsynced.
    Fsync,
    /// Redis is killed; whether its consumer group goes back to the beginning.
    RedisKilled(bool),
    /// Redis loses so many entries of those it had fsynced.
    TailLost(usize),
    /// A worker takes the shard.
    Take(Who),
    /// A lease ends; by surprise if the worker lives.
    LeaseEnds(Who),
    /// A worker is killed.
    Killed(Who),
    /// It runs again.
    Restarted(Who),
    /// A worker finds that its lease is over.
    GivesUp(Who),
    /// A worker begins again from the ledger, or finds that there is nothing to recover.
    Begins(Who),
    /// A worker reads a prepared batch again and asks for another attempt.
    Remakes(Who, Seq),
    /// A worker takes the next step of bringing a batch's rows to exactly once.
    Settles(Who, Seq),
    /// A worker cuts a batch of so many entries and sends its prepare.
    Prepares(Who, usize),
    /// A worker posts a batch's rows.
    Posts(Who, Seq),
    /// A worker sends a batch's commit.
    Commits(Who, Seq),
    /// A worker counts a committed batch.
    Audits(Who, Seq),
    /// A worker learns up to where the stream may be trimmed.
    WillTrim(Who, EntryId),
    /// Redis trims.
    Trims(Who),
    /// The statement a worker waits for runs and is answered.
    StatementRuns(Who),
    /// A worker hears nothing of the statement it waits for.
    StatementInDoubt(Who),
    /// A statement that nobody waits for runs.
    StrayRuns(usize),
    /// Or never does.
    StrayDies(usize),
    /// An insert begins to run, or is refused.
    InsertStarts(usize),
    /// An insert ends.
    InsertEnds(usize),
    /// A deletion arrives; from here on it will be done.
    DeletionStarts(usize),
    /// A deletion has deleted.
    DeletionRuns(usize),
    /// A call that nobody waits for never arrives.
    CallDies(usize),
    /// The sender of a call gives it up.
    CallInDoubt(usize),
    /// The store is killed; the insert that leaves something behind, and what.
    StoreKilled(Option<(usize, Left)>),
    /// The store loses power; whether it forgets its tokens.
    PowerLost(bool),
    /// The page cache is written back, and time passes.
    WriteBack,
}

/// What an insert leaves behind that was under way when the store was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The rows, and not the token.
    Rows,
    /// The token, and not the rows.
    Token,
}

impl Action {
    /// Whether it is a misfortune, of which there are only so many.
    #[must_use]
    pub fn is_fault(&self, before: &World) -> bool {
        match self {
            Action::RedisKilled(_)
            | Action::TailLost(_)
            | Action::Killed(_)
            | Action::StatementInDoubt(_)
            | Action::CallInDoubt(_)
            | Action::StoreKilled(_)
            | Action::PowerLost(_) => true,
            Action::LeaseEnds(who) => before.worker(*who).is_some_and(|worker| worker.up),
            Action::AgentSends(_)
            | Action::GatewayLooks(_)
            | Action::Append(_)
            | Action::Answer(_)
            | Action::CallBreaks(_)
            | Action::Fsync
            | Action::Take(_)
            | Action::Restarted(_)
            | Action::GivesUp(_)
            | Action::Begins(_)
            | Action::Remakes(..)
            | Action::Settles(..)
            | Action::Prepares(..)
            | Action::Posts(..)
            | Action::Commits(..)
            | Action::Audits(..)
            | Action::WillTrim(..)
            | Action::Trims(_)
            | Action::StatementRuns(_)
            | Action::StrayRuns(_)
            | Action::StrayDies(_)
            | Action::InsertStarts(_)
            | Action::InsertEnds(_)
            | Action::DeletionStarts(_)
            | Action::DeletionRuns(_)
            | Action::CallDies(_)
            | Action::WriteBack => false,
        }
    }
}

/// Collects next worlds.
pub(crate) struct Steps<'s> {
    pub(crate) rules: &'s Rules,
    pub(crate) world: &'s World,
    found: Vec<(Action, World)>,
}

impl Steps<'_> {
    /// A step, if it can be taken: `change` answers `None` where it cannot.
    pub(crate) fn may(&mut self, action: Action, change: impl FnOnce(&mut World) -> Option<()>) {
        let mut next = self.world.clone();
        if change(&mut next).is_some() {
            self.found.push((action, next.order()));
        }
    }
}

/// Everything that can happen next.
#[must_use]
pub fn next(rules: &Rules, world: &World) -> Vec<(Action, World)> {
    let mut steps = Steps {
        rules,
        world,
        found: Vec::new(),
    };
    accept::steps(&mut steps);
    ledger::steps(&mut steps);
    store::steps(&mut steps);
    for who in 0..2 {
        worker::steps(&mut steps, who);
    }
    steps.found
}
