//! Rules made up by seed: every modifier whose values both evaluators can be asked about, maps,
//! lists, lists of maps, keywords, and conditions of every form. Written as YAML, as a person would.
//!
//! What has an exception of its own is gone through by hand in the checked-in rules.

use crate::dice::Dice;
use std::fmt::Write as _;

/// Fields that rules are about and events have.
pub const FIELDS: [&str; 4] = ["f", "g", "h.i", "Image"];
/// Pieces that values are made of.
const PIECES: [&str; 16] = [
    "a", "b", "ab", "ABC", "x", "5", "10", " ", "-", "/", "_", "\\", "\\\\", "*", "?", "cmd.exe",
];
/// Modifiers of texts, as they are combined.
const TEXT_MODIFIERS: [&str; 12] = [
    "",
    "",
    "",
    "|contains",
    "|contains",
    "|startswith",
    "|endswith",
    "|contains|all",
    "|cased",
    "|contains|cased",
    "|startswith|cased",
    "|endswith|cased",
];
const EXPRESSIONS: [&str; 8] = [
    "a.*b",
    "^ab",
    "b$",
    "[a-c]+x?",
    "(?:a|5)b",
    "\\d\\d",
    "cmd\\.exe$",
    "^$",
];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32"];
const CONDITIONS: [&str; 16] = [
    "s1",
    "s1 and s2",
    "s1 or s2",
    "s1 and not s2",
    "not s1",
    "not s1 and s2",
    "s1 or s2 and s3",
    "s1 and s2 or s3",
    "(s1 or s2) and s3",
    "s1 and not (s2 or s3)",
    "1 of s*",
    "all of s*",
    "1 of them",
    "all of them",
    "s3 and not 1 of s*1",
    "not (s1 or not s2) or all of s*",
];

/// A rule by its number.
#[must_use]
pub fn rule(number: u64) -> String {
    let mut dice = Dice(number.wrapping_mul(0x0001_0001_0001));
    let mut text = format!(
        "title: 'made {number}'\nid: made-{number}\nlogsource: {{product: appliance}}\ndetection:\n"
    );
    for name in ["s1", "s2", "s3"] {
        let _written = write!(text, "    {name}:\n{}", detection(&mut dice));
    }
    let condition = dice.pick(&CONDITIONS).unwrap_or_default();
    let _written = writeln!(text, "    condition: {condition}");
    text
}

fn detection(dice: &mut Dice) -> String {
    match dice.below(10) {
        0 => {
            let words = (0..=dice.below(2)).map(|_| format!("        - {}\n", quoted(&word(dice))));
            words.collect()
        }
        1 => {
            let maps = (0..2).map(|_| format!("        - {}\n", item(dice)));
            maps.collect()
        }
        _ => {
            // Of two items of one field only one may stand in a map.
            let from = dice.below(FIELDS.len());
            let fields = FIELDS.iter().cycle().skip(from).take(1 + dice.below(2));
            let items = fields.map(|field| format!("        {}\n", item_of(field, dice)));
            items.collect()
        }
    }
}

fn item(dice: &mut Dice) -> String {
    let field = dice.pick(&FIELDS).unwrap_or("f");
    item_of(field, dice)
}

fn item_of(field: &str, dice: &mut Dice) -> String {
    match dice.below(20) {
        0 => format!("{field}: {}", dice.below(12)),
        1 => format!("{field}: null"),
        7 => format!("{field}: {}", dice.once_in(2)),
        8 => {
            let modifiers = dice.pick(&["|neq", "|contains|neq", "|contains|windash"]);
            let value = quoted(&format!(" -{}", word(dice)));
            format!("{field}{}: {value}", modifiers.unwrap_or_default())
        }
        9 => {
            // Another field than this one.
            let other = FIELDS.map(|other| if other == field { "g.h" } else { other });
            let other = dice.pick(&other).unwrap_or("f");
            let modifiers = dice
                .pick(&["", "", "|contains", "|neq"])
                .unwrap_or_default();
            format!("{field}|fieldref{modifiers}: {other}")
        }
        2 => format!("{field}|exists: {}", dice.once_in(2)),
        3 => {
            let order = dice.pick(&["gt", "gte", "lt", "lte"]).unwrap_or("gt");
            format!("{field}|{order}: {}", dice.below(12))
        }
        4 => {
            let network = dice.pick(&NETWORKS).unwrap_or_default();
            format!("{field}|cidr: '{network}'")
        }
        5 | 6 => {
            let flag = dice.pick(&["", "", "|i", "|s"]).unwrap_or_default();
            let expression = dice.pick(&EXPRESSIONS).unwrap_or_default();
            format!("{field}|re{flag}: '{expression}'")
        }
        _ => {
            let modifiers = dice.pick(&TEXT_MODIFIERS).unwrap_or_default();
            // `all` is of several values.
            let least = if modifiers.ends_with("all") { 2 } else { 1 };
            let values = (0..least + dice.below(2)).map(|_| quoted(&word(dice)));
            let values: Vec<String> = values.collect();
            match values.as_slice() {
                [one] => format!("{field}{modifiers}: {one}"),
                several => format!("{field}{modifiers}: [{}]", several.join(", ")),
            }
        }
    }
}

/// A word of up to four pieces.
pub fn word(dice: &mut Dice) -> String {
    (0..=dice.below(4))
        .filter_map(|_| dice.pick(&PIECES))
        .collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
