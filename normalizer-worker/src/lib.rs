//! The worker: entries of a stream become rows in the stores, each event exactly once.
//!
//! ```text
//! lease → intake (reader, cut) → draft ┬ decode → normalize → detect → scrub → rows   (pure)
//!                                      │
//!        ledger: prepare ←─────────────┘
//!        write to ClickHouse (resolve, when in doubt)
//!        commit to PostgreSQL: ledger, samples, windows, alerts, books, in one transaction
//!        audit → trim the stream
//!        notify: what the commit left in the outbox → channels
//! ```
//!
//! A batch that is committed is stored once, whatever was killed when; see `shard` for the order of
//! steps and `recover` for what happens to a batch whose worker is gone. The truth is the ledger in
//! PostgreSQL; Redis and ClickHouse are asked, never believed.
//!
//! What must not be here: a second way for rows into a store, a trim of entries that are not
//! audited, a log line with data of an event.

pub mod config;
pub mod error;
pub mod metrics;
pub mod health;
pub mod probe;
pub mod backoff;
pub mod budget;

pub mod control_rows;
pub mod indicator_files;
mod builtin_rules;
pub mod control_loader;

pub mod lease;
pub mod reader;
pub mod cut;
pub mod intake;

pub mod work;
pub mod control;
mod geo;
mod agent;
mod page;
mod decode;
mod resource;
mod normalize;
mod own_records;
mod detect;
mod scrub;
mod table_rows;
mod samples;
mod alerts;
pub mod pipeline;
pub mod draft;

pub mod entry_ids;
pub mod ledger;
pub mod store;
pub mod write;
pub mod resolve;
pub mod poison;
mod lost;
mod age;
mod sift;
pub mod recover;
pub mod commit;
pub mod audit;
pub mod shard;

pub mod notify;

pub mod hunt;
pub mod gauges;
pub mod housekeeping;
mod quiet;
pub mod runner;

use config::Config;
use millrace_runtime::boot::Boot;
use millrace_runtime::clickhouse::Clickhouse;
use millrace_runtime::{admin, metric, pg, shutdown};
use runner::Parts;
use std::sync::{Arc, OnceLock};
use store::Store;

/// Connections to PostgreSQL: every shard of a small installation may prepare and commit at once.
const POOL_SIZE: usize = 24;

/// The whole life of the process after its settings were read.
///
/// # Errors
/// When a setting, an address or the admin port cannot be used.
pub fn serve(boot: Boot) -> anyhow::Result<()> {
    boot.check_stores()?;
    let config = Config::read(&boot.settings)?;
    let threads = boot.threads("MILLRACE_WORKER_THREADS")?;
    let listener = boot.listen("MILLRACE_WORKER_ADMIN_LISTEN")?;
    metric::describe_all(metrics::ALL);
    let parts = Parts {
        pool: pg::pool(&config.postgres_url, boot.service, POOL_SIZE)?,
        store: Store::ClickHouse {
            clickhouse: Clickhouse::new(&config.clickhouse_url)?,
            insert_timeout: config.insert_timeout,
        },
        config,
        threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signal()?;
        boot.send_telemetry(&shutdown);
        let ready = Arc::new(OnceLock::new());
        let port = admin::serve(
            listener,
            boot.exporter.clone(),
            health::readiness(Arc::clone(&ready)),
            shutdown.clone(),
        );
        // The admin port runs on a thread of its own: it must answer when the pipeline is busy.
        let port = std::thread::spawn(move || actix_web::rt::System::new().block_on(port));
        let ended = runner::run(parts, ready, shutdown.clone()).await;
        shutdown.cancel();
        let served = tokio::task::spawn_blocking(move || port.join()).await?;
        served.map_err(|_| anyhow::anyhow!("the admin port broke down"))??;
        ended.map_err(anyhow::Error::from)
    })
}
