//! Fuzz targets for everything that reads bytes from outside.
//!
//! A target is a plain function over bytes that panics when a promise is broken, and there is more
//! promised than not to panic: what is written is read back, what is done twice is done once, caps
//! are kept, and the worker decodes whatever the gateway accepts.
//!
//! ```text
//! targets  the functions, one module a subject
//! seeds    what each target begins with
//! corpus   the inputs that are kept, under fuzz/corpus/<target>/
//! mutate   a simple mutator, for runs without a guide
//! ```
//!
//! `cargo test -p millrace-fuzz` drives every target for a moment, over its corpus and mutations of
//! it, the same ones every time. `make fuzz TARGET=… SECONDS=…` drives one for long, guided by
//! coverage.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a panic is how a target says that a promise is broken"
)]

pub mod targets;
pub mod seeds;
pub mod corpus;
pub mod mutate;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What is promised, tried on one input.
    pub run: fn(&[u8]),
    /// What it begins with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them, in the order in which data meets what they try.
pub const TARGETS: &[Target] = &[
    target("signature", targets::signature::headers, seeds::signature),
    target("secret", targets::secret::parse, seeds::secret),
    target("batch_id", targets::secret::batch_id, seeds::batch_id),
    target("gzip", targets::inflate::gzip, seeds::gzip),
    target("zstd", targets::inflate::zstd, seeds::zstd),
    target("lz4", targets::inflate::lz4, seeds::lz4),
    target("json", targets::json::skip, seeds::json),
    target("rewrite", targets::json::rewrite, seeds::json),
    target("time", targets::json::time, seeds::time),
    target("logs", targets::body::logs, seeds::logs),
    target("metrics", targets::body::metrics, seeds::metrics),
    target("traces", targets::body::traces, seeds::traces),
    target("rum", targets::body::rum, seeds::rum),
    target("audit", targets::body::audit, seeds::audit),
    target("meta", targets::entry::meta, seeds::meta),
    target("entry", targets::entry::entry, seeds::entry),
    target("observables", targets::detect::observables, seeds::text),
    target(
        "indicators_csv",
        targets::detect::csv,
        seeds::indicators_csv,
    ),
    target(
        "indicators_plain",
        targets::detect::plain,
        seeds::indicators_plain,
    ),
    target(
        "indicators_hosts",
        targets::detect::hosts,
        seeds::indicators_hosts,
    ),
    target(
        "indicators_feed",
        targets::detect::feed,
        seeds::indicators_feed,
    ),
    target(
        "stix_pattern",
        targets::detect::pattern,
        seeds::stix_pattern,
    ),
    target("allow_list", targets::detect::allow_list, seeds::allow_list),
    target("rules", targets::detect::rules, seeds::rules),
    target("sigma", targets::sigma::import, seeds::sigma),
    target("scrubber", targets::scrub::text, seeds::text),
    target("scrubber_keys", targets::scrub::path, seeds::text),
    target("user_agent", targets::scrub::user_agent, seeds::user_agent),
    target("query", targets::query::parameters, seeds::query),
];

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
