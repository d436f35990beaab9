//! A labelled corpus, generated: how much personal data is found, and how much else is hit.
//!
//! Every line is a sentence around one value. Values are made by their own rules here, not by the
//! detectors' tables, so that a mistake there shows.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the generator of a test, outside the functions that clippy knows as tests"
)]

use bumpalo::Bump;
use millrace_scrubber::{ClassSet, Policy, Scrubbed, Scrubber};

/// Lines per kind of value.
const LINES: usize = 2_000;

/// A small generator with a fixed seed (SplitMix64): the corpus is the same on every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn of<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length)
            .map(|_| letters[usize::try_from(self.below(letters.len() as u64)).unwrap()])
            .collect()
    }
}

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const ALNUM: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Sentences around a value, `{}`.
const FRAMES: &[&str] = &[
    "{}",
    "value {} seen",
    "request failed for {} after 3 attempts",
    "[{}] done",
    "{\"value\":\"{}\",\"count\":3}",
    "a=1&v={}&b=2",
    "2026-11-21 04:05:06,123 INFO worker-7 handled '{}' in 12 ms",
    "({}), then nothing",
];

fn card(dice: &mut Dice) -> String {
    let prefix = dice.of(&[
        "4", "51", "55", "2221", "2720", "34", "37", "6011", "65", "36", "3528", "62",
    ]);
    let length = match prefix {
        "34" | "37" => 15,
        "36" => 14,
        _ => 16,
    };
    let mut digits = format!("{prefix}{}", dice.text(DIGITS, length - 1 - prefix.len()));
    let odd = |(index, digit): (usize, char)| {
        let value = digit.to_digit(10).unwrap() * if index % 2 == 0 { 2 } else { 1 };
        value / 10 + value % 10
    };
    let sum: u32 = digits.chars().rev().enumerate().map(odd).sum();
    digits.push_str(&((10 - sum % 10) % 10).to_string());
    let mark = dice.of(&["", " ", "-"]);
    let groups: &[usize] = match length {
        15 => &[4, 10],
        14 => &[4, 10],
        _ => &[4, 8, 12],
    };
    for (done, place) in groups.iter().enumerate() {
        digits.insert_str(place + done * mark.len(), mark);
    }
    digits
}

fn iban(dice: &mut Dice) -> String {
    let (country, account) = match dice.below(3) {
        0 => ("DE", dice.text(DIGITS, 18)),
        1 => (
            "GB",
            format!(
                "{}{}",
                dice.text(LOWER, 4).to_uppercase(),
                dice.text(DIGITS, 14)
            ),
        ),
        _ => ("FR", dice.text(DIGITS, 23)),
    };
    let number: String = format!("{account}{country}00")
        .chars()
        .map(|letter| letter.to_digit(36).unwrap().to_string())
        .collect();
    let rest = number.bytes().fold(0u64, |rest, digit| {
        (rest * 10 + u64::from(digit - b'0')) % 97
    });
    let plain = format!("{country}{:02}{account}", 98 - rest);
    if dice.below(2) == 0 {
        return plain;
    }
    let groups: Vec<&str> = (0..plain.len())
        .step_by(4)
        .map(|at| &plain[at..plain.len().min(at + 4)])
        .collect();
    groups.join(" ")
}

fn ssn(dice: &mut Dice) -> String {
    let area = match dice.between(1, 898) {
        666 => 667,
        area => area,
    };
    let mark = dice.of(&["-", "-", " "]);
    format!(
        "{area:03}{mark}{:02}{mark}{:04}",
        dice.between(1, 99),
        dice.between(1, 9999)
    )
}

fn phone(dice: &mut Dice) -> String {
    let (area, exchange) = (dice.between(212, 989), dice.between(222, 999));
    let fix = |code: u64| if code % 100 == 11 { code + 1 } else { code };
    let (area, exchange, line) = (fix(area), fix(exchange), dice.text(DIGITS, 4));
    match dice.below(6) {
        0 => format!("+1{area}{exchange}{line}"),
        1 => format!("+1 ({area}) {exchange}-{line}"),
        2 => format!("({area}) {exchange}-{line}"),
        3 => format!("{area}-{exchange}-{line}"),
        4 => format!("+44 20 7{} {}", dice.text(DIGITS, 3), dice.text(DIGITS, 4)),
        _ => format!("+49 151 {}", dice.text(DIGITS, 8)),
    }
}

fn email(dice: &mut Dice) -> String {
    let (first, last, host) = (
        dice.text(LOWER, 5),
        dice.text(LOWER, 7),
        dice.text(LOWER, 8),
    );
    let mark = dice.of(&[".", "_", "-", "+", ""]);
    let ending = dice.of(&["com", "org", "co.uk", "de", "io", "museum", "internal"]);
    format!("{first}{mark}{last}@{host}.{ending}")
}

fn secret(dice: &mut Dice) -> String {
    let upper = ALNUM[26..].to_owned();
    let upper = upper.as_str();
    match dice.below(9) {
        0 => format!("AKIA{}", dice.text(upper, 16).to_uppercase()),
        1 => format!("ghp_{}", dice.text(ALNUM, 36)),
        2 => format!("glpat-{}", dice.text(ALNUM, 20)),
        3 => format!("xoxb-{}-{}", dice.text(DIGITS, 12), dice.text(ALNUM, 24)),
        4 => format!("sk_live_{}", dice.text(ALNUM, 24)),
        5 => format!("AIza{}", dice.text(ALNUM, 35)),
        6 => format!("sk-{}", dice.text(ALNUM, 48)),
        7 => format!("SG.{}.{}", dice.text(ALNUM, 22), dice.text(ALNUM, 43)),
        _ => format!("whsec_{}", dice.text(ALNUM, 32)),
    }
}

fn jwt(dice: &mut Dice) -> String {
    format!(
        "eyJ{}.eyJ{}.{}",
        dice.text(ALNUM, 33),
        dice.text(ALNUM, 60),
        dice.text(ALNUM, 43)
    )
}

fn mac(dice: &mut Dice) -> String {
    let pairs: Vec<String> = (0..6).map(|_| dice.text(HEX, 2)).collect();
    pairs.join(":")
}

/// Makes a value of one class.
type Make = fn(&mut Dice) -> String;

/// Values that are nobody's, in the shapes that come closest.
fn harmless(dice: &mut Dice) -> String {
    match dice.below(18) {
        0 => dice.text(HEX, 32),
        1 => dice.text(HEX, 40),
        2 => dice.text(HEX, 64),
        3 => format!(
            "{}-{}-4{}-a{}-{}",
            dice.text(HEX, 8),
            dice.text(HEX, 4),
            dice.text(HEX, 3),
            dice.text(HEX, 3),
            dice.text(HEX, 12)
        ),
        4 => dice.between(1_500_000_000, 1_999_999_999).to_string(),
        5 => dice
            .between(1_500_000_000_000, 1_999_999_999_999)
            .to_string(),
        6 => dice
            .between(1_500_000_000_000_000_000, 1_999_999_999_999_999_999)
            .to_string(),
        7 => format!(
            "v{}.{}.{}",
            dice.below(20),
            dice.below(200),
            dice.below(20_000)
        ),
        8 => format!(
            "{}.{}.{}.{}",
            dice.below(256),
            dice.below(256),
            dice.below(256),
            dice.below(256)
        ),
        9 => luhn_invalid(dice),
        10 => dice.below(100_000_000).to_string(),
        11 => format!("{}.{}", dice.below(1_000_000), dice.text(DIGITS, 6)),
        12 => format!(
            "2026-{:02}-{:02}T04:05:06.{}Z",
            dice.between(1, 12),
            dice.between(1, 28),
            dice.text(DIGITS, 9)
        ),
        13 => format!("{}@{}", dice.text(LOWER, 6), dice.text(LOWER, 8)),
        14 => format!("author={}", dice.text(LOWER, 8)),
        15 => format!("tokens_used={}", dice.below(100_000)),
        16 => format!("/var/lib/{}/{}", dice.text(LOWER, 6), dice.text(LOWER, 12)),
        _ => format!(
            "{}-{}-{}",
            dice.text(LOWER, 7),
            dice.text(LOWER, 9),
            dice.text(HEX, 10)
        ),
    }
}

fn luhn_invalid(dice: &mut Dice) -> String {
    let mut digits = card(dice);
    let last = digits.pop().and_then(|digit| digit.to_digit(10)).unwrap();
    digits.push_str(&((last + 1 + u32::try_from(dice.below(9)).unwrap()) % 10).to_string());
    digits
}

/// The text after scrubbing, and what was found.
fn scrub(scrubber: &Scrubber, text: &str) -> (String, ClassSet) {
    let arena = Bump::new();
    let mut found = ClassSet::EMPTY;
    match scrubber.scrub(&arena, "message", text, &mut found) {
        None => (text.to_owned(), found),
        Some(Scrubbed::Replaced(text)) => (text.to_owned(), found),
        Some(Scrubbed::Removed) => (String::new(), found),
    }
}

#[test]
fn personal_data_is_found() {
    let kinds: &[(&str, Make)] = &[
        ("email", email),
        ("payment_card", card),
        ("ssn", ssn),
        ("phone", phone),
        ("iban", iban),
        ("jwt", jwt),
        ("secret", secret),
        ("mac", mac),
    ];
    let scrubber = Scrubber::new(&Policy::default(), b"a pepper of a good length").unwrap();
    let mut dice = Dice(20_261_121);
    for (class, make) in kinds {
        let mut missed = Vec::new();
        for _ in 0..LINES {
            let value = make(&mut dice);
            let text = dice.of(FRAMES).replacen("{}", &value, 1);
            let (scrubbed, found) = scrub(&scrubber, &text);
            if scrubbed.contains(&value) || !found.names().any(|name| name == *class) {
                missed.push(format!("{text} → {scrubbed}"));
            }
        }
        let count = missed.len();
        missed.truncate(20);
        println!("{class}: {count} of {LINES} missed\n{}", missed.join("\n"));
        assert!(
            count * 200 <= LINES,
            "{class}: {count} of {LINES} missed\n{}",
            missed.join("\n")
        );
    }
}

#[test]
fn nothing_else_is_hit() {
    let scrubber = Scrubber::new(&Policy::default(), b"a pepper of a good length").unwrap();
    let mut dice = Dice(4);
    let mut hit = Vec::new();
    let lines = LINES * 10;
    for _ in 0..lines {
        let text = dice.of(FRAMES).replacen("{}", &harmless(&mut dice), 1);
        let (scrubbed, _) = scrub(&scrubber, &text);
        if scrubbed != text {
            hit.push(format!("{text} → {scrubbed}"));
        }
    }
    assert!(
        hit.len() * 200 <= lines,
        "{} of {lines}:\n{}",
        hit.len(),
        hit.join("\n")
    );
    println!("{} of {lines}:\n{}", hit.len(), hit.join("\n"));
}
