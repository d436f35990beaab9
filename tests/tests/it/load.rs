//! A load with an oracle of its own: every event has a unique number, and what was sent and what
//! was acknowledged is written down before anything else happens.

use millrace_shared::Signal;
use millrace_tests::Org;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Events of one request.
const BATCH: u64 = 40;
/// A sender that is refused waits this long, as an agent would.
const PAUSE: Duration = Duration::from_millis(50);

/// What was sent and what was acknowledged.
#[derive(Default)]
pub(crate) struct Oracle {
    next: AtomicU64,
    sent: Mutex<BTreeSet<u64>>,
    acknowledged: Mutex<BTreeSet<u64>>,
    stop: AtomicBool,
}

/// What a sender does when there is no answer or a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Goes on with the next batch.
    Never,
    /// Sends the same under its idempotency key until it is acknowledged.
    UntilAcknowledged,
}

impl Oracle {
    /// Sends until told to stop.
    pub(crate) fn send(&self, org: &Org, retry: Retry) {
        while !self.stop.load(Ordering::SeqCst) {
            let first = self.next.fetch_add(BATCH, Ordering::SeqCst);
            let numbers: Vec<u64> = (first..first + BATCH).collect();
            self.sent.lock().unwrap().extend(&numbers);
            let logs: Vec<_> = numbers
                .iter()
                .map(|n| json!({"service": "load", "message": format!("event {n}"), "attributes": {"n": n}}))
                .collect();
            let body = json!({ "logs": logs }).to_string();
            let key = format!("load-{first}");
            loop {
                let answer = org.try_post(
                    Signal::Logs,
                    body.as_bytes(),
                    &[("x-idempotency-key", &key)],
                );
                match answer {
                    Ok(answer) if answer.status == 202 => {
                        self.acknowledged.lock().unwrap().extend(&numbers);
                        break;
                    }
                    Ok(answer) => assert!([429, 503].contains(&answer.status), "{}", answer.text()),
                    Err(_gone) => {}
                }
                if retry == Retry::Never {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Tells the senders to stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Events acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Events sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Compares with what is stored: how often each number is.
    pub(crate) fn compare(&self, stored: &BTreeMap<u64, u64>) {
        let (sent, acknowledged) = (self.sent.lock().unwrap(), self.acknowledged.lock().unwrap());
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|n| !stored.contains_key(n))
            .collect();
        assert!(
            lost.is_empty(),
            "{} acknowledged events are not stored, from {:?}",
            lost.len(),
            lost.first()
        );
        let strange: Vec<_> = stored.keys().filter(|n| !sent.contains(n)).collect();
        assert!(
            strange.is_empty(),
            "{} stored events were never sent: {strange:?}",
            strange.len()
        );
        let doubled: Vec<_> = stored.iter().filter(|(_, count)| **count != 1).collect();
        assert!(
            doubled.is_empty(),
            "{} events are stored more than once, from {:?}",
            doubled.len(),
            doubled.first()
        );
    }
}
