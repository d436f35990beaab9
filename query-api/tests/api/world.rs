//! What the tests stand on: the engines, an API in this process, organisations with tokens, rows.

use millrace_runtime::outgoing::{Outgoing, SystemLookup};
use millrace_shared::secret::MasterKey;
use millrace_shared::settings::Settings;
use query_api::store::Limits;
use query_api::{Config, Listeners};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// What a busy machine needs at worst for what it does at once alone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Whoever asks for the sources of telemetry shares this; a test that locks their table has it alone.
pub(crate) static SOURCES: RwLock<()> = RwLock::const_new(());

/// A moment that all rows are near: recent, and the same for the whole run.
pub(crate) fn base_ns() -> i64 {
    static BASE: OnceLock<i64> = OnceLock::new();
    *BASE.get_or_init(|| {
        let hour = 3_600_000_000_000;
        // The start of the hour before the last: a whole hour lies before now.
        (millrace_runtime::clock::now_ns() / hour - 2) * hour
    })
}

/// A moment after the base, as text.
pub(crate) fn at(seconds: f64) -> String {
    millrace_shared::time::rfc3339(ns(seconds))
}

/// The same in nanoseconds.
pub(crate) fn ns(seconds: f64) -> i64 {
    base_ns() + (seconds * 1e9) as i64
}

/// Of these tests alone.
pub(crate) const MASTER_KEY: &str =
    "5f1d9c0a7e3b42866ad1f0e29b57c3d84416a8027be9d35c90f86e1247ab3dce";

fn settings() -> Settings {
    let vars = std::env::vars().filter(|(name, _)| name.ends_with("_URL"));
    Settings::from_vars(vars).unwrap()
}

fn url(name: &'static str) -> String {
    let settings = settings();
    let url = settings.text(name);
    url.unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts the engines"))
        .to_owned()
}

/// A configuration against the engines.
pub(crate) fn config() -> Config {
    Config {
        redis_url: url("MILLRACE_REDIS_URL"),
        clickhouse_url: url("MILLRACE_CLICKHOUSE_URL"),
        postgres_url: url("MILLRACE_POSTGRES_URL"),
        master_key: MasterKey::parse(MASTER_KEY).unwrap(),
        outgoing: Outgoing::new(vec!["127.0.0.0/8".parse().unwrap()], Arc::new(SystemLookup))
            .unwrap(),
        threads: 2,
        limits: Limits {
            timeout: Duration::from_secs(20),
            rows_read: 100_000_000,
            memory: 1 << 30,
        },
        concurrency: 64,
    }
}

/// Starts an API that runs as long as the process; its address.
pub(crate) fn start(config: Config) -> String {
    start_with(config, None)
}

/// The same with an admin port.
pub(crate) fn start_with(config: Config, admin: Option<TcpListener>) -> String {
    let public = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", public.local_addr().unwrap());
    let listeners = Listeners { public, admin };
    std::thread::spawn(move || {
        let run = query_api::run(config, listeners, Default::default());
        actix_web::rt::System::new().block_on(run).unwrap();
    });
    base
}

/// The API that most tests share.
pub(crate) fn shared() -> &'static str {
    static API: OnceLock<String> = OnceLock::new();
    API.get_or_init(|| start(config()))
}

/// A connection to PostgreSQL.
pub(crate) async fn postgres() -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&url("MILLRACE_POSTGRES_URL"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Runs a statement.
pub(crate) async fn execute(sql: &str, params: &[&(dyn ToSql + Sync)]) {
    postgres().await.execute(sql, params).await.unwrap();
}

/// A connection to Redis.
pub(crate) async fn redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url("MILLRACE_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Inserts rows into a ClickHouse table; columns that are left out have their defaults.
pub(crate) async fn insert(table: &str, rows: &[Value]) {
    let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let query = format!("INSERT INTO millrace.{table} FORMAT JSONEachRow");
    let mut address = url::Url::parse(&url("MILLRACE_CLICKHOUSE_URL")).unwrap();
    address
        .query_pairs_mut()
        .append_pair("query", &query)
        .append_pair("async_insert", "0")
        .append_pair("date_time_input_format", "best_effort");
    let answer = Client::new().post(address).body(body).send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{}", answer.text().await.unwrap());
}

/// An organisation with a token for each role.
pub(crate) struct Org {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) viewer: String,
    pub(crate) analyst: String,
    pub(crate) admin: String,
}

/// A token of a role; its text.
pub(crate) async fn token(org: Uuid, role: &str) -> String {
    let (a, b) = (
        Uuid::new_v4().simple().to_string(),
        Uuid::new_v4().simple().to_string(),
    );
    let text = format!("mlr_{}", &format!("{a}{b}")[..43]);
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    execute(
        "INSERT INTO api_token (id, org_id, name, role, hash) VALUES ($1, $2, $3, $4, $5)",
        &[
            &Uuid::new_v4(),
            &org,
            &format!("{role} token"),
            &role,
            &hash.as_slice(),
        ],
    )
    .await;
    text
}

/// A new organisation.
pub(crate) async fn org() -> Org {
    let id = Uuid::new_v4();
    let name = format!("org {id}");
    execute(
        "INSERT INTO organisation (id, name, pepper) VALUES ($1, $2, $3)",
        &[&id, &name, &[7u8; 32].as_slice()],
    )
    .await;
    Org {
        id,
        name,
        viewer: token(id, "viewer").await,
        analyst: token(id, "analyst").await,
        admin: token(id, "admin").await,
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }

    /// The code of a problem with that status.
    pub(crate) fn problem(self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_ne!(self.body["request_id"], "");
        self.body["code"].as_str().unwrap().to_owned()
    }
}

/// Sends a request.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer {
        status,
        headers,
        body,
    }
}

/// A request to an API with a token.
pub(crate) fn request(base: &str, method: Method, path: &str, token: &str) -> RequestBuilder {
    let request = Client::new().request(method, format!("{base}{path}"));
    request.header("authorization", format!("Bearer {token}"))
}

/// Asks the shared API.
pub(crate) async fn get(path: &str, token: &str, query: &[(&str, &str)]) -> Answer {
    send(request(shared(), Method::GET, &with(path, query), token)).await
}

/// A path with a query string.
pub(crate) fn with(path: &str, query: &[(&str, &str)]) -> String {
    let pairs = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("/api/v1{path}?{pairs}")
}

/// Sends JSON to the shared API.
pub(crate) async fn write(method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let request = request(shared(), method, &format!("/api/v1{path}"), token);
    send(
        request
            .header("content-type", "application/json")
            .body(body.to_string()),
    )
    .await
}

/// Posts JSON to the shared API.
pub(crate) async fn post(path: &str, token: &str, body: &Value) -> Answer {
    write(Method::POST, path, token, body).await
}

/// What all rows of a table have.
pub(crate) fn row(org: &Org, seconds: f64, more: Value) -> Value {
    let mut row = json!({
        "OrgId": org.id, "Timestamp": at(seconds), "ReceivedAt": at(seconds + 1.0),
        "EventId": Uuid::new_v4(), "ServiceName": "api", "KeyId": "k1",
    });
    let members = row.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    row
}

/// The texts of one member of a list of objects.
pub(crate) fn texts(list: &Value, member: &str) -> Vec<String> {
    let text = |item: &Value| match &item[member] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    list.as_array().unwrap().iter().map(text).collect()
}

/// Whole range of all rows.
pub(crate) fn range() -> [(&'static str, &'static str); 2] {
    [("start", "now-4h"), ("end", "now")]
}
