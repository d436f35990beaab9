//! Parameters of the query API: cursors, matchers, times, durations, numbers, words.

use super::text;
use query_api::ask::{Cursor, DAY_S, Loose, Matcher, OneOrMany, TimeRange, limit, words};

const NOW: i64 = 1_790_000_000_000_000_000;

/// The input is the text of each kind of parameter in turn; two lines are a start and an end.
pub fn parameters(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let filters = Cursor::digest("");
    if let Ok(cursor) = Cursor::parse(text, filters) {
        assert_eq!(cursor.filters, filters);
        assert_eq!(Cursor::parse(&cursor.text(), filters).ok(), Some(cursor));
    }
    if let Ok(matcher) = Matcher::parse(text) {
        assert!(!matcher.label.is_empty());
        let _passes = (matcher.passes(""), matcher.passes(text));
    }
    let loose = Loose(text.to_owned());
    if let Ok(seconds) = loose.duration_s("step") {
        assert!(seconds > 0);
    }
    if let Ok(rows) = limit(Some(&loose), 100, 1_000) {
        assert!((1..=1_000).contains(&rows));
    }
    let (start, end) = text.split_once('\n').unwrap_or((text, "now"));
    let (start, end) = (Loose(start.to_owned()), Loose(end.to_owned()));
    if let Ok(range) = TimeRange::read(Some(&start), Some(&end), NOW, 30 * DAY_S) {
        assert!(range.start < range.end);
        assert!((1..=30 * DAY_S).contains(&range.seconds()));
        let (from, to) = range.texts();
        assert!(!from.is_empty() && !to.is_empty());
    }
    for word in words(text) {
        assert!(!word.is_empty() && words(&word) == [word.clone()]);
    }
    let many = OneOrMany(vec![text.to_owned()]);
    assert!(
        many.split()
            .iter()
            .all(|part| !part.is_empty() && !part.contains(','))
    );
    // As the extractors read it from a body.
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
        let _loose = serde_json::from_value::<Loose>(value.clone());
        let _many = serde_json::from_value::<OneOrMany>(value);
    }
}
