//! Reads contiguous ranges of one shard's stream, and trims what is safely stored. Decides neither
//! where a batch ends nor what is safe.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an answer of Redis has dozens of forms, of which each command has one or two"
)]

use crate::error::WorkerError;
use crate::work::RawEntry;
use bytes::Bytes;
use millrace_runtime::redis::{ConnectionManager, open};
use millrace_shared::entry::{BODY_FIELD, META_FIELD};
use millrace_shared::ids::{CURSOR_GROUP, ShardId, StreamId};
use redis::streams::StreamInfoStreamReply as InfoStreamReply;
use redis::{ErrorKind, RedisError, Value, cmd};
use std::time::Duration;

/// How long a read waits for an entry when there is none: bounds how long a stop takes.
pub const BLOCK: Duration = Duration::from_millis(500);
/// Time for one command, the wait included: a chunk of the largest entries still fits.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Entries of one read, when a known range is read again.
const RANGE_COUNT: usize = 200;

/// One shard's stream. Has a connection of its own: its reads wait, and its answers are large.
pub struct Reader {
    key: String,
    connection: ConnectionManager,
}

impl Reader {
    /// Of a shard. Connects when first used.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(url: &str, shard: ShardId) -> Result<Self, WorkerError> {
        Ok(Reader {
            key: shard.stream(),
            connection: open(url, RESPONSE_TIMEOUT)?,
        })
    }

    /// Of a shard, over a connection that others use too: for short commands.
    #[must_use]
    pub fn shared(connection: &ConnectionManager, shard: ShardId) -> Self {
        Reader {
            key: shard.stream(),
            connection: connection.clone(),
        }
    }

    /// Up to `count` entries after `cursor`, in order; waits up to `block` for the first.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn after(
        &mut self,
        cursor: StreamId,
        count: usize,
        block: Option<Duration>,
    ) -> Result<Vec<RawEntry>, WorkerError> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(count);
        if let Some(block) = block {
            command
                .arg("BLOCK")
                .arg(u64::try_from(block.as_millis()).unwrap_or(1).max(1));
        }
        command
            .arg("STREAMS")
            .arg(&self.key)
            .arg(cursor.to_string());
        match command.query_async(&mut self.connection).await? {
            Value::Nil => Ok(Vec::new()),
            Value::Array(streams) => streams.into_iter().next().map_or(Ok(Vec::new()), |stream| {
                let [_, list] = pair(stream)?;
                entries(list)
            }),
            Value::Map(streams) => streams
                .into_iter()
                .next()
                .map_or(Ok(Vec::new()), |(_, list)| entries(list)),
            other => Err(unexpected(&other)),
        }
    }

    /// All entries from `first` to `last`, both included.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn range(
        &mut self,
        first: StreamId,
        last: StreamId,
    ) -> Result<Vec<RawEntry>, WorkerError> {
        let (mut all, mut from) = (Vec::new(), first);
        loop {
            let mut command = cmd("XRANGE");
            command
                .arg(&self.key)
                .arg(from.to_string())
                .arg(last.to_string());
            command.arg("COUNT").arg(RANGE_COUNT);
            let mut page = entries(command.query_async(&mut self.connection).await?)?;
            let full = page.len() == RANGE_COUNT;
            let Some(end) = page.last().map(|entry| entry.id) else {
                return Ok(all);
            };
            all.append(&mut page);
            from = end.next();
            if !full || end >= last {
                return Ok(all);
            }
        }
    }

    /// Removes the entries before `first`, all of them and no others.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn trim_before(&mut self, first: StreamId) -> Result<u64, WorkerError> {
        let mut command = cmd("XTRIM");
        command
            .arg(&self.key)
            .arg("MINID")
            .arg("=")
            .arg(first.to_string());
        Ok(command.query_async(&mut self.connection).await?)
    }

    /// Makes sure that ids given from now on come after `cursor`; the last id given so far, if the
    /// stream had fallen behind.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn keep_ahead_of(
        &mut self,
        cursor: StreamId,
    ) -> Result<Option<StreamId>, WorkerError> {
        if cursor == StreamId::ZERO {
            return Ok(None);
        }
        let mut info = cmd("XINFO");
        info.arg("STREAM").arg(&self.key);
        let last = match info
            .query_async::<InfoStreamReply>(&mut self.connection)
            .await
        {
            Ok(info) => {
                let unexpected =
                    |_| unexpected(&Value::SimpleString(info.last_generated_id.clone()));
                info.last_generated_id.parse().map_err(unexpected)?
            }
            Err(error) if no_stream(&error) => {
                self.show_cursor(cursor).await?;
                StreamId::ZERO
            }
            Err(error) => return Err(error.into()),
        };
        if last >= cursor {
            return Ok(None);
        }
        let mut set = cmd("XSETID");
        set.arg(&self.key).arg(cursor.to_string());
        // Refused where an entry has come meanwhile, whose id then lies after the cursor anyway.
        match set.query_async::<()>(&mut self.connection).await {
            Err(error) if !is_smaller(&error) => Err(error.into()),
            Ok(()) | Err(_) => Ok(Some(last)),
        }
    }

    /// Points the consumer group at the cursor: a view for others, never read by us.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn show_cursor(&mut self, cursor: StreamId) -> Result<(), WorkerError> {
        let cursor = cursor.to_string();
        let mut set = cmd("XGROUP");
        set.arg("SETID")
            .arg(&self.key)
            .arg(CURSOR_GROUP)
            .arg(&cursor);
        let Err(error) = set.query_async::<()>(&mut self.connection).await else {
            return Ok(());
        };
        if error.code() != Some("NOGROUP") && !no_such_key(&error) {
            return Err(error.into());
        }
        let mut create = cmd("XGROUP");
        create
            .arg("CREATE")
            .arg(&self.key)
            .arg(CURSOR_GROUP)
            .arg(&cursor)
            .arg("MKSTREAM");
        match create.query_async::<()>(&mut self.connection).await {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Entries in the stream, and the first after the cursor if there is one.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn backlog(
        &mut self,
        cursor: StreamId,
    ) -> Result<(u64, Option<StreamId>), WorkerError> {
        let length: u64 = cmd("XLEN")
            .arg(&self.key)
            .query_async(&mut self.connection)
            .await?;
        let next = self.after(cursor, 1, None).await?;
        Ok((length, next.first().map(|entry| entry.id)))
    }
}

/// `XINFO STREAM` on a stream that does not exist says so in words only.
fn no_stream(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("no such key"))
}

/// As `XSETID` does when the stream holds a later entry.
fn is_smaller(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("smaller than"))
}

/// `XGROUP SETID` on a stream that does not exist says so in words only.
fn no_such_key(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("requires the key to exist"))
}

/// The entries of an `XRANGE` answer; a deleted one is passed over.
fn entries(value: Value) -> Result<Vec<RawEntry>, WorkerError> {
    let Value::Array(list) = value else {
        return Err(unexpected(&value));
    };
    let mut all = Vec::with_capacity(list.len());
    for item in list {
        let [id, fields] = pair(item)?;
        let id = text(&id)
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| unexpected(&id))?;
        if let Value::Array(fields) = fields {
            all.push(entry(id, fields));
        }
    }
    Ok(all)
}

/// An entry from its fields; a missing field is left empty, and the entry then is poison.
fn entry(id: StreamId, fields: Vec<Value>) -> RawEntry {
    let mut raw = RawEntry {
        id,
        meta: Bytes::new(),
        body: Bytes::new(),
    };
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let Value::BulkString(value) = value else {
            continue;
        };
        match text(&name) {
            Some(META_FIELD) => raw.meta = Bytes::from(value),
            Some(BODY_FIELD) => raw.body = Bytes::from(value),
            Some(_) | None => {}
        }
    }
    raw
}

fn pair(value: Value) -> Result<[Value; 2], WorkerError> {
    match value {
        Value::Array(items) => {
            <[Value; 2]>::try_from(items).map_err(|items| unexpected(&Value::Array(items)))
        }
        other => Err(unexpected(&other)),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// An answer of another form; says of which, and nothing of what is in it.
fn unexpected(value: &Value) -> WorkerError {
    let form = std::mem::discriminant(value);
    let kind = ErrorKind::UnexpectedReturnType;
    WorkerError::Redis(RedisError::from((
        kind,
        "unexpected form of answer",
        format!("{form:?}"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn entries_are_read_in_order_and_missing_fields_are_left_empty() {
        let answer = Value::Array(vec![
            Value::Array(vec![
                bulk("5-1"),
                Value::Array(vec![
                    bulk("m"),
                    bulk("{}"),
                    bulk("x"),
                    bulk("y"),
                    bulk("b"),
                    bulk("body"),
                ]),
            ]),
            Value::Array(vec![bulk("5-2"), Value::Nil]),
            Value::Array(vec![
                bulk("6-0"),
                Value::Array(vec![bulk("b"), bulk("only")]),
            ]),
        ]);
        let read = entries(answer).unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|e| (e.id.to_string(), e.meta.as_ref(), e.body.as_ref()))
            .collect();
        assert_eq!(
            shown,
            [
                ("5-1".to_owned(), b"{}".as_ref(), b"body".as_ref()),
                ("6-0".to_owned(), b"".as_ref(), b"only".as_ref())
            ]
        );
        assert!(entries(Value::Array(vec![bulk("5-1")])).is_err());
    }
}
