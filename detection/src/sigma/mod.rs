//! Sigma 2.1: published detection rules, correlations and filters, taken in as rules of this
//! engine. There is no second evaluator: what a Sigma rule says becomes a [`RuleDef`], and what
//! cannot be said in one is refused with the reason.
//!
//! ```text
//! YAML ─ document ─→ rule ─ value, detection ─→ items ─ pipeline ─→ items ─ selection ─→ RuleDef
//!                    correlation ─────────────────────────────────────────────────────→ RuleDef
//!                    filter ─→ added to the rules it names
//! ```
//!
//! The specification is that of SigmaHQ, version 2.1.0 (2025-08-02). Rules are read from strangers:
//! files, documents, values, expressions and nesting are all bounded.
//!
//! [`RuleDef`]: crate::rules::RuleDef

mod yaml;
mod document;
mod correlation;
mod condition;
mod encode;
mod placeholder;
mod value;
mod detection;
mod selection;
mod unmapped;
pub mod pipeline;
mod builtin;
mod attack;
mod correlate;
mod sort;
mod import;
mod archive;
mod renew;

pub use archive::{ARCHIVE_BYTES_MAX, TEXT_BYTES_MAX, unpack};
pub use attack::{Coverage, Mapped, Technique, coverage, navigator_layer};
pub use import::{Import, Imported, Options, Refused, Source};
pub use pipeline::Pipeline;
pub use renew::{Renewal, renew};
pub use sort::DOCUMENTS_MAX;
pub use yaml::FILE_BYTES_MAX;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod correlation_tests;
