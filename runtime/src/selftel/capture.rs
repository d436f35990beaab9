//! Log events and closed spans, turned into what the ingest contract takes. Never waits and never
//! sends.

use super::{DROPPED, Record};
use crate::clock;
use serde_json::{Map, Value, json};
use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use tokio::sync::mpsc::Sender;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

/// Spans sent a second at most: enough to see what is slow, far less than the requests there are.
const SPANS_PER_SECOND: u32 = 20;
/// Bytes of one field: a log line, not a dump.
const FIELD_BYTES_MAX: usize = 4 * 1024;
/// Field that marks what must not be sent.
const OWN: &str = "own";

/// The layer.
#[derive(Debug)]
pub struct Capture {
    service: &'static str,
    queue: Sender<Record>,
    second: AtomicI64,
    spans: AtomicU32,
}

impl Capture {
    pub(super) fn new(service: &'static str, queue: Sender<Record>) -> Self {
        Capture {
            service,
            queue,
            second: AtomicI64::new(0),
            spans: AtomicU32::new(0),
        }
    }

    fn push(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            DROPPED.add(&["queue_full"], 1);
        }
    }

    fn may_send_span(&self, now_s: i64) -> bool {
        if self.second.swap(now_s, Ordering::Relaxed) != now_s {
            self.spans.store(0, Ordering::Relaxed);
        }
        self.spans.fetch_add(1, Ordering::Relaxed) < SPANS_PER_SECOND
    }
}

/// What is kept with an open span.
struct Open {
    start: i64,
    trace_id: String,
    span_id: String,
    parent: Option<String>,
    fields: Map<String, Value>,
}

#[derive(Default)]
struct Fields {
    message: String,
    own: bool,
    rest: Map<String, Value>,
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == OWN {
            self.own = value;
        } else {
            self.put(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            cut(value).clone_into(&mut self.message);
        } else {
            self.put(field, cut(value).into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.rest.insert(field.name().to_owned(), value);
    }

    fn take_text(&mut self, name: &str) -> Option<String> {
        match self.rest.remove(name)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(FIELD_BYTES_MAX))
        .unwrap_or(text)
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO && !metadata.target().starts_with("millrace_runtime::selftel")
}

impl<S> Layer<S> for Capture
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_ours(attributes.metadata()) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if fields.own {
            return;
        }
        let random = Uuid::new_v4();
        let (high, low) = random.as_u64_pair();
        let mut open = Open {
            start: clock::now_ns(),
            trace_id: fields
                .take_text("trace_id")
                .unwrap_or_else(|| random.simple().to_string()),
            span_id: format!("{:016x}", high ^ low.rotate_left(32)),
            parent: fields.take_text("parent_span_id"),
            fields: fields.rest,
        };
        if let Some(parent) = span.parent()
            && let Some(outer) = parent.extensions().get::<Open>()
        {
            open.trace_id.clone_from(&outer.trace_id);
            open.parent = Some(outer.span_id.clone());
        }
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Values<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        let mut extensions = span.extensions_mut();
        if fields.own {
            extensions.remove::<Open>();
        } else if let Some(open) = extensions.get_mut::<Open>() {
            open.fields.extend(fields.rest);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !is_ours(event.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        if fields.own {
            return;
        }
        let span = context.event_span(event);
        let place = span.as_ref().and_then(|span| {
            let extensions = span.extensions();
            let open = extensions.get::<Open>()?;
            Some((open.trace_id.clone(), open.span_id.clone()))
        });
        let metadata = event.metadata();
        fields
            .rest
            .insert("target".to_owned(), metadata.target().into());
        if fields.message.is_empty() {
            metadata.name().clone_into(&mut fields.message);
        }
        let mut log = json!({
            "timestamp": clock::now_ns(),
            "service": self.service,
            "level": metadata.level().as_str().to_lowercase(),
            "message": fields.message,
            "attributes": fields.rest,
        });
        if let (Some((trace_id, span_id)), Some(log)) = (place, log.as_object_mut()) {
            log.insert("trace_id".to_owned(), trace_id.into());
            log.insert("span_id".to_owned(), span_id.into());
        }
        self.push(Record::Log(log));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let end = clock::now_ns();
        if !self.may_send_span(end / 1_000_000_000) {
            return;
        }
        let mut closed = json!({
            "trace_id": open.trace_id,
            "span_id": open.span_id,
            "name": span.name(),
            "kind": "internal",
            "start_time": open.start,
            "end_time": end.max(open.start),
            "attributes": open.fields,
        });
        if let (Some(parent), Some(closed)) = (open.parent, closed.as_object_mut()) {
            closed.insert("parent_span_id".to_owned(), parent.into());
        }
        self.push(Record::Span(closed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use tracing_subscriber::layer::SubscriberExt as _;

    fn captured(work: impl FnOnce()) -> Vec<Record> {
        let (sender, mut queue) = mpsc::channel(100);
        let subscriber = tracing_subscriber::registry().with(Capture::new("tester", sender));
        tracing::subscriber::with_default(subscriber, work);
        std::iter::from_fn(|| queue.try_recv().ok()).collect()
    }

    #[test]
    fn lines_and_spans_are_captured_with_their_trace() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let records = captured(|| {
            let span = tracing::info_span!(target: "tester", "request", trace_id = trace, status = tracing::field::Empty);
            span.in_scope(|| tracing::warn!(target: "tester", count = 3, "slow"));
            span.record("status", 202);
        });
        let [Record::Log(log), Record::Span(span)] = records.as_slice() else {
            panic!("{records:?}");
        };
        assert_eq!(
            (&log["message"], &log["level"]),
            (&json!("slow"), &json!("warn"))
        );
        assert_eq!(
            (&log["attributes"]["count"], &log["service"]),
            (&json!(3), &json!("tester"))
        );
        assert_eq!(
            (&log["trace_id"], &span["trace_id"]),
            (&json!(trace), &json!(trace))
        );
        assert_eq!(log["span_id"], span["span_id"]);
        assert_eq!(span["attributes"]["status"], json!(202));
    }

    #[test]
    fn nothing_is_captured_that_could_feed_back() {
        let records = captured(|| {
            tracing::debug!(target: "tester", "detail");
            tracing::info!(target: "tester", own = true, "about the pipeline's own batch");
            tracing::error!(target: "millrace_runtime::selftel::send", "cannot send");
            let span =
                tracing::info_span!(target: "tester", "request", own = tracing::field::Empty);
            span.record("own", true);
        });
        assert!(records.is_empty(), "{records:?}");
    }
}
