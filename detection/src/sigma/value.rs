//! Values of a detection item after their modifiers, which are applied in the order in which they
//! are written.

use super::encode::{base64, base64_offsets, utf16, windash};
use super::placeholder::Bindings;
use super::yaml;
use crate::rules::wildcard::{Part, parse, write};
use crate::rules::{Operator, VALUES_MAX, wildcard};
use ipnet::IpNet;
use serde_yaml_ng::Value as Yaml;

/// A value to compare a field with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Text, perhaps with wildcards.
    Pattern(Vec<Part>),
    /// A regular expression with its flags.
    Regex(String),
    /// A number.
    Number(serde_json::Number),
    /// A truth value.
    Bool(bool),
    /// Nothing.
    Null,
    /// A network.
    Cidr(String),
    /// An order (`gt`, `gte`, `lt`, `lte`) and its bound.
    Order(Operator, serde_json::Number),
    /// Whether the field is there.
    Exists(bool),
    /// Another field, with the operator that compares.
    Field(Operator, String),
    /// A part of a date, with an order where one is given, and a number.
    Moment(Operator, Option<Operator>, i64),
}

/// What the modifiers say of the item as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// All values must hold rather than one.
    pub(super) all: bool,
    /// Case matters.
    pub(super) cased: bool,
    /// The field has another value.
    pub(super) neq: bool,
}

impl Value {
    /// The text of a value that has one, with its wildcards.
    pub(super) fn parts(&self) -> Option<Vec<Part>> {
        let text = match self {
            Value::Pattern(parts) => return Some(parts.clone()),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Regex(_)
            | Value::Null
            | Value::Cidr(_)
            | Value::Order(..)
            | Value::Exists(_)
            | Value::Field(..)
            | Value::Moment(..) => return None,
        };
        Some(vec![Part::Text(text)])
    }
}

macro_rules! modifiers {
    ($($modifier:ident = $($name:literal)|+,)*) => {
        /// The modifiers of the specification.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Modifier { $($modifier,)* }

        impl Modifier {
            fn parse(name: &str) -> Option<Modifier> {
                match name { $($($name)|+ => Some(Modifier::$modifier),)* _ => None }
            }
        }
    };
}

modifiers! {
    All = "all",
    StartsWith = "startswith",
    EndsWith = "endswith",
    Contains = "contains",
    Exists = "exists",
    Cased = "cased",
    Neq = "neq",
    Windash = "windash",
    Re = "re",
    IgnoreCase = "i" | "ignorecase",
    MultiLine = "m" | "multiline",
    DotAll = "s" | "dotall",
    Base64 = "base64",
    Base64Offset = "base64offset",
    Utf16Le = "utf16le" | "wide",
    Utf16Be = "utf16be",
    Utf16 = "utf16",
    Lt = "lt",
    Lte = "lte",
    Gt = "gt",
    Gte = "gte",
    Minute = "minute",
    Hour = "hour",
    Day = "day",
    Week = "week",
    Month = "month",
    Year = "year",
    Cidr = "cidr",
    Expand = "expand",
    FieldRef = "fieldref",
}

/// A value on its way through the modifiers.
#[derive(Clone, Debug)]
enum Work {
    /// As it is written, and not yet looked at.
    Plain(Yaml),
    /// Text without wildcards, encoded.
    Bytes(Vec<u8>),
    /// A regular expression, and its flags.
    Regex(String, String),
    /// A part of a date, whose number is not yet looked at.
    Moment(Operator, Yaml),
    /// Done, though text may be added to.
    Done(Value),
}

type Step<T> = Result<T, String>;

/// What each of the written values becomes (any of which may match), and how they are linked.
///
/// # Errors
/// Which modifier cannot be applied to which value, and why.
pub(super) fn modified(
    values: &[Yaml],
    modifiers: &[&str],
    bindings: &Bindings<'_>,
) -> Step<(Vec<Vec<Value>>, Link)> {
    let mut link = Link::default();
    let mut chain = Vec::with_capacity(modifiers.len());
    for name in modifiers {
        let modifier = Modifier::parse(name)
            .ok_or_else(|| format!("has the modifier {name}, which is none"))?;
        link.all |= modifier == Modifier::All;
        link.cased |= modifier == Modifier::Cased;
        link.neq |= modifier == Modifier::Neq;
        chain.push((modifier, *name));
    }
    let mut all = Vec::with_capacity(values.len());
    let mut count = 0;
    for value in values {
        let becomes = each(value, &chain, bindings)?;
        count += becomes.len();
        if count > VALUES_MAX {
            return Err(format!("becomes more than {VALUES_MAX} values"));
        }
        all.push(becomes);
    }
    Ok((all, link))
}

/// What one value becomes, any of which may match.
fn each(value: &Yaml, chain: &[(Modifier, &str)], bindings: &Bindings<'_>) -> Step<Vec<Value>> {
    let mut works = vec![Work::Plain(value.clone())];
    for (modifier, name) in chain {
        let mut next = Vec::with_capacity(works.len());
        for work in works {
            next.extend(apply(work, *modifier, name, bindings)?);
            if next.len() > VALUES_MAX {
                return Err(format!("becomes more than {VALUES_MAX} values by {name}"));
            }
        }
        works = next;
    }
    works.into_iter().map(finish).collect()
}

fn apply(work: Work, modifier: Modifier, name: &str, bindings: &Bindings<'_>) -> Step<Vec<Work>> {
    let one = |work: Work| Ok(vec![work]);
    let done = |value: Value| Ok(vec![Work::Done(value)]);
    match modifier {
        // Of the item as a whole: seen to already.
        Modifier::All | Modifier::Cased | Modifier::Neq => one(work),
        Modifier::StartsWith => done(placed(work, Operator::StartsWith, name)?),
        Modifier::EndsWith => done(placed(work, Operator::EndsWith, name)?),
        Modifier::Contains => done(placed(work, Operator::Contains, name)?),
        Modifier::Exists => match yaml::scalar(&plain(work, name)?).as_deref() {
            Some("true" | "yes") => done(Value::Exists(true)),
            Some("false" | "no") => done(Value::Exists(false)),
            Some(_) | None => Err("exists takes true or false".to_owned()),
        },
        Modifier::Windash => dashed(work, name),
        Modifier::Re => one(Work::Regex(plain_text(work, name)?, String::new())),
        Modifier::IgnoreCase => flagged(work, 'i', name),
        Modifier::MultiLine => flagged(work, 'm', name),
        Modifier::DotAll => flagged(work, 's', name),
        Modifier::Base64 => done(literal(base64(&bytes(work, name)?))),
        Modifier::Base64Offset => {
            let variants = base64_offsets(&bytes(work, name)?);
            Ok(variants.map(|text| Work::Done(literal(text))).into())
        }
        Modifier::Utf16Le => wide(work, (false, false), name),
        Modifier::Utf16Be => wide(work, (true, false), name),
        Modifier::Utf16 => wide(work, (false, true), name),
        Modifier::Lt => done(ordered(work, Operator::Lt)?),
        Modifier::Lte => done(ordered(work, Operator::Lte)?),
        Modifier::Gt => done(ordered(work, Operator::Gt)?),
        Modifier::Gte => done(ordered(work, Operator::Gte)?),
        Modifier::Minute => one(Work::Moment(Operator::Minute, plain(work, name)?)),
        Modifier::Hour => one(Work::Moment(Operator::Hour, plain(work, name)?)),
        Modifier::Day => one(Work::Moment(Operator::Day, plain(work, name)?)),
        Modifier::Week => one(Work::Moment(Operator::Week, plain(work, name)?)),
        Modifier::Month => one(Work::Moment(Operator::Month, plain(work, name)?)),
        Modifier::Year => one(Work::Moment(Operator::Year, plain(work, name)?)),
        Modifier::Cidr => {
            let text = plain_text(work, name)?;
            match text.parse::<IpNet>() {
                Ok(_) => done(Value::Cidr(text)),
                Err(_) => Err(format!("has {text:?}, which is no network")),
            }
        }
        Modifier::Expand => {
            let texts = bindings.expand(&parts(work, name)?)?;
            let values = texts
                .into_iter()
                .map(|parts| Work::Done(Value::Pattern(parts)));
            Ok(values.collect())
        }
        Modifier::FieldRef => done(Value::Field(Operator::Eq, plain_text(work, name)?)),
    }
}

fn finish(work: Work) -> Step<Value> {
    match work {
        Work::Done(value) => Ok(value),
        Work::Regex(pattern, flags) if flags.is_empty() => {
            Ok(Value::Regex(ascii_classes(&pattern)))
        }
        Work::Regex(pattern, flags) => Ok(Value::Regex(format!(
            "(?{flags}){}",
            ascii_classes(&pattern)
        ))),
        Work::Moment(part, value) => Ok(Value::Moment(part, None, whole(&value)?)),
        Work::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(literal(text)),
            Err(_) => Err("is no text after its encoding; base64 belongs behind it".to_owned()),
        },
        Work::Plain(Yaml::Null) => Ok(Value::Null),
        Work::Plain(Yaml::Bool(flag)) => Ok(Value::Bool(flag)),
        Work::Plain(Yaml::Number(number)) => Ok(Value::Number(json_number(&number)?)),
        Work::Plain(Yaml::String(text)) => Ok(Value::Pattern(parse(&text))),
        Work::Plain(Yaml::Sequence(_) | Yaml::Mapping(_) | Yaml::Tagged(_)) => {
            Err("has a value that is neither text nor a number".to_owned())
        }
    }
}

/// The specification's flavour is PCRE, whose classes of letters, digits and blanks are of ASCII.
fn ascii_classes(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let (mut letters, mut in_class) = (pattern.chars(), false);
    while let Some(letter) = letters.next() {
        match letter {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        let escaped = letters.next();
        let members = match escaped {
            Some('w' | 'W') => "0-9A-Za-z_",
            Some('d' | 'D') => "0-9",
            Some('s' | 'S') => r"\t\n\x0B\x0C\r ",
            Some('b') if !in_class => {
                text.push_str(r"(?-u:\b)");
                continue;
            }
            _ => "",
        };
        let is_negated = escaped.is_some_and(char::is_uppercase);
        match (members, in_class) {
            ("", _) | (_, true) if members.is_empty() || is_negated => {
                text.push('\\');
                text.extend(escaped);
            }
            (members, true) => text.push_str(members),
            (members, false) => {
                text.push_str(if is_negated { "[^" } else { "[" });
                text.push_str(members);
                text.push(']');
            }
        }
    }
    text
}

fn literal(text: String) -> Value {
    if text.is_empty() {
        return Value::Pattern(Vec::new());
    }
    Value::Pattern(vec![Part::Text(text)])
}

fn refused(name: &str, what: &str) -> String {
    format!("has the modifier {name} behind {what}")
}

/// The value as it is written, to which no modifier was applied yet.
fn plain(work: Work, name: &str) -> Step<Yaml> {
    match work {
        Work::Plain(value) => Ok(value),
        Work::Bytes(_) | Work::Regex(..) | Work::Moment(..) | Work::Done(_) => {
            Err(refused(name, "another that it does not go with"))
        }
    }
}

fn plain_text(work: Work, name: &str) -> Step<String> {
    // An expanded text is as good as one that was written.
    if let Work::Done(Value::Pattern(parts)) = work {
        return Ok(unescaped(&parts));
    }
    let text = yaml::scalar(&plain(work, name)?);
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| format!("has the modifier {name} and a value that is no text"))
}

fn unescaped(parts: &[Part]) -> String {
    let text = parts.iter().map(|part| match part {
        Part::Text(text) => text.as_str(),
        Part::One => "?",
        Part::Many => "*",
    });
    text.collect()
}

/// The text, with its wildcards.
fn parts(work: Work, name: &str) -> Step<Vec<Part>> {
    if let Work::Done(Value::Pattern(parts)) = work {
        return Ok(parts);
    }
    let value = plain(work, name)?;
    if value.is_null() {
        return Err(format!("has the modifier {name} on null"));
    }
    yaml::scalar(&value)
        .map(|text| parse(&text))
        .ok_or_else(|| format!("has the modifier {name} on what is no text"))
}

/// `contains`, `startswith`, `endswith`.
fn placed(work: Work, operator: Operator, name: &str) -> Step<Value> {
    let before = operator != Operator::StartsWith;
    let behind = operator != Operator::EndsWith;
    if let Work::Done(Value::Field(Operator::Eq, field)) = work {
        return Ok(Value::Field(operator, field));
    }
    if let Work::Regex(pattern, flags) = work {
        // Expressions match somewhere unless they say otherwise.
        let start = if before { "" } else { "^" };
        let end = if behind { "" } else { "$" };
        return finish(Work::Regex(format!("{start}(?:{pattern}){end}"), flags));
    }
    let encoded = matches!(work, Work::Bytes(_));
    let work = if encoded {
        Work::Done(finish(work)?)
    } else {
        work
    };
    let mut parts = parts(work, name)?;
    if before && parts.first() != Some(&Part::Many) {
        parts.insert(0, Part::Many);
    }
    if behind && parts.last() != Some(&Part::Many) {
        parts.push(Part::Many);
    }
    Ok(Value::Pattern(parts))
}

fn dashed(work: Work, name: &str) -> Step<Vec<Work>> {
    let parts = parts(work, name)?;
    // As one text, so that a dash at the edge of a wildcard is seen where it stands.
    let written = write(&parts);
    let variants = windash(&written, VALUES_MAX)
        .ok_or_else(|| format!("becomes more than {VALUES_MAX} values by {name}"))?;
    let values = variants
        .iter()
        .map(|text| Work::Done(Value::Pattern(wildcard::parse(text))));
    Ok(values.collect())
}

fn flagged(work: Work, flag: char, name: &str) -> Step<Vec<Work>> {
    match work {
        Work::Regex(pattern, mut flags) => {
            if !flags.contains(flag) {
                flags.push(flag);
            }
            Ok(vec![Work::Regex(pattern, flags)])
        }
        Work::Plain(_) | Work::Bytes(_) | Work::Moment(..) | Work::Done(_) => {
            Err(format!("has the modifier {name} without re before it"))
        }
    }
}

/// The bytes of a text without wildcards.
fn bytes(work: Work, name: &str) -> Step<Vec<u8>> {
    if let Work::Bytes(bytes) = work {
        return Ok(bytes);
    }
    match parts(work, name)?.as_slice() {
        [] => Err(format!("has the modifier {name} on an empty text")),
        [Part::Text(text)] => Ok(text.clone().into_bytes()),
        _ => Err(format!("has the modifier {name} on a text with wildcards")),
    }
}

fn wide(work: Work, (big_endian, mark): (bool, bool), name: &str) -> Step<Vec<Work>> {
    let parts = parts(work, name)?;
    if let [Part::Text(text)] = parts.as_slice() {
        return Ok(vec![Work::Bytes(utf16(text, big_endian, mark))]);
    }
    let encoded = parts.into_iter().enumerate().map(|(at, part)| match part {
        Part::Text(text) => {
            let bytes = utf16(&text, big_endian, mark && at == 0);
            let text = String::from_utf8(bytes);
            text.map(Part::Text)
                .map_err(|_| format!("is no text after {name}, and has wildcards"))
        }
        Part::One | Part::Many => Ok(part),
    });
    let parts = encoded.collect::<Step<Vec<Part>>>()?;
    Ok(vec![Work::Done(Value::Pattern(parts))])
}

fn ordered(work: Work, order: Operator) -> Step<Value> {
    if let Work::Moment(part, value) = work {
        return Ok(Value::Moment(part, Some(order), whole(&value)?));
    }
    if let Work::Done(Value::Field(Operator::Eq, field)) = work {
        return Ok(Value::Field(order, field));
    }
    let value = plain(work, order.as_str())?;
    let number = yaml::scalar(&value).and_then(|text| text.trim().parse().ok());
    let number =
        number.filter(|number: &serde_json::Number| number.as_f64().is_some_and(f64::is_finite));
    let number = number
        .ok_or_else(|| format!("has the modifier {} on what is no number", order.as_str()))?;
    Ok(Value::Order(order, number))
}

fn whole(value: &Yaml) -> Step<i64> {
    let number = value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    number.ok_or_else(|| "compares a part of a date with what is no whole number".to_owned())
}

fn json_number(number: &serde_yaml_ng::Number) -> Step<serde_json::Number> {
    let json = if let Some(int) = number.as_i64() {
        Some(int.into())
    } else if let Some(int) = number.as_u64() {
        Some(int.into())
    } else {
        number.as_f64().and_then(serde_json::Number::from_f64)
    };
    json.ok_or_else(|| format!("has {number}, which is no finite number"))
}
