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
use crate::triggers::{REACH, Triggers};

/// The shortest text that can hold anything: `pw=x1`.
const MIN_TEXT: usize = 5;

/// The fewest digits in one piece that can be a number of somebody's.
const MIN_BARE: usize = 7;

/// How far one window of 64 bytes lies from the next: each but the first begins with one byte that
/// was already looked at, and each ends with the bytes that the shapes of its triggers reach.
const STEP: usize = BLOCK - 1 - REACH;
/// The positions that count in the first window, and in those after it.
const FIRST_COUNTS: u64 = (1 << STEP) - 1;
const LATER_COUNTS: u64 = FIRST_COUNTS << 1;

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
    if bytes.len() <= BLOCK {
        let triggers = Triggers::of(&Masks::at(bytes, 0), u64::MAX, scene.active);
        if !triggers.is_empty() {
            pull(scene, &triggers, 0, spans);
        }
    } else {
        run_windows(scene, spans);
    }
    if scene.kind == KeyKind::Phone && scene.active.contains(Class::Phone) {
        spans.extend(phone::value(bytes, 0, bytes.len()));
    }
}

/// As `run`, for a text of more than one window.
#[inline(never)]
fn run_windows(scene: &Scene<'_>, spans: &mut Spans<'_>) {
    let bytes = scene.text.as_bytes();
    let mut offset = 0;
    let mut counts = FIRST_COUNTS;
    loop {
        let last = offset + BLOCK >= bytes.len();
        let masks = Masks::at(bytes, offset);
        let counts_here = if last {
            counts | !(u64::MAX >> (BLOCK - STEP))
        } else {
            counts
        };
        let triggers = Triggers::of(&masks, counts_here, scene.active);
        if !triggers.is_empty() {
            pull(scene, &triggers, offset, spans);
        }
        if last {
            return;
        }
        offset = if offset == 0 { STEP - 1 } else { offset + STEP };
        counts = LATER_COUNTS;
    }
}

/// Hands every trigger of a window to its detector.
#[inline(never)]
fn pull(scene: &Scene<'_>, triggers: &Triggers, offset: usize, spans: &mut Spans<'_>) {
    let text = scene.text;
    let bytes = text.as_bytes();
    let mut each = Each {
        offset,
        active: scene.active,
        spans,
    };
    each.of(triggers.mark, |position| mark(scene, position));
    each.of(triggers.colon, |position| pair::at_mark(scene, position));
    each.of(triggers.digits, |position| number(scene, position));
    each.of(triggers.groups, |position| phone::grouped(bytes, position));
    each.of(triggers.token, |position| token::starting(bytes, position));
    each.of(triggers.scheme, |position| token::scheme(bytes, position));
    each.of(triggers.flag, |position| pair::at_flag(scene, position));
    each.of(triggers.dashes, |position| {
        token::private_key(text, position)
    });
    each.of(triggers.home, |position| home::at_slash(text, position));
    each.of(triggers.mac, |position| mac::at_mark(bytes, position));
    each.of(triggers.iban, |position| iban::starting(bytes, position));
    each.of(triggers.ipv4, |position| address::ipv4(text, position));
    each.of(triggers.ipv6, |position| address::ipv6(text, position));
}

/// What a mark that is worth a look by itself belongs to.
fn mark(scene: &Scene<'_>, position: usize) -> Option<Span> {
    let bytes = scene.text.as_bytes();
    match bytes::at(bytes, position) {
        b'%' if bytes::starts_ci(bytes, position, b"%2b") => {
            phone::starting(bytes, position + 3, scene.kind == KeyKind::Phone)
        }
        b'@' | b'%' => email::at_sign(scene.text, position),
        b'=' | b'>' => pair::at_mark(scene, position),
        _ if bytes::at(bytes, position + 1).is_ascii_digit() => {
            phone::starting(bytes, position, scene.kind == KeyKind::Phone)
        }
        _ => None,
    }
}

/// The number that starts at a trigger for digits: whichever class is surest of it.
fn number(scene: &Scene<'_>, position: usize) -> Option<Span> {
    let bytes = scene.text.as_bytes();
    let digit = |byte: u8| byte.is_ascii_digit();
    // `%204111…`: the first two digits are those of an escape.
    let escaped =
        bytes::before(bytes, position) == b'%' && bytes::at(bytes, position + 1).is_ascii_digit();
    let position = position + if escaped { 2 } else { 0 };
    let first = bytes::run(bytes, position, digit);
    // A short run stands alone unless another one follows: fractions of seconds, counts.
    let next = bytes::at(bytes, position + first);
    if first < MIN_BARE && !matches!(next, b' ' | b'-' | b'.' | b'/' | b'(') {
        return None;
    }
    let wanted = |class: Class| scene.active.contains(class);
    let card = || {
        let may = matches!(first, 4 | 13..) && wanted(Class::PaymentCard);
        may.then(|| card::starting(bytes, position))?
    };
    let ssn = || {
        let may = matches!(first, 3 | 9) && wanted(Class::Ssn);
        may.then(|| ssn::starting(bytes, position, scene.kind == KeyKind::Ssn))?
    };
    let phone = || phone::starting(bytes, position, scene.kind == KeyKind::Phone);
    let span = card().or_else(ssn).or_else(phone)?;
    Some(Span {
        quotes: json_value(bytes, span),
        ..span
    })
}

/// Backslashes before the quotes that what replaces a number needs, where the number is a whole
/// value in JSON (`{"card":4111111111111111}`) and would leave it broken without.
fn json_value(text: &[u8], span: Span) -> Option<u8> {
    let space = |byte: u8| byte == b' ';
    let colon = span
        .start
        .checked_sub(bytes::run_before(text, span.start, space) + 1)?;
    let after = span.end + bytes::run(text, span.end, space);
    let whole = bytes::at(text, colon) == b':'
        && bytes::before(text, colon) == b'"'
        && matches!(bytes::at(text, after), b',' | b'}' | b']');
    let slashes = bytes::run_before(text, colon.checked_sub(1)?, |byte| byte == b'\\');
    whole.then(|| u8::try_from(slashes).ok())?
}

/// Calls a detector for every bit of a mask and keeps what is looked for.
struct Each<'s, 'a> {
    offset: usize,
    active: ClassSet,
    spans: &'s mut Spans<'a>,
}

impl Each<'_, '_> {
    #[inline(always)]
    fn of(&mut self, mut bits: u64, detect: impl Fn(usize) -> Option<Span>) {
        while bits != 0 {
            let position = self.offset + bits.trailing_zeros() as usize;
            // What lies within a finding goes with it.
            let covered = self
                .spans
                .last()
                .is_some_and(|last| position < last.end && last.start <= position);
            let found = if covered { None } else { detect(position) };
            if let Some(span) = found.filter(|span| self.active.contains(span.class)) {
                self.spans.push(span);
            }
            bits &= bits - 1;
        }
    }
}
