//! A gateway to send a corpus to, with every key that the corpus needs.

use super::sender::{Key, ORIGIN, Sender};
use crate::installation::{Installation, Part, Running};
use crate::org::Org;
use crate::wait::block_on;
use millrace_shared::secret::Secret;
use serde_json::Value;

/// A gateway of its own, so that its memory and its counters tell of the corpus alone.
#[derive(Debug)]
pub struct Stand {
    /// The gateway.
    pub gateway: Running,
    /// The organisation that sends.
    pub org: Org,
    /// Its keys.
    pub sender: Sender,
}

impl Stand {
    /// A gateway of this installation, and an organisation whose quotas a corpus does not reach;
    /// `query` is the address of the installation's query API.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn on(installation: &Installation, query: &str, now_s: i64) -> Stand {
        let gateway = installation.start(Part::Gateway);
        let org = Org::of(installation, "hostile", (&gateway.url, query));
        let foreign = Org::of(installation, "foreign", (&gateway.url, query));
        let postgres = installation.postgres();
        let sql = "UPDATE organisation SET requests_per_minute = 1000000 WHERE id = $1";
        block_on(postgres.execute(sql, &[&org.id])).expect("quotas");
        let key = |arguments: &[&str]| {
            let all = [&["keys", "create", "--org", &org.name], arguments].concat();
            installation.admin(&all)
        };
        let secret_key = |arguments: &[&str]| of(&key(arguments));
        let expired = secret_key(&[]);
        let early = secret_key(&[]);
        let revoked = secret_key(&[]);
        installation.admin(&["keys", "revoke", &revoked.id]);
        for (sql, id) in [
            (
                "UPDATE ingest_key SET not_after = now() - interval '1 day' WHERE id = $1",
                &expired.id,
            ),
            (
                "UPDATE ingest_key SET not_before = now() + interval '1 day' WHERE id = $1",
                &early.id,
            ),
        ] {
            block_on(postgres.execute(sql, &[id])).expect("a lifetime");
        }
        let public = key(&["--kind", "public", "--signals", "rum", "--origins", ORIGIN]);
        let sender = Sender {
            host: gateway.url.trim_start_matches("http://").to_owned(),
            now_s,
            good: Key {
                id: org.key_id.clone(),
                secret: org.secret.clone(),
            },
            foreign: Key {
                id: foreign.key_id.clone(),
                secret: foreign.secret.clone(),
            },
            logs_only: secret_key(&["--signals", "logs"]),
            body_only: secret_key(&["--schemes", "body"]),
            webhook_only: secret_key(&["--schemes", "webhook"]),
            elsewhere: secret_key(&["--cidrs", "10.99.0.0/16"]),
            expired,
            early,
            revoked,
            public: public["key_id"].as_str().expect("key_id").to_owned(),
        };
        Stand {
            gateway,
            org,
            sender,
        }
    }

    /// `host:port` of the gateway.
    #[must_use]
    pub fn address(&self) -> &str {
        self.gateway.url.trim_start_matches("http://")
    }

    /// The sum of a metric of the gateway over all its labels.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.gateway.metrics();
        let lines = page.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Resident memory of the gateway, bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        resident(self.gateway.process.id())
    }
}

/// Resident memory of a process, bytes; 0 when it is gone. `setpriv` has become the service.
#[must_use]
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0) * 1024
}

fn of(made: &Value) -> Key {
    let text = |name: &str| {
        made[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {made}"))
    };
    Key {
        id: text("key_id").to_owned(),
        secret: Secret::parse(text("secret")).expect("a secret"),
    }
}
