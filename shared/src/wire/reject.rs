//! The ways in which a body or one event of it can be refused, each with a stable code.

use crate::json::JsonError;
use std::borrow::Cow;
use thiserror::Error;

/// Why a body as a whole is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Bytes that are not UTF-8.
    #[error("the body is not valid UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(JsonError),
    /// JSON, but not an envelope of the contract.
    #[error("the body is not of the expected shape: {0}")]
    WrongShape(&'static str),
    /// Nothing in it.
    #[error("the body holds no event")]
    NoEvent,
    /// More events than one request may carry.
    #[error("the body holds more than {most} events")]
    TooManyEvents {
        /// The limit.
        most: usize,
    },
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal,)*) => {
        /// Why one event is refused: a closed set, used in answers, usage and metric labels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RejectCode { $($(#[$doc])* $code,)* }

        impl RejectCode {
            /// All codes.
            pub const ALL: &'static [RejectCode] = &[$(RejectCode::$code,)*];

            /// The code as it stands in answers and labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(RejectCode::$code => $name,)* }
            }
        }
    };
}

codes! {
    /// A line of NDJSON that is not JSON.
    Malformed = "malformed",
    /// Not an object where one is due.
    NotAnObject = "not_an_object",
    /// A required field is absent.
    MissingField = "missing_field",
    /// A field of another type than the contract's.
    WrongType = "wrong_type",
    /// An empty string where something is due.
    Empty = "empty",
    /// Longer than its limit.
    TooLong = "too_long",
    /// Not one of the words allowed.
    UnknownWord = "unknown_word",
    /// Not an id of the form due.
    BadId = "bad_id",
    /// Not a time.
    BadTimestamp = "bad_timestamp",
    /// Further in the future than allowed.
    TimestampInFuture = "timestamp_in_future",
    /// Older than the retention.
    TimestampTooOld = "timestamp_too_old",
    /// The end lies before the start.
    EndBeforeStart = "end_before_start",
    /// A number that is not finite.
    NotFinite = "not_finite",
    /// A field that occurs twice.
    DuplicateKey = "duplicate_key",
    /// An attribute key over its limit.
    KeyTooLong = "key_too_long",
    /// More attributes, span events, links or targets than allowed.
    TooMany = "too_many",
    /// Nested more deeply than allowed.
    TooDeep = "too_deep",
    /// A string that cannot be represented.
    BadString = "bad_string",
    /// More metric series than the organisation may have.
    SeriesLimit = "series_limit",
    /// Dropped by a step of the organisation's own normalization pipeline.
    DroppedByPipeline = "dropped_by_pipeline",
}

/// Why one event is refused, in words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {detail}")]
pub struct Reject {
    /// The stable code.
    pub code: RejectCode,
    /// The field at fault; empty when it is the event as a whole.
    pub field: Cow<'static, str>,
    /// What is wrong with it, and what would be right. Never repeats the value.
    pub detail: Cow<'static, str>,
}

impl Reject {
    /// A rejection.
    #[must_use]
    pub fn new(
        code: RejectCode,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Reject {
            code,
            field: field.into(),
            detail: detail.into(),
        }
    }

    pub(super) fn malformed(error: JsonError) -> Self {
        Reject::new(RejectCode::Malformed, "", error.to_string())
    }

    /// The reason as it stands in an answer.
    #[must_use]
    pub fn reason(&self) -> String {
        if self.field.is_empty() {
            self.detail.to_string()
        } else {
            self.to_string()
        }
    }
}
