//! A TCP proxy that does to a connection what networks do: cut it, lose the answers of one side,
//! reset it in the middle, delay it, throttle it, refuse it.
//!
//! It knows no protocol; it can be told to wait for some bytes of the client (`COMMIT`, `INSERT`)
//! before it loses the answers.

use crate::wait::{block_on, runtime};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is read at a time: as much as a socket holds by default.
const CHUNK: usize = 64 * 1024;
/// A throttled connection carries so many bytes at a time.
const SLICE: usize = 512;
/// From a lost answer to the end of its connection: the server has done its work by then.
const LOSS: Duration = Duration::from_millis(100);
/// Between two attempts to listen again on a port that was refused.
const LISTEN_AGAIN: Duration = Duration::from_millis(20);

/// What a proxy does to its connections, those that are open included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Carries everything.
    Pass,
    /// Cuts what is open and refuses what comes.
    Refuse,
    /// After these bytes of the client the server's answers are lost and the connection is reset;
    /// the next answers of any kind when there are no such bytes.
    LoseAnswer(&'static str),
    /// Resets a connection after so many bytes, both ways together.
    ResetAfter(u64),
    /// Carries the server's answers so much later.
    Delay(Duration),
    /// Carries so many bytes a second each way.
    Throttle(u64),
}

#[derive(Clone, Copy, Debug)]
struct Order {
    rule: Rule,
    /// Grows with every cut; connections from before it end.
    cuts: u64,
}

/// A proxy before one address. Ends with the runtime of the tests.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Order>,
}

impl Proxy {
    /// Listens on `address` and carries to `upstream`.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(address: &str, upstream: &str) -> Proxy {
        let listener = block_on(TcpListener::bind(address)).expect("a port to listen on");
        let address = listener.local_addr().expect("its address");
        let order = Order {
            rule: Rule::Pass,
            cuts: 0,
        };
        let (orders, inbox) = watch::channel(order);
        runtime().spawn(serve(listener, upstream.to_owned(), inbox));
        Proxy { address, orders }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this.
    pub fn set(&self, rule: Rule) {
        self.orders.send_modify(|order| {
            order.rule = rule;
            order.cuts += u64::from(rule == Rule::Refuse);
        });
    }

    /// Resets every open connection.
    pub fn cut(&self) {
        self.orders.send_modify(|order| order.cuts += 1);
    }
}

async fn serve(listener: TcpListener, upstream: String, mut orders: watch::Receiver<Order>) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let mut listener = Some(listener);
    loop {
        if orders.borrow_and_update().rule == Rule::Refuse {
            listener = None;
            if orders.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(carry(client, upstream.clone(), orders.clone()));
            },
            changed = orders.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// What both directions of a connection know.
struct Line {
    orders: watch::Receiver<Order>,
    carried: AtomicU64,
    lost: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

async fn carry(mut client: TcpStream, upstream: String, orders: watch::Receiver<Order>) {
    let born = orders.borrow().cuts;
    let mut inbox = orders.clone();
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        let _gone = client.set_zero_linger();
        return;
    };
    let _slower = (client.set_nodelay(true), server.set_nodelay(true));
    let line = Line {
        orders,
        carried: AtomicU64::new(0),
        lost: AtomicBool::new(false),
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let both = async {
        tokio::try_join!(
            pump(&line, Way::Up, from_client, to_server),
            pump(&line, Way::Down, from_server, to_client)
        )
    };
    let cut = inbox.wait_for(|order| order.cuts > born);
    let whole = tokio::select! {
        ended = both => ended.is_ok(),
        _ = cut => false,
    };
    if !whole {
        let _gone = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn pump(
    line: &Line,
    way: Way,
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
) -> io::Result<()> {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let (mut buffer, mut tail) = (vec![0; CHUNK], Vec::new());
    loop {
        let count = from.read(&mut buffer).await?;
        let bytes = &buffer[..count];
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        let rule = line.orders.borrow().rule;
        let before = line.carried.fetch_add(count as u64, Ordering::SeqCst);
        match rule {
            Rule::Pass | Rule::Refuse => to.write_all(bytes).await?,
            Rule::LoseAnswer(after) => {
                if way == Way::Up {
                    line.watch_for(after, bytes, &mut tail);
                    to.write_all(bytes).await?;
                } else if line.lost.load(Ordering::SeqCst) {
                    tokio::time::sleep(LOSS).await;
                    return Err(reset());
                } else {
                    to.write_all(bytes).await?;
                }
            }
            Rule::ResetAfter(limit) => {
                let room = usize::try_from(limit.saturating_sub(before)).unwrap_or(CHUNK);
                to.write_all(&bytes[..room.min(count)]).await?;
                if room <= count {
                    return Err(reset());
                }
            }
            Rule::Delay(time) => {
                if way == Way::Down {
                    tokio::time::sleep(time).await;
                }
                to.write_all(bytes).await?;
            }
            Rule::Throttle(rate) => throttle(&mut to, bytes, rate).await?,
        }
    }
}

impl Line {
    /// Remembers when the bytes have come; `tail` bridges two reads.
    fn watch_for(&self, after: &str, bytes: &[u8], tail: &mut Vec<u8>) {
        tail.extend_from_slice(bytes);
        let after = after.as_bytes();
        if after.is_empty() || tail.windows(after.len()).any(|window| window == after) {
            self.lost.store(true, Ordering::SeqCst);
        }
        let keep = tail.len().min(after.len().saturating_sub(1));
        tail.drain(..tail.len() - keep);
    }
}

async fn throttle(
    to: &mut tokio::net::tcp::WriteHalf<'_>,
    bytes: &[u8],
    rate: u64,
) -> io::Result<()> {
    for slice in bytes.chunks(SLICE) {
        to.write_all(slice).await?;
        let nanos = (slice.len() as u64).saturating_mul(1_000_000_000) / rate.max(1);
        tokio::time::sleep(Duration::from_nanos(nanos)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener as Listener, TcpStream as Stream};
    use std::time::Instant;

    /// A server that answers every byte with itself.
    fn echo() -> String {
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(count) = stream.read(&mut buffer) {
                        if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn proxy() -> Proxy {
        Proxy::start("127.0.0.1:0", &echo())
    }

    fn connect(proxy: &Proxy) -> Stream {
        let stream = Stream::connect(proxy.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }

    fn exchange(stream: &mut Stream, bytes: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(bytes)?;
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn it_carries_both_ways_and_ends_when_the_client_does() {
        let proxy = proxy();
        let mut stream = connect(&proxy);
        let long = vec![7; 300_000];
        let mut writer = stream.try_clone().unwrap();
        let sent = long.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        writing.join().unwrap();
        assert_eq!(answer, long);
    }

    #[test]
    fn a_cut_ends_open_connections_and_takes_new_ones() {
        let proxy = proxy();
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, b"one").unwrap(), b"one");
        proxy.cut();
        assert!(exchange(&mut stream, b"two").is_err());
        assert_eq!(exchange(&mut connect(&proxy), b"three").unwrap(), b"three");
    }

    #[test]
    fn refusing_is_a_refused_connection_and_ends_with_the_rule() {
        let proxy = proxy();
        let mut open = connect(&proxy);
        assert_eq!(exchange(&mut open, b"one").unwrap(), b"one");
        proxy.set(Rule::Refuse);
        assert!(exchange(&mut open, b"two").is_err());
        crate::wait::until("a refused connection", || {
            match Stream::connect(proxy.address()) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        proxy.set(Rule::Pass);
        crate::wait::until("a connection", || {
            let mut stream = Stream::connect(proxy.address()).map_err(|error| error.to_string())?;
            exchange(&mut stream, b"three").map_err(|error| error.to_string())
        });
    }

    #[test]
    fn answers_are_lost_after_the_awaited_bytes_alone() {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        let kept = std::sync::Arc::clone(&seen);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
                let _gone = stream.write_all(&buffer[..count]);
            }
        });
        let proxy = Proxy::start("127.0.0.1:0", &upstream);
        proxy.set(Rule::LoseAnswer("COMMIT"));
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, b"BEGIN").unwrap(), b"BEGIN");
        // Split over two writes, as a network may.
        assert_eq!(exchange(&mut stream, b"COM").unwrap(), b"COM");
        assert!(exchange(&mut stream, b"MIT").is_err(), "the answer is lost");
        assert_eq!(*seen.lock().unwrap(), b"BEGINCOMMIT", "the request is not");
    }

    #[test]
    fn a_connection_is_reset_after_so_many_bytes() {
        let proxy = proxy();
        proxy.set(Rule::ResetAfter(10));
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, b"four").unwrap(), b"four");
        assert!(exchange(&mut stream, b"four").is_err());
        proxy.set(Rule::Pass);
        assert_eq!(exchange(&mut connect(&proxy), b"again").unwrap(), b"again");
    }

    #[test]
    fn delayed_and_throttled_answers_take_their_time_and_are_whole() {
        let proxy = proxy();
        let mut stream = connect(&proxy);
        proxy.set(Rule::Delay(Duration::from_millis(200)));
        let began = Instant::now();
        assert_eq!(exchange(&mut stream, b"late").unwrap(), b"late");
        assert!(began.elapsed() >= Duration::from_millis(200));
        proxy.set(Rule::Throttle(20_000));
        let began = Instant::now();
        let bytes = vec![1; 4000];
        assert_eq!(exchange(&mut stream, &bytes).unwrap(), bytes);
        // The pause after the last slice is not seen by the client.
        assert!(began.elapsed() >= Duration::from_millis(150));
    }
}
