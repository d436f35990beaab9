//! A request as bytes. It is right in everything, until a case makes one thing of it wrong.

use super::sender::{Key, Sender};
use millrace_shared::Signal;
use millrace_shared::signature::{sign_body, sign_webhook};

/// A request that is being put together.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method, target and version, as they stand in the first line.
    pub line: (Vec<u8>, Vec<u8>, Vec<u8>),
    /// Names and values, in their order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A smallest good body of a signal; `text` stands in it.
#[must_use]
pub fn small(sender: &Sender, signal: Signal, text: &str) -> Vec<u8> {
    let (text, now) = (serde_json::Value::from(text), sender.now_s);
    let event = match signal {
        Signal::Logs => format!(r#"{{"service":"hostile","message":{text}}}"#),
        Signal::Metrics => format!(r#"{{"name":"hostile","value":1,"labels":{{"text":{text}}}}}"#),
        Signal::Traces => format!(
            r#"{{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","name":{text},"start_time":{now},"end_time":{now}}}"#
        ),
        Signal::Rum => format!(
            r#"{{"session_id":{text},"event_type":"pageview","page_url":"https://shop.example/"}}"#
        ),
        Signal::Audit => {
            format!(r#"{{"event_type":"AUTHENTICATION","action":{text},"outcome":"SUCCESS"}}"#)
        }
    };
    envelope(signal, &event)
}

/// The JSON body around one event, or several with commas between.
#[must_use]
pub fn envelope(signal: Signal, events: &str) -> Vec<u8> {
    let key = signal.body_key();
    match signal {
        Signal::Traces => {
            format!(r#"{{"{key}":[{events}],"resource":{{"service_name":"hostile"}}}}"#)
        }
        Signal::Logs | Signal::Metrics | Signal::Rum | Signal::Audit => {
            format!(r#"{{"{key}":[{events}]}}"#)
        }
    }
    .into_bytes()
}

impl Request {
    /// A request to a signal's endpoint, signed by the good key over this body.
    #[must_use]
    pub fn signed(sender: &Sender, signal: Signal, body: impl Into<Vec<u8>>) -> Request {
        Request::signed_by(&sender.good, sender, signal, body)
    }

    /// The same by another key.
    #[must_use]
    pub fn signed_by(
        key: &Key,
        sender: &Sender,
        signal: Signal,
        body: impl Into<Vec<u8>>,
    ) -> Request {
        let body = body.into();
        let signature = sign_body(&key.secret, &body);
        Request::unsigned(sender, signal, body)
            .with("x-org-key", &key.id)
            .with("x-signature", &signature)
    }

    /// The same by the Standard Webhooks scheme.
    #[must_use]
    pub fn webhook(
        key: &Key,
        sender: &Sender,
        (id, at): (&str, i64),
        body: impl Into<Vec<u8>>,
    ) -> Request {
        let body = body.into();
        let signature = sign_webhook(&key.secret, id, at, &body);
        Request::unsigned(sender, Signal::Logs, body)
            .with("x-org-key", &key.id)
            .with("webhook-id", id)
            .with("webhook-timestamp", at.to_string())
            .with("webhook-signature", &signature)
    }

    /// A request that says nothing of who sent it.
    #[must_use]
    pub fn unsigned(sender: &Sender, signal: Signal, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        let length = body.len().to_string();
        Request {
            line: (
                b"POST".to_vec(),
                format!("/v1/{signal}").into_bytes(),
                b"HTTP/1.1".to_vec(),
            ),
            headers: Vec::new(),
            body,
        }
        .with("host", &sender.host)
        .with("content-type", "application/json")
        .with("content-length", &length)
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: impl Into<Vec<u8>>) -> Request {
        self.line.0 = method.into();
        self
    }

    /// With another target.
    #[must_use]
    pub fn target(mut self, target: impl Into<Vec<u8>>) -> Request {
        self.line.1 = target.into();
        self
    }

    /// With another version.
    #[must_use]
    pub fn version(mut self, version: impl Into<Vec<u8>>) -> Request {
        self.line.2 = version.into();
        self
    }

    /// With this header instead of any of its name.
    #[must_use]
    pub fn with(self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.without(name).and(name, value)
    }

    /// With this header besides any of its name.
    #[must_use]
    pub fn and(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Request {
        let header = (name.as_ref().to_vec(), value.as_ref().to_vec());
        self.headers.push(header);
        self
    }

    /// Without any header of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Request {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
        self
    }

    /// With another body on the wire; signature and length stay as they are.
    #[must_use]
    pub fn carrying(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The headers, with the empty line that ends them.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let (method, target, version) = &self.line;
        let mut bytes = [method.as_slice(), target, version].join(&b' ');
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The request as it goes over the wire.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

/// A body in chunks of at most `size` bytes.
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in body.chunks(size) {
        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}
