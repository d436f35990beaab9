//! Feeds fetched from a server: what is new, what is the same, what fails; one worker at a feed at a
//! time. On the real PostgreSQL that `make test` starts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "a test says what is wrong by failing"
)]

use deadpool_postgres::Pool;
use millrace_feeds::{Access, Credential, FeedError, FeedSettings, Fetcher, put_feed};
use millrace_runtime::outgoing::{Outgoing, SystemLookup};
use millrace_runtime::pg;
use millrace_shared::secret::MasterKey;
use millrace_shared::settings::Settings;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// Whoever asks for what is due gets everybody's: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What the server answers to a path: a status line, headers and a body.
type Answers = Arc<Mutex<HashMap<String, (String, String)>>>;

/// A server of feeds, and what it was asked.
struct Server {
    base: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Server {
            base,
            answers: Answers::default(),
            asked: Arc::default(),
        };
        let (answers, asked) = (Arc::clone(&server.answers), Arc::clone(&server.asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, Arc::clone(&answers), Arc::clone(&asked)));
            }
        });
        server
    }

    /// Sets what is answered, with the headers given.
    fn serve(&self, path: &str, head: &str, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        answers.insert(path.to_owned(), (head.to_owned(), body.to_owned()));
    }

    /// The requests since the last time, in lower case.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn answer(mut stream: TcpStream, answers: Answers, asked: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&request).to_lowercase();
    let path = text.split(' ').nth(1).unwrap().to_owned();
    let found = answers.lock().unwrap().get(&path).cloned();
    asked.lock().unwrap().push(text);
    let (head, body) = found.unwrap_or_else(|| ("404 Not Found\r\n".to_owned(), String::new()));
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let _gone = stream.write_all(answer.as_bytes()).await;
}

fn pool() -> Pool {
    let vars = std::env::vars().filter(|(name, _)| name == "MILLRACE_POSTGRES_URL");
    let settings = Settings::from_vars(vars).unwrap();
    let url = settings.text("MILLRACE_POSTGRES_URL");
    let url =
        url.expect("MILLRACE_POSTGRES_URL is not set: run `make test`, which starts the engines");
    pg::pool(url, "feeds-test", 4).unwrap()
}

/// The installation's master key, and another.
const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

fn master() -> MasterKey {
    MasterKey::parse(MASTER_KEY).unwrap()
}

fn fetcher(pool: &Pool) -> Fetcher {
    fetcher_with(pool, master())
}

fn fetcher_with(pool: &Pool, master: MasterKey) -> Fetcher {
    let inside = vec!["127.0.0.0/8".parse().unwrap()];
    let outgoing = Outgoing::new(inside, Arc::new(SystemLookup)).unwrap();
    Fetcher::new(pool.clone(), outgoing, master)
}

/// A feed of everybody under a name of its own.
struct Feed {
    pool: Pool,
    name: String,
}

impl Feed {
    async fn put(pool: &Pool, url: &str) -> Feed {
        let name = format!("test-{}", Uuid::now_v7());
        let feed = Feed {
            pool: pool.clone(),
            name,
        };
        feed.set(url, Access::Kept).await.unwrap();
        feed
    }

    async fn set(&self, url: &str, access: Access) -> Result<(), FeedError> {
        let settings = FeedSettings {
            trust: 80,
            expire_days: None,
            url: url.to_owned(),
            format: None,
            access,
            every_s: 3600,
        };
        let mut client = self.pool.get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        put_feed(&tx, (None, &self.name), &settings, "test").await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    /// With a credential, sealed for it at an address.
    async fn ask_with(&self, url: &str, credential: &Credential) {
        let sealed = credential.seal(&master(), (None, &self.name), url).unwrap();
        self.set(url, Access::Sealed(sealed)).await.unwrap();
    }

    async fn row(&self) -> tokio_postgres::Row {
        let sql = "SELECT failures, failure, etag, indicators, next_at > now() AS waits, lease, \
                          extract(epoch FROM next_at - now())::float8 AS pause \
                     FROM indicator_feed WHERE org_id IS NULL AND name = $1";
        self.pool
            .get()
            .await
            .unwrap()
            .query_one(sql, &[&self.name])
            .await
            .unwrap()
    }

    async fn set_due(&self) {
        let sql = "UPDATE indicator_feed SET next_at = now() WHERE org_id IS NULL AND name = $1";
        self.pool
            .get()
            .await
            .unwrap()
            .execute(sql, &[&self.name])
            .await
            .unwrap();
    }

    async fn values(&self) -> Vec<String> {
        let sql = "SELECT i.value FROM indicator AS i JOIN indicator_feed AS f ON f.id = i.feed_id \
                    WHERE f.org_id IS NULL AND f.name = $1 AND i.until_revision IS NULL ORDER BY i.id";
        let rows = self
            .pool
            .get()
            .await
            .unwrap()
            .query(sql, &[&self.name])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Has it fetched, with whatever else is due, and tells what came of it.
    async fn fetched(&self, fetcher: &Fetcher) -> &'static str {
        self.set_due().await;
        while let Some((name, fetched)) = fetcher.next().await.unwrap() {
            if name == self.name {
                return fetched.as_str();
            }
        }
        panic!("feed {} was not due", self.name);
    }
}

#[tokio::test]
async fn a_feed_is_fetched_and_keeps_its_last_good_state() {
    let _alone = ALONE.lock().await;
    let (server, pool) = (Server::start().await, pool());
    let fetcher = fetcher(&pool);
    server.serve(
        "/list",
        "200 OK\r\netag: \"one\"\r\n",
        "203.0.113.1\n203.0.113.2\n",
    );
    let feed = Feed::put(&pool, &format!("{}/list", server.base)).await;
    assert_eq!(feed.fetched(&fetcher).await, "changed");
    assert_eq!(feed.values().await, ["203.0.113.1", "203.0.113.2"]);
    let row = feed.row().await;
    assert_eq!(
        (row.get::<_, &str>("etag"), row.get::<_, i64>("indicators")),
        ("\"one\"", 2)
    );
    assert!(row.get::<_, bool>("waits") && row.get::<_, Option<Uuid>>("lease").is_none());
    assert!(!server.asked()[0].contains("if-none-match"));

    server.serve("/list", "304 Not Modified\r\n", "");
    assert_eq!(feed.fetched(&fetcher).await, "same");
    assert!(server.asked()[0].contains("if-none-match: \"one\""));

    for (head, body, why) in [
        ("500 Oops\r\n", "203.0.113.9\n", "status 500"),
        (
            "302 Found\r\nlocation: http://127.0.0.1:1/\r\n",
            "",
            "status 302",
        ),
        (
            "200 OK\r\n",
            "nothing of use\n",
            "no indicator in it; line 1",
        ),
        ("200 OK\r\n", "{\"a\": 1}", "it is JSON, and no"),
    ] {
        server.serve("/list", head, body);
        assert_eq!(feed.fetched(&fetcher).await, "failed", "{why}");
        let row = feed.row().await;
        assert!(
            row.get::<_, &str>("failure").contains(why),
            "{why}: {row:?}"
        );
        assert_eq!(feed.values().await, ["203.0.113.1", "203.0.113.2"]);
    }
    let row = feed.row().await;
    assert_eq!(row.get::<_, i32>("failures"), 4);
    // A minute, doubled with every failure before.
    let pause: f64 = row.get("pause");
    assert!((400.0..=480.0).contains(&pause), "{pause}");

    server.serve(
        "/list",
        "200 OK\r\nlast-modified: yesterday\r\n",
        "203.0.113.2\n203.0.113.3\n",
    );
    assert_eq!(feed.fetched(&fetcher).await, "changed");
    assert_eq!(feed.values().await, ["203.0.113.2", "203.0.113.3"]);
    assert_eq!(feed.row().await.get::<_, i32>("failures"), 0);
    assert_eq!(feed.fetched(&fetcher).await, "same");
    assert!(
        server
            .asked()
            .last()
            .unwrap()
            .contains("if-modified-since: yesterday")
    );
}

#[tokio::test]
async fn a_misp_feed_is_its_manifest_and_all_its_events() {
    let _alone = ALONE.lock().await;
    let (server, pool) = (Server::start().await, pool());
    let fetcher = fetcher(&pool);
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let event = |value: &str| {
        format!(
            r#"{{"Event": {{"info": "x", "Attribute": [{{"type": "domain", "to_ids": true, "value": "{value}"}}]}}}}"#
        )
    };
    let manifest = format!(r#"{{"{one}": {{"timestamp": "1"}}, "{two}": {{"timestamp": "2"}}}}"#);
    server.serve("/feed/manifest.json", "200 OK\r\n", &manifest);
    server.serve(
        &format!("/feed/{one}.json"),
        "200 OK\r\n",
        &event("one.example.com"),
    );
    let feed = Feed::put(&pool, &format!("{}/feed/manifest.json", server.base)).await;
    assert_eq!(feed.fetched(&fetcher).await, "failed");
    let failure: String = feed.row().await.get("failure");
    assert_eq!(
        failure,
        format!("event {two}: the server answered with status 404")
    );
    assert_eq!(feed.values().await, [""; 0]);
    server.serve(
        &format!("/feed/{two}.json"),
        "200 OK\r\n",
        &event("two.example.com"),
    );
    assert_eq!(feed.fetched(&fetcher).await, "changed");
    assert_eq!(feed.values().await, ["two.example.com", "one.example.com"]);
}

#[tokio::test]
async fn a_feed_is_held_by_one_worker_at_a_time() {
    let _alone = ALONE.lock().await;
    let (server, pool) = (Server::start().await, pool());
    let fetcher = fetcher(&pool);
    server.serve("/list", "200 OK\r\n", "203.0.113.1\n");
    let feed = Feed::put(&pool, &format!("{}/list", server.base)).await;
    let client = pool.get().await.unwrap();
    let hold = "UPDATE indicator_feed SET lease = gen_random_uuid(), \
                       leased_until = now() + make_interval(secs => $2), next_at = now() \
                 WHERE org_id IS NULL AND name = $1";
    client
        .execute(hold, &[&feed.name, &60.0_f64])
        .await
        .unwrap();
    while let Some((name, _)) = fetcher.next().await.unwrap() {
        assert_ne!(name, feed.name, "somebody holds it");
    }
    // Whoever held it is gone.
    client
        .execute(hold, &[&feed.name, &-1.0_f64])
        .await
        .unwrap();
    assert_eq!(feed.fetched(&fetcher).await, "changed");
    // Two at once: each feed is fetched by one of them.
    let mut feeds = Vec::new();
    for _ in 0..4 {
        feeds.push(Feed::put(&pool, &format!("{}/list", server.base)).await);
    }
    server.asked();
    let drain = async |fetcher: Fetcher| {
        let mut done = Vec::new();
        while let Some((name, fetched)) = fetcher.next().await.unwrap() {
            assert_ne!(fetched.as_str(), "not_held");
            done.push(name);
        }
        done
    };
    let (a, b) = tokio::join!(drain(fetcher.clone()), drain(fetcher.clone()));
    for feed in &feeds {
        let times = a
            .iter()
            .chain(&b)
            .filter(|name| **name == feed.name)
            .count();
        assert_eq!(times, 1, "{}", feed.name);
    }
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn an_address_inside_is_refused_and_told() {
    let _alone = ALONE.lock().await;
    let pool = pool();
    let outgoing = Outgoing::new(Vec::new(), Arc::new(SystemLookup)).unwrap();
    let fetcher = Fetcher::new(pool.clone(), outgoing, master());
    let feed = Feed::put(&pool, "https://127.0.0.1/list").await;
    feed.set_due().await;
    while feed.row().await.get::<_, i32>("failures") == 0 {
        let _other = fetcher.next().await.unwrap();
    }
    let failure: String = feed.row().await.get("failure");
    assert_eq!(failure, "the address is an address of this machine");
}

fn api_key() -> Credential {
    Credential::Header {
        name: "X-Api-Key".to_owned(),
        value: "s3cret".to_owned(),
    }
}

#[tokio::test]
async fn a_credential_goes_to_the_feeds_own_server_and_to_no_other() {
    let _alone = ALONE.lock().await;
    let (server, other, pool) = (Server::start().await, Server::start().await, pool());
    let fetcher = fetcher(&pool);
    server.serve("/list", "200 OK\r\n", "203.0.113.1\n");
    let url = format!("{}/list", server.base);
    let feed = Feed::put(&pool, &url).await;
    for (credential, line) in [
        (api_key(), "\r\nx-api-key: s3cret\r\n"),
        (
            Credential::Bearer {
                token: "t0ken".to_owned(),
            },
            "\r\nauthorization: bearer t0ken\r\n",
        ),
        (
            Credential::Basic {
                user: "aladdin".to_owned(),
                password: "open sesame".to_owned(),
            },
            // `aladdin:open sesame`, in lower case as all that the server keeps.
            "\r\nauthorization: basic ywxhzgrpbjpvcgvuihnlc2ftzq==\r\n",
        ),
    ] {
        feed.ask_with(&url, &credential).await;
        server.asked();
        assert_ne!(feed.fetched(&fetcher).await, "failed");
        let asked = server.asked();
        assert!(asked[0].contains(line), "{asked:?}");
    }
    // What it was told stays as long as the server is the same, and only there.
    let elsewhere = format!("{}/list", other.base);
    let refused = feed.set(&elsewhere, Access::Kept).await.unwrap_err();
    assert!(matches!(refused, FeedError::OtherServer), "{refused}");
    server.serve("/other", "200 OK\r\n", "203.0.113.2\n");
    let moved = format!("{}/other", server.base);
    feed.set(&moved, Access::Kept).await.unwrap();
    assert_eq!(feed.fetched(&fetcher).await, "changed");
    assert!(server.asked()[0].contains("authorization: basic"));
    // A redirect is not followed, and takes it nowhere.
    let away = format!("302 Found\r\nlocation: {elsewhere}\r\n");
    server.serve("/other", &away, "");
    assert_eq!(feed.fetched(&fetcher).await, "failed");
    assert_eq!(other.asked(), [""; 0]);
    // Taken away, it is sent no more, and the feed may move.
    other.serve("/list", "200 OK\r\n", "203.0.113.3\n");
    feed.set(&elsewhere, Access::Open).await.unwrap();
    assert_eq!(feed.fetched(&fetcher).await, "changed");
    let asked = other.asked();
    assert!(
        !asked[0].contains("authorization") && !asked[0].contains("x-api-key"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn every_event_of_a_misp_feed_is_asked_for_with_its_credential() {
    let _alone = ALONE.lock().await;
    let (server, pool) = (Server::start().await, pool());
    let one = Uuid::from_u128(1);
    let manifest = format!(r#"{{"{one}": {{"timestamp": "1"}}}}"#);
    server.serve("/manifest.json", "200 OK\r\n", &manifest);
    let event = r#"{"Event": {"info": "x", "Attribute": [{"type": "domain", "to_ids": true, "value": "a.example.com"}]}}"#;
    server.serve(&format!("/{one}.json"), "200 OK\r\n", event);
    let url = format!("{}/manifest.json", server.base);
    let feed = Feed::put(&pool, &url).await;
    feed.ask_with(&url, &api_key()).await;
    assert_eq!(feed.fetched(&fetcher(&pool)).await, "changed");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked.iter().all(|one| one.contains("x-api-key: s3cret")),
        "{asked:?}"
    );
    // Nothing of it can be read in the table, and with another master key nobody is asked.
    let sql = "SELECT credential, credential_sealed FROM indicator_feed WHERE name = $1";
    let client = pool.get().await.unwrap();
    let row = client.query_one(sql, &[&feed.name]).await.unwrap();
    let (shown, sealed): (serde_json::Value, Vec<u8>) = (row.get(0), row.get(1));
    assert_eq!(
        shown,
        serde_json::json!({"kind": "header", "name": "X-Api-Key"})
    );
    assert!(!sealed.windows(6).any(|part| part == b"s3cret"));
    let other = fetcher_with(&pool, MasterKey::parse(OTHER_KEY).unwrap());
    assert_eq!(feed.fetched(&other).await, "failed");
    let failure: String = feed.row().await.get("failure");
    assert_eq!(
        failure,
        "its credential cannot be opened with this master key"
    );
    assert_eq!(server.asked(), [""; 0]);
}
