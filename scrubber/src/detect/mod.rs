//! Where the triggers of a text lead to the detectors.
//!
//! A detector is handed the text and the position of a trigger, and adds the span it is sure of.
//! Detectors never change text and never look at strategies.

mod email;

use crate::class::{Class, ClassSet};
use crate::keys::{KeyKind, Keys};
use crate::masks::{BLOCK, Masks};
use crate::spans::Spans;

/// What a detector may look at.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'t> {
    pub(crate) text: &'t str,
    pub(crate) active: ClassSet,
    pub(crate) keys: &'t Keys,
    /// What the name of the field says.
    pub(crate) kind: KeyKind,
}

/// Adds everything found in the text.
#[inline]
pub(crate) fn run(scene: &Scene<'_>, spans: &mut Spans<'_>) {
    let bytes = scene.text.as_bytes();
    let mut offset = 0;
    while offset < bytes.len() {
        let masks = Masks::at(bytes, offset);
        let mut bits = masks.at;
        while bits != 0 {
            let at = offset + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if scene.active.contains(Class::Email) {
                spans.extend(email::at(bytes, at));
            }
        }
        offset += BLOCK;
    }
}
