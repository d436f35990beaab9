//! One entry of a stream: what the gateway appends and the worker reads.
//!
//! Two fields: `m`, small readable JSON that says whose it is and how to read it, and `b`, the body
//! as it was verified (LZ4-packed where it came uncompressed). Entries are versioned; every version
//! ever written stays readable, with a fixture for each in the tests.

use crate::ids::OrgId;
use crate::inflate::Encoding;
use crate::limits::{NS_PER_DAY, RECEIVED_DAY_MAX};
use crate::wire::BodyFormat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use thiserror::Error;

/// The field with the [`Meta`].
pub const META_FIELD: &str = "m";
/// The field with the body.
pub const BODY_FIELD: &str = "b";
/// The version written today.
pub const VERSION: u8 = 1;

/// Why an entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// A field is missing.
    #[error("entry has no field `{0}`")]
    Missing(&'static str),
    /// The description is not of our form.
    #[error("entry description is malformed: {0}")]
    Malformed(String),
    /// Written by a newer gateway.
    #[error("entry is of version {0}, newer than this program")]
    Newer(u8),
}

/// What is known of an accepted body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of this form.
    #[serde(rename = "v")]
    pub version: u8,
    /// The organisation, from the key.
    pub org: OrgId,
    /// The key that signed it.
    pub key: String,
    /// When it was accepted, nanoseconds since 1970.
    #[serde(rename = "at")]
    pub received_at: i64,
    /// How its events are separated: `json` or `ndjson`.
    #[serde(rename = "ct")]
    format: String,
    /// How `b` is packed: `identity`, `gzip`, `zstd` or `lz4`.
    #[serde(rename = "enc")]
    encoding: String,
    /// Events accepted.
    #[serde(rename = "n")]
    pub accepted: u32,
    /// Events rejected by the gateway.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    pub rejected: u32,
    /// Indexes of the events that were rejected, in order: the worker passes over them.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub rejected_at: Vec<u16>,
    /// Bytes of the body on the wire, for usage.
    #[serde(rename = "w")]
    pub wire_bytes: u32,
    /// The request id, for tracing an event back.
    #[serde(rename = "rid", default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The address it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The sender's user agent; kept for unsigned browser events, whose own field is often empty.
    #[serde(rename = "ua", default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Sent with a public key, unsigned: anybody may have written it.
    #[serde(rename = "pub", default, skip_serializing_if = "std::ops::Not::not")]
    pub untrusted: bool,
    /// The dead letter of which this is a replay.
    #[serde(rename = "dl", default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<i64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Meta {
    /// A description of a body just accepted; the remaining fields are public.
    #[must_use]
    pub fn new(org: OrgId, key: &str, received_at: i64, how: (BodyFormat, Encoding)) -> Self {
        let (format, encoding) = how;
        let format = match format {
            BodyFormat::Json => "json",
            BodyFormat::Ndjson => "ndjson",
        };
        Meta {
            version: VERSION,
            org,
            key: key.to_owned(),
            received_at,
            format: format.to_owned(),
            encoding: encoding.as_str().to_owned(),
            accepted: 0,
            rejected: 0,
            rejected_at: Vec::new(),
            wire_bytes: 0,
            request_id: String::new(),
            ip: None,
            user_agent: None,
            untrusted: false,
            replay_of: None,
        }
    }

    /// The text of field `m`.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads field `m`.
    ///
    /// # Errors
    /// [`EntryError`]; the entry then is poison.
    pub fn parse(text: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Version {
            v: u8,
        }
        // The parser's own words may quote the entry, which is raw: only its kind and place are told.
        let malformed = |error: serde_json::Error| {
            let (kind, column) = (error.classify(), error.column());
            EntryError::Malformed(format!("{kind:?} error at column {column}").to_lowercase())
        };
        let Version { v } = serde_json::from_slice(text).map_err(malformed)?;
        if v > VERSION {
            return Err(EntryError::Newer(v));
        }
        let meta: Meta = serde_json::from_slice(text).map_err(malformed)?;
        meta.how()
            .ok_or_else(|| EntryError::Malformed("unknown format or encoding".to_owned()))?;
        if !(0..=RECEIVED_DAY_MAX).contains(&meta.received_day()) {
            let problem = "received on a day that no store knows";
            return Err(EntryError::Malformed(problem.to_owned()));
        }
        Ok(meta)
    }

    fn how(&self) -> Option<(BodyFormat, Encoding)> {
        let format = match self.format.as_str() {
            "json" => BodyFormat::Json,
            "ndjson" => BodyFormat::Ndjson,
            _ => return None,
        };
        Some((format, Encoding::parse(&self.encoding)?))
    }

    /// The day it was accepted, in days after 1970: the partition of its rows.
    #[must_use]
    pub const fn received_day(&self) -> i64 {
        self.received_at.div_euclid(NS_PER_DAY)
    }

    /// The description of a replay of a dead letter: of all its events, or of those at `parked`
    /// only. The worker passes over the others; what the gateway rejected was counted when it did so.
    #[must_use]
    pub fn again(mut self, letter: i64, parked: Option<&[i32]>) -> Self {
        if let Some(parked) = parked {
            let parked: BTreeSet<u16> = parked
                .iter()
                .filter_map(|at| u16::try_from(*at).ok())
                .collect();
            self.rejected_at = (0..self.body_events())
                .filter(|at| !parked.contains(at))
                .collect();
            self.accepted = u32::try_from(parked.len()).unwrap_or(u32::MAX);
        }
        self.rejected = 0;
        self.replay_of = Some(letter);
        self
    }

    /// How many events the body holds, rejected ones too.
    #[must_use]
    pub fn body_events(&self) -> u16 {
        let passed_over = u32::try_from(self.rejected_at.len()).unwrap_or(u32::MAX);
        let all = self.accepted.saturating_add(passed_over.max(self.rejected));
        u16::try_from(all).unwrap_or(u16::MAX)
    }

    /// How the body's events are separated.
    #[must_use]
    pub fn format(&self) -> BodyFormat {
        self.how().map_or(BodyFormat::Json, |how| how.0)
    }

    /// How the body is packed.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.how().map_or(Encoding::Identity, |how| how.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_written_by_the_first_version_is_read_for_ever() {
        let text = br#"{"v":1,"org":"00000000-0000-0000-0000-000000000001","key":"k1","at":1700000000000000000,"ct":"ndjson","enc":"zstd","n":2,"r":1,"x":[1],"w":300,"rid":"r","ip":"10.0.0.1","pub":true}"#;
        let meta = Meta::parse(text).unwrap();
        assert_eq!(
            (meta.format(), meta.encoding()),
            (BodyFormat::Ndjson, Encoding::Zstd)
        );
        assert_eq!(
            (meta.accepted, meta.rejected_at.as_slice(), meta.untrusted),
            (2, [1].as_slice(), true)
        );
        assert_eq!(meta.to_text().as_bytes(), text);
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        assert_eq!(Meta::parse(br#"{"v":2}"#), Err(EntryError::Newer(2)));
        assert!(matches!(Meta::parse(b"{}"), Err(EntryError::Malformed(_))));
        let meta = |at: i64| {
            let how = (BodyFormat::Json, Encoding::Lz4);
            Meta::new(OrgId::from_u128(1), "k", at, how).to_text()
        };
        let last = (RECEIVED_DAY_MAX + 1) * NS_PER_DAY - 1;
        assert!(Meta::parse(meta(0).as_bytes()).is_ok());
        assert!(Meta::parse(meta(last).as_bytes()).is_ok());
        for at in [i64::MIN, -1, last + 1, i64::MAX] {
            assert!(Meta::parse(meta(at).as_bytes()).is_err(), "{at}");
        }
        assert!(matches!(
            Meta::parse(b"\xff"),
            Err(EntryError::Malformed(_))
        ));
    }

    #[test]
    fn why_an_entry_is_refused_repeats_nothing_of_it() {
        for text in [
            r#"{"v":1,"org":"jane@example.com"}"#,
            r#"{"v":"jane@example.com"}"#,
            r#"{"v":1,"jane@example.com"#,
        ] {
            let error = Meta::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("jane"), "{error}");
        }
    }

    #[test]
    fn a_replay_passes_over_what_was_stored_or_rejected() {
        let how = (BodyFormat::Json, Encoding::Lz4);
        let mut meta = Meta::new(OrgId::from_u128(1), "k", 5, how);
        (meta.accepted, meta.rejected, meta.rejected_at) = (4, 1, vec![2]);
        let some = meta.clone().again(9, Some(&[3]));
        assert_eq!(some.rejected_at, [0, 1, 2, 4]);
        assert_eq!(
            (some.accepted, some.rejected, some.replay_of),
            (1, 0, Some(9))
        );
        let whole = meta.again(9, None);
        assert_eq!(
            (whole.accepted, whole.rejected_at.as_slice()),
            (4, [2].as_slice())
        );
        // A replay of a replay narrows further.
        let twice = some.again(10, Some(&[3]));
        assert_eq!(
            (twice.accepted, twice.rejected_at.as_slice()),
            (1, [0, 1, 2, 4].as_slice())
        );
    }
}
