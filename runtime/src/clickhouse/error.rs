//! What a failed call means for the rows: nothing written, refused for its content, or unknown.
//! The codes are those of ClickHouse's `ErrorCodes.cpp`.

use crate::cause;
use thiserror::Error;

/// Refused before execution, whatever the content: waiting or an operator helps.
const BEFORE: &[u32] = &[
    60,  // UNKNOWN_TABLE
    81,  // UNKNOWN_DATABASE
    164, // READONLY
    192, // UNKNOWN_USER
    193, // WRONG_PASSWORD
    194, // REQUIRED_PASSWORD
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    216, // QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
    242, // TABLE_IS_READ_ONLY
    252, // TOO_MANY_PARTS
    497, // ACCESS_DENIED
    516, // AUTHENTICATION_FAILED
];

/// Refused for what was sent: the same bytes will be refused again. Thrown while the one block is
/// parsed or checked, so nothing of it is written.
const CONTENT: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    16,  // NO_SUCH_COLUMN_IN_TABLE
    20,  // NUMBER_OF_COLUMNS_DOESNT_MATCH
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    32,  // ATTEMPT_TO_READ_AFTER_EOF
    33,  // CANNOT_READ_ALL_DATA
    36,  // BAD_ARGUMENTS
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    43,  // ILLEGAL_TYPE_OF_ARGUMENT
    53,  // TYPE_MISMATCH
    62,  // SYNTAX_ERROR
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    73,  // UNKNOWN_FORMAT
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    469, // VIOLATED_CONSTRAINT
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

const TOO_MANY_SIMULTANEOUS_QUERIES: u32 = 202;
const TIMEOUT_EXCEEDED: u32 = 159;
const TOO_SLOW: u32 = 160;
const TOO_MANY_ROWS: u32 = 158;
const MEMORY_LIMIT_EXCEEDED: u32 = 241;
const TOO_MANY_BYTES: u32 = 307;
const TOO_MANY_ROWS_OR_BYTES: u32 = 396;
const QUERY_WAS_CANCELLED: u32 = 394;

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) status: u16,
    pub(super) code: Option<u32>,
    pub(super) message: String,
}

/// Why an insert is not known to have succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InsertError {
    /// Nothing was written and nothing is wrong with the rows: the same attempt may be sent again.
    #[error("refused before execution: {0}")]
    RefusedBefore(String),
    /// The server refuses these rows; nothing was written.
    #[error("refused with code {code}: {message}")]
    Refused {
        /// ClickHouse's error code.
        code: u32,
        /// ClickHouse's message. May quote rows: for the dead-letter store's eyes only.
        message: String,
    },
    /// Anything may have happened: resolve by counting.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

impl InsertError {
    pub(super) fn from_http(error: reqwest::Error) -> Self {
        let before = error.is_connect() || error.is_builder();
        let text = cause::chain(&error.without_url());
        if before {
            InsertError::RefusedBefore(text)
        } else {
            InsertError::Unknown(text)
        }
    }

    pub(super) fn from_exception(exception: Exception) -> Self {
        let Exception {
            status,
            code,
            message,
        } = exception;
        match code {
            Some(code) if BEFORE.contains(&code) => {
                InsertError::RefusedBefore(format!("code {code}"))
            }
            Some(code) if CONTENT.contains(&code) => InsertError::Refused { code, message },
            Some(code) => InsertError::Unknown(format!("code {code}")),
            None => InsertError::Unknown(format!("status {status}")),
        }
    }
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The server cannot be reached, or broke off.
    #[error("ClickHouse is not available: {0}")]
    Unavailable(String),
    /// It took longer than allowed.
    #[error("the query took too long")]
    Timeout,
    /// It read or held more than allowed.
    #[error("the query reads or holds too much: code {code}")]
    OverLimit {
        /// ClickHouse's error code.
        code: u32,
    },
    /// The answer is larger than the caller takes.
    #[error("the answer is larger than {most} bytes")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// It was cancelled.
    #[error("the query was cancelled")]
    Cancelled,
    /// Any other fault, by its code.
    #[error("ClickHouse refuses the query with code {code}: {message}")]
    Refused {
        /// ClickHouse's error code.
        code: u32,
        /// ClickHouse's message.
        message: String,
    },
}

impl QueryError {
    pub(super) fn from_http(error: reqwest::Error) -> Self {
        if error.is_timeout() && !error.is_connect() {
            QueryError::Timeout
        } else {
            QueryError::Unavailable(cause::chain(&error.without_url()))
        }
    }

    pub(super) fn from_exception(exception: Exception) -> Self {
        let Exception {
            status,
            code,
            message,
        } = exception;
        match code {
            None => QueryError::Unavailable(format!("status {status}")),
            Some(TIMEOUT_EXCEEDED | TOO_SLOW) => QueryError::Timeout,
            Some(QUERY_WAS_CANCELLED) => QueryError::Cancelled,
            Some(
                code @ (TOO_MANY_ROWS
                | MEMORY_LIMIT_EXCEEDED
                | TOO_MANY_BYTES
                | TOO_MANY_ROWS_OR_BYTES),
            ) => QueryError::OverLimit { code },
            Some(TOO_MANY_SIMULTANEOUS_QUERIES) => {
                QueryError::Unavailable("too many queries at once".to_owned())
            }
            Some(code) => QueryError::Refused { code, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(code: Option<u32>) -> InsertError {
        InsertError::from_exception(Exception {
            status: 500,
            code,
            message: "m".to_owned(),
        })
    }

    #[test]
    fn only_what_surely_wrote_nothing_may_be_sent_again() {
        assert!(matches!(insert(Some(252)), InsertError::RefusedBefore(_)));
        assert!(matches!(insert(Some(117)), InsertError::Refused { .. }));
        for unknown in [Some(159), Some(241), Some(999), None] {
            assert!(
                matches!(insert(unknown), InsertError::Unknown(_)),
                "{unknown:?}"
            );
        }
        assert!(BEFORE.iter().all(|code| !CONTENT.contains(code)));
    }
}
