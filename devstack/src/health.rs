//! The smallest questions that tell whether an engine serves. Never a client of the engine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::Engine;

/// A healthy engine on this machine answers far sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// True when the engine on this port of the loopback interface serves.
pub(crate) fn serves(engine: Engine, port: u16) -> bool {
    let question: &[u8] = match engine {
        Engine::Redis => b"PING\r\n",
        Engine::Clickhouse => b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        // A start-up message of protocol 3.0 for user and database `millrace`.
        Engine::Postgres => b"\0\0\0\x29\0\x03\0\0user\0millrace\0database\0millrace\0\0",
    };
    let promise: &[u8] = match engine {
        Engine::Redis => b"+PONG",
        Engine::Clickhouse => b"HTTP/1.1 200",
        // A request to authenticate; while it starts up the server answers with an error, `E`.
        Engine::Postgres => b"R",
    };
    ask(port, question).is_ok_and(|answer| answer.starts_with(promise))
}

/// True when the service with this admin port says that it is ready.
pub(crate) fn ready(port: u16) -> bool {
    let question = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    ask(port, question).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

fn ask(port: u16, question: &[u8]) -> io::Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(question)?;
    let mut answer = vec![0; 64];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
