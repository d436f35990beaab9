//! The examples of the contract (`docs/examples/*.json`), carried out against a running gateway.
//!
//! A file holds steps, each a request and what must come back. `docs/examples/README.md` says how
//! they are written. Nothing here knows the contract: an example says all that is expected of it.

use crate::body::Encoding;
use crate::clock::now_ns;
use crate::error::LoadError;
use crate::sign::{How, Scheme, headers};
use crate::target::Target;
use millrace_shared::limits::{NS_PER_DAY, NS_PER_SECOND};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows.
    pub about: String,
    /// Requests, one after the other.
    pub steps: Vec<Step>,
    /// Where it was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

/// A request and what must come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The path, query included.
    path: String,
    #[serde(default)]
    sign: Sign,
    #[serde(default)]
    encoding: String,
    /// Headers beside those of the signature; an empty one takes a header away.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body as JSON.
    body: Option<Value>,
    /// The body as text, where it is not JSON.
    text: Option<String>,
    /// A body of so many equal events.
    many: Option<Many>,
    expect: Expect,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    key: String,
    count: usize,
    event: Value,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sign {
    #[default]
    Body,
    BodyUpperCase,
    Webhook,
    WebhookTenMinutesAgo,
    Wrong,
    None,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
}

/// Reads every example of a folder, in the order of their names.
///
/// # Errors
/// When a file cannot be read or is not of the form.
pub fn read_all(folder: &Path) -> Result<Vec<Example>, LoadError> {
    let failed = |error| LoadError::file(folder, error);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read(&path).map_err(|error| LoadError::file(&path, error))?;
        let mut example: Example = serde_json::from_slice(&text)
            .map_err(|error| LoadError::Option(format!("{}: {error}", path.display())))?;
        example.path = path;
        Ok(example)
    };
    paths.into_iter().map(read).collect()
}

impl Example {
    /// Carries it out; `Err` says which step came out differently, and how.
    ///
    /// # Errors
    /// The difference, in words.
    pub async fn execute(&self, target: &Target, client: &reqwest::Client) -> Result<(), String> {
        let unique = format!("{:x}", now_ns());
        for (number, step) in (1..).zip(&self.steps) {
            let blanks = Blanks {
                unique: &unique,
                now: now_ns(),
            };
            let done = step.execute(target, client, &blanks).await;
            done.map_err(|why| format!("{}, step {number}: {why}", self.path.display()))?;
        }
        Ok(())
    }
}

impl Step {
    async fn execute(
        &self,
        target: &Target,
        client: &reqwest::Client,
        blanks: &Blanks<'_>,
    ) -> Result<(), String> {
        let body = self.packed(blanks)?;
        let url = format!("{}{}", target.gateway_url, self.path);
        let mut request = client.post(url).body(body.clone());
        for (name, value) in self.all_headers(target, &body, blanks) {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let received = response.headers().clone();
        let text = response.text().await.map_err(|error| error.to_string())?;
        if status != self.expect.status {
            return Err(format!("{status}, not {}: {text}", self.expect.status));
        }
        for (name, wanted) in &self.expect.headers {
            let found = received.get(name);
            let found = found.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            match found {
                Some(found) if wanted == "*" || found == *wanted => {}
                other => return Err(format!("header {name} is {other:?}, not {wanted}")),
            }
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        holds(&self.expect.body, &answer, "answer")
    }

    fn all_headers(
        &self,
        target: &Target,
        body: &[u8],
        blanks: &Blanks<'_>,
    ) -> Vec<(String, String)> {
        let how = How {
            scheme: match self.sign {
                Sign::Webhook | Sign::WebhookTenMinutesAgo => Scheme::Webhook,
                Sign::Body | Sign::BodyUpperCase | Sign::Wrong | Sign::None => Scheme::Body,
            },
            encoding: self.encoding(),
        };
        let late = matches!(self.sign, Sign::WebhookTenMinutesAgo);
        let now_s = blanks.now / NS_PER_SECOND - if late { 600 } else { 0 };
        let id = format!("example-{}", blanks.unique);
        let signed: &[u8] = match self.sign {
            Sign::Wrong => b"another body",
            Sign::Body
            | Sign::BodyUpperCase
            | Sign::Webhook
            | Sign::WebhookTenMinutesAgo
            | Sign::None => body,
        };
        let id = match how.scheme {
            Scheme::Webhook => id.as_str(),
            Scheme::Body => "",
        };
        let mut all: Vec<(String, String)> = headers(target, how, signed, id, now_s)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        match self.sign {
            Sign::None => all.retain(|(name, _)| name != "x-signature"),
            Sign::BodyUpperCase => upper_case(&mut all),
            Sign::Body | Sign::Webhook | Sign::WebhookTenMinutesAgo | Sign::Wrong => {}
        }
        for (name, value) in &self.headers {
            all.retain(|(known, _)| known != name);
            if !value.is_empty() {
                all.push((name.clone(), blanks.fill(value)));
            }
        }
        all
    }

    fn encoding(&self) -> Encoding {
        match self.encoding.as_str() {
            "gzip" => Encoding::Gzip,
            "zstd" => Encoding::Zstd,
            _ => Encoding::None,
        }
    }

    fn packed(&self, blanks: &Blanks<'_>) -> Result<Vec<u8>, String> {
        let text = match (&self.body, &self.text, &self.many) {
            (Some(body), None, None) => body.to_string(),
            (None, Some(text), None) => text.clone(),
            (None, None, Some(many)) => {
                let events = vec![many.event.clone(); many.count];
                serde_json::json!({ many.key.as_str(): events }).to_string()
            }
            _ => return Err("a step has one of `body`, `text` and `many`".to_owned()),
        };
        let text = blanks.fill(&text);
        let packed = self.encoding().pack(text.as_bytes());
        packed.map_err(|error| error.to_string())
    }
}

fn upper_case(headers: &mut [(String, String)]) {
    for (name, value) in headers {
        if name == "x-signature" {
            *value = format!(
                "sha256={}",
                value.trim_start_matches("sha256=").to_uppercase()
            );
        }
    }
}

/// What stands for the blanks of a request.
struct Blanks<'b> {
    /// For `{{unique}}`.
    unique: &'b str,
    /// For `{{now}}`, `{{now-3d}}` and `{{now+3d}}`; one time for the whole request.
    now: i64,
}

impl Blanks<'_> {
    fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                break;
            };
            out.push_str(before);
            match name.strip_prefix("now") {
                Some(days) => {
                    let days: i64 = days.trim_end_matches('d').parse().unwrap_or(0);
                    let time = self.now + days * NS_PER_DAY;
                    out.push_str(&millrace_shared::time::rfc3339(time));
                }
                None if name == "unique" => out.push_str(self.unique),
                None => {
                    out.push_str("{{");
                    out.push_str(name);
                    out.push_str("}}");
                }
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Whether an answer holds everything that is expected: objects may have further members, `"*"`
/// stands for anything that is there.
fn holds(expected: &Value, found: &Value, at: &str) -> Result<(), String> {
    match (expected, found) {
        (Value::Null, _) => Ok(()),
        (Value::String(any), found) if any == "*" && !found.is_null() => Ok(()),
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().try_for_each(|(key, expected)| {
                holds(
                    expected,
                    found.get(key).unwrap_or(&Value::Null),
                    &format!("{at}.{key}"),
                )
            })
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .try_for_each(|(n, (expected, found))| holds(expected, found, &format!("{at}[{n}]"))),
        (expected, found) if expected == found => Ok(()),
        (expected, found) => Err(format!("{at} is {found}, not {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_expectation_is_a_part_of_the_answer() {
        let answer = json!({"a": 1, "b": [{"c": "x", "d": 2}], "e": "y"});
        for good in [
            json!({}),
            json!({"a": 1}),
            json!({"b": [{"c": "*"}]}),
            json!({"e": "*"}),
        ] {
            assert_eq!(holds(&good, &answer, "answer"), Ok(()));
        }
        for bad in [
            json!({"a": 2}),
            json!({"b": []}),
            json!({"f": "*"}),
            json!({"b": [{"c": "z"}]}),
        ] {
            assert!(holds(&bad, &answer, "answer").is_err(), "{bad}");
        }
    }

    #[test]
    fn placeholders_are_filled_in() {
        let blanks = Blanks {
            unique: "7",
            now: 1_790_000_000_000_000_000,
        };
        assert_eq!(blanks.fill("a-{{unique}}-b {{other}}"), "a-7-b {{other}}");
        assert_eq!(blanks.fill("{{now}}"), "2026-09-21T14:13:20Z");
        assert_eq!(blanks.fill("{{now-2d}}"), "2026-09-19T14:13:20Z");
        assert_eq!(blanks.fill("{{now+1d}}"), "2026-09-22T14:13:20Z");
    }

    #[test]
    fn every_example_of_the_documents_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
        let examples = read_all(&folder).unwrap();
        assert!(examples.len() >= 20, "{}", examples.len());
        let blanks = Blanks {
            unique: "u",
            now: 1_790_000_000_000_000_000,
        };
        for example in examples {
            for step in &example.steps {
                step.packed(&blanks).unwrap();
            }
        }
    }
}
