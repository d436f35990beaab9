//! What became of a run, as text for people and JSON for scripts.

use crate::histogram::Histogram;
use crate::send::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Counts of one connection, merged at the end.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests begun.
    pub requests: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Events in requests begun.
    pub offered: u64,
    /// Events accepted.
    pub accepted: u64,
    /// Events rejected by the gateway.
    pub rejected: u64,
    /// Requests answered from memory.
    pub replayed: u64,
    /// Acknowledgements whose receipt does not hold.
    pub bad_receipts: u64,
    /// Bytes of bodies as sent, without retries.
    pub bytes: u64,
    /// Last outcomes: a status with its code, or `no answer`.
    pub outcomes: BTreeMap<String, u64>,
    /// From the due time to the last byte of the answer.
    pub latency: Histogram,
    /// What was said of one unanswered request, for the reader.
    pub example: Option<String>,
}

impl Tally {
    /// Counts the last outcome of one request.
    pub fn settle(&mut self, outcome: &Outcome, attempts: u32, latency: Duration) {
        self.retries += u64::from(attempts.saturating_sub(1));
        self.latency.add(latency);
        let name = match outcome {
            Outcome::Acknowledged(answer) => {
                self.accepted += u64::from(answer.accepted);
                self.rejected += u64::from(answer.rejected);
                self.replayed += u64::from(answer.replayed);
                self.bad_receipts += u64::from(!answer.receipt_holds);
                "acknowledged".to_owned()
            }
            Outcome::Refused { status, code, .. } => format!("{status} {code}"),
            Outcome::Unanswered(why) => {
                self.example.get_or_insert_with(|| why.clone());
                "no answer".to_owned()
            }
        };
        *self.outcomes.entry(name).or_default() += 1;
    }

    /// Adds what another connection counted.
    pub fn merge(&mut self, other: Tally) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.offered += other.offered;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.replayed += other.replayed;
        self.bad_receipts += other.bad_receipts;
        self.bytes += other.bytes;
        for (name, count) in other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.example = self.example.take().or(other.example);
    }

    /// The report of a run that took that long.
    #[must_use]
    pub fn report(self, elapsed: Duration) -> Report {
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = |count: u64| count as f64 / seconds;
        Report {
            elapsed_s: elapsed.as_secs_f64(),
            requests_per_s: per_second(self.requests),
            events_per_s: per_second(self.accepted),
            latency_ms: LatencyMs::of(&self.latency),
            requests: self.requests,
            retries: self.retries,
            offered: self.offered,
            accepted: self.accepted,
            rejected: self.rejected,
            replayed: self.replayed,
            bad_receipts: self.bad_receipts,
            bytes: self.bytes,
            outcomes: self.outcomes,
            example: self.example,
            generator_cpu_s: None,
        }
    }
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LatencyMs {
    /// The median.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
    /// All but one in a thousand.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl LatencyMs {
    fn of(histogram: &Histogram) -> Self {
        LatencyMs {
            p50: histogram.quantile_ms(0.5),
            p90: histogram.quantile_ms(0.9),
            p99: histogram.quantile_ms(0.99),
            p999: histogram.quantile_ms(0.999),
            max: histogram.quantile_ms(1.0),
        }
    }
}

/// The whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Seconds from the first due time to the last answer.
    pub elapsed_s: f64,
    /// Requests begun.
    pub requests: u64,
    /// Attempts beyond the first of each.
    pub retries: u64,
    /// Events in requests begun.
    pub offered: u64,
    /// Events accepted.
    pub accepted: u64,
    /// Events rejected by the gateway.
    pub rejected: u64,
    /// Requests answered from memory (idempotency).
    pub replayed: u64,
    /// Acknowledgements whose receipt does not hold; anything but 0 is a fault.
    pub bad_receipts: u64,
    /// Bytes of bodies as sent.
    pub bytes: u64,
    /// Requests begun a second.
    pub requests_per_s: f64,
    /// Events accepted a second.
    pub events_per_s: f64,
    /// Latency from the due time.
    pub latency_ms: LatencyMs,
    /// How many requests ended how.
    pub outcomes: BTreeMap<String, u64>,
    /// What was said of one unanswered request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// Processor seconds the generator itself used, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_cpu_s: Option<f64>,
}

impl Report {
    /// Whether every request was acknowledged, with a receipt that holds.
    #[must_use]
    pub fn all_acknowledged(&self) -> bool {
        self.bad_receipts == 0 && self.outcomes.keys().all(|name| name == "acknowledged")
    }

    /// The report as lines of text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let latency = self.latency_ms;
        let _ = writeln!(
            text,
            "{} events accepted, {} rejected, in {} requests over {:.1} s",
            self.accepted, self.rejected, self.requests, self.elapsed_s
        );
        let _ = writeln!(
            text,
            "{:.0} events/s, {:.1} requests/s, {:.1} MB of bodies, {} retries, {} replayed",
            self.events_per_s,
            self.requests_per_s,
            megabytes(self.bytes),
            self.retries,
            self.replayed
        );
        let _ = writeln!(
            text,
            "latency from due time, ms: p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        );
        if let Some(cpu) = self.generator_cpu_s {
            let _ = writeln!(text, "generator: {cpu:.2} processor seconds");
        }
        for (name, count) in &self.outcomes {
            let _ = writeln!(text, "  {count:>8}  {name}");
        }
        if self.bad_receipts > 0 {
            let _ = writeln!(
                text,
                "  {:>8}  receipts that do not hold",
                self.bad_receipts
            );
        }
        if let Some(example) = &self.example {
            let _ = writeln!(text, "for example: {example}");
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
const fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
