//! Bundles of STIX 2.1 (and 2.0), and what TAXII servers answer: the indicators in them, with the
//! names of the threats that they are said to indicate.

use super::{Parsed, Place, Unread, pattern, read_time, short, tags, threat_name, without_mark};
use crate::indicators::{Feed, Indicator};
use millrace_shared::wire::Severity;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The only language of patterns that says values.
const LANGUAGE: &str = "stix";
/// Objects that an indicator may indicate and that have a name.
const THREATS: [&str; 7] = [
    "malware",
    "threat-actor",
    "intrusion-set",
    "campaign",
    "tool",
    "attack-pattern",
    "infrastructure",
];

#[derive(Deserialize)]
struct Bundle<'t> {
    #[serde(borrow)]
    objects: Vec<&'t RawValue>,
}

/// What every object begins with.
#[derive(Deserialize)]
struct Head<'t> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'t, str>,
    #[serde(borrow, default)]
    id: Cow<'t, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'t, str>>,
    #[serde(borrow, default)]
    relationship_type: Option<Cow<'t, str>>,
    #[serde(borrow, default)]
    source_ref: Option<Cow<'t, str>>,
    #[serde(borrow, default)]
    target_ref: Option<Cow<'t, str>>,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    name: String,
    pattern: Option<String>,
    pattern_type: Option<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    modified: Option<String>,
    confidence: Option<i64>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    indicator_types: Vec<String>,
    #[serde(default)]
    revoked: bool,
}

/// Reads a bundle, an envelope of TAXII, or a list of objects.
///
/// # Errors
/// When it is none; of a single object, [`Parsed`] tells.
pub fn stix(text: &str, feed: &Arc<Feed>) -> Result<Parsed, Unread> {
    let text = without_mark(text).trim_start();
    let broken = |error: serde_json::Error| Unread::Json(error.to_string());
    let objects = if text.starts_with('[') {
        serde_json::from_str(text).map_err(broken)?
    } else {
        let bundle: Bundle<'_> = serde_json::from_str(text).map_err(broken)?;
        bundle.objects
    };
    let threats = threats(&objects);
    let mut parsed = Parsed::default();
    for (number, object) in (1..).zip(&objects) {
        let place = |id: &str| match id {
            "" => Place::Object(format!("object {number}")),
            id => Place::Object(short(id)),
        };
        let head: Head<'_> = match serde_json::from_str(object.get()) {
            Ok(head) => head,
            Err(error) => {
                parsed.refuse(place(""), format!("is no object of STIX: {error}"));
                continue;
            }
        };
        if head.kind != "indicator" {
            parsed.left_out += 1;
            continue;
        }
        let threat = threats.get(&head.id).map_or("", |name| name);
        let taken = serde_json::from_str(object.get())
            .map_err(|error| format!("is no indicator of STIX: {error}"))
            .and_then(|described| take(&described, threat, feed));
        match taken {
            Ok(Taken::Left) => parsed.left_out += 1,
            Ok(Taken::Indicators(mut indicators, notes)) => {
                parsed.indicators.append(&mut indicators);
                notes
                    .into_iter()
                    .for_each(|note| parsed.note(place(&head.id), note));
            }
            Err(what) => parsed.refuse(place(&head.id), what),
        }
    }
    Ok(parsed)
}

/// The names of what indicators indicate, by the id of the indicator.
fn threats<'t>(objects: &[&'t RawValue]) -> HashMap<Cow<'t, str>, Cow<'t, str>> {
    let (mut names, mut indicates) = (HashMap::new(), Vec::new());
    for object in objects {
        let Ok(head) = serde_json::from_str::<Head<'t>>(object.get()) else {
            continue;
        };
        if THREATS.contains(&head.kind.as_ref()) {
            names.extend(head.name.map(|name| (head.id, name)));
        } else if head.relationship_type.as_deref() == Some("indicates") {
            indicates.extend(head.source_ref.zip(head.target_ref));
        }
    }
    let named = |(source, target): (Cow<'t, str>, Cow<'t, str>)| {
        let name = names.get(&target)?;
        Some((source, name.clone()))
    };
    indicates.into_iter().filter_map(named).collect()
}

/// What came of an indicator.
enum Taken {
    /// It holds no longer.
    Left,
    /// It is these, with what is to be noted.
    Indicators(Vec<Indicator>, Vec<String>),
}

fn take(described: &Described, threat: &str, feed: &Arc<Feed>) -> Result<Taken, String> {
    if described.revoked {
        return Ok(Taken::Left);
    }
    let language = described.pattern_type.as_deref().unwrap_or(LANGUAGE);
    if language != LANGUAGE {
        return Err(format!(
            "its pattern is one of {}, not of STIX",
            short(language)
        ));
    }
    let types = || described.indicator_types.iter().chain(&described.labels);
    if types().any(|word| word == "benign") {
        return Err("it is said to be benign: such values belong on an allow-list".to_owned());
    }
    let pattern = described.pattern.as_deref().ok_or("it has no pattern")?;
    let said = pattern::read(pattern)?;
    let about = about(described, threat)?;
    let indicator = |(kind, value)| Indicator {
        confidence: about.confidence,
        severity: severity(types()),
        threat: about.threat.clone(),
        tags: about.tags.clone(),
        first_seen: about.first_seen,
        last_seen: about.last_seen,
        expires_at: about.expires_at,
        ..Indicator::new(kind, value, Arc::clone(feed))
    };
    let indicators = said.values.into_iter().map(indicator).collect();
    Ok(Taken::Indicators(indicators, said.notes))
}

/// What all indicators of a pattern have.
struct About {
    confidence: u8,
    threat: String,
    tags: Vec<String>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    expires_at: Option<i64>,
}

fn about(described: &Described, threat: &str) -> Result<About, String> {
    let time = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => match read_time(text) {
            Some(at) => Ok(Some(at)),
            None => Err(format!("{name} is {:?}, which is no time", short(text))),
        },
    };
    let confidence = described.confidence.map(|given| {
        let fits = u8::try_from(given).ok().filter(|given| *given <= 100);
        fits.ok_or_else(|| format!("confidence {given} is not 0 to 100"))
    });
    let first_seen = time("valid_from", &described.valid_from)?;
    let words = described.indicator_types.iter().chain(&described.labels);
    Ok(About {
        confidence: confidence
            .transpose()?
            .unwrap_or(crate::indicators::CONFIDENCE_DEFAULT),
        threat: threat_name(if threat.is_empty() {
            &described.name
        } else {
            threat
        }),
        tags: tags(words.map(String::as_str)),
        first_seen,
        // Who writes an indicator anew says that it still holds.
        last_seen: time("modified", &described.modified)?.max(first_seen),
        expires_at: time("valid_until", &described.valid_until)?,
    })
}

/// By the open vocabulary of indicator types (STIX 2.1, section 10.6): what is malicious weighs more
/// than what is merely odd.
fn severity<'t>(mut types: impl Iterator<Item = &'t String>) -> Severity {
    let grave = ["malicious-activity", "attribution", "compromised"];
    match types.any(|word| grave.contains(&word.as_str())) {
        true => Severity::High,
        false => Severity::Medium,
    }
}
