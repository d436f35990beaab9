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
#[cfg(test)]
mod reference;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u64x2, u64x4};

use crate::class::{Class, ClassSet};
use crate::keys::{KeyKind, Keys};
use crate::masks::{BLOCK, Bits, Masks};
use crate::spans::{Span, Spans};
use crate::triggers::{Asked, BEHIND, REACH, Triggers};

/// The shortest text that can hold anything: `pw=x1`.
pub(crate) const MIN_TEXT: usize = 5;

/// The first byte of full-width marks in UTF-8.
const FULL_WIDTH: u8 = 0xef;

/// The fewest digits in one piece that can be a number of somebody's.
const MIN_BARE: usize = 7;

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
#[inline(never)]
pub(crate) fn run(level: Level, scene: &Scene<'_>, spans: &mut Spans<'_>) {
    let bytes = scene.text.as_bytes();
    if bytes.len() < MIN_TEXT {
        return;
    }
    let looker = Looker { scene, spans };
    dispatch!(level, simd => walk(simd, bytes, scene.active, looker));
    if scene.kind == KeyKind::Phone && scene.active.contains(Class::Phone) {
        spans.extend(phone::value(bytes, 0, bytes.len()));
    }
}

/// Tells the positions of a text where a detector may find something.
pub(crate) fn suspects(
    level: Level,
    text: &[u8],
    active: ClassSet,
    keys: &Keys,
    tell: impl FnMut(usize, u64),
) {
    let teller = Teller { keys, tell };
    dispatch!(level, simd => walk(simd, text, active, teller));
}

/// What is done with the triggers of a window.
trait See {
    /// The words of names.
    fn keys(&self) -> &Keys;

    /// Something may be found at these positions from this place on.
    fn see(&mut self, place: usize, suspects: u64, triggers: impl FnOnce() -> Triggers<u64>);
}

/// Asks about all windows of a text: by fours, which is a vector of AVX2, and the last ones by twos.
#[inline(always)]
fn walk<S: Simd>(simd: S, text: &[u8], active: ClassSet, mut eye: impl See) {
    if text.len() <= BLOCK {
        let (place, Asked { counts, .. }) = (0, Asked::ALL);
        let triggers = Triggers::of(&Masks::at(simd, text, place), &Asked::ALL, active);
        let names = named(text, eye.keys(), triggers.between(counts), place);
        let words = made(text, triggers.words(counts), place);
        let suspects = names | words | triggers.others(counts);
        if suspects != 0 {
            eye.see(place, suspects, || triggers.counted(counts, names, words));
        }
        return;
    }
    let mut windows = Windows::of(text);
    while windows.length - windows.done > FEW {
        let some = windows.some::<4>();
        let [(first, _), (second, _), (third, _), (fourth, _)] = some;
        let asked = Asked::abreast(&some, |bits| u64x4::simd_from(simd, bits));
        let masks = Masks::of_four(simd, text, [first, second, third, fourth]);
        let triggers = Triggers::of(&masks, &asked, active);
        show(text, &some, (&triggers, asked.counts), &mut eye);
    }
    while windows.done < windows.length {
        let some = windows.some::<2>();
        let [(first, _), (second, _)] = some;
        let asked = Asked::abreast(&some, |bits| u64x2::simd_from(simd, bits));
        let masks = Masks::of_two(simd, text, [first, second]);
        let triggers = Triggers::of(&masks, &asked, active);
        show(text, &some, (&triggers, asked.counts), &mut eye);
    }
}

/// Shows what may be found in each of the windows that were looked at side by side.
#[inline(always)]
fn show<B: Bits, const WINDOWS: usize>(
    text: &[u8],
    windows: &[(usize, Asked<u64>); WINDOWS],
    (triggers, counts): (&Triggers<B>, B),
    eye: &mut impl See,
) {
    let between = triggers.between(counts);
    let (words, others) = (triggers.words(counts), triggers.others(counts));
    for (index, (place, asked)) in windows.iter().enumerate() {
        let names = named(text, eye.keys(), between.of_window(index), *place);
        let words = made(text, words.of_window(index), *place);
        let suspects = names | words | others.of_window(index);
        if suspects != 0 {
            let triggers = triggers.of_window(index);
            eye.see(*place, suspects, || {
                triggers.counted(asked.counts, names, words)
            });
        }
    }
}

/// Where windows of 64 bytes lie in a text of more, and which of their positions count: each
/// begins with bytes that were already looked at, and ends with those that the shapes of its
/// triggers reach. The last ends with the text.
struct Windows {
    /// How far all positions have counted.
    done: usize,
    length: usize,
}

/// How far each window but the first and the last lies behind the one before.
const STEP: usize = BLOCK - REACH - BEHIND;

/// As much of a text as two windows always hold.
const FEW: usize = 2 * STEP + REACH;

impl Windows {
    const fn of(text: &[u8]) -> Windows {
        Windows {
            done: 0,
            length: text.len(),
        }
    }

    /// Where the next windows lie. Where fewer are left, the last stands in for them, and counts
    /// once.
    #[inline(always)]
    fn some<const WINDOWS: usize>(&mut self) -> [(usize, Asked<u64>); WINDOWS] {
        let start = self.done.wrapping_sub(BEHIND);
        let mut some = [(start, Asked::MIDST); WINDOWS];
        if self.done > 0 && start + WINDOWS * STEP + BLOCK < self.length {
            self.done += WINDOWS * STEP;
            for (index, (place, _)) in some.iter_mut().enumerate() {
                *place += index * STEP;
            }
            return some;
        }
        let mut spare = (0, Asked::NONE);
        for window in &mut some {
            *window = self.next().unwrap_or(spare);
            spare.0 = window.0;
        }
        some
    }
}

impl Iterator for Windows {
    type Item = (usize, Asked<u64>);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, Asked<u64>)> {
        if self.done >= self.length {
            return None;
        }
        let last = self.length.saturating_sub(BLOCK);
        let offset = self.done.saturating_sub(BEHIND).min(last);
        let beyond = if offset == last { 0 } else { REACH };
        let counts = (u64::MAX << (self.done - offset)) & (u64::MAX >> beyond);
        self.done = offset + BLOCK - beyond;
        Some((offset, Asked::within(counts, offset)))
    }
}

/// Leads the triggers of a window to their detectors, if there are any.
struct Looker<'s, 'k, 'a> {
    scene: &'s Scene<'s>,
    spans: &'k mut Spans<'a>,
}

impl See for Looker<'_, '_, '_> {
    #[inline(always)]
    fn keys(&self) -> &Keys {
        self.scene.keys
    }

    #[inline(always)]
    fn see(&mut self, place: usize, _: u64, triggers: impl FnOnce() -> Triggers<u64>) {
        pull(self.scene, &triggers(), place, self.spans);
    }
}

/// Tells them only.
struct Teller<'t, Tell> {
    keys: &'t Keys,
    tell: Tell,
}

impl<Tell: FnMut(usize, u64)> See for Teller<'_, Tell> {
    #[inline(always)]
    fn keys(&self) -> &Keys {
        self.keys
    }

    #[inline(always)]
    fn see(&mut self, place: usize, suspects: u64, _: impl FnOnce() -> Triggers<u64>) {
        (self.tell)(place, suspects);
    }
}

/// The marks of those that stand behind what may be a name of ours.
#[inline(always)]
fn named(text: &[u8], keys: &Keys, marks: u64, offset: usize) -> u64 {
    let (mut named, mut marks) = (marks, marks);
    while marks != 0 {
        let lowest = marks & marks.wrapping_neg();
        let mark = offset + marks.trailing_zeros() as usize;
        let head = text.get(..mark).unwrap_or_default();
        if !keys.custom && !pair::may_be_named(head) {
            named ^= lowest;
        }
        marks ^= lowest;
    }
    named
}

/// Those of the starts of long words that may be a token's.
#[inline(always)]
fn made(text: &[u8], starts: u64, offset: usize) -> u64 {
    let (mut made, mut starts) = (starts, starts);
    while starts != 0 {
        let lowest = starts & starts.wrapping_neg();
        if !token::may_start(text, offset + starts.trailing_zeros() as usize) {
            made ^= lowest;
        }
        starts ^= lowest;
    }
    made
}

/// Hands every trigger of a window to its detector.
#[inline(never)]
fn pull(scene: &Scene<'_>, triggers: &Triggers<u64>, offset: usize, spans: &mut Spans<'_>) {
    let text = scene.text;
    let bytes = text.as_bytes();
    let mut each = Each {
        offset,
        active: scene.active,
        spans,
    };
    each.of(triggers.mark | triggers.sign, |position| {
        mark(scene, position)
    });
    each.of(triggers.colon, |position| pair::at_mark(scene, position));
    each.of(triggers.quote, |position| pair::at_quote(text, position));
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
        b'u' => email::at_sign(scene.text, position.checked_sub(1)?),
        b'=' | b'>' | FULL_WIDTH => pair::at_mark(scene, position),
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
    if first < MIN_BARE && !goes_on(bytes, position + first) {
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

/// Whether a number may go on behind a run of digits: a mark, and more of them.
fn goes_on(text: &[u8], end: usize) -> bool {
    let next = bytes::at(text, end + 1);
    match bytes::at(text, end) {
        b' ' => next.is_ascii_digit() || next == b'(',
        b'-' | b'.' | b'/' | b'(' | b'+' => next.is_ascii_digit(),
        b'%' => next == b'2',
        _ => false,
    }
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
