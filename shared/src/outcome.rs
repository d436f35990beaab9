//! Every way a request or an event can end: one closed set each, used alike for status codes,
//! answers, dead-letter reasons and metric labels.

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            /// All of them.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name,)*];

            /// The stable `code` of the answer; also a metric label.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Refusal::$name => $code,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Refusal::$name => $status,)* }
            }

            /// Whether sending the same request again later may succeed.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Refusal::$name => $retryable,)* }
            }

            /// A short title.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Refusal::$name => $title,)* }
            }
        }
    };
}

refusals! {
    /// Not UTF-8 or not JSON.
    NotJson = "not_json", 400, false, "Body is not JSON";
    /// Not the contract's envelope.
    WrongShape = "wrong_shape", 400, false, "Body is of the wrong shape";
    /// No event in it passes.
    NoValidEvent = "no_valid_event", 400, false, "No valid event in the body";
    /// Compressed bytes that cannot be inflated.
    Damaged = "damaged_encoding", 400, false, "Compressed body is damaged";
    /// A header that cannot be used.
    BadHeader = "bad_header", 400, false, "Header cannot be used";
    /// A query parameter that cannot be used.
    BadParameter = "bad_parameter", 400, false, "Parameter cannot be used";
    /// Unknown key, bad or missing signature.
    Unauthorized = "unauthorized", 401, false, "Not authorized";
    /// Signed too long ago or in the future.
    TimestampOutOfTolerance = "timestamp_out_of_tolerance", 401, false, "Signature timestamp is off";
    /// The key may not do this.
    Forbidden = "forbidden", 403, false, "Key is not allowed to do this";
    /// No such thing.
    NotFound = "not_found", 404, false, "Not found";
    /// Not this method.
    MethodNotAllowed = "method_not_allowed", 405, false, "Method not allowed";
    /// The body did not arrive in time.
    TooSlow = "too_slow", 408, true, "Request arrived too slowly";
    /// Against the state of the thing.
    Conflict = "conflict", 409, false, "Conflicts with the present state";
    /// Over a size limit.
    TooLarge = "too_large", 413, false, "Body is too large";
    /// Too many events.
    TooManyEvents = "too_many_events", 413, false, "Too many events in one request";
    /// Content type or encoding not supported.
    Unsupported = "unsupported_media_type", 415, false, "Content type or encoding not supported";
    /// Idempotency key used before with another body.
    KeyReused = "idempotency_key_reused", 422, false, "Idempotency key was used with another body";
    /// Understood, and over a limit or without sense.
    Unprocessable = "unprocessable", 422, false, "Request cannot be carried out";
    /// Over a quota.
    QuotaExceeded = "quota_exceeded", 429, true, "Quota exceeded";
    /// A fault of ours.
    Internal = "internal", 500, true, "Internal error";
    /// A dependency is down.
    DependencyDown = "dependency_down", 503, true, "A dependency is not available";
    /// The stream is over its budget.
    Overloaded = "overloaded", 503, true, "Pipeline is over its budget";
    /// Going down.
    ShuttingDown = "shutting_down", 503, true, "Shutting down";
    /// A query was over its time.
    QueryTimeout = "query_timeout", 504, true, "Query took too long";
}

/// Why an entry, or a part of one, is parked in the dead-letter store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The entry's description cannot be read.
    BadEntry,
    /// The body cannot be inflated.
    Damaged,
    /// The body cannot be parsed, though it once was.
    Undecodable,
    /// A store refuses the rows for their content.
    RefusedByStore,
    /// Its entry would make more bytes of rows than one entry may.
    Oversized,
    /// It waited for longer than its signal is kept: a store would drop it at once.
    TooOld,
}

impl DeadReason {
    /// All of them.
    pub const ALL: [DeadReason; 6] = [
        DeadReason::BadEntry,
        DeadReason::Damaged,
        DeadReason::Undecodable,
        DeadReason::RefusedByStore,
        DeadReason::Oversized,
        DeadReason::TooOld,
    ];

    /// The reason as stored and as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DeadReason::BadEntry => "bad_entry",
            DeadReason::Damaged => "damaged_encoding",
            DeadReason::Undecodable => "undecodable",
            DeadReason::RefusedByStore => "refused_by_store",
            DeadReason::Oversized => "oversized",
            DeadReason::TooOld => "too_old",
        }
    }
}
