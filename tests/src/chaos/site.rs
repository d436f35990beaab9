//! The site of a campaign: engines, two gateways, two workers and a query API, a proxy between
//! every pair, three organisations.
//!
//! ```text
//! agents ─proxy─▶ gateway-1, gateway-2 ─proxies─▶ Redis, PostgreSQL
//!                 worker-1, worker-2   ─proxies─▶ Redis, ClickHouse, PostgreSQL
//! ```
//!
//! The laboratory itself asks the engines directly.

use super::disk;
use super::member::{Around, Member, Setting};
use super::proxy::Proxy;
use super::request::POISON;
use super::sources;
use crate::engines::Engines;
use crate::installation::{Installation, Part, free_address};
use crate::process;
use crate::{Http, Org};
use millrace_devstack::{Engine, Options, Stack};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The shortest lease that a worker takes: most take-overs in an hour.
pub const LEASE: Duration = Duration::from_secs(3);
/// Time after which an insert counts as lost: short, so that a slow store can be outwaited.
pub const INSERT_TIMEOUT: Duration = Duration::from_secs(5);
/// Organisations.
pub const ORGS: usize = 3;
/// One request in so many of log records is refused by the store. It costs a search through its
/// batch, so it is rare …
pub const POISON_RARELY: u64 = 400;
/// … but where a fail point lies on its way.
pub const POISON_OFTEN: u64 = 4;
/// Whatever has not come up within this does not come up at all, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);
/// Everything that faults strike and checks look at.
#[derive(Debug)]
pub struct Site {
    /// Engines and settings.
    pub installation: Installation,
    /// The services, in the order of [`Site::NAMES`].
    members: Vec<(Mutex<Member>, Around)>,
    /// Who sends.
    pub orgs: Vec<Org>,
    /// Whether the disk of Redis can be filled.
    pub small_disk: bool,
    /// One request in so many of log records is such that the store refuses it.
    pub poison: AtomicU64,
}

impl Site {
    /// The services.
    pub const NAMES: [&str; 5] = ["gateway-1", "gateway-2", "worker-1", "worker-2", "query-1"];

    /// Starts everything and waits until it works.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(name: &str, small_disk: bool) -> Site {
        let engines = Engines::of(Options {
            name: name.to_owned(),
            environment: false,
            ..Options::default()
        });
        let shrunk = small_disk.then(|| disk::shrink(engines.stack()));
        if let Some(Err(error)) = &shrunk {
            eprintln!("SKIPPED: the disk of Redis cannot be made small: {error}");
        }
        let mut installation = Installation::on(engines, name);
        let seconds = |time: Duration| time.as_secs().to_string();
        installation.set("MILLRACE_LEASE_S", &seconds(LEASE));
        installation.set("MILLRACE_INSERT_TIMEOUT_S", &seconds(INSERT_TIMEOUT));
        installation.set("MILLRACE_AUDIT_DELAY_S", "1");
        // Fewer and larger inserts than the other tests: the machine is busy enough being struck.
        installation.set("MILLRACE_BATCH_AGE_MS", "300");
        // `watch` reads the logs.
        installation.set("MILLRACE_LOG_FORMAT", "json");
        let members = Site::NAMES.map(|member| Site::build(&installation, (name, member)));
        let mut site = Site {
            installation,
            members: members.into_iter().collect(),
            orgs: Vec::new(),
            small_disk: matches!(shrunk, Some(Ok(()))),
            poison: AtomicU64::new(POISON_RARELY),
        };
        for number in 0..ORGS {
            let org = Org::of(&site.installation, &format!("chaos-{number}"), ("", ""));
            site.orgs.push(org);
        }
        // One rule is judged, to the hit; what others make of made-up load is nothing to compare with.
        let sql = "UPDATE rule SET enabled = false, body = jsonb_set(body, '{enabled}', 'false') \
                    WHERE id <> 'BRUTE_FORCE_ATTACK'";
        sources::postgres(&site, sql).expect("the rules");
        // So that there is something that the store refuses for its content.
        let sql = format!(
            "ALTER TABLE millrace.logs ADD CONSTRAINT poison CHECK NOT startsWith(Body, '{POISON}')"
        );
        sources::clickhouse(&site, &sql).expect("a constraint");
        site.all_run();
        site
    }

    fn build(installation: &Installation, (site, name): (&str, &str)) -> (Mutex<Member>, Around) {
        let part = match name.split('-').next() {
            Some("gateway") => Part::Gateway,
            Some("worker") => Part::Worker,
            _ => Part::Query,
        };
        let stack = installation.engines.stack();
        let mut settings = installation.settings().to_vec();
        let mut set = |name: &'static str, value: String| {
            settings.retain(|(known, _): &Setting| *known != name);
            settings.push((name, value));
        };
        let mut stores = Vec::new();
        for engine in Engine::ALL {
            let url = stack.url(engine);
            let (before, upstream, after) = split(&url);
            let proxy = Proxy::start(&free_address(), upstream);
            set(
                engine.setting(),
                format!("{before}{}{after}", proxy.address()),
            );
            stores.push((engine, proxy));
        }
        let (public, admin) = part.listeners();
        let admin_address = free_address();
        set(admin, admin_address.clone());
        let (mut url, mut front) = (String::new(), None);
        if let Some(public) = public {
            let address = free_address();
            let proxy = Proxy::start(&free_address(), &address);
            url = format!("http://{}", proxy.address());
            set(public, address);
            front = Some(proxy);
        }
        if part == Part::Worker {
            set("MILLRACE_WORKER_NAME", name.to_owned());
        }
        let member = Member {
            name: name.to_owned(),
            part,
            admin_url: format!("http://{admin_address}"),
            settings,
            log: format!("{site}-{name}"),
            process: None,
        };
        (Mutex::new(member), Around { url, front, stores })
    }

    /// The engines.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        self.installation.engines.stack()
    }

    /// A service, for whoever is about to do something with it.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn member(&self, name: &str) -> MutexGuard<'_, Member> {
        let (member, _) = &self.members[Site::place(name)];
        member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proxies around a service.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn around(&self, name: &str) -> &Around {
        &self.members[Site::place(name)].1
    }

    fn place(name: &str) -> usize {
        let mut names = Site::NAMES.iter();
        names
            .position(|known| *known == name)
            .expect("a service of the site")
    }

    /// Where agents reach a gateway.
    #[must_use]
    pub fn url(&self, name: &str) -> &str {
        &self.around(name).url
    }

    /// Every proxy.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.members.iter().flat_map(|(_, around)| {
            let stores = around.stores.iter().map(|(_, proxy)| proxy);
            around.front.iter().chain(stores)
        })
    }

    /// Waits until the workers work by every rule that stands in the control tables now: batches
    /// say by which revision they were made.
    ///
    /// # Panics
    /// When they do not, or nothing can be sent.
    pub fn rules_are_loaded(&self) {
        let wanted = sources::number(self, "SELECT last_value FROM control_revision");
        let wanted = wanted.expect("the control tables");
        let org = Org::of(
            &self.installation,
            "chaos-rules",
            (self.url("gateway-1"), ""),
        );
        // The least of all shards of the signal with rules: each worker has some of them.
        let sql = "SELECT coalesce(min(revision), 0) FROM (SELECT DISTINCT ON (shard) revision \
                     FROM batch WHERE signal = 'audit' ORDER BY shard, seq DESC) AS newest \
                   HAVING count(*) = 4";
        crate::within(PATIENCE, "the workers work by the newest rules", || {
            let event = serde_json::json!({"event_type": "AUTHORIZATION", "action": "look", "outcome": "SUCCESS"});
            org.send(
                millrace_shared::Signal::Audit,
                &serde_json::json!({"events": [event]}),
            );
            match sources::number(self, sql) {
                Ok(worked_by) if worked_by >= wanted => Ok(()),
                other => Err((other, wanted)),
            }
        });
    }

    /// Starts whatever does not run, and waits until everything is ready.
    ///
    /// # Panics
    /// When something is not in time.
    pub fn all_run(&self) {
        for engine in Engine::ALL {
            self.resume(engine);
        }
        for name in Site::NAMES {
            let mut member = self.member(name);
            member.signal("CONT");
            member.start(&[]);
        }
        let http = Http::new();
        for name in Site::NAMES {
            crate::within(
                PATIENCE,
                &format!("{name} is ready ({})", process::logs().display()),
                || {
                    let mut member = self.member(name);
                    // Ended by what was done to it a moment ago, or by a port not free yet.
                    member.start(&[]);
                    if member.ready(&http) {
                        Ok(())
                    } else {
                        Err("not ready")
                    }
                },
            );
        }
    }

    /// Starts an engine that is gone, as often as it takes: PostgreSQL refuses while processes of
    /// its former life end.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn resume(&self, engine: Engine) {
        crate::within(PATIENCE, &format!("{engine} serves"), || {
            self.stack()
                .resume(engine)
                .map_err(|error| error.to_string())
        });
    }
}

/// An address apart: what stands before host and port, these, and what follows.
fn split(url: &str) -> (&str, &str, &str) {
    let scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[scheme..].find('/').map_or(url.len(), |at| scheme + at);
    let host = url[scheme..end]
        .rfind('@')
        .map_or(scheme, |at| scheme + at + 1);
    (&url[..host], &url[host..end], &url[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_apart_around_host_and_port() {
        let url = "postgres://millrace:x@127.0.0.1:5432/millrace";
        let (before, host, after) = split(url);
        assert_eq!(
            (before, host, after),
            ("postgres://millrace:x@", "127.0.0.1:5432", "/millrace")
        );
        assert_eq!(split("redis://127.0.0.1:6379").1, "127.0.0.1:6379");
        assert_eq!(
            split("http://h:1/?database=m"),
            ("http://", "h:1", "/?database=m")
        );
    }
}
