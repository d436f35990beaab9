//! The facts that a message tells, as they were stored when it happened. Long values are clipped:
//! receivers refuse what is too long, and then nothing is told at all.

use super::text::{clip, is_blank};
use millrace_shared::channel::Happening;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Characters of a value of the group, and of an observable: enough to know it by.
const VALUE_CHARS_MAX: usize = 500;
/// Members of the group: rules group by a few.
const GROUP_MAX: usize = 20;
/// What is said of an alert whose events are not of today.
const RETROACTIVE: &str = "yes: its events were stored before this was known";
/// What stands for a value that cannot be seen.
const BLANK: &str = "(blank)";

/// What happened, to which alert.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// What happened; from the outbox's own column.
    #[serde(skip)]
    pub happening: Option<Happening>,
    /// The key under which it is sent; from the outbox's own column.
    #[serde(skip)]
    pub key: String,
    /// The name of the channel.
    #[serde(skip)]
    pub channel: String,
    /// Where the alert can be seen.
    #[serde(skip)]
    pub link: Option<String>,
    /// When it happened, RFC 3339.
    pub timestamp: String,
    /// Whose alert it is.
    pub organisation: Organisation,
    /// The alert as it was then; none in a test.
    pub alert: Option<Alert>,
    /// The severity before it rose.
    pub previous_severity: Option<String>,
    /// Who brought it about, where somebody did.
    pub by: Option<String>,
    /// What they said of it.
    pub note: Option<String>,
}

/// An organisation.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Organisation {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// An alert.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// The rule that made it.
    pub rule_id: String,
    /// Version of the rule.
    pub rule_version: i32,
    /// `info` to `critical`.
    pub severity: String,
    /// The title.
    pub title: String,
    /// The message.
    pub message: String,
    /// The type, as `BRUTE_FORCE_ATTACK`.
    pub alert_type: String,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// The group it is about.
    pub group_key: Map<String, Value>,
    /// When its first event happened.
    pub first_seen: String,
    /// When its last event happened.
    pub last_seen: String,
    /// Matches it stands for.
    pub count: i64,
    /// Some of its events.
    pub event_ids: Vec<String>,
    /// Observables in them.
    pub observables: Vec<String>,
    /// The risk, 0 to 100.
    pub risk_score: i16,
    /// The signal its events came as.
    pub signal: String,
    /// Where it stands.
    pub status: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// Whether its events were stored before what it tells of them was known. Messages that were written
    /// before there was such a thing do not say.
    #[serde(default)]
    pub retroactive: bool,
}

impl Message {
    /// Reads the stored facts.
    ///
    /// # Errors
    /// When they are of another form.
    pub fn read(payload: Value, happening: Happening) -> Result<Self, serde_json::Error> {
        let mut message: Message = serde_json::from_value(payload)?;
        message.happening = Some(happening);
        if let Some(alert) = &mut message.alert {
            alert.clip();
        }
        Ok(message)
    }

    /// What happened, in a few words.
    #[must_use]
    pub fn headline(&self) -> String {
        let Some(alert) = &self.alert else {
            return format!("Test of the channel {}", self.channel);
        };
        let what = match self.happening {
            Some(Happening::Created) | None if alert.retroactive => "Found in history",
            Some(Happening::Created) | None => "New alert",
            Some(Happening::Escalated) => "Not acknowledged",
            Some(Happening::SeverityRaised) => "Severity raised",
            Some(Happening::Test) => "Test",
            Some(Happening::Resolved) => match alert.status.as_str() {
                "closed" => "Closed",
                "false_positive" => "False positive",
                _ => "Resolved",
            },
        };
        format!(
            "[{}] {what}: {}",
            alert.severity.to_uppercase(),
            alert.title
        )
    }

    /// What there is to say besides: the alert's own message, or why there is none.
    #[must_use]
    pub fn body(&self) -> String {
        match &self.alert {
            Some(alert) => alert.message.clone(),
            None => "Somebody tries whether this channel works. It does.".to_owned(),
        }
    }

    /// The severity; a test has the least.
    #[must_use]
    pub fn severity(&self) -> &str {
        self.alert
            .as_ref()
            .map_or("info", |alert| alert.severity.as_str())
    }

    /// Names and values, in the order in which they are looked for.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = Vec::new();
        let mut say = |name: &str, value: String| {
            if !is_blank(&value) {
                facts.push((name.to_owned(), value));
            }
        };
        if let Some(alert) = &self.alert {
            let severity = match &self.previous_severity {
                Some(before) => format!("{} (was {before})", alert.severity),
                None => alert.severity.clone(),
            };
            say("Severity", severity);
            say("Status", alert.status.clone());
            say("Type", alert.alert_type.clone());
            if alert.retroactive {
                say("Retroactive", RETROACTIVE.to_owned());
            }
            say("Rule", alert.rule_id.clone());
            say("Matches", alert.count.to_string());
            say("First seen", alert.first_seen.clone());
            say("Last seen", alert.last_seen.clone());
            for (name, value) in &alert.group_key {
                say(visible(name), visible(&plain(value)).to_owned());
            }
            say("ATT&CK", alert.attack.join(", "));
            say("Risk", alert.risk_score.to_string());
            say("Assignee", alert.assignee.clone().unwrap_or_default());
        }
        say("By", self.by.clone().unwrap_or_default());
        say("Note", self.note.clone().unwrap_or_default());
        say("Organisation", self.organisation.name.clone());
        facts
    }
}

impl Alert {
    fn clip(&mut self) {
        for observable in &mut self.observables {
            *observable = clip(observable, VALUE_CHARS_MAX);
        }
        let group = std::mem::take(&mut self.group_key);
        self.group_key = group
            .into_iter()
            .take(GROUP_MAX)
            .map(|(name, value)| {
                let value = clip(&plain(&value), VALUE_CHARS_MAX);
                (clip(&name, VALUE_CHARS_MAX), Value::String(value))
            })
            .collect();
    }
}

/// A name or value of the group as it is shown: that it is blank may be the point.
fn visible(text: &str) -> &str {
    if is_blank(text) { BLANK } else { text }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Messages for the tests of this folder.
#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use serde_json::json;

    /// What the database makes of an alert.
    pub(crate) fn payload() -> Value {
        json!({
            "timestamp": "2026-11-26T10:00:00.000000Z",
            "organisation": {"id": "0f7e3c1a-0000-7000-8000-000000000001", "name": "acme"},
            "alert": {
                "id": "0f7e3c1a-0000-8000-8000-000000000002", "rule_id": "BRUTE_FORCE_ATTACK",
                "rule_version": 3, "severity": "high", "title": "Brute force",
                "message": "Failed logins from 198.51.100.7 <script> & @everyone *bold* [x](https://evil.example)",
                "alert_type": "BRUTE_FORCE_ATTACK", "attack": ["T1110"],
                "group_key": {"ip": "198.51.100.7"}, "first_seen": "2026-11-26T09:58:00.000000Z",
                "last_seen": "2026-11-26T09:59:59.000000Z", "count": 18, "event_ids": [],
                "observables": ["198.51.100.7"], "risk_score": 40, "signal": "audit",
                "status": "open", "assignee": null, "created_at": "2026-11-26T10:00:00.000000Z"
            }
        })
    }

    /// A message about it.
    pub(crate) fn message(happening: Happening) -> Message {
        let mut message = Message::read(payload(), happening).unwrap();
        message.key = "0f7e3c1a-0000-8000-8000-000000000002:created:0:c".to_owned();
        message.channel = "soc".to_owned();
        message.link = Some("https://soc.example.net/alerts/0f7e".to_owned());
        message
    }

    /// One with everything as long as it can be.
    pub(crate) fn longest() -> Message {
        let mut payload = payload();
        let alert = &mut payload["alert"];
        alert["title"] = "ä".repeat(5_000).into();
        alert["message"] = "<&>*_".repeat(400).into();
        alert["attack"] = json!(vec!["T1110.001"; 200]);
        let group: Map<String, Value> = (0..300)
            .map(|n| (format!("field{n}"), "v<&>".repeat(20_000).into()))
            .collect();
        alert["group_key"] = group.into();
        alert["observables"] = json!(vec!["o".repeat(60_000); 20]);
        payload["note"] = "n&".repeat(5_000).into();
        let mut message = Message::read(payload, Happening::Created).unwrap();
        message.key = "k".repeat(100);
        message.channel = "c".repeat(100);
        message
    }

    /// One about what a hunt has found in history.
    pub(crate) fn retroactive() -> Message {
        let mut payload = payload();
        payload["alert"]["retroactive"] = true.into();
        Message::read(payload, Happening::Created).unwrap()
    }

    /// A test of a channel.
    pub(crate) fn test() -> Message {
        let payload = json!({"timestamp": "2026-11-26T10:00:00.000000Z",
                             "organisation": {"id": "o", "name": "acme"}, "by": "ann@example.net"});
        let mut message = Message::read(payload, Happening::Test).unwrap();
        message.key = "test:1".to_owned();
        message.channel = "soc".to_owned();
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_says_what_happened() {
        let said = |happening| samples::message(happening).headline();
        assert_eq!(said(Happening::Created), "[HIGH] New alert: Brute force");
        assert_eq!(
            said(Happening::Escalated),
            "[HIGH] Not acknowledged: Brute force"
        );
        assert_eq!(said(Happening::Resolved), "[HIGH] Resolved: Brute force");
        assert_eq!(samples::test().headline(), "Test of the channel soc");
        let found = samples::retroactive().headline();
        assert_eq!(found, "[HIGH] Found in history: Brute force");
        let mut closed = samples::message(Happening::Resolved);
        closed.alert.as_mut().unwrap().status = "false_positive".to_owned();
        assert_eq!(closed.headline(), "[HIGH] False positive: Brute force");
    }

    #[test]
    fn what_is_retroactive_says_so_and_what_was_written_before_reads_as_not() {
        let says = |message: &Message| {
            let mut facts = message.facts().into_iter();
            facts.any(|(name, value)| name == "Retroactive" && value == RETROACTIVE)
        };
        assert!(says(&samples::retroactive()));
        assert!(samples::payload()["alert"].get("retroactive").is_none());
        assert!(!says(&samples::message(Happening::Created)));
    }

    #[test]
    fn no_fact_is_blank() {
        let mut message = samples::message(Happening::Created);
        let alert = message.alert.as_mut().unwrap();
        alert.group_key = Map::from_iter([
            ("user".to_owned(), "\u{200b} ".into()),
            (" ".to_owned(), "x".into()),
        ]);
        message.note = Some("\n".to_owned());
        let facts = message.facts();
        for expected in [("user", BLANK), (BLANK, "x")] {
            let found = facts
                .iter()
                .any(|(name, value)| (name.as_str(), value.as_str()) == expected);
            assert!(found, "{facts:?}");
        }
        assert!(
            facts
                .iter()
                .all(|(name, value)| !is_blank(name) && !is_blank(value))
        );
        assert!(facts.iter().all(|(name, _)| name != "Note"));
    }

    #[test]
    fn the_facts_are_bounded() {
        let message = samples::longest();
        let alert = message.alert.as_ref().unwrap();
        assert_eq!(alert.group_key.len(), GROUP_MAX);
        let bytes: usize = message.facts().iter().map(|fact| fact.1.len()).sum();
        assert!(bytes < 100_000, "{bytes}");
        assert!(
            alert
                .observables
                .iter()
                .all(|one| one.chars().count() <= VALUE_CHARS_MAX)
        );
    }
}
