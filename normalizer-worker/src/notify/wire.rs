//! The connection to a mail server, of which no more is read than a conversation needs: answers come
//! in lines, and one that never ends would fill the memory. Looks up no name: the addresses that it is
//! given were judged.

use lettre::transport::smtp::client::AsyncTokioStream;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Bytes that a mail server may say: a few lines, and the certificates of its TLS.
const READ_MAX: usize = 256 * 1024;
/// Time to open a connection to one of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    left: usize,
}

impl Wire<TcpStream> {
    /// Opens a connection to the first of the addresses that takes one.
    pub(super) async fn open(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for peer in addresses {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(peer)).await {
                Ok(Ok(stream)) => return Ok(Wire::new(stream, *peer)),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    /// Speaks TLS from now on, with a server whose certificate is of this name.
    pub(super) async fn secured(
        self,
        host: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Wire<TlsStream<TcpStream>>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config).connect(name, self.stream);
        Ok(Wire::new(stream.await?, self.peer))
    }
}

impl<S> Wire<S> {
    fn new(stream: S, peer: SocketAddr) -> Self {
        let left = READ_MAX;
        Wire { stream, peer, left }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.left == 0 {
            return Poll::Ready(Err(io::Error::other("the mail server says too much")));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(context, into))?;
        let read = into.filled().len().saturating_sub(before);
        wire.left = wire.left.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream
    for Wire<S>
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_server_that_never_ends_its_line_is_not_read_for_ever() {
        let mut wire = Wire::new(tokio::io::repeat(b'2'), ([127, 0, 0, 1], 1).into());
        let mut heard = Vec::new();
        let error = wire.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(error.to_string(), "the mail server says too much");
        assert!(
            (READ_MAX..2 * READ_MAX).contains(&heard.len()),
            "{}",
            heard.len()
        );
    }
}
