//! The pipeline under test, and what its stores say of it.

use super::gauge::Gauge;
use super::sender::Load;
use crate::engines::Engines;
use crate::installation::{Installation, Part, Running};
use crate::org::Org;
use crate::stores::clickhouse;
use crate::wait::block_on;
use millrace_load::target::Target;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

/// Between two looks at a store.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A quota that no generator reaches.
const UNLIMITED: u64 = 1_000_000_000;

/// Engines and services, with nothing else on them.
#[derive(Debug)]
pub struct Site {
    /// Engines and settings.
    pub installation: Installation,
    /// The gateway.
    pub gateway: Running,
    /// The worker.
    pub worker: Running,
    /// The query API.
    pub query: Running,
}

impl Site {
    /// Starts everything, with these settings besides the usual ones.
    #[must_use]
    pub fn start(name: &str, settings: &[(&'static str, String)]) -> Site {
        let mut installation = Installation::on(Engines::own(name), name);
        for (name, value) in settings {
            installation.set(name, value);
        }
        let mut gateway = installation.launch(Part::Gateway, &[]);
        let mut worker = installation.launch(Part::Worker, &[]);
        let mut query = installation.launch(Part::Query, &[]);
        for service in [&mut gateway, &mut worker, &mut query] {
            service.must_get_ready();
        }
        Site {
            installation,
            gateway,
            worker,
            query,
        }
    }

    /// An organisation that may send so many events a second, or as many as it likes.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn org(&self, name: &str, events_per_second: Option<u64>) -> Org {
        let org = Org::of(
            &self.installation,
            name,
            (&self.gateway.url, &self.query.url),
        );
        let made = ["tokens", "create", "--org", &org.name, "--role", "analyst"];
        let token = self.installation.admin(&made);
        org.use_token("analyst", token["token"].as_str().expect("a token"));
        let events = i64::try_from(events_per_second.unwrap_or(UNLIMITED)).expect("a quota");
        let sql = "UPDATE organisation SET requests_per_minute = 1000000000, \
                   events_per_second = $2, bytes_per_second = 1000000000000 WHERE id = $1";
        let postgres = self.installation.postgres();
        let changed = block_on(postgres.execute(sql, &[&org.id, &events]));
        assert_eq!(changed.expect("a quota"), 1);
        org
    }

    /// A load as one organisation sends it.
    #[must_use]
    pub fn load(&self, org: &Org, rate: f64, batch: u32) -> Load {
        Load {
            target: self.target(org),
            rate,
            batch,
        }
    }

    /// Where an organisation sends, and as whom.
    #[must_use]
    pub fn target(&self, org: &Org) -> Target {
        Target {
            gateway_url: self.gateway.url.clone(),
            key_id: org.key_id.clone(),
            secret: org.secret.clone(),
        }
    }

    /// Begins to look at the memory of the services and of Redis.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        let services = [
            ("gateway", self.gateway.process.id()),
            ("worker", self.worker.process.id()),
            ("query", self.query.process.id()),
        ];
        Gauge::of(&services)
    }

    /// Events of these organisations that are committed; `None` while PostgreSQL is away.
    #[must_use]
    pub fn stored(&self, orgs: &[&Org]) -> Option<u64> {
        let ids: Vec<_> = orgs.iter().map(|org| org.id).collect();
        let url = self.installation.engines.stack().postgres_url();
        let sum = "SELECT coalesce(sum(stored), 0)::bigint FROM usage_day WHERE org_id = ANY($1)";
        block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.ok()?;
            tokio::spawn(connection);
            let row = client.query_one(sum, &[&ids]).await.ok()?;
            u64::try_from(row.get::<_, i64>(0)).ok()
        })
    }

    /// Waits until so many events of these organisations are committed, and says how long that
    /// took; `None` when it does not come to that in time.
    #[must_use]
    pub fn settled(&self, orgs: &[&Org], events: u64, patience: Duration) -> Option<Duration> {
        let begun = Instant::now();
        loop {
            if self.stored(orgs).is_some_and(|stored| stored >= events) {
                return Some(begun.elapsed());
            }
            if begun.elapsed() > patience {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Rows of an organisation in ClickHouse, and how many of them are different events.
    #[must_use]
    pub fn rows(&self, org: &Org) -> (u64, u64) {
        let sql = format!(
            "SELECT count() AS rows, uniqExact(EventId) AS events FROM millrace.logs WHERE OrgId = '{}'",
            org.id
        );
        let answer = clickhouse(&self.installation, &sql);
        let number = |name: &str| match answer.first().map(|row| row[name].clone()) {
            Some(Value::String(text)) => text.parse().unwrap_or(0),
            Some(value) => value.as_u64().unwrap_or(0),
            None => 0,
        };
        (number("rows"), number("events"))
    }

    /// Milliseconds from an accepted batch to its commit, as the gateway tells them.
    #[must_use]
    pub fn visible_after_ms(&self, org: &Org, batch_id: &str) -> Option<f64> {
        let status = org.batch(batch_id, "?wait=committed&timeout=30s").json();
        let at = |name: &str| status[name].as_f64();
        Some(at("committed_at_ms")? - at("accepted_at_ms")?)
    }
}
