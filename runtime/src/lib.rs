//! What every service does alike at its edges, and nothing of what it is for.
//!
//! ```text
//! boot      settings from the environment, checks, logging, panic hook, metrics recorder
//! address   which stores' addresses may be used under which profile
//! tls       whose certificates are trusted when a store's address asks for TLS
//! selftel   the service's own logs, spans and metrics, through the pipeline itself
//! clock     the time, read once at the edge and passed in
//! metric    metrics, each declared once with its labels
//! probe     fail points: places at which a test can end the process
//! shutdown  SIGTERM and SIGINT as one token
//! admin     the port for /metrics, /healthz and /readyz
//! outgoing  requests to addresses that tenants choose, and that must not lead inside
//! pg, redis, clickhouse   clients with sane time-outs that never retry what is not idempotent
//! streams   appending to a stream without being the gateway, once
//! trail     audit events of our own
//! ```
//!
//! There is no pipeline logic in here: no signal, no batch, no query.

pub mod clock;
pub mod metric;
pub mod probe;
pub mod shutdown;
pub mod selftel;
pub mod boot;
pub mod address;
pub mod tls;
mod cause;
pub mod admin;
pub mod pg;
pub mod redis;
pub mod clickhouse;
pub mod outgoing;
pub mod streams;
pub mod trail;
