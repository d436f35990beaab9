//! The service's own logs, spans and metrics, sent through the pipeline itself.
//!
//! ```text
//! capture  a tracing layer, into a bounded queue; what does not fit is counted and dropped
//! scrape   the recorder's text, into samples
//! send     signed batches to the gateway
//! ```
//!
//! It never feeds back on itself: nothing logged in here, below `info`, or under an event or span
//! with a field `own = true` is ever sent. Services mark with it what they log about batches of the
//! pipeline's own organisation.

mod capture;
mod scrape;
mod send;

pub use capture::Capture;

use crate::metric::{Counter, Declared, Exporter};
use crate::shutdown::CancellationToken;
use millrace_shared::secret::Secret;
use millrace_shared::settings::{Settings, SettingsError};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Records waiting to be sent: some seconds of a busy service, at most a few megabytes.
const QUEUE_MAX: usize = 4_096;

/// Records not sent.
pub static DROPPED: Counter = Counter::new(
    "millrace_self_telemetry_dropped_total",
    "The service's own log lines, spans and samples that were not sent, by reason: `queue_full`, `refused`, `unreachable`.",
    &["reason"],
);
/// Its metrics, part of every service's.
pub static ALL: &[&dyn Declared] = &[&DROPPED];

/// One thing to send.
#[derive(Debug)]
enum Record {
    Log(Value),
    Span(Value),
}

/// Where to send to, and as whom.
#[derive(Clone, Debug)]
struct Target {
    service: &'static str,
    url: String,
    key_id: String,
    secret: Secret,
}

/// The service's own telemetry, captured since the start and sent once a runtime is there.
#[derive(Clone)]
pub struct SelfTelemetry {
    target: Target,
    queue: Arc<Mutex<Option<mpsc::Receiver<Record>>>>,
}

impl std::fmt::Debug for SelfTelemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SelfTelemetry")
    }
}

/// The layer that captures and the half that sends; `None` when the settings name no gateway.
///
/// # Errors
/// When there is an address without a key, or the secret is not of the issued form.
pub fn from_settings(
    service: &'static str,
    settings: &Settings,
) -> Result<Option<(Capture, SelfTelemetry)>, SettingsError> {
    let url = settings.text("MILLRACE_SELF_URL")?.trim_end_matches('/');
    if url.is_empty() {
        return Ok(None);
    }
    let key_id = settings.text("MILLRACE_SELF_KEY_ID")?;
    if key_id.is_empty() {
        return Err(SettingsError::Unusable {
            name: "MILLRACE_SELF_KEY_ID",
            problem: "must be set when MILLRACE_SELF_URL is".to_owned(),
        });
    }
    let secret = Secret::parse(settings.text("MILLRACE_SELF_SECRET")?);
    let secret = secret.map_err(|error| SettingsError::Unusable {
        name: "MILLRACE_SELF_SECRET",
        problem: error.to_string(),
    })?;
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let target = Target {
        service,
        url: url.to_owned(),
        key_id: key_id.to_owned(),
        secret,
    };
    let telemetry = SelfTelemetry {
        target,
        queue: Arc::new(Mutex::new(Some(receiver))),
    };
    Ok(Some((Capture::new(service, sender), telemetry)))
}

impl SelfTelemetry {
    /// Sends until shutdown, and then what is left. Must be called within a runtime; a second call
    /// does nothing.
    pub fn spawn(&self, exporter: Exporter, shutdown: CancellationToken) {
        let queue = self.queue.lock().ok().and_then(|mut queue| queue.take());
        if let Some(queue) = queue {
            tokio::spawn(send::run(self.target.clone(), queue, exporter, shutdown));
        }
    }
}
