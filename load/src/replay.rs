//! Lines of a file or of standard input, sent as log events until each is acknowledged.

use crate::clock::now_ns;
use crate::error::LoadError;
use crate::generate::{Batch, FIRST_SEQ};
use crate::lines::{self, Line};
use crate::record::Record;
use crate::report::{Report, Tally};
use crate::send::{Outcome, Sender};
use millrace_shared::Signal;
use millrace_shared::limits::{FIELD_BYTES_MAX, NS_PER_DAY, events_max};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of lines in one request: with the attributes around them they stay under the gateway's
/// default of 1 MiB.
const BATCH_BYTES: usize = 512 * 1024;
/// A line from a live source waits at most this long for its batch to fill.
const BATCH_AGE: Duration = Duration::from_millis(500);
/// Lines older than this are given the present time: the gateway refuses what is older than the
/// retention of 90 days.
const OLDEST_KEPT_DAYS: i64 = 80;

/// How lines become events.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The service that the events name; where it is empty, the program that the line names.
    pub service: String,
    /// What to call the service when neither says.
    pub fallback: String,
    /// Marks the events of this run.
    pub run: String,
    /// Lines a second at most; 0 for no limit.
    pub rate: f64,
}

/// Sends every line of `input`.
///
/// # Errors
/// When the input cannot be read.
pub async fn replay<R: AsyncBufRead + Unpin + Send>(
    replay: Replay,
    input: R,
    sender: Sender,
    record: Option<Record>,
    stop: CancellationToken,
) -> Result<Report, LoadError> {
    let begun = Instant::now();
    let mut source = Source {
        input,
        replay,
        next_seq: FIRST_SEQ,
        requests: 0,
        partial: Vec::new(),
        ended: false,
    };
    let mut tally = Tally::default();
    while let Some(batch) = source.batch(&stop).await? {
        let from = Instant::now();
        let id = format!("replay-{}-{}", source.replay.run, batch.request);
        let packed = sender.pack(Signal::Logs, &batch.json, id)?;
        tally.requests += 1;
        tally.offered += u64::from(batch.events);
        tally.bytes += packed.bytes.len() as u64;
        let (outcome, attempts) = sender.until_acknowledged(&packed, &stop).await;
        if let (Outcome::Acknowledged(answer), Some(record)) = (&outcome, &record) {
            record.write(&batch, answer)?;
        }
        tally.settle(&outcome, attempts, from.elapsed());
        source.pace(begun, &stop).await;
    }
    Ok(tally.report(begun.elapsed()))
}

struct Source<R> {
    input: R,
    replay: Replay,
    next_seq: u64,
    requests: u64,
    /// A line of which only the beginning has come.
    partial: Vec<u8>,
    ended: bool,
}

impl<R: AsyncBufRead + Unpin + Send> Source<R> {
    /// The next batch: as many lines as fit or as came in time; `None` at the end.
    async fn batch(&mut self, stop: &CancellationToken) -> Result<Option<Batch>, LoadError> {
        let first_seq = self.next_seq;
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut deadline = None;
        while !self.ended && events.len() < events_max(Signal::Logs) && bytes < BATCH_BYTES {
            let wait = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = self.input.read_until(b'\n', &mut self.partial) => {
                    let read = read.map_err(|error| LoadError::file("input", error))?;
                    self.ended = read == 0;
                }
                () = wait => break,
                () = stop.cancelled() => self.ended = true,
            }
            let line = std::mem::take(&mut self.partial);
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() {
                bytes += text.len();
                events.push(self.event(text));
                deadline.get_or_insert_with(|| Instant::now() + BATCH_AGE);
            }
        }
        if events.is_empty() {
            return Ok(None);
        }
        self.requests += 1;
        Ok(Some(Batch {
            signal: Signal::Logs,
            request: self.requests,
            first_seq,
            events: u32::try_from(events.len()).unwrap_or(u32::MAX),
            json: json!({ "logs": events }).to_string(),
        }))
    }

    fn event(&mut self, text: &str) -> Value {
        let seq = self.next_seq;
        self.next_seq += 1;
        let mut event = event(&self.replay, text, now_ns());
        if let Some(attributes) = event.get_mut("attributes").and_then(Value::as_object_mut) {
            attributes.insert("load_seq".to_owned(), json!(seq));
            attributes.insert("load_run".to_owned(), json!(self.replay.run));
        }
        event
    }

    /// Waits until as many lines are due as have been sent.
    async fn pace(&self, begun: Instant, stop: &CancellationToken) {
        if self.replay.rate > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^52 lines")]
            let sent = (self.next_seq - FIRST_SEQ) as f64;
            let due = begun + Duration::from_secs_f64(sent / self.replay.rate);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// One line as a log event, without its number.
fn event(replay: &Replay, text: &str, now: i64) -> Value {
    let structured = if text.starts_with('{') {
        serde_json::from_str::<Map<String, Value>>(text).ok()
    } else {
        None
    };
    match structured {
        Some(members) => structured_event(replay, members, now),
        None => plain_event(replay, text, now),
    }
}

fn plain_event(replay: &Replay, text: &str, now: i64) -> Value {
    let line = lines::read(text, now);
    let mut attributes = Map::new();
    for (name, value) in [("program", line.program), ("process", line.process)] {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), json!(value));
        }
    }
    let Line { level, host, .. } = line;
    let service = [replay.service.as_str(), line.program.unwrap_or("")];
    let mut event = Map::new();
    event.insert("service".to_owned(), json!(service_of(service, replay)));
    event.insert("message".to_owned(), json!(shortened(text)));
    if let Some(level) = level {
        event.insert("level".to_owned(), json!(level.as_str()));
    }
    if let Some(host) = host {
        event.insert("host".to_owned(), json!(host));
    }
    date(&mut event, &mut attributes, line.timestamp, now);
    event.insert("attributes".to_owned(), Value::Object(attributes));
    Value::Object(event)
}

/// A JSON line: members with the usual names take their place, the rest are attributes.
fn structured_event(replay: &Replay, mut members: Map<String, Value>, now: i64) -> Value {
    let mut take = |names: &[&str]| names.iter().find_map(|name| members.remove(*name));
    let time = take(&["timestamp", "@timestamp", "time", "ts"]);
    let level = take(&["level", "severity", "lvl"]);
    let message = take(&["message", "msg", "event"]);
    let service = take(&["service", "service_name", "logger", "target"]);
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let mut event = Map::new();
    let named = service.as_ref().and_then(Value::as_str).unwrap_or("");
    let service = service_of([replay.service.as_str(), named], replay);
    event.insert("service".to_owned(), json!(service));
    event.insert("message".to_owned(), json!(shortened(&text(message))));
    let level = level
        .as_ref()
        .and_then(Value::as_str)
        .and_then(millrace_shared::wire::Level::parse);
    if let Some(level) = level {
        event.insert("level".to_owned(), json!(level.as_str()));
    }
    let time = millrace_shared::time::parse_timestamp(&text(time));
    date(&mut event, &mut members, time, now);
    event.insert("attributes".to_owned(), Value::Object(members));
    Value::Object(event)
}

/// The first name that there is, cut to what a service may be called.
fn service_of(names: [&str; 2], replay: &Replay) -> String {
    let name = names.into_iter().find(|name| !name.is_empty());
    let name = name.unwrap_or(&replay.fallback);
    name.chars()
        .take(millrace_shared::limits::SERVICE_CHARS_MAX)
        .collect()
}

/// Dates an event: with its own time where the gateway would take it, else with the present, its
/// own time kept as an attribute.
fn date(
    event: &mut Map<String, Value>,
    attributes: &mut Map<String, Value>,
    own: Option<i64>,
    now: i64,
) {
    let recent = now - OLDEST_KEPT_DAYS * NS_PER_DAY..=now + NS_PER_DAY / 2;
    let time = own.filter(|time| recent.contains(time)).unwrap_or(now);
    event.insert(
        "timestamp".to_owned(),
        json!(millrace_shared::time::rfc3339(time)),
    );
    if let Some(own) = own.filter(|own| *own != time) {
        let own = millrace_shared::time::rfc3339(own);
        attributes.insert("original_timestamp".to_owned(), json!(own));
    }
}

/// The text, cut at the limit of one field.
fn shortened(text: &str) -> &str {
    if text.is_empty() {
        return "(empty)";
    }
    let mut end = text.len().min(FIELD_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay() -> Replay {
        Replay {
            service: String::new(),
            fallback: "file".to_owned(),
            run: "r".to_owned(),
            rate: 0.0,
        }
    }

    const NOW: i64 = 1_768_478_400_000_000_000;

    #[test]
    fn an_old_line_is_dated_now_and_remembers_its_time() {
        let event = event(&replay(), "[Sun Dec 04 04:47:44 2005] [error] state 6", NOW);
        assert_eq!(event["timestamp"], "2026-01-15T12:00:00Z");
        assert_eq!(
            event["attributes"]["original_timestamp"],
            "2005-12-04T04:47:44Z"
        );
        assert_eq!(event["level"], "error");
        assert_eq!(event["service"], "file");
        assert_eq!(
            event["message"],
            "[Sun Dec 04 04:47:44 2005] [error] state 6"
        );
    }

    #[test]
    fn a_json_line_keeps_its_members() {
        let line =
            r#"{"ts":"2026-01-15T11:00:00Z","level":"warning","msg":"low","disk":{"free":3}}"#;
        let event = event(&replay(), line, NOW);
        assert_eq!(event["timestamp"], "2026-01-15T11:00:00Z");
        assert_eq!(event["level"], "warn");
        assert_eq!(event["message"], "low");
        assert_eq!(event["attributes"]["disk"]["free"], 3);
    }

    #[tokio::test]
    async fn lines_are_cut_into_batches_and_none_is_lost() {
        let text: String = (0..2_345).map(|n| format!("line {n}\n\n")).collect();
        let mut source = Source {
            input: text.as_bytes(),
            replay: replay(),
            next_seq: FIRST_SEQ,
            requests: 0,
            partial: Vec::new(),
            ended: false,
        };
        let stop = CancellationToken::new();
        let mut seen = 0;
        while let Some(batch) = source.batch(&stop).await.unwrap() {
            assert_eq!(batch.first_seq, FIRST_SEQ + seen);
            seen += u64::from(batch.events);
        }
        assert_eq!(seen, 2_345);
    }

    #[test]
    fn a_huge_line_is_cut_at_a_character() {
        let text = "ä".repeat(FIELD_BYTES_MAX);
        assert_eq!(shortened(&text).len(), FIELD_BYTES_MAX);
        let odd = format!("a{text}");
        assert_eq!(shortened(&odd).len(), FIELD_BYTES_MAX - 1);
    }
}
