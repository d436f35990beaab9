//! Rules said in other words, where their texts are encoded or their letters are at stake.

use super::rewrite::{each_item, has, plain, split, with};
use crate::events::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsigma_parser::{DetectionItem, Modifier, SigmaRule, SigmaString, SigmaValue, StringPart};
use serde_json::Value;

/// What may introduce an option.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];
/// How much of the first letters of Base64 depends on what stands before, by how many bytes do.
const STARTS: [usize; 3] = [0, 2, 3];
/// And how many of the last on what stands behind, by how many bytes there are beyond threes.
const ENDS: [usize; 3] = [0, 3, 2];
/// Letters that have no other case by our rules, and what stands for them: letters for private use,
/// which have none by any. Those that have one are put into it.
const LETTERS: [(char, char); 6] = [
    ('\u{212A}', '\u{E000}'), // Kelvin
    ('ſ', '\u{E001}'),
    ('İ', '\u{E002}'),
    ('ς', '\u{E003}'),
    ('Σ', 'σ'),
    ('ẞ', 'ß'),
];

pub(super) fn windash(rule: &mut SigmaRule) -> bool {
    split(rule, &|item| {
        if !has(item, Modifier::WindAsh) {
            return None;
        }
        let variants = |value: &SigmaValue| match value {
            SigmaValue::String(text) => dashed(&text.original),
            SigmaValue::Integer(_)
            | SigmaValue::Float(_)
            | SigmaValue::Bool(_)
            | SigmaValue::Null => vec![value.clone()],
        };
        Some(one_or_each(item, &variants, &[Modifier::WindAsh]))
    })
}

/// An item of the variants of all values; of those of which all must hold, an item each.
fn one_or_each(
    item: &DetectionItem,
    variants: &dyn Fn(&SigmaValue) -> Vec<SigmaValue>,
    without: &[Modifier],
) -> Vec<DetectionItem> {
    if !has(item, Modifier::All) {
        return vec![with(
            item,
            item.values.iter().flat_map(variants).collect(),
            without,
        )];
    }
    let mut without = without.to_vec();
    without.push(Modifier::All);
    let each = item
        .values
        .iter()
        .map(|value| with(item, variants(value), &without));
    each.collect()
}

/// The text with each dash that has no word before it and one behind it as each of the dashes.
fn dashed(text: &str) -> Vec<SigmaValue> {
    let is_word = |letter: Option<&char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || *letter == '_')
    };
    let letters: Vec<char> = text.chars().collect();
    let mut texts = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let introduces =
            DASHES.contains(letter) && !is_word(before) && is_word(letters.get(at + 1));
        let instead = if introduces {
            DASHES.as_slice()
        } else {
            std::slice::from_ref(letter)
        };
        let longer = texts.iter().flat_map(|text| {
            let each = instead.iter();
            each.map(move |letter| format!("{text}{letter}"))
        });
        texts = longer.collect();
    }
    let values = texts
        .iter()
        .map(|text| SigmaValue::String(SigmaString::new(text)));
    values.collect()
}

pub(super) fn base64offset(rule: &mut SigmaRule) -> bool {
    split(rule, &|item| {
        if !has(item, Modifier::Base64Offset) {
            return None;
        }
        let variants = |value: &SigmaValue| match value {
            SigmaValue::String(text) => {
                let bytes = bytes(item, &text.as_plain().unwrap_or_default());
                static_parts(&bytes)
                    .iter()
                    .map(|part| plain(part))
                    .collect()
            }
            SigmaValue::Integer(_)
            | SigmaValue::Float(_)
            | SigmaValue::Bool(_)
            | SigmaValue::Null => vec![value.clone()],
        };
        let without = [
            Modifier::Base64Offset,
            Modifier::Wide,
            Modifier::Utf16,
            Modifier::Utf16be,
        ];
        Some(one_or_each(item, &variants, &without))
    })
}

fn bytes(item: &DetectionItem, text: &str) -> Vec<u8> {
    let little = || text.encode_utf16().flat_map(u16::to_le_bytes);
    if has(item, Modifier::Wide) {
        little().collect()
    } else if has(item, Modifier::Utf16) {
        [0xFF, 0xFE].into_iter().chain(little()).collect()
    } else if has(item, Modifier::Utf16be) {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else {
        text.as_bytes().to_vec()
    }
}

/// What of the Base64 of these bytes stays the same with none, one or two bytes before them.
fn static_parts(bytes: &[u8]) -> Vec<String> {
    let part = |(before, start): (usize, &usize)| {
        let longer: Vec<u8> = std::iter::repeat_n(b' ', before)
            .chain(bytes.iter().copied())
            .collect();
        let encoded = STANDARD.encode(&longer);
        let behind = ENDS.get(longer.len() % 3).copied().unwrap_or_default();
        let end = encoded.len().saturating_sub(behind);
        encoded.get(*start..end).unwrap_or_default().to_owned()
    };
    STARTS.iter().enumerate().map(part).collect()
}

pub(super) fn letters_of_rule(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| {
        if has(item, Modifier::Re) || has(item, Modifier::Cased) {
            return false;
        }
        let mut changed = false;
        for value in &mut item.values {
            let SigmaValue::String(text) = value else {
                continue;
            };
            for part in &mut text.parts {
                if let StringPart::Plain(plain) = part {
                    let other = exchanged(plain);
                    changed |= other != *plain;
                    *plain = other;
                }
            }
        }
        changed
    })
}

pub(super) fn letters_of_event(_: &SigmaRule, event: &Fields) -> Fields {
    let fields = event.iter();
    let fields = fields.map(|(name, value)| (name.clone(), value_exchanged(value)));
    fields.collect()
}

fn value_exchanged(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(exchanged(text)),
        Value::Array(list) => Value::Array(list.iter().map(value_exchanged).collect()),
        Value::Object(members) => {
            let members = members.iter();
            let members = members.map(|(name, value)| (name.clone(), value_exchanged(value)));
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn exchanged(text: &str) -> String {
    let letters = text.chars().map(|letter| {
        let known = LETTERS.iter().find(|(known, _)| *known == letter);
        known.map_or(letter, |(_, instead)| *instead)
    });
    letters.collect()
}

pub(super) fn ascii_classes(rule: &mut SigmaRule) -> bool {
    each_item(rule, &mut |item| {
        if !has(item, Modifier::Re) {
            return false;
        }
        let mut changed = false;
        for value in &mut item.values {
            if let SigmaValue::String(text) = value {
                let other = text
                    .original
                    .replace("\\d", "[0-9]")
                    .replace("\\w", "[0-9A-Za-z_]")
                    .replace("\\s", "[\\t\\n\\x0B\\x0C\\r ]")
                    .replace("\\b", "(?-u:\\b)");
                changed |= other != text.original;
                *value = plain(&other);
            }
        }
        changed
    })
}
