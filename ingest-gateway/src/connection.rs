//! A connection that is cut when a request's headers do not arrive in time, on its first request
//! and on every later one: the HTTP library watches the first only. And the bare refusals that the
//! library makes before a handler is asked (bad framing, too many headers, none in time) get the
//! problem body that every refusal has. Looks at no other content.

use crate::error::Problem;
use actix_web::rt::net::TcpStream;
use millrace_shared::outcome::Refusal;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

/// What ends the headers.
const END: &[u8; 4] = b"\r\n\r\n";
/// An interim answer (`100 Continue`), after which the same request goes on.
const INTERIM: &[u8] = b"HTTP/1.1 1";

/// An answer to a body that did not come in time: nobody waits for the rest of it.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408";
/// Time for a client to read that answer before it is cut.
const CUT_AFTER: Duration = Duration::from_millis(500);

/// How the library's own refusals begin, and go on after their status line: ours all have bodies.
const BARE_START: &[u8] = b"HTTP/1.1 4";
const BARE: &[u8] = b"\r\ncontent-length: 0\r\n";

/// Times allowed on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of the headers to the last.
    pub(crate) head: Duration,
    /// Between an answer and the next request.
    pub(crate) idle: Duration,
    /// For a client to take anything of an answer.
    pub(crate) write: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request has come.
    Idle,
    /// Headers are coming; that many bytes of [`END`] were the last to come.
    Head(usize),
    /// Headers are complete: body, work, answer. Others watch these.
    Request,
}

impl Phase {
    fn after(self, bytes: &[u8]) -> Phase {
        let mut matched = match self {
            Phase::Idle => 0,
            Phase::Head(matched) => matched,
            Phase::Request => return Phase::Request,
        };
        for byte in bytes {
            matched = match END.get(matched) {
                Some(expected) if expected == byte => matched + 1,
                _ => usize::from(*byte == b'\r'),
            };
            if matched == END.len() {
                return Phase::Request;
            }
        }
        Phase::Head(matched)
    }
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    patience: Patience,
    phase: Phase,
    timer: Pin<Box<Sleep>>,
    /// Stands in for a bare refusal of the library.
    refusal: Option<Refused>,
    /// Runs while a client takes nothing of what is written to it.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// An answer on its way in place of another.
#[derive(Debug)]
struct Refused {
    answer: Vec<u8>,
    written: usize,
    /// Bytes of what it stands in for.
    instead_of: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, patience: Patience) -> Self {
        // Answers are small and wait for nothing; where this fails they are only slower.
        let _ = stream.set_nodelay(true);
        Connection {
            stream,
            patience,
            phase: Phase::Idle,
            timer: Box::pin(tokio::time::sleep(patience.idle)),
            refusal: None,
            stalled: None,
        }
    }

    /// Passes a write's progress on, or ends it when there has been none for too long.
    fn watch_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience.write;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_refusal(
        &mut self,
        context: &mut Context<'_>,
        mut refused: Refused,
    ) -> Poll<io::Result<usize>> {
        while let Some(rest) = refused
            .answer
            .get(refused.written..)
            .filter(|r| !r.is_empty())
        {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => refused.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.refusal = Some(refused);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(refused.instead_of))
    }

    fn enter(&mut self, phase: Phase, time: Duration) {
        self.phase = phase;
        self.timer.as_mut().reset(Instant::now() + time);
    }
}

/// Where a bare refusal stands behind the answers to earlier requests of a pipeline.
fn bare_behind_others(bytes: &[u8]) -> Option<usize> {
    // Nothing of ours ends so: our answers end with their bodies.
    if !bytes.ends_with(END) {
        return None;
    }
    let mut starts = bytes.windows(BARE_START.len());
    let at = starts.rposition(|window| window == BARE_START)?;
    (at > 0 && refused(bytes.get(at..)?).is_some()).then_some(at)
}

/// The answer to send in place of these bytes, when they are a bare refusal of the library.
fn refused(bytes: &[u8]) -> Option<Refused> {
    let status = bytes.strip_prefix(BARE_START)?;
    let line = status.iter().position(|byte| *byte == b'\r')?;
    if !status.get(line..)?.starts_with(BARE) {
        return None;
    }
    let (refusal, detail) = match status.get(..2)? {
        b"08" => (Refusal::TooSlow, "the headers did not arrive in time"),
        b"31" | b"13" => (Refusal::BadHeader, "the headers are too large or too many"),
        _ => (Refusal::BadHeader, "the request is not well-formed HTTP"),
    };
    let id = Uuid::now_v7().simple().to_string();
    Some(Refused {
        answer: Problem::new(refusal, detail).raw(&id),
        written: 0,
        instead_of: bytes.len(),
    })
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            let new = buffer.filled().get(before..).unwrap_or(&[]);
            if !new.is_empty() {
                let (old, patience) = (self.phase, self.patience);
                let phase = old.after(new);
                match phase {
                    Phase::Head(_) if old == Phase::Idle => self.enter(phase, patience.head),
                    Phase::Idle | Phase::Head(_) | Phase::Request => self.phase = phase,
                }
            }
            return Poll::Ready(read);
        }
        if self.phase != Phase::Request && self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.refusal.take().or_else(|| refused(bytes)) {
            let written = self.poll_refusal(context, refused);
            return self.watch_write(context, written);
        }
        // Answers before it go first; then it comes again, alone.
        let before = bare_behind_others(bytes).and_then(|at| bytes.get(..at));
        let bytes = before.unwrap_or(bytes);
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if self.phase == Phase::Request && written.is_ready() && !bytes.starts_with(INTERIM) {
            let idle = match bytes.starts_with(TOO_SLOW) {
                true => CUT_AFTER,
                false => self.patience.idle,
            };
            self.enter(Phase::Idle, idle);
        }
        self.watch_write(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn the_end_of_the_headers_is_found_across_pieces() {
        let mut phase = Phase::Idle;
        for piece in ["GET / HTTP/1.1\r", "\nHost: a\r\n\r", "\r\n\r"] {
            phase = phase.after(piece.as_bytes());
            assert!(matches!(phase, Phase::Head(_)), "{piece:?}");
        }
        assert_eq!(phase.after(b"\nbody"), Phase::Request);
    }

    #[test]
    fn only_bare_refusals_get_a_body() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";
        let refused_ = refused(bare).unwrap();
        assert_eq!(refused_.instead_of, bare.len());
        let answer = String::from_utf8(refused_.answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert!(body.contains("\"code\":\"bad_header\""), "{body}");
        assert!(refused(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").is_none());
        assert!(refused(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 9\r\n\r\n").is_none());
    }

    #[test]
    fn a_bare_refusal_is_found_behind_the_answers_of_a_pipeline() {
        let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}";
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";
        let both = [answer.as_slice(), bare].concat();
        assert_eq!(bare_behind_others(&both), Some(answer.len()));
        let kept = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let both = [answer.as_slice(), kept].concat();
        assert_eq!(bare_behind_others(&both), Some(answer.len()));
        assert_eq!(bare_behind_others(bare), None);
        assert_eq!(bare_behind_others(answer), None);
    }

    #[tokio::test]
    async fn a_client_that_was_too_slow_is_cut_soon_after_it_was_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let patience = Patience {
            head: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
        };
        let mut server = Connection::new(listener.accept().await.unwrap().0, patience);
        let mut buffer = [0; 64];
        client.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(server.read(&mut buffer).await.unwrap() > 0);
        server
            .write_all(b"HTTP/1.1 408 Late\r\n\r\n")
            .await
            .unwrap();
        let error = server.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_takes_no_answer_is_cut() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let patience = Patience {
            head: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            write: Duration::from_millis(50),
        };
        let mut server = Connection::new(listener.accept().await.unwrap().0, patience);
        let much = vec![b'a'; 1 << 20];
        let error = loop {
            if let Err(error) = server.write_all(&much).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_headers_of_a_later_request_must_come_in_time_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let patience = Patience {
            head: Duration::from_millis(50),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
        };
        let mut server = Connection::new(listener.accept().await.unwrap().0, patience);
        let mut buffer = [0; 64];
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(server.read(&mut buffer).await.unwrap() > 0);
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        client.write_all(b"GET / HT").await.unwrap();
        assert!(server.read(&mut buffer).await.unwrap() > 0);
        let error = server.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
