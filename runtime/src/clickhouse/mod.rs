//! ClickHouse over its HTTP interface: inserts of prebuilt bodies with a classified outcome, and
//! reads with bound parameters and streamed answers.
//!
//! Nothing is retried here: whether an insert may be sent again is the ledger's decision, and it
//! depends on what [`InsertError`] says.

mod error;

pub use error::{InsertError, QueryError};

use crate::tls;
use bytes::Bytes;
use error::Exception;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;
use url::Url;

/// Time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are dropped before the server (3 s in its oldest default) drops them.
const IDLE_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Bytes of an error message kept.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// The address cannot be used.
#[derive(Debug, Error)]
#[error("MILLRACE_CLICKHOUSE_URL: {0}")]
pub struct AddressError(String);

/// A client; clones share its connections.
#[derive(Clone)]
pub struct Clickhouse {
    http: reqwest::Client,
    url: Url,
    user: Option<(String, String)>,
}

impl std::fmt::Debug for Clickhouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clickhouse")
    }
}

/// One insert of a whole body.
#[derive(Clone, Copy, Debug)]
pub struct Insert<'q> {
    /// `INSERT INTO … FORMAT …`.
    pub sql: &'q str,
    /// The id by which the query is found again while it runs.
    pub query_id: &'q str,
    /// Same token, same block: the server drops a second copy it still remembers.
    pub deduplication_token: &'q str,
    /// Further settings.
    pub settings: &'q [(&'q str, &'q str)],
    /// The time after which the outcome counts as unknown.
    pub timeout: Duration,
}

/// One read or statement.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The statement, with its `FORMAT` and with `{name:Type}` where parameters go.
    pub sql: &'q str,
    /// Values of the parameters, as text.
    pub params: &'q [(&'q str, &'q str)],
    /// Settings, such as limits.
    pub settings: &'q [(&'q str, &'q str)],
    /// The id by which it can be cancelled; made up by the server when empty.
    pub query_id: &'q str,
    /// The time after which it is given up.
    pub timeout: Duration,
}

/// What the server says it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows read.
    pub read_rows: u64,
    /// Bytes read, uncompressed.
    pub read_bytes: u64,
    /// Rows written.
    pub written_rows: u64,
}

/// A streamed answer.
#[derive(Debug)]
pub struct Answer {
    response: Response,
    /// What is known of the work when the answer begins; whole only if it was buffered
    /// (`wait_end_of_query=1`).
    pub summary: Summary,
}

impl Answer {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, QueryError> {
        self.response.chunk().await.map_err(QueryError::from_http)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is larger than `most` bytes.
    pub async fn bytes(mut self, most: usize) -> Result<Vec<u8>, QueryError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > most {
                return Err(QueryError::TooLarge { most });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

impl Clickhouse {
    /// A client of the server at `url` (`http://[user:password@]host:port/?database=millrace`, or
    /// `https://`).
    ///
    /// # Errors
    /// When the address cannot be read, or TLS cannot be used.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        let mut url = Url::parse(url).map_err(|error| AddressError(error.to_string()))?;
        let password = url.password().unwrap_or("").to_owned();
        let user = (!url.username().is_empty()).then(|| (url.username().to_owned(), password));
        // Credentials go into a header: addresses end up in logs. These calls fail only for
        // addresses without a host, which the builder refuses below.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let mut http = reqwest::Client::builder();
        if url.scheme() == "https" {
            let trust = tls::trust().map_err(|error| AddressError(error.to_string()))?;
            http = http.tls_backend_preconfigured(trust.config.as_ref().clone());
        }
        let http = http
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| AddressError(error.to_string()))?;
        Ok(Clickhouse { http, url, user })
    }

    /// Inserts a body in one POST and one block; the rows the server says it wrote.
    ///
    /// # Errors
    /// [`InsertError`], which says whether anything may have been written.
    pub async fn insert(&self, insert: &Insert<'_>, body: Bytes) -> Result<u64, InsertError> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("query", insert.sql)
            .append_pair("query_id", insert.query_id)
            .append_pair("async_insert", "0")
            .append_pair("insert_deduplication_token", insert.deduplication_token)
            .extend_pairs(insert.settings);
        let response = self
            .post(url, body, insert.timeout)
            .send()
            .await
            .map_err(InsertError::from_http)?;
        let status = response.status();
        if status.is_success() && exception_code(response.headers()).is_none() {
            let summary = summary(response.headers());
            // The answer is read to its end: a fault may still be reported there.
            let rest = response.bytes().await.map_err(InsertError::from_http)?;
            return match summary {
                Some(summary) if rest.is_empty() => Ok(summary.written_rows),
                _ => Err(InsertError::Unknown("answer without a summary".to_owned())),
            };
        }
        Err(InsertError::from_exception(exception(response).await))
    }

    /// Asks, and streams the answer.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn select(&self, query: &Query<'_>) -> Result<Answer, QueryError> {
        let mut url = self.url.clone();
        {
            let mut pairs = url.query_pairs_mut();
            if !query.query_id.is_empty() {
                pairs.append_pair("query_id", query.query_id);
            }
            for (name, value) in query.params {
                pairs.append_pair(&format!("param_{name}"), &escape(value));
            }
            pairs.extend_pairs(query.settings);
        }
        let body = Bytes::copy_from_slice(query.sql.as_bytes());
        let response = self
            .post(url, body, query.timeout)
            .send()
            .await
            .map_err(QueryError::from_http)?;
        if !response.status().is_success() || exception_code(response.headers()).is_some() {
            return Err(QueryError::from_exception(exception(response).await));
        }
        let summary = summary(response.headers()).unwrap_or_default();
        Ok(Answer { response, summary })
    }

    /// Whether the server answers a query.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), QueryError> {
        let query = Query {
            sql: "SELECT 1 FORMAT TabSeparated",
            params: &[],
            settings: &[],
            query_id: "",
            timeout: CONNECT_TIMEOUT,
        };
        let answer = self.select(&query).await?;
        answer.bytes(MESSAGE_BYTES_MAX).await.map(drop)
    }

    fn post(&self, url: Url, body: Bytes, timeout: Duration) -> RequestBuilder {
        let mut request = self
            .http
            .post(url)
            .timeout(timeout)
            .header(CONTENT_LENGTH, body.len())
            .body(body);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        request
    }
}

/// Parameters are read in ClickHouse's escaped form: a backslash or a line break stands for itself
/// only when escaped.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out
}

fn exception_code(headers: &HeaderMap) -> Option<u32> {
    let code = headers.get("x-clickhouse-exception-code")?;
    code.to_str().ok()?.parse().ok()
}

async fn exception(response: Response) -> Exception {
    let status = response.status().as_u16();
    let code = exception_code(response.headers());
    let text = response.text().await.unwrap_or_default();
    let code = code.or_else(|| {
        let digits = text.strip_prefix("Code: ")?;
        digits.split('.').next()?.parse().ok()
    });
    let mut message = text;
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    Exception {
        status,
        code,
        message,
    }
}

fn summary(headers: &HeaderMap) -> Option<Summary> {
    #[derive(Deserialize)]
    struct Counts<'t> {
        #[serde(borrow)]
        read_rows: Option<&'t str>,
        #[serde(borrow)]
        read_bytes: Option<&'t str>,
        #[serde(borrow)]
        written_rows: Option<&'t str>,
    }
    let text = headers.get("x-clickhouse-summary")?.to_str().ok()?;
    let counts: Counts<'_> = serde_json::from_str(text).ok()?;
    let number = |text: Option<&str>| text.and_then(|t| t.parse().ok()).unwrap_or(0);
    Some(Summary {
        read_rows: number(counts.read_rows),
        read_bytes: number(counts.read_bytes),
        written_rows: number(counts.written_rows),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_and_parameters_are_escaped() {
        let mut headers = HeaderMap::new();
        let text = r#"{"read_rows":"3","read_bytes":"9","written_rows":"1000","elapsed_ns":"5"}"#;
        headers.insert("x-clickhouse-summary", text.parse().unwrap());
        headers.insert("x-clickhouse-exception-code", "252".parse().unwrap());
        let expected = Summary {
            read_rows: 3,
            read_bytes: 9,
            written_rows: 1000,
        };
        assert_eq!(summary(&headers), Some(expected));
        assert_eq!(exception_code(&headers), Some(252));
        assert_eq!(escape("a\\b\nc\td'"), "a\\\\b\\nc\\td'");
    }

    #[test]
    fn credentials_leave_the_address() {
        let client = Clickhouse::new("http://u:p@127.0.0.1:1/?database=millrace").unwrap();
        assert_eq!(client.url.as_str(), "http://127.0.0.1:1/?database=millrace");
        assert_eq!(client.user, Some(("u".to_owned(), "p".to_owned())));
        assert!(!format!("{client:?}").contains('p'));
    }

    #[tokio::test]
    async fn a_refused_connection_wrote_nothing() {
        // Bound, so that nobody else is given it, and without anybody who listens.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}/", closed.local_addr().unwrap());
        let client = Clickhouse::new(&url).unwrap();
        let insert = Insert {
            sql: "INSERT INTO t FORMAT RowBinary",
            query_id: "q",
            deduplication_token: "t",
            settings: &[],
            timeout: Duration::from_secs(5),
        };
        let error = client.insert(&insert, Bytes::new()).await.unwrap_err();
        assert!(matches!(error, InsertError::RefusedBefore(_)), "{error}");
    }
}
