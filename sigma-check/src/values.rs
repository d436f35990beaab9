//! Values that match what an item of a rule asks for.

use crate::dice::Dice;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

/// What the value of one field has to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    whole: Option<Value>,
    start: String,
    middle: Vec<String>,
    end: String,
}

impl Wish {
    /// Asks for what an item with these modifiers and this value asks for. What was asked for
    /// first stays.
    pub(crate) fn ask(&mut self, modifiers: &[&str], written: &Yaml, dice: &mut Dice) {
        let has = |name: &str| modifiers.contains(&name);
        let whole = if has("re") {
            written.as_str().and_then(|text| of_expression(text, dice))
        } else if has("cidr") {
            let text = written.as_str();
            text.and_then(|text| Some(json!(text.split('/').next()?)))
        } else if has("exists") {
            (written.as_bool() == Some(true)).then(|| json!("x"))
        } else if let Some(bound) = number(written) {
            let moved = if has("gt") {
                bound + 1
            } else if has("lt") {
                bound - 1
            } else {
                bound
            };
            Some(json!(moved))
        } else if let Some(flag) = written.as_bool() {
            Some(json!(flag))
        } else if written.is_null() {
            Some(Value::Null)
        } else {
            self.ask_for_text(modifiers, written.as_str().unwrap_or_default());
            None
        };
        self.whole = self.whole.take().or(whole);
    }

    fn ask_for_text(&mut self, modifiers: &[&str], written: &str) {
        let has = |name: &str| modifiers.contains(&name);
        let text = encoded(without_wildcards(written), modifiers);
        if has("contains") {
            self.middle.push(text);
        } else if has("startswith") {
            self.start = text;
        } else if has("endswith") {
            self.end = text;
        } else if self.whole.is_none() {
            self.whole = Some(json!(text));
        }
    }

    /// A value that is as asked for, where that can be.
    pub(crate) fn value(self) -> Value {
        let text = || {
            let middle = self.middle.join(" ");
            json!(format!("{}{middle}{}", self.start, self.end))
        };
        self.whole.clone().unwrap_or_else(text)
    }
}

fn number(written: &Yaml) -> Option<i64> {
    let of_text = || written.as_str()?.parse().ok();
    written.as_i64().or_else(of_text)
}

/// Text that a pattern matches.
pub(crate) fn without_wildcards(pattern: &str) -> String {
    let text = pattern.replace("\\*", "\u{1}").replace("\\?", "\u{2}");
    let text = text.replace('*', "xyz").replace('?', "q");
    let text = text.replace("\\\\", "\\");
    text.replace('\u{1}', "*").replace('\u{2}', "?")
}

fn encoded(text: String, modifiers: &[&str]) -> String {
    let mut bytes = text.clone().into_bytes();
    let mut done = false;
    for modifier in modifiers {
        match *modifier {
            "wide" | "utf16le" | "utf16" => {
                bytes = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            }
            "utf16be" => bytes = text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "base64" => done = true,
            "base64offset" => {
                bytes.extend(b" and so on");
                done = true;
            }
            _ => {}
        }
    }
    if done { STANDARD.encode(bytes) } else { text }
}

/// Text that an expression matches, as far as that is easily told.
fn of_expression(expression: &str, dice: &mut Dice) -> Option<Value> {
    let parsed = regex_syntax::parse(expression).ok()?;
    let mut text = String::new();
    walk(&parsed, dice, &mut text);
    Some(json!(text))
}

fn walk(hir: &Hir, dice: &mut Dice, text: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            let range = ranges.get(dice.below(ranges.len()));
            // Of any character, one that can be read.
            let letter = range.map(|range| range.end());
            text.extend(if is_nearly_any(class) {
                Some('x')
            } else {
                letter
            });
        }
        HirKind::Class(Class::Bytes(_)) => text.push('x'),
        HirKind::Repetition(repetition) => {
            let more = u32::from(repetition.max != Some(repetition.min) && dice.once_in(2));
            for _ in 0..repetition.min + more {
                walk(&repetition.sub, dice, text);
            }
        }
        HirKind::Capture(capture) => walk(&capture.sub, dice, text),
        HirKind::Concat(all) => all.iter().for_each(|one| walk(one, dice, text)),
        HirKind::Alternation(any) => {
            if let Some(one) = any.get(dice.below(any.len())) {
                walk(one, dice, text);
            }
        }
    }
}

/// Whether a class is of nearly all characters, as `.` and `[^/]` are.
fn is_nearly_any(class: &ClassUnicode) -> bool {
    let holds = |letter: char| {
        let mut ranges = class.ranges().iter();
        ranges.any(|range| (range.start()..=range.end()).contains(&letter))
    };
    holds('x') && holds(char::MAX)
}
