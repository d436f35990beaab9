//! Label matchers of metric queries, as Prometheus writes them: `service="api"`, `code=~"5.."`.

use crate::error::Problem;
use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern: an ordinary alternation of hundreds of names fits.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Characters of a matcher.
const MATCHER_CHARS_MAX: usize = 2_000;

/// How a label is compared.
#[derive(Clone, Debug)]
pub enum Operator {
    /// `=`
    Equal(String),
    /// `!=`
    NotEqual(String),
    /// `=~`, anchored at both ends
    Like(Regex),
    /// `!~`, anchored at both ends
    NotLike(Regex),
}

/// A condition on one label. A label that a series does not have is empty.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// The comparison.
    pub operator: Operator,
}

impl Matcher {
    /// Reads `label="value"` (or `!=`, `=~`, `!~`); the quotes may be left out.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |why: &str| Problem::parameter("match", format!("`{text}` {why}"));
        if text.chars().count() > MATCHER_CHARS_MAX {
            return Err(Problem::parameter("match", "is too long"));
        }
        let at = text
            .find(['=', '!'])
            .ok_or_else(|| wrong("has no operator"))?;
        let (label, rest) = text.split_at(at);
        let label = label.trim();
        let well_formed = !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':'));
        if !well_formed {
            return Err(wrong("does not begin with the name of a label"));
        }
        let (operator, value) = ["=~", "!~", "!=", "="]
            .into_iter()
            .find_map(|operator| Some((operator, rest.strip_prefix(operator)?)))
            .ok_or_else(|| wrong("has no operator"))?;
        let value = unquote(value.trim());
        let pattern = || pattern(&value).map_err(|error| wrong(&error));
        let operator = match operator {
            "=~" => Operator::Like(pattern()?),
            "!~" => Operator::NotLike(pattern()?),
            "!=" => Operator::NotEqual(value),
            _ => Operator::Equal(value),
        };
        Ok(Matcher {
            label: label.to_owned(),
            operator,
        })
    }

    /// Whether a value passes.
    #[must_use]
    pub fn passes(&self, value: &str) -> bool {
        match &self.operator {
            Operator::Equal(expected) => value == expected,
            Operator::NotEqual(other) => value != other,
            Operator::Like(pattern) => pattern.is_match(value),
            Operator::NotLike(pattern) => !pattern.is_match(value),
        }
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| format!("is no usable pattern: {error}"))
}

fn unquote(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(matcher: &str, value: &str) -> bool {
        Matcher::parse(matcher).unwrap().passes(value)
    }

    #[test]
    fn the_four_operators_compare_as_prometheus_does() {
        assert!(passes("code=\"200\"", "200") && passes("code=200", "200"));
        assert!(passes("code!=\"200\"", "") && !passes("code!=200", "200"));
        assert!(passes("code=~\"5..\"", "503") && !passes("code=~\"5..\"", "1503"));
        assert!(passes("code!~\"5..|4..\"", "200") && !passes("code!~\"5..|4..\"", "404"));
        assert!(passes("path=\"a=b\"", "a=b"));
    }

    #[test]
    fn what_is_no_matcher_is_refused() {
        for bad in [
            "",
            "code",
            "=5",
            "co de=1",
            "code=~\"(\"",
            "code=~\"(a{1000}){1000}\"",
        ] {
            assert!(Matcher::parse(bad).is_err(), "{bad}");
        }
    }
}
