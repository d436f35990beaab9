//! Metrics, each declared once as a `static` with its help and its labels.
//!
//! Label values are `&'static str`, so that they come from closed sets and memory stays bounded.
//! Nothing else in the project touches the metrics library. Buckets follow from the unit at the
//! end of a histogram's name: `_seconds`, `_bytes`, anything else is a count.

use metrics::{Key, KeyName, Label, Level, Metadata, SharedString};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

/// From a quarter of a millisecond to a minute: an fsync up to the longest query.
const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];
/// From 256 bytes to 64 MiB in steps of four: one small event up to the largest batch.
const BYTES: &[f64] = &[
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// From one to the largest ledger batch.
const COUNTS: &[f64] = &[
    1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0,
];

static METADATA: Metadata<'static> = Metadata::new("millrace", Level::INFO, None);

/// What a declared metric says about itself, for the recorder and the reference page.
pub trait Declared: Sync {
    /// Name as Prometheus sees it.
    fn name(&self) -> &'static str;
    /// One sentence, with the unit.
    fn help(&self) -> &'static str;
    /// Label names, in the order of the values.
    fn labels(&self) -> &'static [&'static str];
    /// `counter`, `gauge` or `histogram`.
    fn kind(&self) -> &'static str;
}

macro_rules! metric_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $handle:ident, $register:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $type {
            name: &'static str,
            help: &'static str,
            labels: &'static [&'static str],
        }

        impl $type {
            /// Declares it.
            #[must_use]
            pub const fn new(
                name: &'static str,
                help: &'static str,
                labels: &'static [&'static str],
            ) -> Self {
                $type { name, help, labels }
            }

            /// The series with these label values, to be kept where it is used often.
            pub fn with(&self, values: &[&'static str]) -> metrics::$handle {
                let key = key(self.name, self.labels, values);
                metrics::with_recorder(|recorder| recorder.$register(&key, &METADATA))
            }
        }

        impl Declared for $type {
            fn name(&self) -> &'static str {
                self.name
            }
            fn help(&self) -> &'static str {
                self.help
            }
            fn labels(&self) -> &'static [&'static str] {
                self.labels
            }
            fn kind(&self) -> &'static str {
                $kind
            }
        }
    };
}

metric_type!(
    /// A number that only grows.
    Counter, "counter", Counter, register_counter
);
metric_type!(
    /// A number that goes up and down.
    Gauge, "gauge", Gauge, register_gauge
);
metric_type!(
    /// A distribution over fixed buckets.
    Histogram, "histogram", Histogram, register_histogram
);

impl Counter {
    /// Adds to the series with these label values.
    pub fn add(&self, values: &[&'static str], amount: u64) {
        self.with(values).increment(amount);
    }

    /// Sets the series to a total that is counted elsewhere (a ledger, a store).
    pub fn set_total(&self, values: &[&'static str], total: u64) {
        self.with(values).absolute(total);
    }
}

impl Gauge {
    /// Sets the series with these label values.
    pub fn set(&self, values: &[&'static str], value: f64) {
        self.with(values).set(value);
    }

    /// Adds to (or, with a negative amount, takes from) the series with these label values.
    pub fn add(&self, values: &[&'static str], amount: f64) {
        self.with(values).increment(amount);
    }
}

impl Histogram {
    /// Records one observation in the series with these label values.
    pub fn observe(&self, values: &[&'static str], value: f64) {
        self.with(values).record(value);
    }
}

fn key(name: &'static str, labels: &[&'static str], values: &[&'static str]) -> Key {
    debug_assert_eq!(labels.len(), values.len(), "label values of {name}");
    if values.is_empty() {
        return Key::from_static_name(name);
    }
    let labels: Vec<Label> = labels
        .iter()
        .zip(values)
        .map(|(label, value)| Label::from_static_parts(label, value))
        .collect();
    Key::from_parts(KeyName::from_const_str(name), labels)
}

/// A small number as a label value, for shards. Numbers past the largest shard share one value.
#[must_use]
pub fn number(value: u16) -> &'static str {
    static NUMBERS: OnceLock<Vec<String>> = OnceLock::new();
    let most = millrace_shared::limits::SHARDS_MAX;
    let numbers = NUMBERS.get_or_init(|| (0..most).map(|n| n.to_string()).collect());
    numbers.get(usize::from(value)).map_or("other", |n| n)
}

/// Names from outside that become label values of their own.
const NAMES_MAX: usize = 100;

/// A name that an operator chose as a label value. The first hundred are kept for the life of the
/// process; all others share one value, so that memory and series stay bounded.
#[must_use]
pub fn named(name: &str) -> &'static str {
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    if names.len() == NAMES_MAX {
        return "other";
    }
    let kept: &'static str = Box::leak(name.into());
    names.push(kept);
    kept
}

/// The process's recorder.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

impl Exporter {
    /// All series in Prometheus's text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves recorded observations into their buckets; called every few seconds so that they do
    /// not pile up when nobody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Installs the process's recorder, once; later calls return the same one.
pub fn exporter() -> Exporter {
    static EXPORTER: OnceLock<Exporter> = OnceLock::new();
    EXPORTER
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            // Somebody else's recorder in this process would mean that ours renders nothing: the
            // scrape then shows it, and nothing else breaks.
            let _ = metrics::set_global_recorder(recorder);
            Exporter { handle }
        })
        .clone()
}

fn builder() -> PrometheusBuilder {
    let buckets = |builder: PrometheusBuilder| {
        builder
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)?
            .set_buckets(COUNTS)
    };
    // It fails for an empty list of buckets only.
    buckets(PrometheusBuilder::new()).unwrap_or_default()
}

/// Gives the recorder the help of every metric of a service.
pub fn describe_all(declared: &[&'static dyn Declared]) {
    metrics::with_recorder(|recorder| {
        for metric in declared {
            let name = KeyName::from_const_str(metric.name());
            let help = SharedString::const_str(metric.help());
            match metric.kind() {
                "counter" => recorder.describe_counter(name, None, help),
                "gauge" => recorder.describe_gauge(name, None, help),
                _ => recorder.describe_histogram(name, None, help),
            }
        }
    });
}

/// The section of `docs/metrics.md` about one service.
#[must_use]
pub fn reference(service: &str, declared: &[&'static dyn Declared]) -> String {
    let mut page =
        format!("## {service}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in declared {
        let labels: Vec<_> = metric.labels().iter().map(|l| format!("`{l}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            metric.name(),
            metric.kind(),
            labels.join(", "),
            metric.help()
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    static REQUESTS: Counter = Counter::new("test_requests_total", "Requests.", &["outcome"]);
    static WAIT: Histogram = Histogram::new("test_wait_seconds", "Waiting, seconds.", &[]);
    static HELD: Gauge = Gauge::new("test_held_bytes", "Held, bytes.", &[]);
    static ALL: &[&dyn Declared] = &[&REQUESTS, &WAIT, &HELD];

    #[test]
    fn what_was_counted_is_rendered_with_its_help_and_buckets() {
        let exporter = exporter();
        describe_all(ALL);
        REQUESTS.add(&["ok"], 2);
        WAIT.observe(&[], 0.003);
        HELD.add(&[], 5.0);
        HELD.add(&[], -2.0);
        let text = exporter.render();
        for line in [
            "# HELP test_requests_total Requests.",
            "test_requests_total{outcome=\"ok\"} 2",
            "test_wait_seconds_bucket{le=\"0.0025\"} 0",
            "test_wait_seconds_bucket{le=\"0.005\"} 1",
            "test_held_bytes 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_reference_lists_every_metric() {
        let page = reference("tester", ALL);
        assert!(page.contains("| `test_requests_total` | counter | `outcome` | Requests. |"));
        assert_eq!(number(7), "7");
        assert_eq!(number(u16::MAX), "other");
    }

    #[test]
    fn names_from_outside_are_labels_as_far_as_there_is_room() {
        assert_eq!(named("a"), "a");
        for n in 0..200 {
            assert!(!named(&n.to_string()).is_empty());
        }
        assert_eq!((named("a"), named("198")), ("a", "other"));
    }
}
