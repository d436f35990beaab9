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

use wide::u64x2;

use crate::class::{Class, ClassSet};
use crate::keys::{KeyKind, Keys};
use crate::masks::{BLOCK, Masks};
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
#[inline]
pub(crate) fn run(scene: &Scene<'_>, spans: &mut Spans<'_>) {
    let bytes = scene.text.as_bytes();
    if bytes.len() < MIN_TEXT {
        return;
    }
    let mut looker = Looker { scene, spans };
    if bytes.len() <= BLOCK {
        let triggers = Triggers::of(&Masks::at(bytes, 0), &Asked::ALL, scene.active);
        looker.see(&Window::One(&triggers, u64::MAX), 0);
    } else {
        run_windows(scene, looker);
    }
    if scene.kind == KeyKind::Phone && scene.active.contains(Class::Phone) {
        spans.extend(phone::value(bytes, 0, bytes.len()));
    }
}

/// As `run`, for a text of more than one window.
#[inline(never)]
fn run_windows(scene: &Scene<'_>, looker: Looker<'_, '_, '_>) {
    walk(scene.text.as_bytes(), scene.active, looker);
}

/// Tells the positions of a text of at least one window where a detector may find something.
#[inline(never)]
pub(crate) fn suspects(text: &[u8], active: ClassSet, keys: &Keys, tell: impl FnMut(usize, u64)) {
    walk(text, active, Teller { text, keys, tell });
}

/// What is done with the triggers of a window. No closure, so that what is seen needs no memory.
trait See {
    fn see(&mut self, window: &Window<'_>, offset: usize);
}

/// Asks about the windows of a text of at least one, two at a time.
#[inline(always)]
fn walk(text: &[u8], active: ClassSet, mut eye: impl See) {
    let mut windows = Windows::of(text);
    while let Some((first, asked)) = windows.next() {
        let Some((second, asked_too)) = windows.next() else {
            let triggers = Triggers::of(&Masks::at(text, first), &asked, active);
            return eye.see(&Window::One(&triggers, asked.counts), first);
        };
        let both = Asked::both(asked, asked_too);
        let triggers = Triggers::of(&Masks::at_both(text, first, second), &both, active);
        eye.see(&Window::First(&triggers, both.counts), first);
        eye.see(&Window::Second(&triggers, both.counts), second);
    }
}

/// The triggers of one window, also of one of two, and its positions that count.
enum Window<'t> {
    One(&'t Triggers<u64>, u64),
    First(&'t Triggers<u64x2>, u64x2),
    Second(&'t Triggers<u64x2>, u64x2),
}

impl Window<'_> {
    #[inline(always)]
    fn between(&self) -> u64 {
        match self {
            Window::One(triggers, counts) => triggers.between(*counts),
            Window::First(triggers, counts) => first_of(triggers.between(*counts)),
            Window::Second(triggers, counts) => second_of(triggers.between(*counts)),
        }
    }

    #[inline(always)]
    fn others(&self) -> u64 {
        match self {
            Window::One(triggers, counts) => triggers.others(*counts),
            Window::First(triggers, counts) => first_of(triggers.others(*counts)),
            Window::Second(triggers, counts) => second_of(triggers.others(*counts)),
        }
    }

    /// Those that count, with these of the marks between names and values only.
    #[inline(always)]
    fn triggers(&self, names: u64) -> Triggers<u64> {
        match self {
            Window::One(triggers, counts) => triggers.counted(*counts, names),
            Window::First(triggers, counts) => triggers
                .of_window(first_of)
                .counted(first_of(*counts), names),
            Window::Second(triggers, counts) => triggers
                .of_window(second_of)
                .counted(second_of(*counts), names),
        }
    }
}

#[inline(always)]
const fn first_of(bits: u64x2) -> u64 {
    let [first, _] = bits.to_array();
    first
}

#[inline(always)]
const fn second_of(bits: u64x2) -> u64 {
    let [_, second] = bits.to_array();
    second
}

/// Where windows of 64 bytes lie in a text of more, and which of their positions count: each
/// begins with bytes that were already looked at, and ends with those that the shapes of its
/// triggers reach. The last ends with the text.
struct Windows {
    /// How far all positions have counted.
    done: usize,
    length: usize,
}

impl Windows {
    const fn of(text: &[u8]) -> Windows {
        Windows {
            done: 0,
            length: text.len(),
        }
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
    fn see(&mut self, window: &Window<'_>, offset: usize) {
        let text = self.scene.text.as_bytes();
        let names = named(text, self.scene.keys, window.between(), offset);
        if names | window.others() != 0 {
            pull(self.scene, &window.triggers(names), offset, self.spans);
        }
    }
}

/// Tells them only.
struct Teller<'t, Tell> {
    text: &'t [u8],
    keys: &'t Keys,
    tell: Tell,
}

impl<Tell: FnMut(usize, u64)> See for Teller<'_, Tell> {
    #[inline(always)]
    fn see(&mut self, window: &Window<'_>, offset: usize) {
        let names = named(self.text, self.keys, window.between(), offset);
        (self.tell)(offset, names | window.others());
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
    let next = bytes::at(bytes, position + first);
    if first < MIN_BARE && !matches!(next, b' ' | b'-' | b'.' | b'/' | b'(' | b'+' | b'%') {
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
