//! Rows to answers: searches, aggregates, alerts, rules and the books, for one organisation at a time.
//!
//! ```text
//! arrive      request id, metrics, problems told with their request's id
//! principal   token → Principal, a slot of its organisation           → Caller
//! ask         parameters → typed questions: ranges, filters, cursors
//! principal   question + permission                                   → Bound<question>
//! store       Bound questions → SQL with bound parameters → rows      the only home of SQL
//! answer      rows → formulas, waterfalls, points, balances            pure
//! trail       changes and sensitive reads become audit events
//! backtest    rules put to stored history, a bounded stretch at a time
//! imports     places for what takes memory and time out of proportion
//! api         one handler a route, in the order above
//! ```
//!
//! What holds here: no question reaches a store without an organisation that a verified principal
//! bound to it; no caller's text becomes SQL; a store that is down is a 503 with its reason and never
//! an empty success; a change that could not be recorded did not happen.

pub mod config;
pub mod error;
pub mod metrics;
mod arrive;
pub mod principal;
pub mod ask;
pub mod store;
pub mod answer;
mod trail;
mod imports;
mod backtest;
mod api;
mod health;
mod server;

pub use api::openapi;
pub use config::Config;
pub use server::{Listeners, QueryError, run};

use millrace_runtime::boot::Boot;
use millrace_runtime::shutdown;
use std::sync::Arc;

/// What all handlers share.
#[derive(Debug)]
pub struct Api {
    authenticator: principal::Authenticator,
    slots: Arc<principal::Slots>,
    pg: store::Pg,
    clickhouse: store::Clickhouse,
    streams: Arc<store::Streams>,
    imports: imports::Imports,
    backtests: Arc<backtest::Places>,
    trail: trail::Trail,
    master_key: millrace_shared::secret::MasterKey,
    outgoing: millrace_runtime::outgoing::Outgoing,
}

/// Runs the query API as a process: settings, listeners, signals.
///
/// # Errors
/// When a setting, a listener or a store's address cannot be used.
pub fn main(boot: &Boot) -> Result<(), QueryError> {
    boot.check_stores()?;
    let config = Config::from_settings(&boot.settings)?;
    let listeners = Listeners {
        public: boot.listen("MILLRACE_QUERY_LISTEN")?,
        admin: Some(boot.listen("MILLRACE_QUERY_ADMIN_LISTEN")?),
    };
    actix_web::rt::System::new().block_on(async move {
        let shutdown = shutdown::on_signal().map_err(QueryError::Serve)?;
        boot.send_telemetry(&shutdown);
        run(config, listeners, shutdown).await
    })
}
