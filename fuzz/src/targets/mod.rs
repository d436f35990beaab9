//! The targets, one module a subject.

pub mod signature;
pub mod secret;
pub mod inflate;
pub mod json;
pub mod body;
pub mod entry;
pub mod detect;
pub mod sigma;
pub mod scrub;
pub mod query;

/// The input as text; `None` when it is none, as everything of ours that takes text asks first.
fn text(data: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(data).ok()
}
