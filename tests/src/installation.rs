//! An installation: engines, the three services on free ports, and the settings they share.

use crate::engines::Engines;
use crate::http::Http;
use crate::process::{self, Service};
use crate::wait::{PATIENCE, block_on, within};
use millrace_devstack::ports::free_port;
use std::sync::OnceLock;

/// Shards per signal: more than one, so that everything crosses shards; few, for a small machine.
pub const SHARDS: &str = "4";

/// A service, by the name of its binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `ingest-gateway`
    Gateway,
    /// `normalizer-worker`
    Worker,
    /// `query-api`
    Query,
}

impl Part {
    /// Its binary.
    #[must_use]
    pub const fn binary(self) -> &'static str {
        match self {
            Part::Gateway => "ingest-gateway",
            Part::Worker => "normalizer-worker",
            Part::Query => "query-api",
        }
    }

    /// The settings that say where it listens: for the public, if at all, and for the operator.
    #[must_use]
    pub const fn listeners(self) -> (Option<&'static str>, &'static str) {
        match self {
            Part::Gateway => (
                Some("MILLRACE_GATEWAY_LISTEN"),
                "MILLRACE_GATEWAY_ADMIN_LISTEN",
            ),
            Part::Worker => (None, "MILLRACE_WORKER_ADMIN_LISTEN"),
            Part::Query => (Some("MILLRACE_QUERY_LISTEN"), "MILLRACE_QUERY_ADMIN_LISTEN"),
        }
    }
}

/// A running service with its addresses.
#[derive(Debug)]
pub struct Running {
    /// Which service.
    pub part: Part,
    /// Its process.
    pub process: Service,
    /// Its public address; that of the admin port for the worker.
    pub url: String,
    /// Its admin address.
    pub admin_url: String,
}

impl Running {
    /// Waits until the service says that it can do its work.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn must_get_ready(&mut self) {
        let http = Http::new();
        within(
            PATIENCE,
            &format!(
                "{:?} is ready ({})",
                self.part,
                self.process.log().display()
            ),
            || {
                self.process.must_run();
                let answer = http
                    .get(&format!("{}/readyz", self.admin_url), &[])
                    .map_err(|error| error.to_string())?;
                if answer.status == 200 {
                    Ok(())
                } else {
                    Err(answer.text())
                }
            },
        );
    }

    /// Waits until the service runs, though it may not be ready.
    ///
    /// # Panics
    /// When it ends, or does not answer in time.
    pub fn must_be_up(&mut self) {
        let url = format!("{}/healthz", self.admin_url);
        within(PATIENCE, &format!("{:?} is up", self.part), || {
            self.process.must_run();
            let answer = Http::new().get(&url, &[]);
            answer.map(drop).map_err(|error| error.to_string())
        });
    }

    /// What `/metrics` says.
    ///
    /// # Panics
    /// When it says nothing.
    #[must_use]
    pub fn metrics(&self) -> String {
        Http::new()
            .get(&format!("{}/metrics", self.admin_url), &[])
            .expect("/metrics")
            .text()
    }
}

/// Engines, settings, and the services started on them.
#[derive(Debug)]
pub struct Installation {
    /// The engines.
    pub engines: Engines,
    name: String,
    settings: Vec<(&'static str, String)>,
}

impl Installation {
    /// An installation on these engines, without services yet.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn on(engines: Engines, name: &str) -> Installation {
        let mut settings = engines.stack().settings();
        let master = millrace_shared::secret::random::<32>().expect("randomness");
        let given = [
            ("MILLRACE_PROFILE", "development".to_owned()),
            ("MILLRACE_MASTER_KEY", hex::encode(master)),
            ("MILLRACE_LOG", "info".to_owned()),
            ("MILLRACE_LOG_FORMAT", "text".to_owned()),
            // All tests come from one address.
            ("MILLRACE_ADDRESS_REQUESTS_PER_MINUTE", "0".to_owned()),
            // A machine full of tests is behind; those of overload say how far it may be.
            ("MILLRACE_BACKLOG_S", "0".to_owned()),
            // Batches are cut and audited sooner than in production, so that tests wait less.
            ("MILLRACE_BATCH_AGE_MS", "100".to_owned()),
            ("MILLRACE_AUDIT_DELAY_S", "2".to_owned()),
            ("MILLRACE_LEASE_S", "5".to_owned()),
        ];
        settings.extend(given);
        let installation = Installation {
            engines,
            name: name.to_owned(),
            settings,
        };
        installation.admin(&["install", "--shards", SHARDS]);
        installation
    }

    /// The settings of every service and tool.
    #[must_use]
    pub fn settings(&self) -> &[(&'static str, String)] {
        &self.settings
    }

    /// Changes a setting for what is started from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
    }

    /// Starts a service without waiting for it; `with` are settings of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn launch(&self, part: Part, with: &[(&'static str, String)]) -> Running {
        let (public, admin) = part.listeners();
        let mut settings = self.settings.clone();
        let admin_address = free_address();
        settings.push((admin, admin_address.clone()));
        let mut url = format!("http://{admin_address}");
        if let Some(public) = public {
            let address = free_address();
            url = format!("http://{address}");
            settings.push((public, address));
        }
        settings.retain(|(name, _)| !with.iter().any(|(own, _)| own == name));
        settings.extend(with.iter().cloned());
        let log = format!("{}-{}", self.name, part.binary());
        let process = Service::start(part.binary(), &log, &settings);
        Running {
            part,
            process,
            url,
            admin_url: format!("http://{admin_address}"),
        }
    }

    /// Starts a service and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    pub fn start(&self, part: Part) -> Running {
        let mut running = self.launch(part, &[]);
        running.must_get_ready();
        running
    }

    /// Runs `millrace-admin … --json` and answers what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn admin(&self, arguments: &[&str]) -> serde_json::Value {
        let arguments = [arguments, &["--json"]].concat();
        let output = process::run("millrace-admin", &self.settings, &arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "millrace-admin {arguments:?}: {told}"
        );
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// A connection to its PostgreSQL.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn postgres(&self) -> tokio_postgres::Client {
        let url = self.engines.stack().postgres_url();
        block_on(async {
            let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            let (client, connection) = connected.expect("PostgreSQL");
            tokio::spawn(connection);
            client
        })
    }

    /// A connection to its Redis.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn redis(&self) -> redis::aio::MultiplexedConnection {
        block_on(self.redis_connection())
    }

    /// The same, from within the runtime.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn redis_connection(&self) -> redis::aio::MultiplexedConnection {
        let client =
            redis::Client::open(self.engines.stack().redis_url()).expect("an address of Redis");
        let connection = client.get_multiplexed_async_connection().await;
        connection.expect("Redis")
    }
}

/// An address that nothing listens on, given to nobody else: a service that is killed finds its own
/// again.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address() -> String {
    let port = free_port(None).expect("a free port");
    format!("127.0.0.1:{port}")
}

/// The installation that all tests share, with one of each service.
#[derive(Debug)]
pub struct Shared {
    /// Engines and settings.
    pub installation: Installation,
    /// Address of the gateway.
    pub gateway: Running,
    /// The worker.
    pub worker: Running,
    /// Address of the query API.
    pub query: Running,
}

/// The installation that all tests share; started by the first of them.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let installation = Installation::on(Engines::of_environment(), "shared");
        let mut gateway = installation.launch(Part::Gateway, &[]);
        let mut worker = installation.launch(Part::Worker, &[]);
        let mut query = installation.launch(Part::Query, &[]);
        gateway.must_get_ready();
        worker.must_get_ready();
        query.must_get_ready();
        Shared {
            installation,
            gateway,
            worker,
            query,
        }
    });
    // Shown only when the test fails.
    eprintln!("logs of the services: {}", process::logs().display());
    shared
}
