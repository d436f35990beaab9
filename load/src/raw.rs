//! A plain keep-alive HTTP/1.1 connection that writes prepared bytes and reads the status: what a
//! benchmark needs and no more. Speaks no TLS, follows nothing, understands no chunked answers.

use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Headers of an answer beyond this are no answer of the gateway.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What an answer says besides its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The seconds of `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// `x-batch-id`.
    pub batch_id: Option<String>,
    /// Whether the connection is of no further use.
    pub closes: bool,
    body: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// What the system says.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Writes a request and reads the whole answer; gives its status.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is not one that this client understands; the
    /// connection then is of no further use.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        Ok(self.ask(request).await?.status)
    }

    /// Writes a request and reads the whole answer; gives what its headers say.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answered> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(odd("headers without an end"));
            }
        };
        let head = self.buffer.get(..head_end).unwrap_or_default();
        let answered = read_head(head)?;
        while self.buffer.len() < head_end + answered.body {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answered)
    }
}

fn read_head(head: &[u8]) -> io::Result<Answered> {
    let head = std::str::from_utf8(head).map_err(|_| odd("headers are no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut answered = Answered {
        status: status.ok_or_else(|| odd("no status"))?,
        ..Answered::default()
    };
    let mut body = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => body = value.parse().ok(),
            "retry-after" => answered.retry_after_s = value.parse().ok(),
            "x-batch-id" => answered.batch_id = Some(value.to_owned()),
            "connection" => answered.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    answered.body = body.ok_or_else(|| odd("no content-length"))?;
    Ok(answered)
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_head_is_read() {
        let head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 17\r\nx: y\r\n\r\n";
        let answered = read_head(head).unwrap();
        assert_eq!((answered.status, answered.body), (202, 17));
        let refused =
            b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let refused = read_head(refused).unwrap();
        assert_eq!((refused.status, refused.retry_after_s), (503, Some(7)));
        assert!(refused.closes && !answered.closes);
        assert!(read_head(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
        assert!(read_head(b"garbage\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn answers_in_pieces_are_put_together_and_the_connection_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            for _ in 0..2 {
                stream.read_exact(&mut request).await.unwrap();
                for piece in ["HTTP/1.1 20", "2 OK\r\ncontent-length: 5\r\n\r\nab", "cde"] {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut connection = Connection::open(&address).await.unwrap();
        for _ in 0..2 {
            assert_eq!(connection.exchange(b"ping").await.unwrap(), 202);
        }
        server.await.unwrap();
        assert!(connection.exchange(b"ping").await.is_err());
    }
}
