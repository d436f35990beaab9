//! What belongs to people: e-mail addresses, payment cards, social security numbers, addresses of
//! machines, user names in paths. Made by their own rules, not by the detectors' tables, so that a
//! mistake there shows.

use crate::dice::{DIGITS, Dice, HEX, LOWER};
use crate::line::Payload;

/// First names as people have them, with the letters of several languages.
const NAMES: &[&str] = &[
    "ada",
    "Grace",
    "josé",
    "jürgen",
    "zoë",
    "Łukasz",
    "søren",
    "иван",
    "o'brien",
    "maria_luisa",
    "jean-luc",
    "KATHERINE",
    "li",
];
const DOMAINS: &[&str] = &[
    "com",
    "org",
    "net",
    "co.uk",
    "de",
    "fr",
    "it",
    "es",
    "com.br",
    "io",
    "museum",
    "internal",
    "dev",
    "technology",
    "xn--p1ai",
    "jp",
    "cn",
    "in",
    "pl",
    "ru",
    "gov",
    "edu",
    "corp.local",
];
/// Mail services whose names are digits.
const NUMERIC: &[&str] = &["163.com", "126.com", "21cn.com", "1und1.de", "3m.com"];

/// `ada.lovelace+tag@mail.example.org`
pub(crate) fn email(dice: &mut Dice) -> Payload {
    let (first, last) = (dice.of(NAMES), dice.some(LOWER, 4, 9));
    let mark = dice.of(&[".", "_", "-", "+", ""]);
    let local = match dice.below(5) {
        0 => format!("{first}{mark}{last}{}", dice.below(1000)),
        1 => format!("{last}+{}", dice.some(LOWER, 3, 6)),
        2 => format!("{}.{last}", dice.text(LOWER, 1)),
        3 => last,
        _ => format!("{first}{mark}{last}"),
    };
    let domain = match dice.below(8) {
        0 => dice.of(NUMERIC).to_owned(),
        1 => format!("mail.{}.{}", dice.some(LOWER, 5, 10), dice.of(DOMAINS)),
        2 => format!(
            "bücher-{}.{}",
            dice.some(LOWER, 3, 6),
            dice.of(&["de", "example"])
        ),
        3 => format!("{}.{}", dice.some(LOWER, 5, 10).to_uppercase(), "COM"),
        4 => format!(
            "{}-{}.{}",
            dice.some(LOWER, 3, 5),
            dice.below(100),
            dice.of(DOMAINS)
        ),
        _ => format!("{}.{}", dice.some(LOWER, 5, 10), dice.of(DOMAINS)),
    };
    Payload::whole(format!("{local}@{domain}"))
}

/// An address in a string of JSON whose writer escapes its at sign.
pub(crate) fn escaped_email(dice: &mut Dice) -> Payload {
    let address = format!(
        "{}.{}\\u0040{}.{}",
        dice.some(LOWER, 2, 8),
        dice.some(LOWER, 4, 9),
        dice.some(LOWER, 5, 10),
        dice.of(DOMAINS)
    );
    let before = dice.of(&["{\"user\":\"", "{\"to\":[\"", "{\"text\":\"mail of "]);
    let after = if before.contains('[') { "\"]}" } else { "\"}" };
    Payload::part(before, &address, after)
}

/// Issuers' prefixes with the lengths and groups of their numbers.
const ISSUERS: &[(&str, usize, &[usize])] = &[
    ("4", 16, &[4, 4, 4, 4]),
    ("4", 13, &[4, 3, 3, 3]),
    ("4", 19, &[4, 4, 4, 4, 3]),
    ("51", 16, &[4, 4, 4, 4]),
    ("55", 16, &[4, 4, 4, 4]),
    ("2221", 16, &[4, 4, 4, 4]),
    ("2720", 16, &[4, 4, 4, 4]),
    ("34", 15, &[4, 6, 5]),
    ("37", 15, &[4, 6, 5]),
    ("6011", 16, &[4, 4, 4, 4]),
    ("644", 16, &[4, 4, 4, 4]),
    ("65", 16, &[4, 4, 4, 4]),
    ("300", 14, &[4, 6, 4]),
    ("305", 14, &[4, 6, 4]),
    ("36", 14, &[4, 6, 4]),
    ("38", 14, &[4, 6, 4]),
    ("3528", 16, &[4, 4, 4, 4]),
    ("3589", 16, &[4, 4, 4, 4]),
    ("62", 16, &[4, 4, 4, 4]),
    ("62", 19, &[4, 4, 4, 4, 3]),
    ("2200", 16, &[4, 4, 4, 4]),
    ("5018", 16, &[4, 4, 4, 4]),
    ("6304", 16, &[4, 4, 4, 4]),
    ("6759", 19, &[4, 4, 4, 4, 3]),
    ("508", 16, &[4, 4, 4, 4]),
    ("60", 16, &[4, 4, 4, 4]),
    ("9792", 16, &[4, 4, 4, 4]),
];

/// A card's digits with the right last one, and the groups they are printed in.
fn card_digits(dice: &mut Dice) -> (String, &'static [usize]) {
    let (prefix, length, groups) = dice.of(ISSUERS);
    let mut digits = format!("{prefix}{}", dice.text(DIGITS, length - 1 - prefix.len()));
    let odd = |(index, digit): (usize, char)| {
        let value = digit.to_digit(10).unwrap() * if index % 2 == 0 { 2 } else { 1 };
        value / 10 + value % 10
    };
    let sum: u32 = digits.chars().rev().enumerate().map(odd).sum();
    digits.push_str(&((10 - sum % 10) % 10).to_string());
    (digits, groups)
}

fn grouped(digits: &str, groups: &[usize], mark: &str) -> String {
    let mut from = 0;
    let parts = groups.iter().map(|length| {
        from += length;
        &digits[from - length..from]
    });
    parts.collect::<Vec<_>>().join(mark)
}

/// A card number, bare or in groups.
pub(crate) fn card(dice: &mut Dice) -> Payload {
    let (digits, groups) = card_digits(dice);
    let mark = dice.of(&["", "", " ", "-"]);
    // Old cards of 13 digits are written in one piece.
    let mark = if groups == [4, 3, 3, 3] { "" } else { mark };
    Payload::whole(grouped(&digits, groups, mark))
}

/// A card number as a part of an address, its spaces as they are written there.
pub(crate) fn card_in_query(dice: &mut Dice) -> Payload {
    let (digits, groups) = loop {
        let (digits, groups) = card_digits(dice);
        if groups != [4, 3, 3, 3] {
            break (digits, groups);
        }
    };
    let number = grouped(&digits, groups, dice.of(&["+", "%20"]));
    let before = dice.of(&["/pay?card=", "q=paid+with+", "name=Ada%20L&number="]);
    Payload::part(before, &number, "&currency=EUR")
}

/// A number like a card's whose last digit is wrong.
pub(crate) fn no_card(dice: &mut Dice) -> String {
    let (mut digits, groups) = card_digits(dice);
    let last = digits.pop().and_then(|digit| digit.to_digit(10)).unwrap();
    let other = (last + 1 + u32::try_from(dice.below(9)).unwrap()) % 10;
    digits.push_str(&other.to_string());
    // In groups, the first sixteen of nineteen digits could be a card by themselves.
    let mark = if digits.len() == 19 {
        ""
    } else {
        dice.of(&["", " ", "-"])
    };
    let mark = if groups == [4, 3, 3, 3] { "" } else { mark };
    grouped(&digits, groups, mark)
}

/// A number of the ranges that are given out, as `###-##-####`.
fn ssn_parts(dice: &mut Dice) -> (String, String, String) {
    let area = match dice.between(1, 898) {
        666 => 667,
        area => area,
    };
    (
        format!("{area:03}"),
        format!("{:02}", dice.between(1, 99)),
        format!("{:04}", dice.between(1, 9999)),
    )
}

/// A divided social security number.
pub(crate) fn ssn(dice: &mut Dice) -> Payload {
    let (area, group, serial) = ssn_parts(dice);
    let mark = dice.of(&["-", "-", "-", " "]);
    Payload::whole([area, group, serial].join(mark))
}

/// The same as a part of an address.
pub(crate) fn ssn_in_query(dice: &mut Dice) -> Payload {
    let (area, group, serial) = ssn_parts(dice);
    let number = [area, group, serial].join(dice.of(&["+", "%20"]));
    let before = dice.of(&["/find?ssn=", "q=number+", "name=Ada%20L&id="]);
    Payload::part(before, &number, "&page=2")
}

/// Nine digits that the text says to be one.
pub(crate) fn ssn_in_context(dice: &mut Dice) -> Payload {
    let (area, group, serial) = ssn_parts(dice);
    let number = format!("{area}{group}{serial}");
    let before = dice.of(&[
        "SSN: ",
        "ssn ",
        "SSN=",
        "social security number ",
        "Social Security No. ",
        "social security number of the customer is ",
        "soc sec ",
        "SS# ",
        "taxpayer id ",
        "número de seguro social ",
        "SSN (no dashes): ",
    ]);
    Payload::part(before, &number, "")
}

/// A hardware address.
pub(crate) fn mac(dice: &mut Dice) -> Payload {
    let alphabet = if dice.once_in(3) {
        "0123456789ABCDEF"
    } else {
        HEX
    };
    let pairs: Vec<String> = (0..6).map(|_| dice.text(alphabet, 2)).collect();
    let lettered = pairs
        .concat()
        .bytes()
        .any(|byte| byte.is_ascii_alphabetic());
    match dice.below(6) {
        0 if lettered => Payload::whole(pairs.join("-")),
        1 if lettered => {
            let [a, b, c, d, e, f] = pairs.try_into().unwrap();
            Payload::whole(format!("{a}{b}.{c}{d}.{e}{f}"))
        }
        2 => Payload::part("mac:", &pairs.join(":"), ""),
        3 => Payload::part("HWaddr ", &pairs.join(":"), "  inet"),
        _ => Payload::whole(pairs.join(":")),
    }
}

/// An IPv4 address, also with what follows one.
pub(crate) fn ipv4(dice: &mut Dice) -> Payload {
    let octets: Vec<String> = (0..4).map(|_| dice.below(256).to_string()).collect();
    let address = octets.join(".");
    match dice.below(7) {
        0 => Payload::part("", &address, &format!(":{}", dice.between(1024, 65535))),
        1 => Payload::part("", &address, "/24"),
        2 => Payload::part("http://", &address, "/index"),
        3 => Payload::part("root@", &address, ""),
        _ => Payload::whole(address),
    }
}

/// An IPv6 address, also with what stands around one.
pub(crate) fn ipv6(dice: &mut Dice) -> Payload {
    let group = |dice: &mut Dice| format!("{:x}", dice.between(0x100, 0xffff));
    let (a, b, c) = (group(dice), group(dice), group(dice));
    let mapped = format!("::ffff:10.{}.{}.7", dice.below(256), dice.below(256));
    let address = match dice.below(6) {
        5 => mapped,
        0 => format!("2001:db8:{a}:{b}:{c}:{a}:{b}:{c}"),
        1 => format!(
            "fe80::{a}:1{}ff:fe{}:{c}",
            dice.text(HEX, 1),
            dice.text(HEX, 2)
        ),
        2 => format!("2a02:{a}::{b}"),
        3 => format!("2A00:1450:4001:{}::200E", a.to_uppercase()),
        _ => format!("2001:db8::{c}"),
    };
    match dice.below(4) {
        0 => Payload::part("[", &address, "]:443"),
        1 => Payload::part("", &address, "/64"),
        2 => Payload::part("http://[", &address, "]/x"),
        _ => Payload::whole(address),
    }
}

/// A user name in the path of a home directory.
pub(crate) fn home(dice: &mut Dice) -> Payload {
    let name = match dice.below(4) {
        0 => format!("{}.{}", dice.some(LOWER, 3, 6), dice.some(LOWER, 4, 8)),
        1 => format!("jürgen{}", dice.some(LOWER, 2, 4)),
        2 => format!("{}{}", dice.some(LOWER, 4, 8), dice.below(100)),
        _ => dice.some(LOWER, 4, 10),
    };
    let (before, after) = dice.of(&[
        ("/home/", "/.ssh/id_rsa"),
        ("/home/", ""),
        ("/home/", ":/bin/bash"),
        ("/Users/", "/Library/Logs/app.log"),
        ("file:///home/", "/report.pdf"),
        ("file:///Users/", "/x"),
        ("/export/home/", "/bin"),
        ("/mnt/c/Users/", "/project"),
        ("C:\\Users\\", "\\AppData\\Local\\Temp"),
        ("C:/Users/", "/Documents"),
        ("c:\\users\\", "\\desktop.ini"),
        ("/c/Users/", "/go"),
        ("HOME=/home/", ""),
    ]);
    Payload::part(before, &name, after)
}
