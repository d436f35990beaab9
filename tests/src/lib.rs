//! The whole pipeline, as its users see it: the real services on the real engines.
//!
//! ```text
//! wait          conditions with a deadline; nothing sleeps for a guess
//! process       the service binaries as children that never outlive the test
//! engines       the three engines: given by the environment, or an instance of our own
//! installation  engines + services + settings; one is shared by all tests
//! org           an organisation of a test's own, with its key and tokens
//! http          requests as an agent or an analyst sends them
//! stores        what the stores themselves say
//! receiver      receivers of notifications, by HTTP and by mail
//! chaos         the fault laboratory
//! overload      overload and fairness, measured
//! docs          the generated documents
//! canary        values that must turn up nowhere, and where to look for them
//! hostile       malformed requests by the thousand
//! ```
//!
//! A test has an organisation of its own and sees nothing of the others, so all of them run at once
//! against one installation. Tests that kill things have an installation of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test says that something is wrong"
)]

pub mod wait;
pub mod process;
pub mod engines;
pub mod installation;
pub mod org;
pub mod http;
pub mod stores;
pub mod receiver;
pub mod chaos;
pub mod overload;
pub mod docs;
pub mod canary;
pub mod hostile;

pub use http::{Answer, Http};
pub use installation::{Installation, shared};
pub use org::Org;
pub use wait::{until, within};
