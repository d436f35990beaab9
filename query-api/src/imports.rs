//! Places for imports. An import takes memory and time out of proportion to other requests: an
//! organisation has one at a time, a few may hold their bodies, and one is worked on.

use crate::error::Problem;
use crate::principal::{Slot, Slots};
use actix_web::web::{Bytes, Payload};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Imports whose bodies are held at a time.
const BODIES_MAX: usize = 8;
/// Time for a body: the largest comes in at two megabits a second.
const BODY_TIME: Duration = Duration::from_secs(60);

/// The places of this process.
#[derive(Debug)]
pub(crate) struct Imports {
    of_org: Arc<Slots>,
    bodies: Arc<Semaphore>,
    work: Arc<Semaphore>,
}

/// A place to hold a body; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _slot: Slot,
    _body: OwnedSemaphorePermit,
    work: Arc<Semaphore>,
}

impl Imports {
    pub(crate) fn new() -> Self {
        Imports {
            of_org: Slots::new(1, "imports"),
            bodies: Arc::new(Semaphore::new(BODIES_MAX)),
            work: Arc::new(Semaphore::new(1)),
        }
    }

    /// Takes a place for an organisation.
    ///
    /// # Errors
    /// 429 when the organisation has one already, 503 when all are taken.
    pub(crate) fn take(&self, org: OrgId) -> Result<Place, Problem> {
        let slot = self.of_org.take(org)?;
        let body = Arc::clone(&self.bodies).try_acquire_owned();
        let body = body.map_err(|_| {
            let detail = format!("{BODIES_MAX} imports are under way; try again");
            Problem::new(Refusal::Overloaded, detail)
        })?;
        Ok(Place {
            _slot: slot,
            _body: body,
            work: Arc::clone(&self.work),
        })
    }
}

impl Place {
    /// Reads a body of at most so many bytes.
    ///
    /// # Errors
    /// 413 when it is larger, 408 when it does not come, 400 when it breaks off.
    pub(crate) async fn body(&self, payload: Payload, most: usize) -> Result<Bytes, Problem> {
        let read = tokio::time::timeout(BODY_TIME, payload.to_bytes_limited(most)).await;
        let read = read.map_err(|_| {
            let detail = format!("the body did not come within {} s", BODY_TIME.as_secs());
            Problem::new(Refusal::TooSlow, detail)
        })?;
        let read = read.map_err(|_| {
            let detail = format!("the body is larger than {most} bytes");
            Problem::new(Refusal::TooLarge, detail)
        })?;
        read.map_err(|error| {
            let detail = format!("the body cannot be read: {error}");
            Problem::new(Refusal::WrongShape, detail)
        })
    }

    /// Does the work of an import, in its turn, on a thread where it may take its time. It goes on
    /// when the client has gone, and keeps its place until it is done.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<(Self, T), Problem> {
        let turn = Arc::clone(&self.work).acquire_owned().await;
        let turn = turn.map_err(|error| Problem::internal("no turn for an import", &error))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            (self, done)
        });
        let (place, done) = done
            .await
            .map_err(|error| Problem::internal("the import broke off", &error))?;
        Ok((place, done?))
    }
}
