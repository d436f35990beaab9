//! Where the triggers of a text lead to the detectors.
//!
//! A detector is handed the text and the position of a trigger, and answers with the span it is
//! sure of. Detectors never change text and never look at strategies.

mod bytes;
mod groups;
mod email;
mod pair;
mod token;
mod home;
mod mac;
mod card;
mod ssn;
mod phone;
mod iban;
mod address;

use crate::class::{Class, ClassSet};
use crate::keys::{KeyKind, Keys};
use crate::masks::{BLOCK, Masks};
use crate::spans::{Span, Spans};
use crate::triggers::Triggers;

/// The shortest text that can hold anything: `pw=x1`.
const MIN_TEXT: usize = 5;

/// What a detector may look at.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'t> {
    pub(crate) text: &'t str,
    /// The classes that are looked for.
    pub(crate) active: ClassSet,
    pub(crate) keys: &'t Keys,
    /// What the name of the field says.
    pub(crate) kind: KeyKind,
}

/// Adds everything found in the text.
#[inline]
pub(crate) fn run(scene: &Scene<'_>, spans: &mut Spans<'_>) {
    let bytes = scene.text.as_bytes();
    if bytes.len() < MIN_TEXT {
        return;
    }
    let mut previous = Masks::default();
    let mut this = Masks::at(bytes, 0);
    let mut offset = 0;
    loop {
        let after = offset + BLOCK;
        let next = if after < bytes.len() {
            Masks::at(bytes, after)
        } else {
            Masks::default()
        };
        let triggers = Triggers::of(&previous, &this, &next, scene.active);
        if !triggers.is_empty() {
            pull(scene, &triggers, offset, spans);
        }
        if after >= bytes.len() {
            break;
        }
        (previous, this, offset) = (this, next, after);
    }
    if scene.kind == KeyKind::Phone && scene.active.contains(Class::Phone) {
        spans.extend(phone::value(bytes, 0, bytes.len()));
    }
}

/// Hands every trigger of a block to its detector.
fn pull(scene: &Scene<'_>, triggers: &Triggers, offset: usize, spans: &mut Spans<'_>) {
    let text = scene.text;
    let bytes = text.as_bytes();
    let active = scene.active;
    let mut each = |bits: u64, detect: &dyn Fn(usize) -> Option<Span>| {
        let mut bits = bits;
        while bits != 0 {
            let found = detect(offset + bits.trailing_zeros() as usize);
            spans.extend(found.filter(|span| active.contains(span.class)));
            bits &= bits - 1;
        }
    };
    each(triggers.at, &|position| email::at_sign(text, position));
    each(triggers.pair, &|position| pair::at_mark(scene, position));
    each(triggers.flag, &|position| pair::at_flag(scene, position));
    each(triggers.token, &|position| token::in_run(bytes, position));
    each(triggers.scheme, &|position| token::scheme(bytes, position));
    each(triggers.dashes, &|position| {
        token::private_key(text, position)
    });
    each(triggers.home, &|position| home::at_slash(text, position));
    each(triggers.mac, &|position| mac::at_mark(bytes, position));
    each(triggers.digits, &|position| card::starting(bytes, position));
    each(triggers.digits, &|position| {
        ssn::starting(bytes, position, scene.kind == KeyKind::Ssn)
    });
    each(triggers.digits, &|position| {
        phone::starting(bytes, position, scene.kind == KeyKind::Phone)
    });
    each(triggers.iban, &|position| iban::starting(bytes, position));
    each(triggers.ipv4, &|position| address::ipv4(text, position));
    each(triggers.ipv6, &|position| address::ipv6(text, position));
}
