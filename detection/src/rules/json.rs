//! The JSON document of a rule: reading it with every problem named by its place, and writing it.

use super::def::{
    Condition, DedupeDef, ExceptionDef, Expect, MissingGroup, MuteDef, Op, Operator, RuleDef,
    RuleSeverity, Selection, TestDef,
};
use super::error::Problem;
use super::window_def::WindowDef;
use super::window_json;
use super::{
    CONDITIONS_MAX, EXCEPTIONS_MAX, KEY_PATHS_MAX, PATH_CHARS_MAX, REGEXES_MAX,
    SELECTION_DEPTH_MAX, TEST_EVENTS_MAX, TESTS_MAX,
};
use millrace_shared::Signal;
use millrace_shared::time::{parse_timestamp, rfc3339};
use millrace_shared::wire::Severity;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value, json};

/// Characters of an id, of a name, of a message.
const ID_CHARS_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 200;
const MESSAGE_CHARS_MAX: usize = 2_000;
/// Bytes of what is kept of a rule's origin.
const ORIGIN_BYTES_MAX: usize = 64 * 1024;
/// Seconds of a dedupe window: a week.
const DEDUPE_SECONDS_MAX: u64 = 7 * 24 * 3600;

pub(super) type Read<T> = Result<T, Problem>;

/// One object of the document. Members are taken out one by one; what is left is unknown.
pub(super) struct Object<'v> {
    path: String,
    members: &'v Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'v> Object<'v> {
    pub(super) fn new(value: &'v Value, path: &str) -> Read<Self> {
        let members = value
            .as_object()
            .ok_or_else(|| Problem::new(path, "must be an object"))?;
        Ok(Object {
            path: path.to_owned(),
            members,
            known: Vec::new(),
        })
    }

    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The member, unless it is missing or null.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn need(&mut self, name: &'static str) -> Read<&'v Value> {
        self.get(name)
            .ok_or_else(|| Problem::new(&self.at(name), "is required"))
    }

    pub(super) fn text(&mut self, name: &'static str, most: usize) -> Read<Option<String>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let path = self.at(name);
        let text = value
            .as_str()
            .ok_or_else(|| Problem::new(&path, "must be text"))?;
        if text.chars().count() > most {
            return Err(Problem::new(
                &path,
                format!("is longer than {most} characters"),
            ));
        }
        Ok(Some(text.to_owned()))
    }

    pub(super) fn number(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Read<Option<u32>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value
            .as_u64()
            .filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or_else(|| {
            Problem::new(
                &self.at(name),
                format!("must be a whole number from {least} to {most}"),
            )
        })
    }

    fn flag(&mut self, name: &'static str, default: bool) -> Read<bool> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        value
            .as_bool()
            .ok_or_else(|| Problem::new(&self.at(name), "must be true or false"))
    }

    pub(super) fn list(&mut self, name: &'static str, most: usize) -> Read<&'v [Value]> {
        let Some(value) = self.get(name) else {
            return Ok(&[]);
        };
        let path = self.at(name);
        let list = value
            .as_array()
            .ok_or_else(|| Problem::new(&path, "must be a list"))?;
        if list.len() > most {
            return Err(Problem::new(&path, format!("has more than {most} items")));
        }
        Ok(list)
    }

    pub(super) fn texts(&mut self, name: &'static str, most: usize) -> Read<Vec<String>> {
        let list = self.list(name, most)?;
        let path = self.at(name);
        let texts = list.iter().enumerate().map(|(index, item)| {
            let text = item.as_str().filter(|text| !text.is_empty());
            let text =
                text.ok_or_else(|| Problem::new(&format!("{path}[{index}]"), "must be text"));
            text.map(ToOwned::to_owned)
        });
        texts.collect()
    }

    fn time(&mut self, name: &'static str) -> Read<Option<i64>> {
        let Some(text) = self.text(name, 64)? else {
            return Ok(None);
        };
        let time = parse_timestamp(&text);
        time.map(Some)
            .ok_or_else(|| Problem::new(&self.at(name), "must be an ISO 8601 time"))
    }

    /// Refuses members that nobody asked for.
    pub(super) fn finish(self) -> Read<()> {
        match self
            .members
            .keys()
            .find(|name| !self.known.contains(&name.as_str()))
        {
            Some(name) => Err(Problem::new(&self.at(name), "is not a member known here")),
            None => Ok(()),
        }
    }
}

pub(super) fn each<'v, T>(
    list: &'v [Value],
    path: &str,
    read: impl Fn(&'v Value, &str) -> Read<T>,
) -> Read<Vec<T>> {
    list.iter()
        .enumerate()
        .map(|(index, item)| read(item, &format!("{path}[{index}]")))
        .collect()
}

impl RuleDef {
    /// Reads and checks a rule.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the document.
    pub fn from_json(document: &Value) -> Result<RuleDef, Problem> {
        let mut rule = Object::new(document, "")?;
        let rule = RuleDef {
            id: identifier(&mut rule)?,
            name: rule.text("name", NAME_CHARS_MAX)?.unwrap_or_default(),
            version: rule
                .number("version", 1, u64::from(u32::MAX >> 1))?
                .unwrap_or(1),
            severity: severity(&mut rule)?,
            message: rule.text("message", MESSAGE_CHARS_MAX)?.unwrap_or_default(),
            enabled: rule.flag("enabled", true)?,
            scope: scope(&mut rule)?,
            attack: attack(&mut rule)?,
            selection: selection_of(&mut rule)?,
            window: window_json::window(&mut rule)?,
            group_by: rule.texts("group_by", KEY_PATHS_MAX)?,
            missing_group: missing_group(&mut rule)?,
            dedupe: dedupe(&mut rule)?,
            exceptions: {
                let list = rule.list("exceptions", EXCEPTIONS_MAX)?;
                each(list, "exceptions", exception)?
            },
            mute: each(rule.list("mute", EXCEPTIONS_MAX)?, "mute", mute)?,
            tests: each(rule.list("tests", TESTS_MAX)?, "tests", test)?,
            origin: origin(&mut rule)?,
        }
        .named(rule)?;
        check(&rule)?;
        Ok(rule)
    }

    /// A rule without a name is called by its id. Also the end of the document.
    fn named(mut self, document: Object<'_>) -> Read<RuleDef> {
        document.finish()?;
        if self.name.is_empty() {
            self.name.clone_from(&self.id);
        }
        Ok(self)
    }
}

fn origin(rule: &mut Object<'_>) -> Read<Option<Value>> {
    let Some(origin) = rule.get("origin") else {
        return Ok(None);
    };
    if !origin.is_object() || origin.to_string().len() > ORIGIN_BYTES_MAX {
        let what = format!("must be an object of at most {ORIGIN_BYTES_MAX} bytes");
        return Err(Problem::new("origin", what));
    }
    Ok(Some(origin.clone()))
}

fn identifier(rule: &mut Object<'_>) -> Read<String> {
    let id = rule.text("id", ID_CHARS_MAX)?.unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if id.is_empty() || !id.chars().all(fits) {
        return Err(Problem::new(
            "id",
            "must be letters, digits, and any of _-.:",
        ));
    }
    Ok(id)
}

fn severity(rule: &mut Object<'_>) -> Read<RuleSeverity> {
    let word = rule.need("severity")?.as_str().unwrap_or_default();
    if word == "ioc" {
        return Ok(RuleSeverity::Ioc);
    }
    let what = "must be info, low, medium, high, critical, or ioc";
    let severity = Severity::parse(word).ok_or_else(|| Problem::new("severity", what))?;
    Ok(RuleSeverity::Fixed(severity))
}

fn scope(rule: &mut Object<'_>) -> Read<Vec<Signal>> {
    let names = rule.texts("scope", Signal::ALL.len())?;
    if names.is_empty() {
        return Ok(Signal::ALL.to_vec());
    }
    let signals = names.iter().enumerate().map(|(index, name)| {
        let what = "must be logs, metrics, traces, rum, or audit";
        let signal = Signal::from_name(name);
        signal.ok_or_else(|| Problem::new(&format!("scope[{index}]"), what))
    });
    signals.collect()
}

fn attack(rule: &mut Object<'_>) -> Read<Vec<String>> {
    let tags = rule.texts("attack", 50)?;
    for (index, tag) in tags.iter().enumerate() {
        let digits = tag.strip_prefix("TA").or_else(|| tag.strip_prefix('T'));
        let is_id = digits.is_some_and(|digits| {
            digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        });
        if !is_id {
            let what = "must be an ATT&CK id such as T1110, T1110.003 or TA0006";
            return Err(Problem::new(&format!("attack[{index}]"), what));
        }
    }
    Ok(tags)
}

fn selection_of(rule: &mut Object<'_>) -> Read<Selection> {
    let conditions = rule.get("conditions");
    match (rule.get("selection"), conditions) {
        (Some(_), Some(_)) => Err(Problem::new("conditions", "stands beside a selection")),
        (Some(selection), None) => counted(selection, "selection"),
        (None, Some(conditions)) => counted(conditions, "conditions"),
        (None, None) => Err(Problem::new("selection", "is required")),
    }
}

pub(super) fn counted(value: &Value, path: &str) -> Read<Selection> {
    let selection = selection(value, path, 0)?;
    let conditions = selection.count(&|_| true);
    if conditions > CONDITIONS_MAX {
        return Err(Problem::new(
            path,
            format!("has more than {CONDITIONS_MAX} conditions"),
        ));
    }
    let is_regex = |condition: &Condition| condition.op.operator == Operator::Regex;
    if selection.count(&is_regex) > REGEXES_MAX {
        let what = format!("has more than {REGEXES_MAX} regular expressions");
        return Err(Problem::new(path, what));
    }
    Ok(selection)
}

/// A list means all of it; an object is a condition, or holds groups, all of which must hold.
fn selection(value: &Value, path: &str, depth: usize) -> Read<Selection> {
    if depth > SELECTION_DEPTH_MAX {
        return Err(Problem::new(
            path,
            format!("is nested deeper than {SELECTION_DEPTH_MAX}"),
        ));
    }
    let items = |list: &Value, path: &str| {
        let list = list.as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| Problem::new(path, "must be a list that is not empty"))?;
        each(list, path, |item, path| selection(item, path, depth + 1))
    };
    if value.is_array() {
        return Ok(Selection::All(items(value, path)?));
    }
    let mut object = Object::new(value, path)?;
    let mut groups = Vec::new();
    for (name, group) in [
        ("all", Selection::All as fn(Vec<Selection>) -> Selection),
        ("any", Selection::Any),
        ("none", Selection::None),
    ] {
        if let Some(list) = object.get(name) {
            groups.push(group(items(list, &object.at(name))?));
        }
    }
    if groups.is_empty() {
        return condition(object).map(Selection::Condition);
    }
    object.finish()?;
    let only = if groups.len() == 1 {
        groups.pop()
    } else {
        None
    };
    Ok(only.unwrap_or(Selection::All(groups)))
}

fn condition(mut object: Object<'_>) -> Read<Condition> {
    let long = object.get("operator");
    let op = object.get("op").or(long);
    let path = object.at("op");
    let op = op.ok_or_else(|| Problem::new(&path, "is required (or a group all, any, none)"))?;
    let op = op
        .as_str()
        .and_then(Op::parse)
        .ok_or_else(|| Problem::new(&path, format!("{op} is no operator")))?;
    let field = object.text("field", PATH_CHARS_MAX)?.unwrap_or_default();
    let needs_field = !matches!(op.operator, Operator::AfterHours | Operator::IocScoreGte);
    if needs_field && field.is_empty() {
        return Err(Problem::new(&object.at("field"), "is required"));
    }
    let value = object.get("value").cloned();
    let value = match op.operator {
        Operator::Exists | Operator::Present | Operator::AfterHours => {
            value.unwrap_or(Value::Bool(true))
        }
        Operator::Eq
        | Operator::Neq
        | Operator::Contains
        | Operator::In
        | Operator::NotIn
        | Operator::StartsWith
        | Operator::EndsWith
        | Operator::Regex
        | Operator::Gt
        | Operator::Gte
        | Operator::Lt
        | Operator::Lte
        | Operator::Cidr
        | Operator::Like
        | Operator::Minute
        | Operator::Hour
        | Operator::Day
        | Operator::Week
        | Operator::Month
        | Operator::Year
        | Operator::IocScoreGte => {
            value.ok_or_else(|| Problem::new(&object.at("value"), "is required"))?
        }
    };
    let condition = Condition { field, op, value };
    super::condition::check(&condition)
        .map_err(|(member, what)| Problem::new(&object.at(member), what))?;
    object.finish()?;
    Ok(condition)
}

fn missing_group(rule: &mut Object<'_>) -> Read<MissingGroup> {
    match rule.text("missing_group", 10)?.as_deref() {
        None | Some("skip") => Ok(MissingGroup::Skip),
        Some("own") => Ok(MissingGroup::Own),
        Some(_) => Err(Problem::new("missing_group", "must be skip or own")),
    }
}

fn dedupe(rule: &mut Object<'_>) -> Read<Option<DedupeDef>> {
    let Some(value) = rule.get("dedupe") else {
        return Ok(None);
    };
    let mut dedupe = Object::new(value, "dedupe")?;
    let def = DedupeDef {
        keys: dedupe.texts("keys", KEY_PATHS_MAX)?,
        window_seconds: dedupe
            .number("window_seconds", 1, DEDUPE_SECONDS_MAX)?
            .unwrap_or(super::DEDUPE_SECONDS_DEFAULT),
    };
    dedupe.finish()?;
    Ok(Some(def))
}

fn exception(value: &Value, path: &str) -> Read<ExceptionDef> {
    let mut object = Object::new(value, path)?;
    let def = ExceptionDef {
        selection: counted(object.need("selection")?, &object.at("selection"))?,
        expires_at: object.time("expires_at")?,
        reason: object.text("reason", NAME_CHARS_MAX)?.unwrap_or_default(),
    };
    object.finish()?;
    Ok(def)
}

fn mute(value: &Value, path: &str) -> Read<MuteDef> {
    let mut object = Object::new(value, path)?;
    let (from, until) = (object.time("from")?, object.time("until")?);
    let def = MuteDef {
        from: from.ok_or_else(|| Problem::new(&object.at("from"), "is required"))?,
        until: until.ok_or_else(|| Problem::new(&object.at("until"), "is required"))?,
        reason: object.text("reason", NAME_CHARS_MAX)?.unwrap_or_default(),
    };
    if def.until <= def.from {
        return Err(Problem::new(&object.at("until"), "must be after from"));
    }
    object.finish()?;
    Ok(def)
}

fn test(value: &Value, path: &str) -> Read<TestDef> {
    let mut object = Object::new(value, path)?;
    let expect = match object.need("expect")?.as_str() {
        Some("match") => Expect::Match,
        Some("no_match") => Expect::NoMatch,
        _ => {
            return Err(Problem::new(
                &object.at("expect"),
                "must be match or no_match",
            ));
        }
    };
    let signal = object.text("signal", 10)?;
    let signal = signal.map(|name| {
        let what = "must be logs, metrics, traces, rum, or audit";
        Signal::from_name(&name).ok_or_else(|| Problem::new(&object.at("signal"), what))
    });
    let def = TestDef {
        name: object.text("name", NAME_CHARS_MAX)?.unwrap_or_default(),
        events: object.list("events", TEST_EVENTS_MAX)?.to_vec(),
        repeat: object
            .number("repeat", 1, TEST_EVENTS_MAX as u64)?
            .unwrap_or(1),
        signal: signal.transpose()?,
        ioc_score: object
            .number("ioc_score", 0, 100)?
            .and_then(|score| u8::try_from(score).ok())
            .unwrap_or(0),
        expect,
    };
    if def.events.len() * def.repeat as usize > TEST_EVENTS_MAX {
        let what = format!("makes more than {TEST_EVENTS_MAX} events");
        return Err(Problem::new(&object.at("repeat"), what));
    }
    object.finish()?;
    Ok(def)
}

/// What no member can say alone.
fn check(rule: &RuleDef) -> Read<()> {
    let paths = rule
        .group_by
        .iter()
        .enumerate()
        .map(|(i, path)| (format!("group_by[{i}]"), path));
    let keys = rule
        .dedupe
        .iter()
        .flat_map(|dedupe| &dedupe.keys)
        .enumerate();
    let keys = keys.map(|(i, path)| (format!("dedupe.keys[{i}]"), path));
    for (place, path) in paths.chain(keys) {
        super::path::check(path).map_err(|what| Problem::new(&place, what))?;
    }
    if let Some(window) = &rule.window {
        window_json::check_paths(window)?;
    }
    if let Some(WindowDef::Correlation(correlation)) = &rule.window {
        correlation.check(&rule.selection)?;
        if !rule.group_by.is_empty() || rule.dedupe.is_some() {
            let what = "stands beside a correlation, whose steps say what to group by";
            return Err(Problem::new("group_by", what));
        }
    }
    if let Some(WindowDef::Measure { of, .. }) = &rule.window
        && of.is_of_counter()
        && rule.scope != [Signal::Metrics]
    {
        let what = "is of counters, and these are metrics: the rule's scope must be metrics alone";
        return Err(Problem::new("window.of", what));
    }
    if rule.window.is_some()
        && let Some(dedupe) = &rule.dedupe
        && let Some(at) = dedupe
            .keys
            .iter()
            .position(|key| !rule.group_by.contains(key))
    {
        let what = "must be one of group_by: the events of a window agree on nothing else";
        return Err(Problem::new(&format!("dedupe.keys[{at}]"), what));
    }
    if rule.severity == RuleSeverity::Ioc && rule.window.is_some() {
        return Err(Problem::new(
            "severity",
            "ioc is of one event, not of a window",
        ));
    }
    Ok(())
}

impl Serialize for RuleDef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RuleDef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        RuleDef::from_json(&document).map_err(de::Error::custom)
    }
}

impl RuleDef {
    /// The document of the rule: reading it again gives the same rule.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let exceptions = self.exceptions.iter().map(|exception| {
            json!({
                "selection": exception.selection.to_json(),
                "expires_at": exception.expires_at.map(rfc3339),
                "reason": exception.reason,
            })
        });
        let mute = self.mute.iter().map(|mute| {
            json!({"from": rfc3339(mute.from), "until": rfc3339(mute.until), "reason": mute.reason})
        });
        json!({
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "severity": match self.severity {
                RuleSeverity::Fixed(severity) => severity.as_str(),
                RuleSeverity::Ioc => "ioc",
            },
            "message": self.message,
            "enabled": self.enabled,
            "scope": self.scope.iter().map(|signal| signal.as_str()).collect::<Vec<_>>(),
            "attack": self.attack,
            "selection": self.selection.to_json(),
            "window": self.window.as_ref().map(WindowDef::to_json),
            "group_by": self.group_by,
            "missing_group": match self.missing_group {
                MissingGroup::Skip => "skip",
                MissingGroup::Own => "own",
            },
            "dedupe": self.dedupe.as_ref().map(|dedupe| {
                json!({"keys": dedupe.keys, "window_seconds": dedupe.window_seconds})
            }),
            "exceptions": exceptions.collect::<Vec<_>>(),
            "mute": mute.collect::<Vec<_>>(),
            "tests": self.tests.iter().map(TestDef::to_json).collect::<Vec<_>>(),
            "origin": self.origin,
        })
    }
}

impl Selection {
    pub(super) fn to_json(&self) -> Value {
        let list = |list: &[Selection]| list.iter().map(Selection::to_json).collect::<Vec<_>>();
        match self {
            Selection::All(all) => json!({"all": list(all)}),
            Selection::Any(any) => json!({"any": list(any)}),
            Selection::None(none) => json!({"none": list(none)}),
            Selection::Condition(Condition { field, op, value }) if field.is_empty() => {
                json!({"op": op.name(), "value": value})
            }
            Selection::Condition(Condition { field, op, value }) => {
                json!({"field": field, "op": op.name(), "value": value})
            }
        }
    }
}

impl TestDef {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "events": self.events,
            "repeat": self.repeat,
            "signal": self.signal.map(Signal::as_str),
            "ioc_score": self.ioc_score,
            "expect": match self.expect {
                Expect::Match => "match",
                Expect::NoMatch => "no_match",
            },
        })
    }
}
