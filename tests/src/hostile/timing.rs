//! Whether the time of a 401 tells why it is one. Classes of failures are sent in turn over kept
//! connections, so that whatever the machine does meanwhile happens to all of them alike.

use super::request::{Request, small};
use super::sender::Sender;
use millrace_runtime::clock::now_s;
use millrace_shared::Signal;
use millrace_shared::signature::sign_body;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The signature of a key that exists. The others are compared with it.
    BadSignature,
    /// A key that nobody has, another every time.
    UnknownKey,
    /// A key that nobody has, the same every time.
    SameUnknownKey,
    /// No signature, for a key that exists.
    NoSignature,
    /// No key.
    NoKey,
    /// A revoked key, rightly signed.
    Revoked,
    /// An expired key, rightly signed.
    Expired,
    /// Standard Webhooks, wrongly signed, for a key that exists.
    BadWebhook,
}

impl Failure {
    /// All of them, the one that the others are compared with first.
    pub const ALL: [Failure; 8] = [
        Failure::BadSignature,
        Failure::UnknownKey,
        Failure::SameUnknownKey,
        Failure::NoSignature,
        Failure::NoKey,
        Failure::Revoked,
        Failure::Expired,
        Failure::BadWebhook,
    ];

    fn request(self, sender: &Sender, round: usize) -> Vec<u8> {
        let body = small(sender, Signal::Logs, &"timing ".repeat(40));
        let wrong = sign_body(&sender.foreign.secret, &body);
        let good = Request::signed(sender, Signal::Logs, body.clone());
        let by = |key| Request::signed_by(key, sender, Signal::Logs, body.clone());
        match self {
            Failure::BadSignature => good.with("x-signature", wrong),
            Failure::UnknownKey => good.with("x-org-key", format!("k_{round:016x}")),
            Failure::SameUnknownKey => good.with("x-org-key", "k_0123456789abcdef"),
            Failure::NoSignature => good.without("x-signature"),
            Failure::NoKey => good.without("x-org-key"),
            Failure::Revoked => by(&sender.revoked),
            Failure::Expired => by(&sender.expired),
            Failure::BadWebhook => {
                Request::webhook(&sender.foreign, sender, ("msg_1", now_s()), body)
                    .with("x-org-key", &sender.good.id)
            }
        }
        .wire()
    }
}

/// Times of one class.
#[derive(Clone, Debug)]
pub struct Times {
    /// Which.
    pub failure: Failure,
    /// Each answer's time, sorted.
    pub times: Vec<Duration>,
}

impl Times {
    /// The time below which that part of the answers came.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let at = (self.times.len() as f64 * part) as usize;
        self.times.get(at).copied().unwrap_or_default()
    }

    /// The chance that an answer of this class takes longer than one of the other (the statistic of
    /// Mann and Whitney over the number of pairs): one half when the times tell nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
    pub fn longer_than(&self, other: &Times) -> f64 {
        let mut sum = 0.0;
        for time in &self.times {
            let below = other.times.partition_point(|t| t < time);
            let not_above = other.times.partition_point(|t| t <= time);
            sum += below as f64 + (not_above - below) as f64 / 2.0;
        }
        sum / (self.times.len() * other.times.len()) as f64
    }
}

/// Takes so many samples of each class, in turn.
///
/// # Errors
/// When the connection breaks, or an answer is not a 401.
pub fn measure(sender: &Sender, samples: usize) -> io::Result<Vec<Times>> {
    let mut stream = TcpStream::connect(&sender.host)?;
    stream.set_nodelay(true)?;
    let mut all: Vec<Times> = Failure::ALL
        .map(|failure| Times {
            failure,
            times: Vec::with_capacity(samples),
        })
        .to_vec();
    let classes = all.len();
    for round in 0..samples {
        for turn in 0..classes {
            // Another order every time: no class always follows the same one.
            let class = &mut all[(turn * 3 + round) % classes];
            let wire = class.failure.request(sender, round);
            let started = Instant::now();
            stream.write_all(&wire)?;
            let status = status(&mut stream)?;
            class.times.push(started.elapsed());
            if status != 401 {
                return Err(io::Error::other(format!(
                    "{:?} was answered with {status}",
                    class.failure
                )));
            }
        }
    }
    for class in &mut all {
        class.times.sort_unstable();
    }
    Ok(all)
}

/// Reads one answer.
fn status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
        // The answers of ours end with the brace of their body.
        if bytes.ends_with(b"}") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other("no status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_is_a_half_for_equals_and_an_end_for_what_is_apart() {
        let times = |from: u64| Times {
            failure: Failure::NoKey,
            times: (from..from + 100).map(Duration::from_micros).collect(),
        };
        assert!((times(0).longer_than(&times(0)) - 0.5).abs() < 1e-9);
        assert!((times(1_000).longer_than(&times(0)) - 1.0).abs() < 1e-9);
        assert!(times(0).longer_than(&times(1_000)) < 1e-9);
        assert_eq!(times(0).quantile(0.5), Duration::from_micros(50));
    }
}
