//! One attempt: a message to an address, by the guarded client alone; mail goes by `smtp`. Of a
//! receiver's answer the status is kept and nothing else: what it says could be an inner service's,
//! read by a tenant.

use super::message::Message;
use super::verdict::Attempt;
use super::{Means, discord, pagerduty, slack, smtp, teams, webhook};
use bytes::Bytes;
use millrace_runtime::clock::now_ns;
use millrace_runtime::outgoing::{Call, HeaderMap, HeaderName, HeaderValue, Method, header};
use millrace_shared::channel::Address;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::secret::Secret;
use millrace_shared::signature::sign_webhook;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Sends a message once.
pub(super) async fn send(means: &Means, address: &Address, message: &Message) -> Attempt {
    let json = |body: Value| body.to_string().into_bytes();
    match address {
        Address::Webhook { url, secret } => {
            let body = webhook::body(message);
            match signed(secret, message, &body) {
                Ok(headers) => post(means, url, headers, body).await,
                Err(error) => Attempt::never(error),
            }
        }
        Address::Slack { url } => plain_post(means, url, message, json(slack::body(message))).await,
        Address::Teams { url } => plain_post(means, url, message, json(teams::body(message))).await,
        Address::Discord { url } => {
            plain_post(means, url, message, json(discord::body(message))).await
        }
        Address::PagerDuty { url, routing_key } => {
            let body = pagerduty::body(message, routing_key);
            plain_post(means, url, message, json(body)).await
        }
        Address::Email(server) => smtp::mail(means, server, message).await,
    }
}

/// The headers that every message has.
fn headers(message: &Message) -> Result<HeaderMap, &'static str> {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    set(&mut headers, "idempotency-key", &message.key)?;
    Ok(headers)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), &'static str> {
    let value = HeaderValue::from_str(value).map_err(|_| "a header cannot be made")?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// The same with a signature over key, time and body (Standard Webhooks).
fn signed(secret: &str, message: &Message, body: &[u8]) -> Result<HeaderMap, &'static str> {
    let secret = Secret::parse(secret).map_err(|_| "the secret cannot be used")?;
    let now = now_ns() / NS_PER_SECOND;
    let mut headers = headers(message)?;
    set(&mut headers, "webhook-id", &message.key)?;
    set(&mut headers, "webhook-timestamp", &now.to_string())?;
    let signature = sign_webhook(&secret, &message.key, now, body);
    set(&mut headers, "webhook-signature", &signature)?;
    Ok(headers)
}

async fn plain_post(means: &Means, url: &str, message: &Message, body: Vec<u8>) -> Attempt {
    match headers(message) {
        Ok(headers) => post(means, url, headers, body).await,
        Err(error) => Attempt::never(error),
    }
}

async fn post(means: &Means, url: &str, headers: HeaderMap, body: Vec<u8>) -> Attempt {
    let call = Call {
        method: Method::POST,
        url,
        headers,
        body: Bytes::from(body),
        answer_max: 0,
        within: means.rules.timeout,
    };
    match means.outgoing.send(call).await {
        Ok(answer) => {
            let retry_after = answer.headers.get(header::RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok());
            Attempt::of_status(answer.status.as_u16(), retry_after.and_then(pause))
        }
        Err(error) => Attempt::failed(&error),
    }
}

/// `Retry-After`: seconds, or a date.
fn pause(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(now_ns().unsigned_abs());
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_read_in_both_forms() {
        assert_eq!(pause("120"), Some(Duration::from_secs(120)));
        assert_eq!(pause(" 0.5 "), Some(Duration::from_millis(500)));
        assert_eq!(pause("-1"), None);
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), None);
        let later = SystemTime::UNIX_EPOCH
            + Duration::from_nanos(now_ns().unsigned_abs())
            + Duration::from_secs(100);
        let asked = pause(&httpdate::fmt_http_date(later)).unwrap();
        assert!(asked <= Duration::from_secs(101) && asked > Duration::from_secs(90));
    }
}
