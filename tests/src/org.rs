//! An organisation of a test's own: made by the operator's tool, sending as an agent would, asking
//! as an analyst would.

use crate::http::{Answer, Http};
use crate::installation::{Installation, Shared, shared};
use crate::wait::{block_on, until, within};
use millrace_shared::Signal;
use millrace_shared::secret::{Secret, random};
use millrace_shared::signature::{sign_body, sign_webhook};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use uuid::Uuid;

/// How long the rules of all organisations of a run of tests may take to be made ready, twice: what changes while
/// they are is of the next time. Hundreds of rulesets, not optimised, on a machine full of tests.
const RULES: Duration = Duration::from_secs(300);

/// An organisation with a key, and tokens as they are needed.
#[derive(Debug)]
pub struct Org {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Its ingest key.
    pub key_id: String,
    /// The key's secret.
    pub secret: Secret,
    /// Where it sends to.
    pub gateway_url: String,
    /// Where it asks.
    pub query_url: String,
    http: Http,
    tokens: Mutex<Vec<(String, String)>>,
}

impl Org {
    /// A new organisation of the shared installation.
    #[must_use]
    pub fn new(name: &str) -> Org {
        let Shared {
            installation,
            gateway,
            query,
            ..
        } = shared();
        Org::of(installation, name, (&gateway.url, &query.url))
    }

    /// A new organisation of an installation, sending and asking there.
    ///
    /// # Panics
    /// When the operator's tool fails.
    #[must_use]
    pub fn of(installation: &Installation, name: &str, (gateway, query): (&str, &str)) -> Org {
        let unique = hex::encode(random::<4>().expect("randomness"));
        let name = format!("{name}-{unique}");
        let made = installation.admin(&["orgs", "create", &name]);
        let key = installation.admin(&["keys", "create", "--org", &name]);
        Org {
            id: made["org_id"]
                .as_str()
                .and_then(|id| id.parse().ok())
                .expect("org_id"),
            key_id: text(&key, "key_id"),
            secret: Secret::parse(&text(&key, "secret")).expect("a secret"),
            name,
            gateway_url: gateway.to_owned(),
            query_url: query.to_owned(),
            http: Http::new(),
            tokens: Mutex::default(),
        }
    }

    /// Posts bytes to a signal's endpoint as they are, signed over exactly these bytes.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post_bytes(&self, signal: Signal, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        self.try_post(signal, body, headers)
            .expect("an answer of the gateway")
    }

    /// The same, where the gateway may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_post(
        &self,
        signal: Signal,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let signature = sign_body(&self.secret, body);
        let mut all = vec![("x-org-key", self.key_id.as_str())];
        let given = |name: &str| headers.iter().any(|(known, _)| *known == name);
        if !given("x-signature") {
            all.push(("x-signature", &signature));
        }
        if !given("content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        self.http.post(&self.endpoint(signal), &all, body)
    }

    /// Posts by the Standard Webhooks scheme.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post_webhook(&self, signal: Signal, body: &[u8], id: &str, timestamp: i64) -> Answer {
        let signature = sign_webhook(&self.secret, id, timestamp, body);
        let timestamp = timestamp.to_string();
        let headers = [
            ("x-org-key", self.key_id.as_str()),
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", &signature),
        ];
        self.http
            .post(&self.endpoint(signal), &headers, body)
            .expect("an answer of the gateway")
    }

    /// Posts JSON, which must be accepted, and answers what the gateway says of it.
    ///
    /// # Panics
    /// When it is not accepted.
    pub fn send(&self, signal: Signal, body: &Value) -> Value {
        let body = body.to_string();
        let answer = self
            .post_bytes(signal, body.as_bytes(), &[])
            .must_be(202)
            .json();
        assert!(answer["batch_id"].is_string(), "{answer}");
        answer
    }

    /// Posts log records of the service `test` with these messages.
    pub fn send_logs(&self, messages: &[&str]) -> Value {
        let logs: Vec<Value> = messages
            .iter()
            .map(|message| json!({ "service": "test", "message": message }))
            .collect();
        self.send(Signal::Logs, &json!({ "logs": logs }))
    }

    /// The address of a signal's endpoint.
    #[must_use]
    pub fn endpoint(&self, signal: Signal) -> String {
        format!("{}/v1/{signal}", self.gateway_url)
    }

    /// Waits until an accepted batch is committed.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn committed(&self, answer: &Value) {
        let id = answer["batch_id"].as_str().expect("batch_id");
        until("the batch is committed", || {
            let status = self.batch(id, "?wait=committed&timeout=5s");
            let state = status.json()["status"]
                .as_str()
                .or(status.json()["state"].as_str())
                .unwrap_or_default()
                .to_owned();
            if ["committed", "audited"].contains(&state.as_str()) {
                Ok(())
            } else {
                Err(status.text())
            }
        });
    }

    /// What the gateway says of a batch.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn batch(&self, id: &str, query: &str) -> Answer {
        let signature = sign_body(&self.secret, b"");
        let headers = [
            ("x-org-key", self.key_id.as_str()),
            ("x-signature", &signature),
        ];
        let url = format!("{}/v1/batches/{id}{query}", self.gateway_url);
        self.http
            .get(&url, &headers)
            .expect("an answer of the gateway")
    }

    /// A token of a role; made when first asked for.
    ///
    /// # Panics
    /// When the operator's tool fails.
    #[must_use]
    pub fn token(&self, role: &str) -> String {
        let mut tokens = self.tokens.lock().expect("no panic with the lock held");
        if let Some((_, token)) = tokens.iter().find(|(known, _)| known == role) {
            return token.clone();
        }
        let made = shared()
            .installation
            .admin(&["tokens", "create", "--org", &self.name, "--role", role]);
        let token = text(&made, "token");
        tokens.push((role.to_owned(), token.clone()));
        token
    }

    /// Uses a token made elsewhere.
    ///
    /// # Panics
    /// When another thread panicked in here.
    pub fn use_token(&self, role: &str, token: &str) {
        self.tokens
            .lock()
            .expect("no panic with the lock held")
            .push((role.to_owned(), token.to_owned()));
    }

    /// Asks the query API as an analyst of this organisation; `path` begins with `/`.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn ask(&self, path: &str) -> Answer {
        self.ask_as("analyst", path)
    }

    /// The same in another role.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn ask_as(&self, role: &str, path: &str) -> Answer {
        let token = format!("Bearer {}", self.token(role));
        let url = format!("{}{path}", self.query_url);
        self.http
            .get(&url, &[("authorization", &token)])
            .expect("an answer of the query API")
    }

    /// Posts JSON to the query API in a role.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn tell_as(&self, role: &str, path: &str, body: &Value) -> Answer {
        self.post_as(
            role,
            path,
            ("application/json", body.to_string().as_bytes()),
        )
    }

    /// Posts bytes of no particular type to the query API in a role.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn tell_bytes_as(&self, role: &str, path: &str, body: &[u8]) -> Answer {
        self.post_as(role, path, ("application/octet-stream", body))
    }

    fn post_as(&self, role: &str, path: &str, (kind, body): (&str, &[u8])) -> Answer {
        let token = format!("Bearer {}", self.token(role));
        let url = format!("{}{path}", self.query_url);
        let headers = [("authorization", token.as_str()), ("content-type", kind)];
        self.http
            .post(&url, &headers, body)
            .expect("an answer of the query API")
    }

    /// Puts JSON to the query API in a role.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn put_as(&self, role: &str, path: &str, body: &Value) -> Answer {
        self.send_as(role, (Method::PUT, path), body.to_string().into_bytes())
    }

    /// Deletes through the query API in a role.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn delete_as(&self, role: &str, path: &str) -> Answer {
        self.send_as(role, (Method::DELETE, path), Vec::new())
    }

    fn send_as(&self, role: &str, (method, path): (Method, &str), body: Vec<u8>) -> Answer {
        let token = format!("Bearer {}", self.token(role));
        let url = format!("{}{path}", self.query_url);
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        self.http
            .send(method, &url, &headers, body)
            .expect("an answer of the query API")
    }

    /// Waits until the worker works by every rule and indicator that stands in the control tables
    /// now. Batches say by which revision they were made.
    pub fn rules_are_loaded(&self) {
        let postgres = shared().installation.postgres();
        let number = |sql: &str| -> i64 {
            block_on(postgres.query_one(sql, &[]))
                .expect("the ledger")
                .get(0)
        };
        let wanted = number("SELECT last_value FROM control_revision");
        within(RULES, "the worker works by the newest rules", || {
            self.committed(&self.send_logs(&["are the rules loaded?"]));
            let worked_by = number("SELECT coalesce(max(revision), 0) FROM batch");
            if worked_by >= wanted {
                Ok(())
            } else {
                Err((worked_by, wanted))
            }
        });
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
        .to_owned()
}

/// Questions that many tests ask.
impl Org {
    /// Rows of a search; `path` names the endpoint and its filters.
    ///
    /// # Panics
    /// When the answer is not 200 or holds no rows.
    #[must_use]
    pub fn rows(&self, path: &str) -> Vec<Value> {
        let answer = self.ask(path).must_be(200).json();
        answer["rows"]
            .as_array()
            .unwrap_or_else(|| panic!("no items in {answer}"))
            .clone()
    }

    /// Log records that pass the filters, at most 1000.
    #[must_use]
    pub fn search_logs(&self, filters: &str) -> Vec<Value> {
        self.rows(&format!("/api/v1/logs/search?limit=1000&{filters}"))
    }

    /// How many log records pass the filters, up to 1000.
    #[must_use]
    pub fn count_logs(&self, filters: &str) -> usize {
        self.search_logs(filters).len()
    }

    /// The messages of log records that pass the filters.
    #[must_use]
    pub fn messages(&self, filters: &str) -> Vec<String> {
        let rows = self.search_logs(filters);
        rows.iter()
            .map(|row| row["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// The organisation's alerts.
    #[must_use]
    pub fn alerts(&self) -> Vec<Value> {
        self.rows("/api/v1/alerts?limit=100")
    }

    /// Sends a body and waits until it is committed.
    pub fn store(&self, signal: Signal, body: &Value) -> Value {
        let answer = self.send(signal, body);
        self.committed(&answer);
        answer
    }
}
