//! One condition, checked and compiled, and the question it asks of a value.

use super::def::{Condition, Operator};
use super::literal::{Literal, contains_folded, ends_folded, folded, starts_folded};
use super::{REGEX_BYTES_MAX, REGEX_COMPILED_BYTES_MAX, VALUE_BYTES_MAX, VALUES_MAX, path};
use hashbrown::HashSet;
use ipnet::IpNet;
use memchr::memmem::Finder;
use millrace_shared::Value;
use millrace_shared::wire::{Level, Severity};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;
use std::net::IpAddr;

/// Values above which an `in` condition uses a set rather than a list.
const LIST_MAX: usize = 8;

/// What a text must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

/// A comparison of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, bound: &T) -> bool {
        match self {
            Order::Gt => value > bound,
            Order::Gte => value >= bound,
            Order::Lt => value < bound,
            Order::Lte => value <= bound,
        }
    }
}

/// A compiled condition without its field.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// One of the literals (the set holds their texts, where they are many).
    Equal {
        literals: Vec<Literal>,
        set: HashSet<Box<str>>,
        any_case: bool,
        negated: bool,
    },
    /// One of the texts at a place.
    Text {
        place: Place,
        needles: Vec<Needle>,
        any_case: bool,
    },
    /// The expression.
    Regex(Regex),
    /// Presence or absence.
    Exists(bool),
    /// Order of numbers.
    Number(Order, f64),
    /// Order of words on the five-step scale; also of log levels.
    Rank(Order, Severity),
    /// An address in one of the networks.
    Cidr(Vec<IpNet>),
    /// Outside (or within) business hours.
    AfterHours(bool),
    /// Indicator score.
    Ioc(u8),
}

/// A text that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    pub(super) text: Box<str>,
    finder: Finder<'static>,
}

/// The member of the condition that is wrong, and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

/// Checks a condition as it is written.
pub(super) fn check(condition: &Condition) -> Result<(), Wrong> {
    compile(condition).map(drop)
}

/// Compiles a condition.
pub(super) fn compile(condition: &Condition) -> Result<Test, Wrong> {
    let Condition { field, op, value } = condition;
    let bad = |what: &str| Err(("value", what.to_owned()));
    if !field.is_empty() {
        path::check(field).map_err(|what| ("field", what.to_owned()))?;
    }
    let any_case = op.any_case;
    match op.operator {
        Operator::Eq if !is_scalar(value) => bad("must be text, a number, true or false (see in)"),
        Operator::Neq if !is_scalar(value) => {
            bad("must be text, a number, true or false (see not_in)")
        }
        Operator::In | Operator::NotIn if !value.is_array() => bad("must be a list"),
        Operator::Eq | Operator::In => equal(value, any_case, false),
        Operator::Neq | Operator::NotIn => equal(value, any_case, true),
        Operator::Contains => text(value, Place::Anywhere, any_case),
        Operator::StartsWith => text(value, Place::Start, any_case),
        Operator::EndsWith => text(value, Place::End, any_case),
        Operator::Regex => regex(value, any_case),
        Operator::Gt => order(value, Order::Gt),
        Operator::Gte => order(value, Order::Gte),
        Operator::Lt => order(value, Order::Lt),
        Operator::Lte => order(value, Order::Lte),
        Operator::Cidr => cidr(value),
        Operator::Exists => match value.as_bool() {
            Some(there) => Ok(Test::Exists(there)),
            None => bad("must be true or false"),
        },
        Operator::AfterHours => match value.as_bool() {
            Some(after) => Ok(Test::AfterHours(after)),
            None => bad("must be true or false"),
        },
        Operator::IocScoreGte => match value.as_u64().and_then(|score| u8::try_from(score).ok()) {
            Some(score @ 1..=100) => Ok(Test::Ioc(score)),
            Some(_) | None => bad("must be a whole number from 1 to 100"),
        },
    }
}

const fn is_scalar(value: &Json) -> bool {
    matches!(value, Json::String(_) | Json::Number(_) | Json::Bool(_))
}

/// The value or the values of a condition.
fn values(value: &Json) -> Result<&[Json], Wrong> {
    let values = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    let too_long = |value: &Json| {
        value
            .as_str()
            .is_some_and(|text| text.len() > VALUE_BYTES_MAX)
    };
    if values.is_empty() {
        Err(("value", "must not be empty".to_owned()))
    } else if values.len() > VALUES_MAX {
        Err((
            "value",
            format!("has more than {VALUES_MAX} items: use indicators"),
        ))
    } else if let Some(at) = values.iter().position(too_long) {
        Err((
            "value",
            format!("item {at} is longer than {VALUE_BYTES_MAX} bytes"),
        ))
    } else {
        Ok(values)
    }
}

fn equal(value: &Json, any_case: bool, negated: bool) -> Result<Test, Wrong> {
    let mut literals = Vec::new();
    for (at, value) in values(value)?.iter().enumerate() {
        let what = || {
            (
                "value",
                format!("item {at} is not text, a number, true or false"),
            )
        };
        literals.push(Literal::new(value, any_case).ok_or_else(what)?);
    }
    let mut set = HashSet::new();
    if literals.len() > LIST_MAX {
        set.extend(literals.iter().map(|literal| literal.text.clone()));
    }
    Ok(Test::Equal {
        literals,
        set,
        any_case,
        negated,
    })
}

fn text(value: &Json, place: Place, any_case: bool) -> Result<Test, Wrong> {
    let mut needles = Vec::new();
    for (at, value) in values(value)?.iter().enumerate() {
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
            return Err(("value", format!("item {at} is not text, or empty")));
        };
        let text = if any_case {
            folded(text).into_owned()
        } else {
            text.to_owned()
        };
        let finder = Finder::new(text.as_bytes()).into_owned();
        needles.push(Needle {
            text: text.into(),
            finder,
        });
    }
    Ok(Test::Text {
        place,
        needles,
        any_case,
    })
}

fn regex(value: &Json, any_case: bool) -> Result<Test, Wrong> {
    let Some(pattern) = value.as_str().filter(|pattern| !pattern.is_empty()) else {
        return Err(("value", "must be a regular expression".to_owned()));
    };
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(("value", format!("is longer than {REGEX_BYTES_MAX} bytes")));
    }
    let built = RegexBuilder::new(pattern)
        .case_insensitive(any_case)
        .size_limit(REGEX_COMPILED_BYTES_MAX)
        .dfa_size_limit(REGEX_COMPILED_BYTES_MAX)
        .build();
    built.map(Test::Regex).map_err(|error| {
        let too_big = matches!(error, regex::Error::CompiledTooBig(_));
        let what = if too_big {
            "is too large when compiled".to_owned()
        } else {
            error.to_string()
        };
        ("value", what)
    })
}

fn order(value: &Json, order: Order) -> Result<Test, Wrong> {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    if let Some(number) = value.as_f64().or_else(|| value.as_str().and_then(number)) {
        return Ok(Test::Number(order, number));
    }
    match value.as_str().and_then(rank) {
        Some(severity) => Ok(Test::Rank(order, severity)),
        None => Err((
            "value",
            "must be a number, a severity, or a log level".to_owned(),
        )),
    }
}

/// A word of the five-step scale, or a log level put on it.
fn rank(word: &str) -> Option<Severity> {
    Severity::parse(word).or_else(|| Level::parse(word).map(Level::severity))
}

fn cidr(value: &Json) -> Result<Test, Wrong> {
    let mut networks = Vec::new();
    for value in values(value)? {
        let text = value.as_str().unwrap_or_default();
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        networks.push(network.map_err(|_| ("value", format!("{value} is no network")))?);
    }
    Ok(Test::Cidr(networks))
}

impl Test {
    /// Whether one value satisfies the condition. Negation and presence are the caller's: they are
    /// of all the field's values.
    pub(super) fn holds(&self, value: &Value<'_>) -> bool {
        match self {
            Test::Equal {
                literals,
                set,
                any_case,
                negated: _,
            } => is_one_of(literals, set, *any_case, value),
            Test::Text {
                place,
                needles,
                any_case,
            } => {
                let mut buffer = [0; 32];
                written(value, &mut buffer).is_some_and(|text| {
                    needles
                        .iter()
                        .any(|needle| needle.is_at(*place, text, *any_case))
                })
            }
            Test::Regex(regex) => {
                let mut buffer = [0; 32];
                written(value, &mut buffer).is_some_and(|text| regex.is_match(text))
            }
            Test::Number(order, bound) => {
                let of_text = |text: &str| text.trim().parse::<f64>().ok();
                let number = value
                    .as_number()
                    .or_else(|| value.as_text().and_then(of_text));
                number.is_some_and(|number| order.holds(&number, bound))
            }
            Test::Rank(order, bound) => value
                .as_text()
                .and_then(rank)
                .is_some_and(|rank| order.holds(&rank, bound)),
            Test::Cidr(networks) => {
                let address = value
                    .as_text()
                    .and_then(|text| text.trim().parse::<IpAddr>().ok());
                address
                    .map(|address| address.to_canonical())
                    .is_some_and(|address| {
                        networks.iter().any(|network| network.contains(&address))
                    })
            }
            Test::Exists(_) => !matches!(value, Value::Null),
            Test::AfterHours(_) | Test::Ioc(_) => false,
        }
    }
}

fn is_one_of(
    literals: &[Literal],
    set: &HashSet<Box<str>>,
    any_case: bool,
    value: &Value<'_>,
) -> bool {
    if let Value::Text(text) = value
        && !set.is_empty()
    {
        return if any_case {
            set.contains(&*folded(text))
        } else {
            set.contains(*text)
        };
    }
    literals.iter().any(|literal| literal.is(value, any_case))
}

/// The text of a value, numbers and truth values as they are written.
pub(super) fn written<'v>(value: &Value<'v>, buffer: &'v mut [u8; 32]) -> Option<&'v str> {
    use std::io::Write;
    let mut rest = buffer.as_mut_slice();
    match value {
        Value::Text(text) | Value::Json(text) => return Some(text),
        Value::Int(int) => write!(rest, "{int}").ok()?,
        Value::Float(float) => write!(rest, "{float}").ok()?,
        Value::Bool(flag) => write!(rest, "{flag}").ok()?,
        Value::Null => return None,
    }
    let left = rest.len();
    std::str::from_utf8(buffer.get(..buffer.len() - left)?).ok()
}

impl Needle {
    fn is_at(&self, place: Place, text: &str, any_case: bool) -> bool {
        match (place, any_case) {
            (Place::Anywhere, false) => self.finder.find(text.as_bytes()).is_some(),
            (Place::Anywhere, true) => contains_folded(text, &self.text),
            (Place::Start, false) => text.starts_with(&*self.text),
            (Place::Start, true) => starts_folded(text, &self.text),
            (Place::End, false) => text.ends_with(&*self.text),
            (Place::End, true) => ends_folded(text, &self.text),
        }
    }
}
