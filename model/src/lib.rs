//! A model of how Millrace delivers, small enough that a program can visit every state it can be in,
//! whatever goes wrong when.
//!
//! The model is the protocol without its data: a batch has one or two entries, an entry one event,
//! the table one column. Agents, gateways, Redis, PostgreSQL, ClickHouse and two workers take their
//! steps in every order there is, with misfortunes in between; [`properties`] must hold in each state
//! ([`explore`]), and from each a way must lead to where every entry is stored, parked or reported,
//! with no further misfortune and no luck.
//!
//! ```text
//! rules       what is searched: scenarios, and the rules of the protocol that can be left out
//! world       everything there is at one moment
//! steps       who can do what next
//!   accept    agent → gateway → Redis             ingest-gateway/src/append.{rs,lua}
//!   ledger    statements of PostgreSQL            normalizer-worker/src/{ledger,lease,commit/mod}.rs
//!   store     ClickHouse, with what it gets wrong normalizer-worker/src/{store,write}.rs
//!   worker    take, recover, flow, audit, trim    normalizer-worker/src/{lease,shard,recover,audit}.rs
//!   settle    rows to exactly once, poison        normalizer-worker/src/{resolve,poison}.rs
//! properties  what must hold
//! explore     the search
//! ```
//!
//! **What goes wrong.** A worker is killed at any step, or paused past its lease and resumed: its
//! calls that are under way run when they like, before or after its successor's. The answer of a
//! statement or of an insert is lost, and it runs before, later or never. ClickHouse is killed and
//! leaves rows without their token, a token without its rows, or neither; it loses power, and with it
//! what was not written back, its tokens too if it so happens; it claims success for an insert whose
//! token it knows. Redis loses what it had not fsynced, and in one scenario what it had; its consumer
//! group goes back. Gateways die before and after the append. An entry is refused for its content.
//!
//! **How it stands for the code.** A worker's step looks at its lease and sends one call, as the code
//! does with nothing in between; when the call runs is the environment's choice. A pause therefore
//! needs no step of its own: it is a worker whose steps are not taken while its lease ends. Times are
//! orders: a batch is due for its audit when the page cache was written back since its rows were.
//!
//! **That it can fail.** `tests/protocol.rs` leaves each rule of the protocol out in turn
//! ([`rules::Broken`]), and says which property breaks by it. A rule whose absence nothing notices
//! would be either superfluous or not modelled.
//!
//! **What it does not cover** stands in `docs/decisions`: among others time itself, more than two
//! workers, the forgetting of idempotency keys, and that the code does what the model does.
//!
//! Never runs in an installation: a library for its own tests.

pub mod rules;
pub mod world;
pub mod steps;
mod accept;
mod ledger;
mod store;
mod worker;
mod settle;
pub mod properties;
pub mod explore;

use explore::{Model, Report};
use rules::Rules;
use steps::Action;
use world::World;

/// States that a search may see: some times as many as the largest scenario has.
const STATES_MAX: usize = 1_000_000;

impl Model for Rules {
    type State = World;
    type Action = Action;

    fn start(&self) -> World {
        self.beginning()
    }

    fn next(&self, world: &World) -> Vec<(Action, World)> {
        steps::next(self, world)
    }

    fn broken_property(&self, world: &World) -> Option<&'static str> {
        properties::broken(self, world)
    }

    fn is_settled(&self, world: &World) -> bool {
        properties::is_settled(world)
    }

    fn is_fault(&self, action: &Action, before: &World) -> bool {
        action.is_fault(before)
    }
}

/// Searches everything that the rules allow.
#[must_use]
pub fn search(rules: &Rules) -> Report {
    explore::explore(rules, STATES_MAX)
}
