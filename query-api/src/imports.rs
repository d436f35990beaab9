//! Places for imports. An import takes memory and time out of proportion to other requests: an
//! organisation has one at a time, a few may hold their bodies, and one is worked on. Whoever comes
//! meanwhile waits a little, with its body unread.

use crate::error::Problem;
use actix_web::web::{Bytes, Payload};
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Imports whose bodies are held at a time.
const BODIES_MAX: usize = 8;
/// Time for a body: the largest comes in at two megabits a second.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Time for which an import waits for a place: most take less.
const WAIT: Duration = Duration::from_secs(5);

/// The places of this process.
#[derive(Debug)]
pub(crate) struct Imports {
    of_orgs: Mutex<HashMap<OrgId, Arc<Semaphore>>>,
    bodies: Arc<Semaphore>,
    work: Arc<Semaphore>,
}

/// A place to hold a body; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _of_org: OwnedSemaphorePermit,
    _body: OwnedSemaphorePermit,
    work: Arc<Semaphore>,
}

impl Imports {
    pub(crate) fn new() -> Self {
        Imports {
            of_orgs: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES_MAX)),
            work: Arc::new(Semaphore::new(1)),
        }
    }

    /// Takes a place for an organisation.
    ///
    /// # Errors
    /// 429 when the organisation has one already, 503 when all are taken, and they stay so.
    pub(crate) async fn take(&self, org: OrgId) -> Result<Place, Problem> {
        let of_org = within(self.of_org(org)).await.ok_or_else(|| {
            let detail = "an import of the organisation is under way; try again when it is done";
            Problem::new(Refusal::QuotaExceeded, detail)
        })?;
        let body = within(Arc::clone(&self.bodies)).await.ok_or_else(|| {
            let detail = format!("{BODIES_MAX} imports are under way; try again later");
            Problem::new(Refusal::Overloaded, detail)
        })?;
        Ok(Place {
            _of_org: of_org,
            _body: body,
            work: Arc::clone(&self.work),
        })
    }

    /// The place of an organisation. Those that nobody holds or waits for are forgotten.
    fn of_org(&self, org: OrgId) -> Arc<Semaphore> {
        let mut of_orgs = self.of_orgs.lock().unwrap_or_else(PoisonError::into_inner);
        of_orgs.retain(|_, place| Arc::strong_count(place) > 1);
        let place = of_orgs
            .entry(org)
            .or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(place)
    }
}

async fn within(places: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let place = tokio::time::timeout(WAIT, places.acquire_owned()).await;
    place.ok()?.ok()
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
