//! Slow clients, thousands at once: each sends a little now and then, or nothing, or reads nothing,
//! and holds its connection for as long as it is let.

use super::request::{Request, small};
use super::sender::Sender;
use millrace_shared::Signal;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Between two bytes of a client: slow, and often enough that no time without any is noticed.
const BETWEEN: Duration = Duration::from_millis(1_500);

/// Bytes that the system keeps for a client that reads nothing.
const RECEIVED_UNREAD: u32 = 4 * 1024;

/// In which way a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// Connects and says nothing.
    Mute,
    /// Sends its headers byte by byte.
    Head,
    /// Sends whole headers one by one, and has always another.
    Headers,
    /// Sends its body byte by byte.
    Body,
    /// The same in chunks.
    Chunks,
    /// Sends a body without a valid key byte by byte.
    UnsignedBody,
    /// Has one request answered, and sends the next one's headers byte by byte.
    SecondHead,
    /// Sends requests without end and reads no answer.
    Unread,
}

impl Manner {
    /// Those that send too little.
    pub const DRIBBLING: [Manner; 7] = [
        Manner::Mute,
        Manner::Head,
        Manner::Headers,
        Manner::Body,
        Manner::Chunks,
        Manner::UnsignedBody,
        Manner::SecondHead,
    ];
}

/// What one client sends: at once, and then bit by bit.
#[derive(Clone, Debug)]
struct Script {
    first: Vec<u8>,
    bits: Vec<Vec<u8>>,
    reads: bool,
}

fn script(sender: &Sender, manner: Manner) -> Script {
    let body = small(sender, Signal::Logs, &"slow ".repeat(200));
    let request = Request::signed(sender, Signal::Logs, body.clone());
    let bytes = |wire: Vec<u8>| wire.into_iter().map(|byte| vec![byte]).collect::<Vec<_>>();
    let (first, bits) = match manner {
        Manner::Mute => (Vec::new(), Vec::new()),
        Manner::Head => (Vec::new(), bytes(request.head())),
        Manner::Headers => (
            b"POST /v1/logs HTTP/1.1\r\n".to_vec(),
            (0..1_000)
                .map(|number| format!("x-{number}: a\r\n").into_bytes())
                .collect(),
        ),
        Manner::Body => (request.head(), bytes(body)),
        Manner::Chunks => {
            let head = request
                .without("content-length")
                .and("transfer-encoding", "chunked");
            (
                head.head(),
                (0..1_000).map(|_| b"1\r\n \r\n".to_vec()).collect(),
            )
        }
        Manner::UnsignedBody => {
            let request = request.without("x-signature");
            (request.head(), bytes(body))
        }
        Manner::SecondHead => {
            let unsigned = Request::unsigned(sender, Signal::Logs, "{}");
            (unsigned.wire(), bytes(request.head()))
        }
        Manner::Unread => {
            let nothing = Request::unsigned(sender, Signal::Logs, "").target("/nothing");
            (nothing.wire().repeat(500), Vec::new())
        }
    };
    Script {
        first,
        bits,
        reads: manner != Manner::Unread,
    }
}

/// Carries one client out; answers after which time it was cut, or nothing when it was not.
///
/// # Errors
/// When there is no connection to be had.
pub async fn carry_out(
    sender: &Sender,
    manner: Manner,
    patience: Duration,
) -> io::Result<Option<Duration>> {
    let script = script(sender, manner);
    let stream = connect(sender, &script).await?;
    let started = Instant::now();
    let (mut reader, mut writer) = stream.into_split();
    let writing = async {
        if writer.write_all(&script.first).await.is_err() {
            return;
        }
        for bit in &script.bits {
            if writer.write_all(bit).await.is_err() {
                return;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        // Who reads nothing learns only by writing that he was cut, so he goes on.
        if !script.reads {
            while writer.write_all(&script.first).await.is_ok() {}
            return;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        if !script.reads {
            std::future::pending::<()>().await;
        }
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    let cut = async {
        tokio::select! {
            () = writing => {}
            () = reading => {}
        }
    };
    match tokio::time::timeout(patience, cut).await {
        Ok(()) => Ok(Some(started.elapsed())),
        Err(_) => Ok(None),
    }
}

/// Connects; who reads nothing takes little before he is noticed.
async fn connect(sender: &Sender, script: &Script) -> io::Result<TcpStream> {
    let address = sender.host.parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    if !script.reads {
        socket.set_recv_buffer_size(RECEIVED_UNREAD)?;
    }
    socket.connect(address).await
}

/// Lets this process and its children hold that many files and connections; false when the system
/// does not allow it.
#[must_use]
pub fn allow_files(count: usize) -> bool {
    let limit = format!("--nofile={count}:{count}");
    let status = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), &limit])
        .status();
    status.is_ok_and(|status| status.success())
}
