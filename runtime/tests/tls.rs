//! The three stores behind TLS: reached when their certificate is trusted and names them, and not
//! otherwise. The engines are the real ones; what ends the TLS stands in front of them, as it does
//! in many an installation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

use millrace_runtime::clickhouse::Clickhouse;
use millrace_runtime::redis::Connections;
use millrace_runtime::{address, pg};
use millrace_shared::settings::Settings;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

/// More than a connection that is going to be made takes, on a machine full of tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a PostgreSQL client sends to ask for TLS: its length and a number.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Who signs certificates, and the file that says so.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = format!("{}/{name}.pem", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Authority { issuer, file }
    }

    /// What ends TLS with a certificate for `name`.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The address of one engine in plain text.
fn plain(name: &'static str) -> Url {
    let vars = std::env::vars().filter(|(name, _)| name.ends_with("_URL"));
    let settings = Settings::from_vars(vars).unwrap();
    let url = settings.text(name);
    let url = url.unwrap_or_else(|_| panic!("{name} is not set: run `make test`"));
    Url::parse(url).unwrap()
}

/// Puts TLS in front of an engine; the port it is reached on.
async fn front(acceptor: TlsAcceptor, engine: &Url) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = format!("{}:{}", engine.host_str().unwrap(), engine.port().unwrap());
    let asks_first = engine.scheme().starts_with("postgres");
    tokio::spawn(async move {
        while let Ok((outside, _)) = listener.accept().await {
            // A client that does not trust the certificate goes away: no concern of this side's.
            tokio::spawn(relay(acceptor.clone(), outside, behind.clone(), asks_first));
        }
    });
    port
}

async fn relay(
    acceptor: TlsAcceptor,
    mut outside: TcpStream,
    behind: String,
    asks_first: bool,
) -> std::io::Result<()> {
    if asks_first {
        let mut asked = [0; 8];
        outside.read_exact(&mut asked).await?;
        assert_eq!(asked, SSL_REQUEST, "nothing is sent in plain text");
        outside.write_all(b"S").await?;
    }
    let mut outside = acceptor.accept(outside).await?;
    let mut inside = TcpStream::connect(behind).await?;
    copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}

/// The three stores' addresses with TLS, in the order Redis, ClickHouse, PostgreSQL.
struct Stores([Url; 3]);

impl Stores {
    async fn behind(authority: &Authority, name: &str) -> Stores {
        let [mut redis, mut clickhouse, mut postgres] = [
            plain("MILLRACE_REDIS_URL"),
            plain("MILLRACE_CLICKHOUSE_URL"),
            plain("MILLRACE_POSTGRES_URL"),
        ];
        for url in [&mut redis, &mut clickhouse, &mut postgres] {
            let port = front(authority.acceptor(name), url).await;
            url.set_port(Some(port)).unwrap();
        }
        redis.set_scheme("rediss").unwrap();
        clickhouse.set_scheme("https").unwrap();
        postgres.query_pairs_mut().append_pair("sslmode", "require");
        Stores([redis, clickhouse, postgres])
    }

    /// What a service does with them at start, in production.
    fn trusting(&self, ca_file: &str) -> &Stores {
        let [redis, clickhouse, postgres] = &self.0;
        let pairs = [
            ("MILLRACE_PROFILE", "production"),
            ("MILLRACE_TLS_CA_FILE", ca_file),
            ("MILLRACE_REDIS_URL", redis.as_str()),
            ("MILLRACE_CLICKHOUSE_URL", clickhouse.as_str()),
            ("MILLRACE_POSTGRES_URL", postgres.as_str()),
        ];
        let vars = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        address::check_all(&Settings::from_vars(vars).unwrap()).unwrap();
        self
    }

    /// Asks each whether it answers.
    async fn ping(&self) -> [Result<(), String>; 3] {
        let [redis, clickhouse, postgres] = &self.0;
        let redis = Connections::open(redis.as_str(), 1, PATIENCE).unwrap();
        let clickhouse = Clickhouse::new(clickhouse.as_str()).unwrap();
        let postgres = pg::pool(postgres.as_str(), "test", 1).unwrap();
        [
            redis.ping().await.map_err(|error| format!("{error}")),
            clickhouse.ping().await.map_err(|error| format!("{error}")),
            pg::ping(&postgres)
                .await
                .map_err(|error| format!("{error}")),
        ]
    }
}

fn all_refused(answers: [Result<(), String>; 3], why: &str) {
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.contains(why), "not for {why}: {error}");
    }
}

/// A statement over TLS is cancelled over TLS.
async fn cancels(postgres: &Url) {
    let pool = pg::pool(postgres.as_str(), "test", 1).unwrap();
    let client = pool.get().await.unwrap();
    let cancel = client.cancel_token();
    let sleep = client.batch_execute("SELECT pg_sleep(600)");
    let cancelling = async {
        // A request that comes before its statement has no effect, so it is repeated.
        loop {
            cancel.cancel_query(pg::connector().unwrap()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let ended = tokio::select! {
        ended = sleep => ended,
        () = cancelling => Ok(()),
        () = tokio::time::sleep(PATIENCE) => Ok(()),
    };
    let code = ended.unwrap_err().code().cloned();
    assert_eq!(code, Some(tokio_postgres::error::SqlState::QUERY_CANCELED));
}

/// One test, for whom to trust is a matter of the whole process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_are_reached_by_tls_when_trusted_and_named_and_not_otherwise() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let stores = Stores::behind(&ours, "127.0.0.1").await;
    let reached = stores.trusting(&ours.file).ping().await;
    assert_eq!(reached, [Ok(()), Ok(()), Ok(())]);
    let [_, _, postgres] = &stores.0;
    cancels(postgres).await;

    all_refused(
        stores.trusting(&other.file).ping().await,
        "certificate: UnknownIssuer",
    );
    all_refused(
        stores.trusting("").ping().await,
        "certificate: UnknownIssuer",
    );

    let misnamed = Stores::behind(&ours, "elsewhere.test").await;
    let answers = misnamed.trusting(&ours.file).ping().await;
    all_refused(answers, "not valid for name");

    // Without `require` TLS is not tried, whatever the server offers.
    let mut prefer = plain("MILLRACE_POSTGRES_URL");
    prefer.query_pairs_mut().append_pair("sslmode", "prefer");
    let pool = pg::pool(prefer.as_str(), "test", 1).unwrap();
    pg::ping(&pool).await.unwrap();
}
