//! Telephone numbers: international form with `+`, North American numbers in their clear
//! spellings, and national numbers where the text speaks of a telephone.
//!
//! A row of digits alone is never one.

use super::bytes::{
    Context, at, before, ends_ci, from, is_word, run, run_before, seen_before, two_before,
};
use crate::class::Class;
use crate::spans::Span;

/// E.164 allows 15 digits; no country has numbers shorter than 7 with its code.
const MAX_DIGITS: usize = 15;
const MIN_INTERNATIONAL: usize = 8;
/// The shortest national number worth protecting.
const MIN_NATIONAL: usize = 7;
/// A national number with its leading zero.
const MAX_NATIONAL: usize = 13;

/// How far before a number the text may speak of a telephone, in bytes: a word and a few more, also
/// where each letter takes two or three.
const CONTEXT_BEFORE: usize = 48;

/// Words of telephony in the languages that logs are written in. A word counts where it begins one.
#[rustfmt::skip]
static CONTEXT: Context = Context::new(&[
    b"phone", b"telephone", b"tel:", b"tel.", b"tel ", b"tel=", b"tel)", b"telefon", b"mobile", b"mob:", b"mob.",
    b"cell ", b"cell:", b"cell=", b"cell.", b"cellphone", b"fax", b"whatsapp", b"sms", b"msisdn", b"dial", b"call me",
    b"call us", b"call back", b"called from", b"contact number", b"ring me", b"text me",
    b"handy:", b"handy ", b"handynummer", b"mobil", b"rufnummer",
    "téléphone".as_bytes(), "tél".as_bytes(), b"portable",
    "teléfono".as_bytes(), "móvil".as_bytes(), b"movil", b"celular", b"llame",
    b"cellulare", b"telemovel", "telemóvel".as_bytes(), b"ligar para",
    b"telefoon", b"mobiel", b"gsm:", b"gsm ", b"telepon", b"ponsel", b"hp ", b"hp:",
    "komórk".as_bytes(), b"tlf", b"puhelin", b"puh.", b"matkapuhelin", b"cep tel",
    "телефон".as_bytes(), "Телефон".as_bytes(), "тел.".as_bytes(), "Тел.".as_bytes(), "моб".as_bytes(),
    "Моб".as_bytes(), "τηλ".as_bytes(), "Τηλ".as_bytes(), "τηλέφωνο".as_bytes(),
    "电话".as_bytes(), "手机".as_bytes(), "電話".as_bytes(), "手機".as_bytes(), "携帯".as_bytes(),
    "전화".as_bytes(), "휴대폰".as_bytes(), "연락처".as_bytes(),
    "هاتف".as_bytes(), "جوال".as_bytes(), "موبايل".as_bytes(), "טלפון".as_bytes(), "נייד".as_bytes(),
    "फ़ोन".as_bytes(), "फोन".as_bytes(), "मोबाइल".as_bytes(), "điện thoại".as_bytes(), "Điện thoại".as_bytes(),
    "sđt".as_bytes(), "SĐT".as_bytes(),
]);

/// Between a word of telephony and digits in one piece these say that the digits are another thing.
#[rustfmt::skip]
static OTHER: Context = Context::new(&[
    b"id", b"request", b"order", b"build", b"version", b"batch", b"invoice", b"ticket", b"queue", b"job", b"size",
    b"session", b"trace", b"took", b"port", b"pid", b"error", b"byte", b"count=", b"count ", b"counter",
]);

/// Digits with the marks people write between them.
struct Number {
    digits: [u8; MAX_DIGITS],
    total: usize,
    /// Where the number ends, and the same per group.
    end: usize,
    first_group: usize,
    groups: usize,
}

/// The number that starts at `start`: at `+`, `(` or the start of a run of digits. `known` says
/// that the field is one for such numbers.
pub(crate) fn starting(text: &[u8], start: usize, known: bool) -> Option<Span> {
    match at(text, start) {
        b'+' => international(text, start, start + 1),
        b'(' => north_american(text, start).or_else(|| parenthesised(text, start, known)),
        _ if is_encoded_plus(text, start) => international(text, start, start),
        _ if starts_free(text, start) => {
            north_american(text, start).or_else(|| national(text, start, known))
        }
        _ if with_trunk(text, start).1 => north_american(text, start),
        _ => None,
    }
}

/// A number of short groups, whose second mark is at `mark`: `91 234 56 78`. Its shape says little,
/// so that the text must speak of a telephone.
pub(crate) fn grouped(text: &[u8], mark: usize) -> Option<Span> {
    let digit = |byte: u8| byte.is_ascii_digit();
    let second = mark.checked_sub(run_before(text, mark, digit) + 1)?;
    let start = second.checked_sub(run_before(text, second, digit))?;
    starts_free(text, start).then(|| national(text, start, false))?
}

/// A plus sign as addresses and some writers of JSON escape it.
fn is_encoded_plus(text: &[u8], start: usize) -> bool {
    ends_ci(text, start, b"%2b") || ends_ci(text, start, b"\\u002b")
}

/// `+44 20 7946 0958`
fn international(text: &[u8], start: usize, digits: usize) -> Option<Span> {
    let earlier = seen_before(text, start);
    if !is_encoded_plus(text, start) && (is_word(earlier) || matches!(earlier, b'+' | b'*')) {
        return None;
    }
    let lead = [at(text, digits), at(text, digits + 1), at(text, digits + 2)];
    let longest = match lead {
        [b'1', ..] | [b'7', ..] | [b'3', b'3' | b'2' | b'4' | b'1', _] => 11,
        [b'4', b'1' | b'5' | b'6' | b'7' | b'8', _] | [b'6', b'1' | b'6', _] => 11,
        [b'4', b'4', _] | [b'9', b'1', _] | [b'8', b'1', _] | [b'5', b'2', _] => 12,
        [b'1'..=b'9', ..] => MAX_NATIONAL,
        _ => return None,
    };
    // `+44 (0)20 …`: a zero that is dialled only within the country.
    let zero = from(text, digits)
        .windows(3)
        .take(5)
        .any(|part| part == b"(0)");
    let number = Number::read(text, digits, longest + usize::from(zero))?;
    let american = lead.first() == Some(&b'1');
    let right = number.total >= MIN_INTERNATIONAL
        && (!american || number.total == 11 && is_north_american(number.digits.get(1..11)?));
    (right && ends_free(text, number.end)).then(|| Span::new(Class::Phone, start, number.end))
}

/// `(415) 555-2671`, `415-555-2671`, `415.555.2671`, `1-800-555-2671`; divided by spaces alone
/// only in context.
fn north_american(text: &[u8], start: usize) -> Option<Span> {
    let digits = [(0, 3), (0, 3), (0, 4)];
    let open = at(text, start) == b'(';
    let mut position = start + usize::from(open);
    let mut number = [0; 10];
    let mut written = 0;
    let mut marks = [0; 2];
    for (index, (_, count)) in digits.into_iter().enumerate() {
        for _ in 0..count {
            let digit = at(text, position);
            *number.get_mut(written)? = digit.is_ascii_digit().then(|| digit - b'0')?;
            written += 1;
            position += 1;
        }
        if let Some(mark) = marks.get_mut(index) {
            *mark = at(text, position);
            let closing = open && index == 0;
            if closing != (*mark == b')') || !matches!(*mark, b')' | b'-' | b'.' | b' ') {
                return None;
            }
            position += 1;
            position += usize::from(closing && at(text, position) == b' ');
        }
    }
    let (start, prefixed) = with_trunk(text, start);
    let spaced = marks == [b' ', b' '];
    let same = open || marks.first() == marks.last();
    let clear = same && (!spaced || prefixed || mentions_telephone(text, start));
    let right = clear && is_north_american(&number) && starts_free(text, start);
    (right && ends_free(text, position)).then(|| Span::new(Class::Phone, start, position))
}

/// The start with the `1-` before an American number, if there is one.
fn with_trunk(text: &[u8], start: usize) -> (usize, bool) {
    let marked = matches!(before(text, start), b'-' | b'.' | b' ');
    let trunk = start.wrapping_sub(2);
    if marked
        && at(text, trunk) == b'1'
        && !is_word(seen_before(text, trunk))
        && starts_free(text, trunk)
    {
        return (trunk, true);
    }
    (start, false)
}

/// Area and exchange codes start with 2 to 9, and neither is a service code such as 911.
fn is_north_american(digits: &[u8]) -> bool {
    let code = |index: usize| digits.get(index).is_some_and(|digit| *digit >= 2);
    let service = |index: usize| digits.get(index..index + 2) == Some(&[1, 1]);
    digits.len() == 10 && code(0) && code(3) && !service(1) && !service(4)
}

/// Any other number, where a telephone is spoken of.
fn national(text: &[u8], start: usize, known: bool) -> Option<Span> {
    let abroad = text.get(start..start + 2) == Some(b"00");
    let longest = if abroad { MAX_DIGITS } else { MAX_NATIONAL };
    let number = Number::read(text, start, longest)?;
    let bare = number.groups == 1;
    let right = (MIN_NATIONAL..=longest).contains(&number.total)
        && !(bare && number.is_time())
        && ends_free(text, number.end)
        && (known
            || if bare {
                means_digits(text, start)
            } else {
                mentions_telephone(text, start)
            });
    right.then(|| Span::new(Class::Phone, start, number.end))
}

/// An area code in parentheses, perhaps behind a trunk digit, where a telephone is spoken of:
/// `(02) 9374 4000`, `8 (912) 345-67-89`.
fn parenthesised(text: &[u8], open: usize, known: bool) -> Option<Span> {
    let code = run(text, open + 1, |byte| byte.is_ascii_digit());
    if !(1..=5).contains(&code) || at(text, open + 1 + code) != b')' {
        return None;
    }
    let gap = usize::from(matches!(before(text, open), b' ' | b'-'));
    let trunk = open.checked_sub(gap + 1);
    let is_trunk = |place: &usize| {
        matches!(at(text, *place), b'0' | b'8') && !is_word(seen_before(text, *place))
    };
    let start = trunk.filter(is_trunk).unwrap_or(open);
    let number = Number::read(text, open + 1, MAX_NATIONAL)?;
    let right = number.groups > 1
        && number.total >= MIN_NATIONAL
        && ends_free(text, number.end)
        && (known || mentions_telephone(text, start));
    right.then(|| Span::new(Class::Phone, start, number.end))
}

/// The first number in the value of a field or pair that is named for telephone numbers.
pub(crate) fn value(text: &[u8], start: usize, end: usize) -> Option<Span> {
    let first = text
        .get(start..end)?
        .iter()
        .position(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'('))?;
    let from = start + first;
    starting(text, from, true).filter(|span| span.end <= end)
}

fn mentions_telephone(text: &[u8], start: usize) -> bool {
    CONTEXT.is_in(text, start.saturating_sub(CONTEXT_BEFORE), start)
}

/// Whether the text speaks of a telephone and then of nothing else that could be digits.
fn means_digits(text: &[u8], start: usize) -> bool {
    let spoken = CONTEXT.last_end(text, start.saturating_sub(CONTEXT_BEFORE), start);
    spoken.is_some_and(|end| !OTHER.is_in(text, end.min(start), start))
}

fn starts_free(text: &[u8], start: usize) -> bool {
    let (last, earlier) = two_before(text, start);
    match last {
        b' ' | b'/' | b':' | b',' => !earlier.is_ascii_digit(),
        b'-' | b'.' => !is_word(earlier),
        b'*' | b'+' | b'#' => false,
        _ => !is_word(last),
    }
}

fn ends_free(text: &[u8], end: usize) -> bool {
    let (next, later) = (at(text, end), at(text, end + 1));
    match next {
        b'-' | b'.' => !is_word(later),
        b':' | b'/' => !later.is_ascii_digit(),
        b'*' => false,
        _ => !is_word(next),
    }
}

impl Number {
    /// Reads groups of digits until the longest number is full. A group that would not fit is
    /// left to the text, as is everything after a whole number in one piece.
    fn read(text: &[u8], start: usize, longest: usize) -> Option<Number> {
        let mut number = Number {
            digits: [0; MAX_DIGITS],
            total: 0,
            end: start,
            first_group: 0,
            groups: 0,
        };
        let mut position = start;
        let in_query = is_in_query(text, start);
        loop {
            let digits = super::bytes::run(text, position, |byte| byte.is_ascii_digit());
            if digits == 0 || number.total + digits > longest {
                break;
            }
            for digit in from(text, position).iter().take(digits) {
                *number.digits.get_mut(number.total)? = digit - b'0';
                number.total += 1;
            }
            number.groups += 1;
            number.end = position + digits;
            if number.groups == 1 {
                number.first_group = digits;
            }
            let whole = number.first_group >= MIN_INTERNATIONAL;
            let marks = mark_length(text, number.end, in_query);
            if whole || marks == 0 || number.total == longest {
                break;
            }
            position = number.end + marks;
        }
        (number.total > 0).then_some(number)
    }

    /// Whether the digits in one piece are a time: ten that start with 1 in seconds, thirteen in
    /// milliseconds, eight a day of this century or the last.
    fn is_time(&self) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = self.digits;
        match self.total {
            10 | 13 => a == 1,
            8 => {
                let (month, day) = (10 * e + f, 10 * g + h);
                let century = (a, b) == (2, 0) || (a, b, c) == (1, 9, 9);
                century && d <= 9 && (1..=12).contains(&month) && (1..=31).contains(&day)
            }
            _ => false,
        }
    }
}

/// Whether a number stands in the query of an address or in a form, where `+` is a space: behind `=`
/// or an encoded `+`.
fn is_in_query(text: &[u8], start: usize) -> bool {
    before(text, start) == b'=' || is_encoded_plus(text, start)
}

/// The marks between two groups: one of ` -./`, or parentheses with a space; in a query a plus or
/// an encoded space too.
fn mark_length(text: &[u8], end: usize, in_query: bool) -> usize {
    match (at(text, end), at(text, end + 1)) {
        (b'+', next) if in_query && next.is_ascii_digit() => 1,
        (b'%', b'2') if in_query && at(text, end + 2) == b'0' => 3,
        (b' ', b'(') | (b')', b' ' | b'-') => 2,
        (b' ' | b'-' | b'.' | b'/' | b'(' | b')', next) if next.is_ascii_digit() => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let bytes = text.as_bytes();
        let starts = (0..bytes.len()).filter(|index| {
            let digit =
                at(bytes, *index).is_ascii_digit() && !before(bytes, *index).is_ascii_digit();
            digit || matches!(at(bytes, *index), b'+' | b'(')
        });
        let mut spans = starts.filter_map(|start| starting(bytes, start, false));
        spans.next().and_then(|span| text.get(span.start..span.end))
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("+14155552671", "+14155552671"),
            ("from +1 (415) 555-2671 at", "+1 (415) 555-2671"),
            ("+44 20 7946 0958", "+44 20 7946 0958"),
            ("+49 (0)30 1234567.", "+49 (0)30 1234567"),
            ("+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
            ("+33 6 12 34 56 78 200 OK", "+33 6 12 34 56 78"),
            ("+14155552671 200 OK", "+14155552671"),
            ("to=%2B14155552671&x", "14155552671"),
            ("to=%2B44+20+7946+0958&x", "44+20+7946+0958"),
            ("to=%2B44%2020%207946%200958&x", "44%2020%207946%200958"),
            ("/users/%2B886912050172/edit", "886912050172"),
            (r"first\n1-800-555-2671", "1-800-555-2671"),
            ("联系电话:138 7614 3498", "138 7614 3498"),
            ("(415) 555-2671", "(415) 555-2671"),
            ("x (415)555-2671", "(415)555-2671"),
            ("415-555-2671", "415-555-2671"),
            ("415.555.2671,", "415.555.2671"),
            ("1-800-555-2671", "1-800-555-2671"),
            ("phone 415 555 2671", "415 555 2671"),
            ("call me at 4155552671", "4155552671"),
            ("Tel: 020 7946 0958", "020 7946 0958"),
            ("mobile 07700 900123", "07700 900123"),
            ("fax 030/1234567", "030/1234567"),
            ("phone: 06 12 34 56 78", "06 12 34 56 78"),
            ("phone_number=09123456789", "09123456789"),
            ("Tel. (02) 9374 4000", "(02) 9374 4000"),
            ("телефон: 8 (912) 345-67-89", "8 (912) 345-67-89"),
            ("cep telefonu 0(532) 123 45 67", "0(532) 123 45 67"),
            ("téléphone : 00 33 1 23 45 67 89", "00 33 1 23 45 67 89"),
            ("tel 0044 20 7946 0958", "0044 20 7946 0958"),
            ("手机号码 138 1234 5678", "138 1234 5678"),
            ("Handy: 22334455", "22334455"),
            (r"\u002B4915112345678", "4915112345678"),
            ("tel:\\n+4915112345678", "+4915112345678"),
        ] {
            assert_eq!(found(text), Some(number), "{text}");
        }
    }

    #[test]
    fn what_was_taken_out_speaks_of_no_telephone() {
        let hash = format!("phone:v1:{}", "a".repeat(24));
        for mark in ["[PHONE]", hash.as_str()] {
            assert_eq!(found(&format!("{mark} 020 7946 0958")), None, "{mark}");
        }
        for words in ["[phone]", "phone:v1,", "phone [PHONE]"] {
            let text = format!("{words} 020 7946 0958");
            assert_eq!(found(&text), Some("020 7946 0958"), "{words}");
        }
    }

    #[test]
    fn other_numbers() {
        for text in [
            "+0100",
            "12:00:00+0530",
            "+12345",
            "a+14155552671",
            "+1 123 456 7890",
            "4155552671",
            "415 555 2671",
            "1700000000",
            "phone 1700000000",
            "phone 1700000000000",
            "mobile build 20260117",
            "phone number is missing in request 48291734",
            "(02) 9374 4000",
            "22334455",
            "192.168.1.100",
            "2024-01-02",
            "115-555-2671",
            "415-155-2671",
            "415-555-26711",
            "x415-555-2671",
            "1415-555-2671x",
            "07700 900123",
            "(123) 4",
            "(415)",
            "v1.415.555.2671",
            "10.0.0.1",
            "123e4567-e89b-12d3-a456-426614174000",
            "+++12345678901",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
