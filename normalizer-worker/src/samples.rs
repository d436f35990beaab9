//! Metric events → series and samples. A series is scrubbed and written out once per batch; every
//! further sample of it costs a hash.

use crate::scrub::ScrubbedEvent;
use crate::table_rows::EntryContext;
use crate::work::{Sample, Series};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use millrace_shared::wire::MetricType;
use millrace_shared::{Event, Role, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// The series and samples of one batch.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) series: Vec<Series>,
    pub(crate) samples: Vec<Sample>,
    /// By a 128-bit hash of the raw event (never stored); the series by its fingerprint.
    seen: HashMap<RawKey, u32, FixedState>,
    by_fingerprint: HashMap<[u8; 16], u32, FixedState>,
}

/// Two independent 64-bit hashes: with them, a batch of 50,000 series collides once in 10^29.
const SEEDS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];

/// What tells a raw metric event's series from others within a batch; never stored.
pub(crate) type RawKey = (u64, u64);

impl Samples {
    /// Adds the sample of an event whose series is known already; false when it is not.
    pub(crate) fn add_known(&mut self, key: RawKey, event: &Event<'_>, place: (i64, u32)) -> bool {
        let Some(series) = self.seen.get(&key).copied() else {
            return false;
        };
        self.push(series, event, place);
        true
    }

    /// Adds the sample of a scrubbed event, and remembers its series under the raw event's key.
    pub(crate) fn add(
        &mut self,
        key: RawKey,
        scrubbed: &ScrubbedEvent<'_, '_>,
        context: &EntryContext<'_, '_>,
        place: (i64, u32),
    ) {
        let series = describe(scrubbed.event, context);
        let next = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let number = *self
            .by_fingerprint
            .entry(series.fingerprint)
            .or_insert(next);
        if number == next {
            self.series.push(series);
        }
        self.seen.insert(key, number);
        self.push(number, scrubbed.event, place);
    }

    fn push(&mut self, series: u32, event: &Event<'_>, (time, entry): (i64, u32)) {
        let value = event
            .field(Role::MetricValue)
            .and_then(|field| field.value.as_number());
        // The contract requires the value, so it is there.
        self.samples.extend(value.map(|value| Sample {
            series,
            time,
            value,
            entry,
        }));
    }
}

/// The key of a raw event within this batch.
pub(crate) fn raw_key(event: &Event<'_>, context: &EntryContext<'_, '_>) -> RawKey {
    let hash = |seed| {
        let mut hasher = FixedState::with_seed(seed).build_hasher();
        context.meta.org.hash(&mut hasher);
        context.resource.text(Role::Service).hash(&mut hasher);
        context.resource.text(Role::Host).hash(&mut hasher);
        context.resource.text(Role::Environment).hash(&mut hasher);
        for field in event
            .fields
            .iter()
            .filter(|field| field.role != Role::MetricValue)
        {
            (field.role, field.name).hash(&mut hasher);
            match field.value {
                Value::Text(text) | Value::Json(text) => text.hash(&mut hasher),
                Value::Int(int) => int.hash(&mut hasher),
                Value::Float(float) => float.to_bits().hash(&mut hasher),
                Value::Bool(yes) => yes.hash(&mut hasher),
                Value::Null => 0u8.hash(&mut hasher),
            }
        }
        hasher.finish()
    };
    let [first, second] = SEEDS;
    (hash(first), hash(second))
}

/// The stored description of a scrubbed metric event.
fn describe(event: &Event<'_>, context: &EntryContext<'_, '_>) -> Series {
    let own = |role, default: &str| match event.text(role) {
        None | Some("") => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    let labels: BTreeMap<&str, String> = event
        .fields
        .iter()
        .filter(|field| field.role == Role::Label && field.value != Value::Null)
        .map(|field| (field.name, text(&field.value)))
        .collect();
    let mut series = Series {
        org: context.meta.org,
        fingerprint: [0; 16],
        name: own(Role::Name, ""),
        labels: serde_json::to_string(&labels).unwrap_or_default(),
        service: own(Role::Service, context.resource.text(Role::Service)),
        host: own(Role::Host, context.resource.text(Role::Host)),
        environment: own(Role::Environment, context.resource.text(Role::Environment)),
        kind: event
            .text(Role::MetricType)
            .and_then(MetricType::parse)
            .unwrap_or(MetricType::Gauge)
            .as_str(),
        unit: own(Role::Unit, ""),
    };
    series.fingerprint = fingerprint(&series);
    series
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) | Value::Json(text) => (*text).to_owned(),
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Null => String::new(),
    }
}

/// The first half of a SHA-256 over all parts, each with its length, so that no two sets of parts
/// run together.
fn fingerprint(series: &Series) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(series.org.as_bytes());
    let parts = [
        &series.name,
        series.kind,
        &series.unit,
        &series.service,
        &series.host,
        &series.environment,
        &series.labels,
    ];
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut fingerprint = [0; 16];
    for (to, from) in fingerprint.iter_mut().zip(digest) {
        *to = from;
    }
    fingerprint
}
