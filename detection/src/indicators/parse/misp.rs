//! Events of MISP as it exports and answers them, and the manifest of its feeds.
//!
//! How bad an attribute is follows from whether it is marked for detection (`to_ids`) and from its
//! category; what is of no type that can be looked up is left out, and so are references to reports.

use super::{Parsed, Place, Unread, read_time, short, tags, threat_name, value, without_mark};
use crate::indicators::{CONFIDENCE_DEFAULT, Feed, Indicator};
use crate::observables::{Kind, canonical};
use millrace_shared::wire::Severity;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Confidence of what is not marked for detection: it is context, and says so.
const CONFIDENCE_OF_CONTEXT: u8 = 25;
/// The taxonomy in which analysts say how sure they are.
const CONFIDENCE_TAGS: [(&str, u8); 5] = [
    ("misp:confidence-level=\"completely-confident\"", 100),
    ("misp:confidence-level=\"usually-confident\"", 75),
    ("misp:confidence-level=\"fairly-confident\"", 50),
    ("misp:confidence-level=\"rarely-confident\"", 25),
    ("misp:confidence-level=\"unconfident\"", 0),
];
/// Galaxies that name a threat.
const THREAT_GALAXIES: [&str; 9] = [
    "malpedia",
    "ransomware",
    "rat",
    "banker",
    "stealer",
    "botnet",
    "tool",
    "mitre-malware",
    "threat-actor",
];

#[derive(Default, Deserialize)]
struct Event<'t> {
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    info: String,
    #[serde(default, rename = "Tag")]
    tags: Vec<Tag>,
    #[serde(borrow, default, rename = "Attribute")]
    attributes: Vec<&'t RawValue>,
    #[serde(borrow, default, rename = "Object")]
    objects: Vec<Object<'t>>,
}

#[derive(Deserialize)]
struct Object<'t> {
    #[serde(default, deserialize_with = "flag")]
    deleted: bool,
    #[serde(borrow, default, rename = "Attribute")]
    attributes: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(default)]
    uuid: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    category: String,
    value: String,
    #[serde(default, deserialize_with = "flag")]
    to_ids: bool,
    #[serde(default, deserialize_with = "flag")]
    deleted: bool,
    #[serde(default, deserialize_with = "text")]
    timestamp: String,
    #[serde(default, deserialize_with = "text")]
    first_seen: String,
    #[serde(default, deserialize_with = "text")]
    last_seen: String,
    #[serde(default, rename = "Tag")]
    tags: Vec<Tag>,
}

/// MISP writes flags as booleans, numbers and texts.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => matches!(text.as_str(), "1" | "true"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    })
}

/// And times as texts, numbers and nothing.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    })
}

/// An item of a list: an event in its wrapping, or an attribute, which may name its event too.
#[derive(Deserialize)]
struct Item<'t> {
    #[serde(borrow, default, rename = "Event")]
    event: Option<&'t RawValue>,
    #[serde(borrow, default)]
    value: Option<&'t RawValue>,
}

/// Reads events or attributes: an event, a list of them, or an answer of the API to a search.
///
/// # Errors
/// When it is none of these; of a single attribute, [`Parsed`] tells.
pub fn misp(text: &str, feed: &Arc<Feed>) -> Result<Parsed, Unread> {
    let text = without_mark(text).trim_start();
    let mut parsed = Parsed::default();
    if text.starts_with('[') {
        list(text, feed, &mut parsed)?;
        return Ok(parsed);
    }
    let whole: Members<'_> = serde_json::from_str(text).map_err(broken)?;
    match whole.get("response").map(|response| response.get()) {
        Some(response) if response.starts_with('[') => list(response, feed, &mut parsed)?,
        Some(response) => {
            let inner: Members<'_> = serde_json::from_str(response).map_err(broken)?;
            object(&inner, feed, &mut parsed)?;
        }
        None => object(&whole, feed, &mut parsed)?,
    }
    Ok(parsed)
}

type Members<'t> = BTreeMap<String, &'t RawValue>;

fn broken(error: serde_json::Error) -> Unread {
    Unread::Json(error.to_string())
}

fn object(members: &Members<'_>, feed: &Arc<Feed>, parsed: &mut Parsed) -> Result<(), Unread> {
    match (members.get("Event"), members.get("Attribute")) {
        (Some(one), _) => event(one, 1, feed, parsed),
        (None, Some(attributes)) => list(attributes.get(), feed, parsed)?,
        (None, None) => return Err(Unread::OtherJson),
    }
    Ok(())
}

/// A list of events or of attributes.
fn list(text: &str, feed: &Arc<Feed>, parsed: &mut Parsed) -> Result<(), Unread> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
    let nobody = Event::default();
    for (number, item) in (1..).zip(&items) {
        match serde_json::from_str::<Item<'_>>(item.get()) {
            Ok(Item {
                event: Some(one),
                value: None,
            }) => event(one, number, feed, parsed),
            Ok(_) | Err(_) => attribute(item, number, (&nobody, feed), parsed),
        }
    }
    Ok(())
}

fn event(raw: &RawValue, number: u64, feed: &Arc<Feed>, parsed: &mut Parsed) {
    let event: Event<'_> = match serde_json::from_str(raw.get()) {
        Ok(event) => event,
        Err(error) => {
            let place = Place::Object(format!("event {number}"));
            parsed.refuse(place, format!("is no event of MISP: {error}"));
            return;
        }
    };
    let of_objects = event.objects.iter().flat_map(|object| {
        let gone = object.deleted;
        object.attributes.iter().filter(move |_| !gone)
    });
    for (number, raw) in (1..).zip(event.attributes.iter().chain(of_objects)) {
        attribute(raw, number, (&event, feed), parsed);
    }
}

fn attribute(
    raw: &RawValue,
    number: u64,
    (event, feed): (&Event<'_>, &Arc<Feed>),
    parsed: &mut Parsed,
) {
    let place = |id: &str| match (id, event.uuid.as_str()) {
        ("", "") => Place::Object(format!("attribute {number}")),
        ("", event) => Place::Object(format!("attribute {number} of event {}", short(event))),
        (id, _) => Place::Object(format!("attribute {}", short(id))),
    };
    let attribute: Attribute = match serde_json::from_str(raw.get()) {
        Ok(attribute) => attribute,
        Err(error) => {
            parsed.refuse(place(""), format!("is no attribute of MISP: {error}"));
            return;
        }
    };
    let values = match attribute.deleted {
        true => Vec::new(),
        false => attribute.values(),
    };
    if values.is_empty() {
        parsed.left_out += 1;
        return;
    }
    for read in values {
        match read.and_then(|value| attribute.indicator(value, event, feed)) {
            Ok(indicator) => parsed.indicators.push(indicator),
            Err(what) => parsed.refuse(place(&attribute.uuid), what),
        }
    }
}

/// What an attribute of a type holds.
enum Part {
    /// The whole of it, of that kind.
    Whole(Kind),
    /// What stands before the bar.
    First(Kind),
    /// What stands behind the bar.
    Second(Kind),
    /// A domain and an address.
    Both,
}

fn part(kind: &str) -> Option<Part> {
    Some(match kind {
        "ip-src" | "ip-dst" => Part::Whole(Kind::Ipv4),
        "ip-src|port" | "ip-dst|port" => Part::First(Kind::Ipv4),
        "domain" | "hostname" => Part::Whole(Kind::Domain),
        "hostname|port" => Part::First(Kind::Domain),
        "domain|ip" => Part::Both,
        "url" => Part::Whole(Kind::Url),
        "email" | "email-src" | "email-dst" | "email-reply-to" => Part::Whole(Kind::Email),
        "md5" | "x509-fingerprint-md5" => Part::Whole(Kind::Md5),
        "sha1" | "x509-fingerprint-sha1" => Part::Whole(Kind::Sha1),
        "sha256" | "x509-fingerprint-sha256" => Part::Whole(Kind::Sha256),
        "sha512" => Part::Whole(Kind::Sha512),
        "filename|md5" | "malware-sample" => Part::Second(Kind::Md5),
        "filename|sha1" => Part::Second(Kind::Sha1),
        "filename|sha256" => Part::Second(Kind::Sha256),
        "filename|sha512" => Part::Second(Kind::Sha512),
        "vulnerability" => Part::Whole(Kind::Cve),
        _ => return None,
    })
}

/// The kinds that a type of attributes holds; none for one that holds nothing to look up.
pub(in crate::indicators) fn kinds_of(kind: &str) -> &'static [Kind] {
    match part(kind) {
        Some(Part::Both) => &[Kind::Domain, Kind::Ipv4, Kind::Ipv6, Kind::Cidr],
        Some(Part::Whole(kind) | Part::First(kind) | Part::Second(kind)) => match kind {
            Kind::Ipv4 | Kind::Ipv6 | Kind::Cidr => &[Kind::Ipv4, Kind::Ipv6, Kind::Cidr],
            Kind::Domain => &[Kind::Domain],
            Kind::Url => &[Kind::Url],
            Kind::Email => &[Kind::Email],
            Kind::Md5 => &[Kind::Md5],
            Kind::Sha1 => &[Kind::Sha1],
            Kind::Sha256 => &[Kind::Sha256],
            Kind::Sha512 => &[Kind::Sha512],
            Kind::Cve => &[Kind::Cve],
        },
        None if matches!(kind, "uri" | "link") => &[Kind::Url],
        None => &[],
    }
}

impl Attribute {
    /// Its values; none where it holds nothing to look up.
    fn values(&self) -> Vec<Result<(Kind, String), String>> {
        let Some(part) = part(&self.kind) else {
            return Vec::new();
        };
        let (first, second) = self.value.split_once('|').unwrap_or((&self.value, ""));
        let read = |kind: Kind, text: &str| {
            let read = canonical(kind, text).or_else(|| {
                let (found, value) = value(text)?;
                canonical(kind, &value).filter(|_| found != Kind::Url)
            });
            read.ok_or_else(|| format!("{:?} is no {}", short(text), self.kind))
        };
        match part {
            Part::Whole(kind) => vec![read(kind, &self.value)],
            Part::First(kind) => vec![read(kind, first)],
            Part::Second(kind) => vec![read(kind, second)],
            Part::Both => vec![read(Kind::Domain, first), read(Kind::Ipv4, second)],
        }
    }

    fn indicator(
        &self,
        (kind, value): (Kind, String),
        event: &Event<'_>,
        feed: &Arc<Feed>,
    ) -> Result<Indicator, String> {
        let names = || {
            let own = self.tags.iter().chain(&event.tags);
            own.map(|tag| tag.name.as_str())
        };
        let time = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => match read_time(text) {
                Some(at) => Ok(Some(at)),
                None => Err(format!("{name} is {:?}, which is no time", short(text))),
            },
        };
        let seen = time("last_seen", &self.last_seen)?;
        Ok(Indicator {
            confidence: self.confidence(names()),
            severity: severity(self.to_ids, &self.category),
            threat: names()
                .find_map(threat)
                .unwrap_or_else(|| threat_name(&event.info)),
            tags: tags(names()),
            first_seen: time("first_seen", &self.first_seen)?,
            last_seen: seen.or(time("timestamp", &self.timestamp)?.filter(|at| *at > 0)),
            ..Indicator::new(kind, value, Arc::clone(feed))
        })
    }

    fn confidence<'t>(&self, mut names: impl Iterator<Item = &'t str>) -> u8 {
        let said = names.find_map(|name| {
            let known = CONFIDENCE_TAGS.iter().find(|(tag, _)| *tag == name);
            known.map(|(_, confidence)| *confidence)
        });
        said.unwrap_or(match self.to_ids {
            true => CONFIDENCE_DEFAULT,
            false => CONFIDENCE_OF_CONTEXT,
        })
    }
}

/// Marked for detection, a payload or an artifact is critical and all else high; what is not marked
/// is medium where it was seen on the network or by others, else low.
fn severity(to_ids: bool, category: &str) -> Severity {
    let category = category.to_ascii_lowercase();
    let is = |words: [&str; 2]| words.iter().any(|word| category.starts_with(word));
    match to_ids {
        true if is(["payload", "artifact"]) => Severity::Critical,
        true => Severity::High,
        false if is(["network", "external"]) => Severity::Medium,
        false => Severity::Low,
    }
}

/// The name in a tag such as `misp-galaxy:malpedia="Emotet"`.
fn threat(tag: &str) -> Option<String> {
    let (galaxy, name) = tag.strip_prefix("misp-galaxy:")?.split_once('=')?;
    let known = THREAT_GALAXIES.contains(&galaxy);
    known.then(|| threat_name(name.trim_matches('"')))
}

/// An event that a feed holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEvent {
    /// Its id: it lies at `<id>.json` beside the manifest.
    pub uuid: Uuid,
    /// When it was changed, seconds since 1970.
    pub timestamp: i64,
    /// What it is about.
    pub info: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    info: String,
    #[serde(default, deserialize_with = "text")]
    timestamp: String,
}

/// Reads the manifest of a feed: its events, those that were changed last first.
///
/// # Errors
/// When it is none.
pub fn manifest(text: &str) -> Result<Vec<ManifestEvent>, Unread> {
    let listed: BTreeMap<String, Listed> =
        serde_json::from_str(without_mark(text)).map_err(broken)?;
    let mut events = Vec::with_capacity(listed.len());
    for (id, event) in listed {
        let uuid = Uuid::try_parse(&id).map_err(|_| Unread::OtherJson)?;
        events.push(ManifestEvent {
            uuid,
            timestamp: event.timestamp.parse().unwrap_or(0),
            info: threat_name(&event.info),
        });
    }
    events.sort_by_key(|event| (std::cmp::Reverse(event.timestamp), event.uuid));
    Ok(events)
}
