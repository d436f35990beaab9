//! From a name to its addresses, once for each request. Judges none of them.

use futures_util::future::BoxFuture;
use reqwest::dns::{Name, Resolve, Resolving};
use std::io;
use std::net::IpAddr;

/// Looks names up.
pub trait Lookup: Send + Sync {
    /// All addresses of a name.
    fn addresses<'l>(&'l self, name: &'l str) -> BoxFuture<'l, io::Result<Vec<IpAddr>>>;
}

/// As this machine does for every program.
#[derive(Clone, Copy, Debug)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses<'l>(&'l self, name: &'l str) -> BoxFuture<'l, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|socket| socket.ip()).collect())
        })
    }
}

/// Finds nothing: what is connected to was found before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl Resolve for Nothing {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async {
            let error = io::Error::other("a name is looked up before it is judged, and not again");
            Err(error.into())
        })
    }
}
