//! Requests that leave the installation on behalf of a tenant: to webhooks and mail servers, and for
//! feeds. The tenant chooses the address, so it must not lead to anything that only the installation
//! can reach.
//!
//! ```text
//! target    the address as written: scheme, host, port
//! lookup    name → addresses, once
//! network   each address: is it one of the open internet?
//! ```
//!
//! The connection is made to the addresses that were judged, and to no others: the name is not looked
//! up a second time, so it cannot be answered differently then. A redirect is an answer and is not
//! followed. Proxies of the environment are not used, cookies are not kept, compressed answers are
//! not asked for, and of an answer only so much is read as the caller wants.
//!
//! Nothing is retried here.

mod refusal;
mod target;
mod lookup;
mod network;
#[cfg(test)]
mod tests;

pub use lookup::{Lookup, SystemLookup};
pub use refusal::{OutgoingError, Refusal};
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};

use crate::cause;
use crate::tls::{self, Trust};
use bytes::Bytes;
use ipnet::IpNet;
use millrace_shared::settings::{Settings, SettingsError};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use target::{Host, Target};
use tokio::time::{Instant, timeout_at};

const NETWORKS: &str = "MILLRACE_OUTGOING_NETWORKS";
/// Time for a webhook, from the look-up of its name to the end of its answer.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// Time to open a connection, its TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How the installation names itself to others.
const USER_AGENT: &str = concat!("millrace/", env!("CARGO_PKG_VERSION"));

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'c> {
    /// Its method.
    pub method: Method,
    /// Where to, as the tenant wrote it.
    pub url: &'c str,
    /// Headers besides the usual ones.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Bytes of the answer's body that are read; the rest is not.
    pub answer_max: usize,
    /// Time for all of it.
    pub within: Duration,
}

/// An answer, of whatever status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub body: Vec<u8>,
    /// Whether there is more of the body.
    pub cut: bool,
}

/// The client. Clones share everything.
#[derive(Clone)]
pub struct Outgoing {
    allowed: Arc<[IpNet]>,
    lookup: Arc<dyn Lookup>,
    trust: Arc<Trust>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    /// With the operator's networks and root certificates, and the names that this machine knows.
    ///
    /// # Errors
    /// When a network or a certificate cannot be read, or TLS cannot be used.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        tls::configure(settings)?;
        let unusable = |problem: String| SettingsError::Unusable {
            name: NETWORKS,
            problem,
        };
        let read = settings.list(NETWORKS)?.into_iter().map(|text| {
            text.parse()
                .map_err(|_| unusable(format!("names `{text}`, which is no network (CIDR)")))
        });
        let allowed: Vec<IpNet> = read.collect::<Result<_, _>>()?;
        Outgoing::new(allowed, Arc::new(SystemLookup)).map_err(|error| unusable(error.to_string()))
    }

    /// With these networks of the installation permitted, and another way to look names up.
    ///
    /// # Errors
    /// When TLS cannot be used.
    pub fn new(allowed: Vec<IpNet>, lookup: Arc<dyn Lookup>) -> Result<Self, OutgoingError> {
        let trust = tls::trust().map_err(|error| OutgoingError::Unusable(error.to_string()))?;
        Ok(Outgoing {
            allowed: allowed.into(),
            lookup,
            trust,
        })
    }

    /// Whether an address may be used as far as can be told without looking its name up: for telling
    /// a user at once.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, url: &str) -> Result<(), Refusal> {
        self.judge_written(&Target::parse(url)?)
    }

    /// The same of a mail server.
    ///
    /// # Errors
    /// Why not.
    pub fn check_mail(&self, host: &str, port: u16, encrypted: bool) -> Result<(), Refusal> {
        self.judge_written(&Target::mail(host, port, encrypted)?)
    }

    /// The addresses of a mail server, each of them judged: to be connected to as they are, without
    /// looking the name up again. `encrypted` says whether TLS comes before anything else is said.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub async fn mail_addresses(
        &self,
        host: &str,
        port: u16,
        encrypted: bool,
    ) -> Result<Vec<SocketAddr>, OutgoingError> {
        let target = Target::mail(host, port, encrypted)?;
        let addresses = self.resolve(&target).await?;
        Ok(addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }

    /// TLS as it is spoken here: with the roots that are trusted, and no others.
    #[must_use]
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.trust.config)
    }

    /// The root certificates that are trusted, as PEM: for clients that take them as text only.
    #[must_use]
    pub fn roots(&self) -> &str {
        &self.trust.pem
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// [`OutgoingError`]; an answer of any status is none.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, OutgoingError> {
        let ends = Instant::now() + call.within;
        match timeout_at(ends, self.send_unbounded(call)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OutgoingError::Timeout),
        }
    }

    async fn send_unbounded(&self, call: Call<'_>) -> Result<Answer, OutgoingError> {
        let target = Target::parse(call.url)?;
        let addresses = self.resolve(&target).await?;
        let client = self.pinned(&target, &addresses)?;
        let request = client
            .request(call.method, target.url)
            .headers(call.headers)
            .body(call.body);
        let mut response = request.send().await.map_err(OutgoingError::from_http)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (mut body, mut cut) = (Vec::new(), false);
        while let Some(chunk) = response.chunk().await.map_err(OutgoingError::from_http)? {
            let room = call.answer_max.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                cut = true;
                break;
            }
        }
        Ok(Answer {
            status,
            headers,
            body,
            cut,
        })
    }

    /// The addresses to connect to, each of them judged: a name that leads to one that is refused is
    /// refused, whatever else it leads to.
    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, OutgoingError> {
        let addresses = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                self.judge_unresolved(target)?;
                let found = self.lookup.addresses(name).await;
                found.map_err(|error| OutgoingError::Lookup(error.to_string()))?
            }
        };
        if addresses.is_empty() {
            return Err(OutgoingError::Lookup("the name has no address".to_owned()));
        }
        for address in &addresses {
            self.judge(target, *address)?;
        }
        Ok(addresses)
    }

    fn judge_written(&self, target: &Target) -> Result<(), Refusal> {
        match &target.host {
            Host::Address(address) => self.judge(target, *address),
            Host::Name(_) => self.judge_unresolved(target),
        }
    }

    /// What can be said of a name before it is looked up: without networks of the operator, one that
    /// could only lie there is not even asked for.
    fn judge_unresolved(&self, target: &Target) -> Result<(), Refusal> {
        match target.inside_only() {
            Some(refusal) if self.allowed.is_empty() => Err(refusal),
            Some(_) | None => Ok(()),
        }
    }

    fn judge(&self, target: &Target, address: IpAddr) -> Result<(), Refusal> {
        if network::is_metadata(address) {
            return Err(Refusal::Metadata);
        }
        if self
            .allowed
            .iter()
            .any(|network| network.contains(&address))
        {
            // An address with another inside leads to that one.
            return match network::embedded(address) {
                Some(inner) => self.judge(target, IpAddr::V4(inner)),
                None => Ok(()),
            };
        }
        match network::refusal(address).or_else(|| target.inside_only()) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// A client for one request, which knows these addresses and no way to find others.
    fn pinned(
        &self,
        target: &Target,
        addresses: &[IpAddr],
    ) -> Result<reqwest::Client, OutgoingError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.trust.config.as_ref().clone())
            .dns_resolver(lookup::Nothing)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(USER_AGENT);
        if let Host::Name(name) = &target.host {
            let sockets = addresses.iter().map(|ip| SocketAddr::new(*ip, target.port));
            let sockets: Vec<SocketAddr> = sockets.collect();
            builder = builder.resolve_to_addrs(name, &sockets);
        }
        let built = builder.build();
        built.map_err(|error| OutgoingError::Unusable(cause::chain(&error)))
    }
}
