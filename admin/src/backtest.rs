//! A rule put to stored history, by the query API: it has the engine, the bounds and the audit event.
//! The token that this asks with is made for it, and gone afterwards.

use crate::output::{Page, table};
use crate::stores::Stores;
use crate::{organisations, tokens};
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use reqwest::{RequestBuilder, Response, Url};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

/// The token: whose it is said to be, what it may do, and for how long. A back-test takes ten minutes
/// at most.
const TOKEN_NAME: &str = "millrace-admin";
const TOKEN_ROLE: &str = "analyst";
const TOKEN_S: f64 = 900.0;
/// What is accepted, so that progress is told.
const NDJSON: &str = "application/x-ndjson";

/// A rule, and over what it is tried.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Id of a present rule
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    id: Option<String>,
    /// A rule that is not saved: a JSON file that holds one
    #[arg(long)]
    file: Option<PathBuf>,
    /// Organisation, by name or id
    #[arg(long)]
    org: String,
    /// Start of the range: ISO 8601, a Unix number, or such as now-7d
    #[arg(long)]
    start: Option<String>,
    /// End of the range, not included
    #[arg(long)]
    end: Option<String>,
    /// Only this one of the rule's signals; may be given several times
    #[arg(long)]
    signal: Vec<String>,
    /// Width of a bar: 30s, 5m, 1h
    #[arg(long)]
    step: Option<String>,
    /// Rows to look at
    #[arg(long)]
    rows_max: Option<u64>,
    /// Where the query API listens
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    query_url: String,
}

/// Asks for a back-test and waits for its end.
pub(crate) async fn run(stores: &Stores, arguments: &Arguments) -> anyhow::Result<Page> {
    let (url, body) = question(arguments)?;
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(stores.outgoing()?.tls().as_ref().clone())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let client = stores.postgres().await?;
    let org = organisations::find(&client, &arguments.org).await?;
    let named = (TOKEN_ROLE, TOKEN_NAME);
    let (id, token) = tokens::insert(&client, org, named, Some(TOKEN_S)).await?;
    let request = http
        .post(url)
        .bearer_auth(token)
        .header("content-type", "application/json")
        .header("accept", NDJSON)
        .body(body.to_string());
    let answer = tokio::select! {
        answer = ask(request) => answer,
        // The API ends what nobody waits for.
        _ = tokio::signal::ctrl_c() => Err(anyhow!("broken off")),
    };
    let removed = tokens::remove(&client, id).await;
    let answer = answer?;
    removed?;
    Ok(page(answer))
}

/// Where it is asked, and what.
fn question(arguments: &Arguments) -> anyhow::Result<(Url, Value)> {
    let mut over = Map::new();
    for (name, value) in [
        ("start", &arguments.start),
        ("end", &arguments.end),
        ("step", &arguments.step),
    ] {
        if let Some(value) = value {
            over.insert(name.to_owned(), json!(value));
        }
    }
    if !arguments.signal.is_empty() {
        over.insert("signals".to_owned(), json!(arguments.signal));
    }
    if let Some(rows) = arguments.rows_max {
        over.insert("rows_max".to_owned(), json!(rows));
    }
    let mut url = Url::parse(&arguments.query_url).context("--query-url")?;
    let mut path = url
        .path_segments_mut()
        .map_err(|()| anyhow!("--query-url is no address of a server"))?;
    path.pop_if_empty().extend(["api", "v1", "rules"]);
    let body = match (&arguments.id, &arguments.file) {
        (Some(id), _) => {
            path.push(id);
            Value::Object(over)
        }
        (None, Some(file)) => {
            let text = std::fs::read(file);
            let text = text.with_context(|| format!("cannot read {}", file.display()))?;
            let rule: Value = serde_json::from_slice(&text).context("the file is not JSON")?;
            json!({ "rule": rule, "over": over })
        }
        (None, None) => bail!("a rule is needed, by its id or in a file"),
    };
    path.push("backtest");
    drop(path);
    Ok((url, body))
}

async fn ask(request: RequestBuilder) -> anyhow::Result<Value> {
    let answer = request.send().await;
    let answer = answer.context("the query API cannot be reached (--query-url)")?;
    if answer.status().is_success() {
        return listen(answer).await;
    }
    let status = answer.status().as_u16();
    let problem: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    bail!("the query API answered {status}: {}", detail(&problem))
}

/// Reads lines of progress up to the result.
async fn listen(mut answer: Response) -> anyhow::Result<Value> {
    let mut waiting = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        waiting.extend_from_slice(&chunk);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let line: Value = serde_json::from_slice(&line)?;
            if let Some(result) = line.get("result") {
                return Ok(result.clone());
            }
            if let Some(problem) = line.get("problem") {
                bail!("it broke off: {}", detail(problem));
            }
            progress(&line);
        }
    }
    bail!("the query API hung up before it was done")
}

fn detail(problem: &Value) -> &str {
    let detail = problem.get("detail").and_then(Value::as_str);
    detail.unwrap_or("no reason was given")
}

/// Tells whoever waits how far it has come.
fn progress(line: &Value) {
    let mut told = std::io::stderr();
    let of = |name: &str| {
        line.pointer(&format!("/progress/{name}"))
            .and_then(Value::as_u64)
    };
    if let (true, Some(rows), Some(all)) =
        (told.is_terminal(), of("rows_scanned"), of("rows_in_range"))
    {
        // Standard error may be closed; the result is told elsewhere.
        let _untold = writeln!(told, "{rows} of {all} rows");
    }
}

/// Columns of the alerts, as members of the answer.
const COLUMNS: [&str; 6] = [
    "first_seen",
    "last_seen",
    "count",
    "severity",
    "group",
    "message",
];

fn page(answer: Value) -> Page {
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    let row = |alert: &Value| -> Vec<Value> {
        let each = COLUMNS.iter();
        each.map(|name| alert.get(name).cloned().unwrap_or_default())
            .collect()
    };
    let alerts = answer.get("alerts").and_then(Value::as_array);
    let rows: Vec<Vec<Value>> = alerts.into_iter().flatten().map(row).collect();
    let mut said = format!(
        "{} of {} rows match, {} alerts would have been raised",
        number("matches"),
        number("rows_scanned"),
        number("alerts_raised"),
    );
    if let Some(cut) = answer.pointer("/cut_off/detail").and_then(Value::as_str) {
        said = format!("{said}; {cut}");
    }
    let scrubbed = number("scrubbed_rows");
    if scrubbed > 0 {
        said = format!("{said}; of {scrubbed} rows what is compared was scrubbed");
    }
    if !rows.is_empty() {
        said = format!("{}{said}", table(&COLUMNS, &rows));
    }
    Page::Said(said, answer)
}
