//! Attacks that the built-in rules must turn into alerts.

use crate::generate::{Batch, Recipe};
use millrace_shared::Signal;
use millrace_shared::limits::NS_PER_SECOND;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The numbers of attack events lie far above those of any other, still exact as a float.
pub const FIRST_SEQ: u64 = 900_000_000_000;
/// The number of the attack's request: far above those of any other, and exact in every JSON reader.
const REQUEST: u64 = 1 << 52;
/// Where the attack comes from, unless told otherwise: a documentation address (RFC 5737).
pub const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 66));

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// The address it comes from.
    pub address: IpAddr,
    /// How many attempts; 5 within five minutes are an attack to the built-in rule.
    pub attempts: u32,
}

impl Default for Attack {
    fn default() -> Self {
        Attack {
            address: ADDRESS,
            attempts: 12,
        }
    }
}

impl Attack {
    /// A brute-force attack: failed logins of one account, one a second up to `now`.
    #[must_use]
    pub fn brute_force(&self, recipe: &Recipe, now: i64) -> Batch {
        let mut json = String::from("{\"events\":[");
        for attempt in 0..self.attempts {
            if attempt > 0 {
                json.push(',');
            }
            let back = i64::from(self.attempts - 1 - attempt) * NS_PER_SECOND;
            let time = millrace_shared::time::rfc3339(now - back);
            let seq = FIRST_SEQ + u64::from(attempt);
            let _ = write!(
                json,
                r#"{{"timestamp":"{time}","event_type":"AUTHENTICATION","action":"login","outcome":"FAILURE","service":"accounts","operation":"POST /login","actor":{{"id":"u-root","email":"root@corp.example.com","type":"user"}},"ip":"{}","user_agent":"curl/8.5.0","message":"wrong password for root@corp.example.com","metadata":{{"load_seq":{seq},"load_run":"{}"}}}}"#,
                self.address,
                recipe.run()
            );
        }
        json.push_str("]}");
        Batch {
            signal: Signal::Audit,
            request: REQUEST,
            first_seq: FIRST_SEQ,
            events: self.attempts,
            json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_failures_of_authentication_from_one_address() {
        let recipe = Recipe::new(1, "attack").unwrap();
        let batch = Attack::default().brute_force(&recipe, 1_790_000_000_000_000_000);
        let body: serde_json::Value = serde_json::from_str(&batch.json).unwrap();
        let events = body["events"].as_array().unwrap();
        assert_eq!(events.len(), 12);
        for event in events {
            assert_eq!(event["event_type"], "AUTHENTICATION");
            assert_eq!(event["outcome"], "FAILURE");
            assert_eq!(event["ip"], "203.0.113.66");
        }
    }
}
