//! Requests as an agent or an analyst sends them, without any help that a client library would
//! give: what goes over the wire is what the test says.

use crate::wait::block_on;
use reqwest::Method;
use std::time::Duration;

/// Longer than any answer should take, so that a hang fails one test and not the run.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Itself, when the status is this one.
    ///
    /// # Panics
    /// When it is another, with the body.
    #[must_use]
    pub fn must_be(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Default for Http {
    fn default() -> Self {
        Http::new()
    }
}

impl Http {
    /// A client with no state between requests.
    ///
    /// # Panics
    /// When there can be none.
    #[must_use]
    pub fn new() -> Http {
        Http::patient(PATIENCE)
    }

    /// The same, giving up on an answer after this time.
    ///
    /// # Panics
    /// When there can be none.
    #[must_use]
    pub fn patient(patience: Duration) -> Http {
        let client = reqwest::Client::builder()
            .timeout(patience)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        Http {
            client: client.build().expect("a client"),
        }
    }

    /// `GET`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        self.send(Method::GET, url, headers, Vec::new())
    }

    /// `POST`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, reqwest::Error> {
        self.send(Method::POST, url, headers, body.to_vec())
    }

    /// Any request.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        block_on(async {
            let answer = request.send().await?;
            let text = |value: &reqwest::header::HeaderValue| {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            let headers = answer
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)));
            let (status, headers) = (answer.status().as_u16(), headers.collect());
            Ok(Answer {
                status,
                headers,
                body: answer.bytes().await?.to_vec(),
            })
        })
    }
}
