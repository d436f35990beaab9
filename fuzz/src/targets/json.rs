//! The JSON reader against another one, the rewriting of strings, and times.

use super::text;
use bumpalo::Bump;
use millrace_shared::json::Reader;
use millrace_shared::rewrite;
use millrace_shared::time::{parse_number, parse_timestamp, rfc3339};
use serde_json::Value;
use serde_json::value::RawValue;

/// The deepest nesting that our reader passes over.
const DEPTH: usize = 64;

fn takes(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip(DEPTH).is_ok() && reader.finish().is_ok()
}

/// Takes exactly what another strict parser takes, but for what nests too deeply.
pub fn skip(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let theirs = serde_json::from_str::<&RawValue>(text).is_ok();
    let ours = takes(text);
    if ours {
        assert!(theirs, "taken, and no JSON");
    } else if theirs {
        let deepest = text
            .bytes()
            .filter(|byte| matches!(byte, b'[' | b'{'))
            .count();
        assert!(deepest > DEPTH, "JSON, and not taken");
    }
}

/// Rewriting keeps the value, and a second time changes nothing.
pub fn rewrite(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let arena = Bump::new();
    let rewritten = rewrite::strings(text, &arena, |_| None);
    if !takes(text) {
        return;
    }
    let theirs = serde_json::from_str::<Value>(text);
    match rewritten {
        Ok(once) => {
            assert!(takes(once), "rewritten into what is no JSON");
            let twice = rewrite::strings(once, &arena, |_| None).expect("rewritten once");
            assert_eq!(once, twice);
            // Numbers out of range are no value for the other parser.
            if let (Ok(before), Ok(after)) = (theirs, serde_json::from_str::<Value>(once)) {
                assert_eq!(before, after, "another value");
            }
        }
        Err(_) => assert!(theirs.is_err(), "refused, and good text"),
    }
}

/// A time that is read is written and read again as the same.
pub fn time(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _number = parse_number(text);
    if let Some(ns) = parse_timestamp(text) {
        let written = rfc3339(ns);
        assert_eq!(parse_timestamp(&written), Some(ns), "{written}");
    }
}
