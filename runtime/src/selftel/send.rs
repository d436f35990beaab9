//! Signed batches to the gateway, tried again for a while under the same idempotency key, then
//! dropped and counted: the service's own work never waits for them.

use super::{DROPPED, Record, Target, scrape};
use crate::clock;
use crate::metric::Exporter;
use crate::shutdown::CancellationToken;
use millrace_shared::Signal;
use millrace_shared::limits::events_max;
use millrace_shared::signature::sign_body;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

/// How often waiting lines and spans are sent.
const SEND_EVERY: Duration = Duration::from_secs(2);
/// How often metrics are sent: the usual scrape interval.
const METRICS_EVERY: Duration = Duration::from_secs(15);
/// Tries of one batch.
const TRIES: u32 = 5;
/// Pause after the first try; doubled after each.
const PAUSE: Duration = Duration::from_millis(500);
/// Time for one try.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the last batches on the way down.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// What sends.
struct Outlet {
    target: Target,
    http: reqwest::Client,
    host: String,
}

/// Sends until shutdown.
pub(super) async fn run(
    target: Target,
    mut queue: Receiver<Record>,
    exporter: Exporter,
    shutdown: CancellationToken,
) {
    let outlet = Outlet::new(target);
    let mut tick = tokio::time::interval(SEND_EVERY);
    let mut metrics = tokio::time::interval(METRICS_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = tick.tick() => outlet.records(&mut queue).await,
            _ = metrics.tick() => outlet.metrics(&exporter).await,
        }
    }
    let last = async {
        outlet.records(&mut queue).await;
        outlet.metrics(&exporter).await;
    };
    // Whatever cannot be sent in this time is lost, as it would be in a crash.
    let _ = tokio::time::timeout(LAST_TIMEOUT, last).await;
}

impl Outlet {
    fn new(target: Target) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap_or_default();
        Outlet {
            target,
            http,
            host: host.trim().to_owned(),
        }
    }

    async fn records(&self, queue: &mut Receiver<Record>) {
        let (mut logs, mut spans) = (Vec::new(), Vec::new());
        while let Ok(record) = queue.try_recv() {
            match record {
                Record::Log(log) => logs.push(log),
                Record::Span(span) => spans.push(span),
            }
        }
        self.events(Signal::Logs, logs).await;
        self.events(Signal::Traces, spans).await;
    }

    async fn metrics(&self, exporter: &Exporter) {
        let samples = scrape::samples(&exporter.render(), clock::now_ns());
        self.events(Signal::Metrics, samples).await;
    }

    async fn events(&self, signal: Signal, events: Vec<Value>) {
        for batch in events.chunks(events_max(signal)) {
            let body = json!({
                signal.body_key(): batch,
                "resource": {"service_name": self.target.service, "host": self.host},
            });
            if let Err(reason) = self.batch(signal, body.to_string()).await {
                DROPPED.add(&[reason], batch.len() as u64);
            }
        }
    }

    async fn batch(&self, signal: Signal, body: String) -> Result<(), &'static str> {
        let url = format!("{}/v1/{signal}", self.target.url);
        let signature = sign_body(&self.target.secret, body.as_bytes());
        let key = Uuid::now_v7().simple().to_string();
        let mut pause = PAUSE;
        for _ in 0..TRIES {
            let sent = self
                .http
                .post(&url)
                .header("content-type", "application/json")
                .header("x-org-key", &self.target.key_id)
                .header("x-signature", &signature)
                .header("x-idempotency-key", &key)
                .body(body.clone())
                .send()
                .await;
            match sent.map(|answer| answer.status().as_u16()) {
                Ok(200..=299) => return Ok(()),
                Ok(status @ (400..=428 | 430..=499)) => {
                    tracing::warn!(status, %signal, "own telemetry is refused");
                    return Err("refused");
                }
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        tracing::warn!(%signal, "own telemetry cannot be sent");
        Err("unreachable")
    }
}
