//! Moments as answers show them, and what answers leave out.

use millrace_shared::time::rfc3339;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A moment: nanoseconds since 1970 in a row, RFC 3339 in UTC in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Moment(pub i64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(at: OffsetDateTime) -> Self {
        Moment(i64::try_from(at.unix_timestamp_nanos()).unwrap_or(i64::MAX))
    }
}

/// Whether a member is worth showing.
pub trait Shown {
    /// Nothing is in it.
    fn nothing(&self) -> bool;
}

impl Shown for String {
    fn nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Shown for BTreeMap<K, V> {
    fn nothing(&self) -> bool {
        self.is_empty()
    }
}
