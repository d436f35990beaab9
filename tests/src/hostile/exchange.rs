//! One case over a bare TCP connection: everything is sent, everything that comes back is read.
//! Interprets no more of HTTP than where an answer ends.

use super::case::{Case, Pace, Then};
use crate::http::Answer;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Time of the contract for the headers of a request.
pub const HEADERS: Duration = Duration::from_secs(5);
/// Time of the contract for its body.
pub const BODY: Duration = Duration::from_secs(10);
/// How much later than its deadline an answer may come, on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(4);
/// More than any answer of ours: past it something is wrong.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answers, without interim ones.
    pub answers: Vec<Answer>,
    /// What came back and is no answer.
    pub rest: Vec<u8>,
    /// Whether the other side ended the connection.
    pub closed: bool,
    /// From the first byte sent to the last read.
    pub took: Duration,
}

/// The time that a case may take.
#[must_use]
pub fn patience(pace: Pace) -> Duration {
    match pace {
        // Less than any deadline, so that no deadline can have made the answer.
        Pace::Prompt => SLACK,
        Pace::Headers => HEADERS + SLACK,
        Pace::Body => BODY + SLACK,
    }
}

/// Carries out a case.
///
/// # Errors
/// When there is no connection.
pub fn carry_out(case: &Case, address: &str) -> std::io::Result<Outcome> {
    let started = Instant::now();
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    // Who is refused before all is sent may find the connection closed: the answer tells more.
    let mut writer = stream.try_clone()?;
    let (wire, then) = (case.wire.clone(), case.then);
    writer.set_write_timeout(Some(patience(case.pace)))?;
    let sending = std::thread::spawn(move || {
        let _cut = writer.write_all(&wire);
        if then == Then::Close {
            let _gone = writer.shutdown(Shutdown::Write);
        }
    });
    let (bytes, closed) = read(stream, started + patience(case.pace));
    let took = started.elapsed();
    // The read side has ended, so writing ends as well.
    let _sent = sending.join();
    let (answers, rest) = split(&bytes, case.headless);
    Ok(Outcome {
        answers,
        rest,
        closed,
        took,
    })
}

/// Reads until the other side closes, or the time is over.
fn read(mut stream: TcpStream, until: Instant) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, true),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let late = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                if !late {
                    return (bytes, true);
                }
                break;
            }
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    // Lets the sending thread go.
    let _closed = stream.shutdown(Shutdown::Both);
    (bytes, false)
}

/// The answers in what came back, and what is left over.
fn split(mut bytes: &[u8], headless: bool) -> (Vec<Answer>, Vec<u8>) {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let Some((answer, length)) = one(bytes, headless) else {
            break;
        };
        bytes = &bytes[length..];
        if answer.status >= 200 {
            answers.push(answer);
        }
    }
    (answers, bytes.to_vec())
}

fn one(bytes: &[u8], headless: bool) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ');
    if !matches!(first.next()?, "HTTP/1.1" | "HTTP/1.0") {
        return None;
    }
    let status: u16 = first.next()?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok());
    let length: usize = if headless || status < 200 {
        0
    } else {
        length.unwrap_or(0)
    };
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    let answer = Answer {
        status,
        headers,
        body,
    };
    Some((answer, end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_interim_ones_passed_over() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\nxy";
        let (answers, rest) = split(bytes, false);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(
            (statuses.as_slice(), rest.as_slice()),
            (&[202, 400][..], &b"xy"[..])
        );
        assert_eq!(answers[0].body, b"hi");
        assert_eq!(answers[1].header("content-length"), Some("0"));
    }
}
