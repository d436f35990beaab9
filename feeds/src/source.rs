//! What is fetched from a feed's address, and read. Sends one request for a feed, or one for the
//! manifest of a MISP feed and one for each of its events; writes nothing.

use crate::FETCH_BYTES_MAX;
use bytes::Bytes;
use millrace_detection::indicators::Feed;
use millrace_detection::indicators::parse::{self, Format, Parsed};
use millrace_runtime::outgoing::header::{
    ACCEPT, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use millrace_runtime::outgoing::{Answer, Call, HeaderName, Method, Outgoing, StatusCode};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Time for one request: the largest feed comes in at ten megabits a second.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(60);
/// Events of a MISP feed. The largest public ones have fewer than two thousand.
const EVENTS_MAX: usize = 3_000;
/// Bytes of one event of a MISP feed.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of all its events.
const EVENTS_BYTES_MAX: usize = 4 * FETCH_BYTES_MAX;
/// Characters of what a server calls a version.
const VERSION_CHARS_MAX: usize = 512;

/// What is known of a feed before it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Where it is.
    pub(crate) url: String,
    /// In which format, if that was said.
    pub(crate) format: Option<Format>,
    /// The version that was fetched last, as the server called it.
    pub(crate) version: Version,
    /// SHA-256 of what was fetched last.
    pub(crate) sha256: String,
    /// The header that the server asks for.
    pub(crate) credential: Option<(HeaderName, HeaderValue)>,
}

/// What a server calls a version of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) etag: String,
    pub(crate) last_modified: String,
}

/// What came of asking.
pub(crate) enum Got {
    /// Nothing new.
    Same(Version),
    /// New content.
    New {
        parsed: Parsed,
        sha256: String,
        version: Version,
    },
}

/// Asks for a feed.
///
/// # Errors
/// Why there is no content, in words that its owner may read.
pub(crate) async fn get(
    outgoing: &Outgoing,
    known: &Known,
    feed: &Arc<Feed>,
) -> Result<Got, String> {
    let asked = Asked {
        url: &known.url,
        known,
        version: Some(&known.version),
        answer_max: FETCH_BYTES_MAX,
    };
    let answer = asked.send(outgoing).await?;
    let version = Version::of(&answer.headers);
    if answer.status == StatusCode::NOT_MODIFIED {
        return Ok(Got::Same(known.version.clone()));
    }
    let sha256 = hex::encode(Sha256::digest(&answer.body));
    if sha256 == known.sha256 {
        return Ok(Got::Same(version));
    }
    let parsed = match read(answer.body, known.format, feed).await? {
        Read::Whole(parsed) => parsed,
        Read::Manifest(events) => of_events(outgoing, known, &events, feed).await?,
    };
    if parsed.indicators.is_empty() {
        let why = parsed.errors.first().map(ToString::to_string);
        return Err(format!("no indicator in it; {}", why.unwrap_or_default()));
    }
    Ok(Got::New {
        parsed,
        sha256,
        version,
    })
}

/// One request for a feed.
struct Asked<'a> {
    url: &'a str,
    known: &'a Known,
    /// The version that is known, if it may be the answer that there is no other.
    version: Option<&'a Version>,
    answer_max: usize,
}

impl Asked<'_> {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let none = Version::default();
        let version = self.version.unwrap_or(&none);
        for (name, value) in [
            (IF_NONE_MATCH, &version.etag),
            (IF_MODIFIED_SINCE, &version.last_modified),
        ] {
            if let Ok(value) = HeaderValue::from_str(value)
                && !value.is_empty()
            {
                headers.insert(name, value);
            }
        }
        if let Some((name, value)) = &self.known.credential {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<Answer, String> {
        let answer_max = self.answer_max;
        let call = Call {
            method: Method::GET,
            url: self.url,
            headers: self.headers(),
            body: Bytes::new(),
            answer_max,
            within: REQUEST_TIME,
        };
        let answer = outgoing.send(call).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.cut {
            return Err(format!("it is larger than {answer_max} bytes"));
        }
        let same = answer.status == StatusCode::NOT_MODIFIED && self.version.is_some();
        match answer.status == StatusCode::OK || same {
            true => Ok(answer),
            // A redirect is not followed: it would lead where nobody has said that it may, and take
            // the credential there.
            false => Err(format!(
                "the server answered with status {}",
                answer.status.as_u16()
            )),
        }
    }
}

impl Version {
    fn of(headers: &HeaderMap) -> Version {
        let text = |name| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            let value = value.filter(|value| value.len() <= VERSION_CHARS_MAX);
            value.unwrap_or_default().to_owned()
        };
        Version {
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
        }
    }
}

/// What a document is.
enum Read {
    Whole(Parsed),
    Manifest(Vec<parse::ManifestEvent>),
}

async fn read(body: Vec<u8>, format: Option<Format>, feed: &Arc<Feed>) -> Result<Read, String> {
    let feed = Arc::clone(feed);
    let work = move || {
        let text = String::from_utf8_lossy(&body);
        let format = match format {
            Some(format) => format,
            None => Format::detect(&text)?,
        };
        if format == Format::MispFeed {
            return parse::manifest(&text).map(Read::Manifest);
        }
        parse::read(&text, Some(format), &feed).map(|(_, parsed)| Read::Whole(parsed))
    };
    let read = tokio::task::spawn_blocking(work).await;
    let read = read.map_err(|_| "reading it broke off".to_owned())?;
    read.map_err(|unread| unread.to_string())
}

/// The indicators of all events of a MISP feed. One that cannot be had fails all: what is left out
/// would be taken for what is over.
async fn of_events(
    outgoing: &Outgoing,
    known: &Known,
    events: &[parse::ManifestEvent],
    feed: &Arc<Feed>,
) -> Result<Parsed, String> {
    if events.len() > EVENTS_MAX {
        return Err(format!("its manifest names more than {EVENTS_MAX} events"));
    }
    let (folder, _) = known
        .url
        .rsplit_once('/')
        .ok_or("its address has no folder")?;
    let (mut parsed, mut left) = (Parsed::default(), EVENTS_BYTES_MAX);
    for event in events {
        let url = format!("{folder}/{}.json", event.uuid);
        let failed = |why: String| format!("event {}: {why}", event.uuid);
        let asked = Asked {
            url: &url,
            known,
            version: None,
            answer_max: EVENT_BYTES_MAX.min(left),
        };
        let answer = asked.send(outgoing).await.map_err(failed)?;
        left -= answer.body.len().min(left);
        match read(answer.body, Some(Format::Misp), feed)
            .await
            .map_err(failed)?
        {
            Read::Whole(one) => parsed.append(one),
            Read::Manifest(_) => return Err(failed("is a manifest".to_owned())),
        }
    }
    Ok(parsed)
}
