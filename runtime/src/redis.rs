//! Redis: connections that reconnect by themselves, with bounded waiting.
//!
//! A command whose answer was lost is an error here and is never sent again: whether that is safe
//! is the caller's to know. A `rediss://` address means TLS, with the certificate verified.

use crate::tls;
pub use ::redis::aio::ConnectionManager;
use ::redis::aio::ConnectionManagerConfig;
use ::redis::{
    Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisError, RedisResult,
    TlsCertificates,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest pause between attempts to reconnect: Redis is found again within this after a restart.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// One connection, opened when first used. `response_timeout` bounds every command; a blocking
/// read needs a connection of its own with a longer one.
///
/// # Errors
/// When the address cannot be read, or TLS cannot be used.
pub fn open(url: &str, response_timeout: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(response_timeout))
        .set_max_delay(RECONNECT_DELAY_MAX);
    client(url)?.get_connection_manager_lazy(config)
}

fn client(url: &str) -> RedisResult<Client> {
    let server = url.into_connection_info()?;
    if !matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(server);
    }
    let trust = tls::trust().map_err(|error| {
        RedisError::from((ErrorKind::InvalidClientConfig, "no TLS", error.to_string()))
    })?;
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(trust.pem.clone().into_bytes()),
    };
    Client::build_with_tls(server, certificates)
}

/// Several connections, used in turn, so that one large answer does not hold up the others.
pub struct Connections {
    all: Vec<ConnectionManager>,
    next: AtomicUsize,
}

impl Connections {
    /// Opens `count` connections.
    ///
    /// # Errors
    /// When the address cannot be read, or TLS cannot be used.
    pub fn open(url: &str, count: usize, response_timeout: Duration) -> RedisResult<Self> {
        let all = (0..count.max(1))
            .map(|_| open(url, response_timeout))
            .collect::<RedisResult<_>>()?;
        Ok(Connections {
            all,
            next: AtomicUsize::new(0),
        })
    }

    /// The next connection in turn.
    ///
    /// # Panics
    /// Never: there is always one.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is at least one, and the index is reduced"
    )]
    pub fn get(&self) -> ConnectionManager {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.all[next % self.all.len()].clone()
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), RedisError> {
        ::redis::cmd("PING").query_async(&mut self.get()).await
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({})", self.all.len())
    }
}
