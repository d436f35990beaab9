//! What `run` leaves behind for scripts (`run.json`) and says to people. Pure text.

use serde_json::{Map, Value};

use crate::service::{Placed, Service};
use crate::{Engine, Stack};

/// The contents of `run.json`: addresses, then the demonstration's keys and tokens.
pub(crate) fn description(stack: &Stack, services: &[Placed], demo: &Value) -> Value {
    let mut all = Map::new();
    for placed in services {
        let name = match placed.service {
            Service::Gateway => "gateway",
            Service::Worker => "worker",
            Service::Query => "query",
        };
        if !placed.url().is_empty() {
            all.insert(format!("{name}_url"), placed.url().into());
        }
        all.insert(format!("{name}_admin_url"), placed.admin_url().into());
    }
    for engine in Engine::ALL {
        all.insert(format!("{engine}_url"), stack.url(engine).into());
    }
    all.extend(demo.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}

/// The last words of `make run`.
pub(crate) fn farewell(run: &Value, logs: &str, run_json: &str) -> String {
    let text = |name: &str| run.get(name).and_then(Value::as_str).unwrap_or_default();
    let token = run
        .pointer("/tokens/analyst")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (gateway, query) = (text("gateway_url"), text("query_url"));
    let (key, secret) = (text("key_id"), text("secret"));
    format!(
        r#"
Millrace runs.

  gateway      {gateway}   admin {gateway_admin}
  query API    {query}   admin {query_admin}   OpenAPI {query}/docs
  worker       admin {worker_admin}
  logs         {logs}
  for scripts  {run_json}

Send an event (with personal data in it, to see it go):

  BODY='{{"logs":[{{"service":"checkout","level":"error","message":"card 4111 1111 1111 1111 declined for ada@example.com"}}]}}'
  curl -sS {gateway}/v1/logs -H 'content-type: application/json' -H 'x-org-key: {key}' \
    -H "x-signature: sha256=$(printf %s "$BODY" | openssl dgst -sha256 -hmac '{secret}' -r | cut -d ' ' -f 1)" \
    --data-raw "$BODY"

Find it (a second later):

  curl -sS -G {query}/api/v1/logs/search -H 'authorization: Bearer {token}' \
    --data-urlencode 'service=checkout' --data-urlencode 'limit=10'

Stop it (the data stays): make stop
"#,
        gateway_admin = text("gateway_admin_url"),
        query_admin = text("query_admin_url"),
        worker_admin = text("worker_admin_url"),
    )
}
