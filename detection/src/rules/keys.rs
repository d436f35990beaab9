//! Keys: the values that make a group or tell alerts apart, as keyed hashes.
//!
//! Addresses and user names are few enough to be guessed from a plain hash, so the organisation's
//! key is hashed first. A missing value, and a word that means "missing", is no value: two unknown
//! addresses are not the same address.

use super::evaluate::EventView;
use super::slots::Asking;
use crate::field::FieldAt;
use foldhash::fast::FixedState;
use millrace_shared::{Field, Role, Value};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::io::Write;
use std::net::IpAddr;

/// Paths of a key: enough for any grouping that a person can read.
pub const KEY_PATHS_MAX: usize = 4;

/// Words that senders write where they know nothing.
const UNKNOWN: [&str; 8] = [
    "-",
    "unknown",
    "null",
    "none",
    "nil",
    "undefined",
    "n/a",
    "(null)",
];

/// The slot of the indicator that matched, which is not of a field.
pub(super) const INDICATOR_SLOT: u32 = u32::MAX - 1;

/// Floats that are written out in a key; longer ones have an exponent there.
const PLAIN_FLOATS: std::ops::Range<f64> = 1e-6..1e15;

/// A path of a key: its slot, and whether its values must be addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySlot {
    pub(super) slot: u32,
    pub(super) is_address: bool,
}

/// Where the values of a key stand, in the order of its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFields([FieldAt; KEY_PATHS_MAX]);

impl KeyFields {
    /// Of a key without paths.
    pub const EMPTY: KeyFields = KeyFields([FieldAt::NONE; KEY_PATHS_MAX]);

    /// The positions; [`FieldAt::NONE`] stands for a missing value, and behind the last path.
    #[must_use]
    pub const fn as_slice(&self) -> &[FieldAt] {
        &self.0
    }
}

/// Keys whose hashes are remembered: the services and users of a batch, several rules of each.
const MEMO_PLACES: usize = 256;
/// Bytes of a key that is remembered; with [`MEMO_PLACES`] they bound a memo to 64 kB.
const MEMO_BYTES_MAX: usize = 256;

/// Hashes of keys seen lately: the same few come again and again, and without an instruction for it
/// SHA-256 takes as long as a fifth of all that is done with an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Memo {
    /// The key at hand.
    key: Vec<u8>,
    /// Keys and their hashes, each in the place that its bytes say.
    places: Vec<(Vec<u8>, u128)>,
}

impl Memo {
    fn hash(&mut self) -> Option<u128> {
        if self.key.len() > MEMO_BYTES_MAX {
            return sha256(&self.key);
        }
        if self.places.is_empty() {
            self.places.resize_with(MEMO_PLACES, Default::default);
        }
        let place = FixedState::default().hash_one(self.key.as_slice()) % MEMO_PLACES as u64;
        let place = usize::try_from(place).ok()?;
        let (known, hash) = self.places.get_mut(place)?;
        if *known != self.key {
            *hash = sha256(&self.key)?;
            known.clone_from(&self.key);
        }
        Some(*hash)
    }
}

fn sha256(bytes: &[u8]) -> Option<u128> {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let (first, _) = digest.split_first_chunk::<16>()?;
    Some(u128::from_be_bytes(*first))
}

/// Which key of a rule is hashed: keys of different uses never coincide.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Group,
    Dedupe,
    Distinct,
}

/// Hashes keys of one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed<'r> {
    pub(super) secret: &'r [u8; 32],
    pub(super) rule: &'r str,
    /// Whether groups are of one series each.
    pub(super) by_series: bool,
    pub(super) memo: &'r RefCell<Memo>,
}

impl Keyed<'_> {
    /// The hash of the values in these slots, with their places; `None` when one is missing and
    /// missing is no value.
    pub(super) fn hash(
        &self,
        purpose: Use,
        paths: &[KeySlot],
        missing_counts: bool,
        slots: Asking<'_, '_, '_>,
    ) -> Option<(u128, KeyFields)> {
        let mut memo = self.memo.borrow_mut();
        let key = &mut memo.key;
        key.clear();
        key.extend(self.secret);
        key.push(purpose as u8);
        part(key, self.rule.as_bytes());
        let mut fields = KeyFields::EMPTY;
        for (path, place) in paths.iter().zip(&mut fields.0) {
            if path.slot == INDICATOR_SLOT
                && let Some(indicator) = slots.view.verdict.indicator
            {
                key.push(2);
                key.extend(indicator.to_be_bytes());
                continue;
            }
            let value = slots
                .values(path.slot)
                .find(|(_, value)| is_known(value, path.is_address));
            match value {
                Some((at, value)) => {
                    *place = at;
                    key.push(1);
                    put_value(key, &value, path.is_address);
                }
                None if missing_counts => key.push(0),
                None => return None,
            }
        }
        if self.by_series && matches!(purpose, Use::Group) {
            series(key, slots.view);
        }
        Some((memo.hash()?, fields))
    }
}

/// What tells the series of a metric event from others: its name and labels, and where it comes from.
/// Labels may be sent in any order.
fn series(key: &mut Vec<u8>, view: &EventView<'_, '_>) {
    let all = view.event.fields.iter().chain(&view.resource.fields);
    let mut fields: Vec<&Field<'_>> = all.filter(|field| tells_series(field.role)).collect();
    fields.sort_by_key(|field| (field.role, field.name));
    for field in fields {
        part(key, field.name.as_bytes());
        put_value(key, &field.value, false);
    }
}

const fn tells_series(role: Role) -> bool {
    matches!(
        role,
        Role::Name
            | Role::MetricType
            | Role::Unit
            | Role::Label
            | Role::Service
            | Role::Host
            | Role::Environment
    )
}

/// Length first, so that no two lists of parts run together into the same bytes.
fn part(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    key.extend(bytes);
}

fn put_value(key: &mut Vec<u8>, value: &Value<'_>, is_address: bool) {
    if let (true, Value::Text(text)) = (is_address, value)
        && let Some(address) = address(text)
    {
        // One address has several spellings.
        return match address {
            IpAddr::V4(v4) => part(key, &v4.octets()),
            IpAddr::V6(v6) => part(key, &v6.octets()),
        };
    }
    let mut buffer = [0_u8; 32];
    let capacity = buffer.len();
    let mut rest = buffer.as_mut_slice();
    let written = match value {
        Value::Text(text) | Value::Json(text) => return part(key, text.as_bytes()),
        Value::Int(int) => write!(rest, "{int}"),
        // As it is written: a number and the text that says it are one value, and 4.0 is 4.
        Value::Float(float) if PLAIN_FLOATS.contains(&float.abs()) || *float == 0.0 => {
            write!(rest, "{}", float + 0.0)
        }
        Value::Float(float) => write!(rest, "{float:e}"),
        Value::Bool(flag) => write!(rest, "{flag}"),
        Value::Null => Ok(()),
    };
    let length = if written.is_ok() {
        capacity - rest.len()
    } else {
        capacity
    };
    part(key, buffer.get(..length).unwrap_or_default());
}

fn is_known(value: &Value<'_>, is_address: bool) -> bool {
    match value {
        Value::Text(text) if is_address => address(text).is_some_and(|ip| !ip.is_unspecified()),
        Value::Text(text) => {
            let text = text.trim();
            !text.is_empty() && !UNKNOWN.iter().any(|word| text.eq_ignore_ascii_case(word))
        }
        Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Json(_) => !is_address,
        Value::Null => false,
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim()
        .parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}
