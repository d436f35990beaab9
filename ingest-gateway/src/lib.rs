//! HTTP body to verified envelope to stream entry.
//!
//! ```text
//! POST /v1/{logs,metrics,traces,rum,audit}
//!   head      what the headers claim, before a byte of the body is read
//!   key       whose key it is, from a cache of PostgreSQL
//!   receive   the whole body, capped in size and time              → Received
//!   verify    the signature over the raw bytes                     → Verified
//!   inflate   decompression under a running cap                    → Inflated
//!   validate  every event parsed and checked                       → Validated
//!   append    one atomic script: seen before? else XADD            → Appended
//!   answer    202 with a signed receipt
//! ```
//!
//! `ingest.rs` is that path on one page; `quota`, `pressure` and `admission` say no on the way.
//!
//! A 2xx answer means that Redis has the batch on disk (`appendfsync always`). It does not mean
//! that the batch is stored: `GET /v1/batches/{batch_id}` tells. Any doubt is a 503, and the agent
//! sends again. Nothing here normalizes, detects or scrubs, and no body is ever logged.

pub mod config;
pub mod error;
pub mod metrics;
pub mod probe;
mod pulse;
mod pressure;
mod quota;
mod backlog;
mod fair;
mod lane;
mod admission;
mod store;
mod address;
mod head;
mod key;
mod proof;
mod receive;
mod verify;
mod inflate;
mod validate;
mod append;
mod answer;
mod ingest;
mod cors;
mod trail;
mod batches;
mod loss;
mod gateway;
mod connection;
mod watch;
mod server;
mod health;
pub mod dry;

pub use config::Config;
pub use error::GatewayError;
pub use server::{Listeners, run};

use millrace_runtime::boot::Boot;
use millrace_runtime::shutdown;

/// Runs the gateway as a process: settings, listeners, signals.
///
/// # Errors
/// When a setting, a listener or a store's address cannot be used.
pub fn main(boot: &Boot) -> Result<(), GatewayError> {
    boot.check_stores()?;
    let config = Config::from_settings(&boot.settings)?;
    let listeners = Listeners {
        public: boot.listen("MILLRACE_GATEWAY_LISTEN")?,
        admin: Some(boot.listen("MILLRACE_GATEWAY_ADMIN_LISTEN")?),
    };
    actix_web::rt::System::new().block_on(async move {
        let shutdown = shutdown::on_signal().map_err(GatewayError::Serve)?;
        boot.send_telemetry(&shutdown);
        run(config, listeners, shutdown).await
    })
}
