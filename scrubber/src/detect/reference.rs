//! The triggers once more, byte by byte over the whole text and without any glance that saves work:
//! whatever is found by way of these must be found by way of the masks and windows too.

use bumpalo::Bump;
use fearless_simd::Level;
use proptest::prelude::*;

use super::bytes::{at, before, from, is_word, run};
use super::{Scene, Windows, pull, run as find};
use crate::class::{Class, ClassSet};
use crate::keys::{KeyKind, Keys};
use crate::spans::{self, Span};
use crate::triggers::Triggers;

/// The shapes at a position, as the families of detectors define theirs.
struct Shapes<'t>(&'t [u8]);

impl Shapes<'_> {
    fn is(&self, index: usize, kind: impl Fn(u8) -> bool) -> bool {
        kind(at(self.0, index))
    }

    fn digit(&self, index: usize) -> bool {
        self.is(index, |byte| byte.is_ascii_digit())
    }

    fn digits(&self, index: usize, count: usize) -> bool {
        (index..index + count).all(|index| self.digit(index))
    }

    fn letter(&self, index: usize) -> bool {
        self.is(index, |byte| byte.is_ascii_alphabetic())
    }

    fn word(&self, index: usize) -> bool {
        self.is(index, |byte| is_word(byte) || byte == b'-')
    }

    fn slash(&self, index: usize) -> bool {
        self.is(index, |byte| matches!(byte, b'/' | b'\\'))
    }

    fn word_start(&self, index: usize) -> bool {
        self.word(index) && !self.word(index.wrapping_sub(1))
    }

    fn seen_start(&self, index: usize) -> bool {
        let mark = |byte: u8| b"@%=>+(".contains(&byte);
        let escape = || self.slash(index.wrapping_sub(2)) || self.is(index.wrapping_sub(3), mark);
        self.word_start(index) || self.word(index) && escape()
    }

    fn token_start(&self, index: usize) -> bool {
        let last = before(self.0, index);
        self.word_start(index) || self.letter(index) && !last.is_ascii_alphanumeric()
    }

    /// Whether digits in groups of at least these lengths start here, all but the last exactly.
    fn grouped(&self, start: usize, lengths: &[usize]) -> bool {
        let mut index = start;
        lengths.iter().enumerate().all(|(place, length)| {
            let joint = place == 0 || self.is(index, |byte| b"-. +".contains(&byte));
            index += usize::from(place > 0);
            let right = joint && self.digits(index, *length);
            index += length;
            right
        })
    }

    /// Whether so many digits start here and an escape such as `%20` follows.
    fn escaped(&self, start: usize, length: usize) -> bool {
        let end = start + length;
        self.digits(start, length) && self.is(end, |byte| byte == b'%') && self.digit(end + 1)
    }

    fn after_date(&self, index: usize) -> bool {
        let (last, earlier) = (before(self.0, index), before(self.0, index.wrapping_sub(1)));
        matches!(last, b'-' | b'.' | b'/' | b'\\') || last == b':' && earlier.is_ascii_digit()
    }

    fn number(&self, start: usize) -> bool {
        let leading = self.is(start, |byte| byte == b'0')
            && self.digit(start + 1)
            && !self.after_date(start)
            && at(self.0, start + 2) != b':';
        let dotted = at(self.0, start + 3) == b'.';
        self.digit(start)
            && !self.digit(start.wrapping_sub(1))
            && (self.digits(start, 8)
                || self.grouped(start, &[3, 2, 4]) && !dotted
                || self.grouped(start, &[3, 3, 4])
                || self.grouped(start, &[4, 4])
                || self.grouped(start, &[5, 5])
                || self.escaped(start, 3)
                || self.escaped(start, 4)
                || leading)
    }

    /// Where the second mark of a number in short groups stands, that starts here.
    fn second_mark(&self, start: usize) -> Option<usize> {
        let digit = |byte: u8| byte.is_ascii_digit();
        let mark = |index: usize| {
            let right = matches!(at(self.0, index), b'-' | b' ') && self.digits(index + 1, 2);
            right.then_some(index)
        };
        let first = run(self.0, start, digit);
        if before(self.0, start).is_ascii_digit()
            || !(1..=3).contains(&first)
            || self.after_date(start)
        {
            return None;
        }
        let second = mark(start + first)? + 1;
        mark(second + run(self.0, second, digit))
    }

    fn mac(&self, index: usize) -> bool {
        let mark = at(self.0, index);
        match mark {
            b':' | b'-' => (1..5).all(|place| at(self.0, index + 3 * place) == mark),
            b'.' => at(self.0, index + 5) == b'.',
            _ => false,
        }
    }

    fn pair(&self, index: usize, pairs: &[&[u8; 2]]) -> bool {
        let here = [at(self.0, index), at(self.0, index + 1)].map(|byte| byte.to_ascii_lowercase());
        pairs.contains(&&here)
    }

    fn ipv6(&self, index: usize) -> bool {
        let colon = |index: usize| at(self.0, index) == b':';
        let near = (1..=5).any(|ahead| colon(index + ahead));
        colon(index) && near && !colon(index.wrapping_sub(1))
    }

    fn mark(&self, index: usize) -> bool {
        let escaped = from(self.0, index).starts_with(b"u0040") && before(self.0, index) == b'\\';
        self.is(index, |byte| b"@%=>+(\xef".contains(&byte)) || escaped
    }

    fn flag(&self, index: usize) -> bool {
        let dashes = self.pair(index, &[b"--"]);
        dashes && self.seen_start(index) && self.letter(index + 2)
    }

    fn dashes(&self, index: usize) -> bool {
        from(self.0, index).starts_with(b"-----") && before(self.0, index) != b'-'
    }

    fn iban(&self, index: usize) -> bool {
        let letters = self.letter(index) && self.letter(index + 1);
        letters && self.seen_start(index) && self.digits(index + 2, 2)
    }

    /// All triggers of the window at `offset` whose positions count.
    fn triggers(&self, offset: usize, counts: u64) -> Triggers<u64> {
        let counted: Vec<usize> = (0..64).filter(|bit| counts >> bit & 1 == 1).collect();
        let all = |is: &dyn Fn(usize) -> bool| {
            let set = counted.iter().filter(|bit| is(offset + **bit));
            set.fold(0u64, |bits, bit| bits | 1 << bit)
        };
        let groups = counted
            .iter()
            .filter_map(|bit| self.second_mark(offset + bit));
        // The two digits behind the mark belong to the shape.
        let groups = groups.filter(|mark| mark + 2 - offset < 64);
        let word_run = |index: usize| (index..index + 16).all(|index| self.word(index));
        Triggers {
            mark: all(&|index| self.mark(index)),
            sign: 0,
            colon: all(&|index| {
                at(self.0, index) == b':' && !before(self.0, index).is_ascii_digit()
            }),
            quote: all(&|index| at(self.0, index) == b'\''),
            flag: all(&|index| self.flag(index)),
            token: all(&|index| self.token_start(index) && word_run(index)),
            scheme: all(&|index| self.seen_start(index) && self.pair(index, &[b"be", b"ba"])),
            dashes: all(&|index| self.dashes(index)),
            home: all(&|index| self.slash(index) && self.pair(index + 1, &[b"ho", b"us"])),
            mac: all(&|index| self.mac(index)),
            digits: all(&|index| self.number(index)),
            groups: groups.fold(0, |bits, mark| bits | 1 << (mark - offset)),
            iban: all(&|index| self.iban(index)),
            ipv4: all(&|index| {
                let around = self.digit(index.wrapping_sub(1)) && self.digit(index + 1);
                at(self.0, index) == b'.' && around
            }),
            ipv6: all(&|index| self.ipv6(index)),
        }
    }
}

/// What is found by way of the slow triggers.
fn slowly(scene: &Scene<'_>) -> Vec<Span> {
    let (arena, text) = (Bump::new(), scene.text.as_bytes());
    let mut found = spans::none(&arena);
    if text.len() >= super::MIN_TEXT {
        for (offset, asked) in Windows::of(text) {
            let triggers = Shapes(text).triggers(offset, asked.counts);
            pull(scene, &triggers, offset, &mut found);
        }
        if scene.kind == KeyKind::Phone && scene.active.contains(Class::Phone) {
            found.extend(super::phone::value(text, 0, text.len()));
        }
    }
    found.to_vec()
}

fn fast(level: Level, scene: &Scene<'_>) -> Vec<Span> {
    let arena = Bump::new();
    let mut found = spans::none(&arena);
    find(level, scene, &mut found);
    found.to_vec()
}

/// What is found by way of two triggers is found twice, and counts once.
fn each_once(mut found: Vec<Span>) -> Vec<Span> {
    found.sort_by_key(|span| (span.start, span.end, span.class));
    found.dedup();
    found
}

fn same(text: &str, kind: KeyKind, keys: &Keys) -> Result<(), TestCaseError> {
    for active in [ClassSet::ALL, ClassSet::of(Class::Phone)] {
        let scene = Scene {
            text,
            active,
            keys,
            kind,
        };
        let slow = each_once(slowly(&scene));
        for level in [Level::baseline(), Level::new()] {
            let fast = each_once(fast(level, &scene));
            prop_assert_eq!(&fast, &slow, "{:?}", text);
        }
    }
    Ok(())
}

/// Values, what stands around them, and halves of both.
fn piece() -> impl Strategy<Value = String> {
    let whole = proptest::sample::select(WHOLE).prop_map(str::to_owned);
    let part = (proptest::sample::select(WHOLE), 0usize..24, 0usize..24).prop_map(
        |(whole, from, length)| whole.chars().skip(from).take(length).collect::<String>(),
    );
    prop_oneof![
        4 => whole,
        2 => part,
        1 => "[-@.:=/ \\\\\"'+()\\[\\]{}<>&,;*%\n：]{1,3}",
        1 => "[a-zA-Z0-9]{1,6}",
        1 => "[0-9]{1,14}",
        1 => "([0-9]{1,5}(-| |\\.|\\+|%20|:|/)){1,5}",
        1 => "\\PC{1,4}",
        1 => "[ -~]{1,40}",
    ]
}

#[rustfmt::skip]
const WHOLE: &[&str] = &[
    "bob@example.com", "bob%40example.com", "bob\\u0040example.com", "bob\\\\u0040example.com", "4111 1111 1111 1111",
    "4111+1111+1111+1111", "4111%201111%201111%201111", "4111111111111111", "123-45-6789", "123+45+6789", "123456789",
    "ssn ", "phone: ", "phone", "tel=", "+1 (415) 555-2671", "%2B44+20+7946+0958", "tel. 91 234 56 78", "(02) 9374 4000",
    "8 (912) 345-67-89", "415-555-2671", "020 7946 0958", "09 06:07:04", "00 49 30 1234567", "\\u002b4930123456", "\\n",
    "\\u003c", "%3D", "%5D", "%5b", "пароль: ", "密码：", "password：", "\"card\":4111111111111111,", "[EMAIL]", "***",
    "email:v2:0123456789abcdef01234567", "GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "sk-0123456789abcdefghijABCDEFGHIJ", "SG.0123456789abcdefghij12.0123456789abcdefghijABCDEFGHIJ01234567890ab",
    "password=", "Password2 = ", "\"token\":", "\"token_2\" : ", "'secret':", "\\\"secret\\\": \\\"", "user[password]=",
    "user%5Bpwd%5D=", "Authorization: Bearer ", "Basic dXNlcjpwYXNzd29yZA==", "Cookie: ", "<pwd>", "--password ",
    "PASSWORD 'x1'", "IDENTIFIED BY 'it''s'", "password('", "postgres://u:p@h.com/", "/home/alice/", "/Users/bob/",
    "C:\\Users\\bob\\", "00:1a:2b:3c:4d:5e", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e", "10.1.2.3", "2001:db8::1",
    "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "Jun 09 06:07:04 web1 sshd[19939]: port 54106 ssh2",
    "blk_-1608999687919862906", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "level=info msg=\"done\" user = bob ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_every_detector_finds_is_found(
        pieces in proptest::collection::vec(piece(), 1..16),
        kind in proptest::sample::select(&[KeyKind::Plain, KeyKind::Phone, KeyKind::Ssn][..]),
    ) {
        same(&pieces.concat(), kind, &Keys::default())?;
    }

    #[test]
    fn the_place_does_not_matter(piece in piece(), before in 0usize..140, after in 0usize..140) {
        let text = format!("{}{piece}{}", " ".repeat(before), "z".repeat(after));
        same(&text, KeyKind::Plain, &Keys::default())?;
        let text = format!("{}\\n{piece} {}", "y".repeat(before), " ".repeat(after));
        same(&text, KeyKind::Plain, &Keys::default())?;
    }

    #[test]
    fn with_words_of_a_policy_too(pieces in proptest::collection::vec(piece(), 1..8)) {
        let keys = Keys::new(["badge".into(), "id".into()].into(), ["token".into()].into());
        same(&pieces.concat(), KeyKind::Plain, &keys)?;
    }
}
