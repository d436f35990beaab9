//! One condition, checked and compiled, and the question it asks of a value.

use super::compare::{self, Relation};
use super::def::{Condition, Operator};
use super::literal::{
    Literal, contains_folded, ends_folded, folded, hash_value, is_caseless, starts_folded,
};
use super::moment::Part;
use super::required::required;
use super::wildcard::Wildcard;
use super::{REGEX_BYTES_MAX, REGEX_COMPILED_BYTES_MAX, VALUE_BYTES_MAX, VALUES_MAX, path};
use aho_corasick::AhoCorasick;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;
use memchr::memmem::Finder;
use millrace_shared::Value;
use millrace_shared::wire::{Level, Severity};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;
use std::net::IpAddr;

/// Values above which an `in` condition uses a set rather than a list.
const LIST_MAX: usize = 8;
/// Texts that are looked for one by one before an expression is tried.
const FEW: usize = 3;

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
    pub(super) fn holds<T: PartialOrd>(self, value: &T, bound: &T) -> bool {
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
    /// One of the literals.
    Equal {
        literals: Vec<Literal>,
        set: Set,
        any_case: bool,
        negated: bool,
    },
    /// One of the texts at a place.
    Text {
        place: Place,
        needles: Vec<Needle>,
        any_case: bool,
        /// All of them at once, where they are many.
        at_once: Option<AhoCorasick>,
    },
    /// One of the patterns.
    Like(Vec<Wildcard>),
    /// The expression, and texts of which one stands in whatever it matches.
    Regex(Regex, Option<Vec<String>>),
    /// Presence or absence of a value.
    Exists(bool),
    /// Presence or absence of the field, be it null.
    Present(bool),
    /// The value of another field of the event.
    Field(OtherField),
    /// A part of a date.
    Moment(Part, Span),
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

/// Another field, and how the value stands to its value.
#[derive(Clone, Debug)]
pub(super) struct OtherField {
    pub(super) path: Box<str>,
    /// Filled in by whoever knows the slots.
    pub(super) slot: u32,
    pub(super) relation: Relation,
    pub(super) any_case: bool,
    pub(super) negated: bool,
}

/// Numbers that a part of a date may be.
#[derive(Clone, Debug)]
pub(super) enum Span {
    /// One of them.
    In(Vec<i64>),
    /// Between bounds.
    Bounds(Vec<(Order, i64)>),
}

/// Literals by their hashes, where they are many.
pub(super) type Set = HashMap<u64, Vec<u32>, FixedState>;

/// A text that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    pub(super) text: Box<str>,
    /// Prepared for text that may stand anywhere as it is written.
    finder: Option<Box<Finder<'static>>>,
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
        path::check_all(field).map_err(|what| ("field", what.to_owned()))?;
    }
    let any_case = op.any_case;
    if let Some(other) = other_field(condition)? {
        return Ok(Test::Field(other));
    }
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
        Operator::Like => like(value, any_case),
        Operator::Minute => moment(value, Part::Minute),
        Operator::Hour => moment(value, Part::Hour),
        Operator::Day => moment(value, Part::Day),
        Operator::Week => moment(value, Part::Week),
        Operator::Month => moment(value, Part::Month),
        Operator::Year => moment(value, Part::Year),
        Operator::Gt => order(value, Order::Gt),
        Operator::Gte => order(value, Order::Gte),
        Operator::Lt => order(value, Order::Lt),
        Operator::Lte => order(value, Order::Lte),
        Operator::Cidr => cidr(value),
        Operator::Exists => match value.as_bool() {
            Some(there) => Ok(Test::Exists(there)),
            None => bad("must be true or false"),
        },
        Operator::Present => match value.as_bool() {
            Some(there) => Ok(Test::Present(there)),
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
    let mut set = Set::default();
    if literals.len() > LIST_MAX {
        for (number, literal) in (0..).zip(&literals) {
            for hash in literal.hashes(any_case) {
                set.entry(hash).or_default().push(number);
            }
        }
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
        let is_searched = place == Place::Anywhere && !any_case;
        let finder = is_searched.then(|| Box::new(Finder::new(text.as_bytes()).into_owned()));
        needles.push(Needle {
            text: text.into(),
            finder,
        });
    }
    let at_once = at_once(&needles, place, any_case);
    Ok(Test::Text {
        place,
        needles,
        any_case,
        at_once,
    })
}

/// An automaton of many texts, unless one of them has letters whose case it does not know.
fn at_once(needles: &[Needle], place: Place, any_case: bool) -> Option<AhoCorasick> {
    let is_fixed = |letter: char| letter.is_ascii() || is_caseless(letter);
    let are_fixed = || {
        needles
            .iter()
            .all(|needle| needle.text.chars().all(is_fixed))
    };
    if place != Place::Anywhere || needles.len() <= LIST_MAX || (any_case && !are_fixed()) {
        return None;
    }
    AhoCorasick::builder()
        .ascii_case_insensitive(any_case)
        .build(needles.iter().map(|needle| needle.text.as_bytes()))
        .ok()
}

/// The other field, where the value is the object that names one.
fn other_field(condition: &Condition) -> Result<Option<OtherField>, Wrong> {
    let Some(object) = condition.value.as_object() else {
        return Ok(None);
    };
    let Some(other) = object.get("field") else {
        return Ok(None);
    };
    let other = other.as_str().filter(|_| object.len() == 1);
    let path = other.ok_or_else(|| ("value", "must be {\"field\": path} only".to_owned()))?;
    path::check_all(path).map_err(|what| ("value", format!("names a field that {what}")))?;
    let relation = match condition.op.operator {
        Operator::Eq | Operator::Neq => Relation::Equal,
        Operator::Contains => Relation::Text(Place::Anywhere),
        Operator::StartsWith => Relation::Text(Place::Start),
        Operator::EndsWith => Relation::Text(Place::End),
        Operator::Gt => Relation::Number(Order::Gt),
        Operator::Gte => Relation::Number(Order::Gte),
        Operator::Lt => Relation::Number(Order::Lt),
        Operator::Lte => Relation::Number(Order::Lte),
        Operator::In
        | Operator::NotIn
        | Operator::Regex
        | Operator::Like
        | Operator::Exists
        | Operator::Present
        | Operator::Cidr
        | Operator::Minute
        | Operator::Hour
        | Operator::Day
        | Operator::Week
        | Operator::Month
        | Operator::Year
        | Operator::AfterHours
        | Operator::IocScoreGte => {
            let what = "cannot be another field with this operator";
            return Err(("value", what.to_owned()));
        }
    };
    Ok(Some(OtherField {
        path: path.into(),
        slot: super::compile::NO_SLOT,
        relation,
        any_case: condition.op.any_case,
        negated: condition.op.operator == Operator::Neq,
    }))
}

fn like(value: &Json, any_case: bool) -> Result<Test, Wrong> {
    let mut patterns = Vec::new();
    for (at, value) in values(value)?.iter().enumerate() {
        let Some(pattern) = value.as_str() else {
            return Err(("value", format!("item {at} is not text")));
        };
        patterns.push(Wildcard::new(pattern, any_case));
    }
    Ok(Test::Like(patterns))
}

/// Numbers, or an object of bounds such as `{"gte": 9, "lt": 17}`.
fn moment(value: &Json, part: Part) -> Result<Test, Wrong> {
    let wrong = || {
        (
            "value",
            "must be whole numbers, or bounds of one".to_owned(),
        )
    };
    let Some(bounds) = value.as_object() else {
        let numbers = values(value)?.iter().map(|value| {
            let number = value.as_i64();
            number.or_else(|| value.as_str()?.parse().ok())
        });
        let numbers: Option<Vec<i64>> = numbers.collect();
        return Ok(Test::Moment(part, Span::In(numbers.ok_or_else(wrong)?)));
    };
    let bounds = bounds.iter().map(|(name, value)| {
        let order = match name.as_str() {
            "gt" => Order::Gt,
            "gte" => Order::Gte,
            "lt" => Order::Lt,
            "lte" => Order::Lte,
            _ => return None,
        };
        Some((order, value.as_i64()?))
    });
    let bounds: Option<Vec<_>> = bounds.collect();
    let bounds = bounds.filter(|bounds| !bounds.is_empty());
    Ok(Test::Moment(part, Span::Bounds(bounds.ok_or_else(wrong)?)))
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
    let required = required(pattern, any_case);
    built
        .map(|regex| Test::Regex(regex, required))
        .map_err(|error| {
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
    /// Whether one value satisfies the condition. Negation, presence and other fields are the
    /// caller's: they are of all the values.
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
                at_once,
            } => {
                let mut buffer = [0; 32];
                written(value, &mut buffer).is_some_and(|text| match at_once {
                    Some(automaton) => automaton.is_match(text),
                    None => needles
                        .iter()
                        .any(|needle| needle.is_at(*place, text, *any_case)),
                })
            }
            Test::Regex(regex, required) => {
                let mut buffer = [0; 32];
                written(value, &mut buffer)
                    .is_some_and(|text| may_match(required, text) && regex.is_match(text))
            }
            Test::Like(patterns) => {
                let mut buffer = [0; 32];
                written(value, &mut buffer)
                    .is_some_and(|text| patterns.iter().any(|pattern| pattern.matches(text)))
            }
            Test::Number(order, bound) => {
                compare::number(value).is_some_and(|number| order.holds(&number, bound))
            }
            Test::Moment(part, span) => part.of(value).is_some_and(|number| match span {
                Span::In(numbers) => numbers.contains(&number),
                Span::Bounds(bounds) => bounds
                    .iter()
                    .all(|(order, bound)| order.holds(&number, bound)),
            }),
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
            Test::Present(_) | Test::Field(_) | Test::AfterHours(_) | Test::Ioc(_) => false,
        }
    }
}

/// Whether a text holds one of those that an expression cannot do without. Many take longer to look
/// for than the expression.
fn may_match(required: &Option<Vec<String>>, text: &str) -> bool {
    let few = required.as_ref().filter(|texts| texts.len() <= FEW);
    few.is_none_or(|texts| texts.iter().any(|wanted| contains_folded(text, wanted)))
}

fn is_one_of(literals: &[Literal], set: &Set, any_case: bool, value: &Value<'_>) -> bool {
    if set.is_empty() {
        return literals.iter().any(|literal| literal.is(value, any_case));
    }
    let found = hash_value(value, any_case).and_then(|hash| set.get(&hash));
    let mut found = found.into_iter().flatten();
    found.any(|number| {
        let literal = literals.get(*number as usize);
        literal.is_some_and(|literal| literal.is(value, any_case))
    })
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
            (Place::Anywhere, false) => match &self.finder {
                Some(finder) => finder.find(text.as_bytes()).is_some(),
                None => text.contains(&*self.text),
            },
            (Place::Anywhere, true) => contains_folded(text, &self.text),
            (Place::Start, false) => text.starts_with(&*self.text),
            (Place::Start, true) => starts_folded(text, &self.text),
            (Place::End, false) => text.ends_with(&*self.text),
            (Place::End, true) => ends_folded(text, &self.text),
        }
    }
}
