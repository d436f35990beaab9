//! logfmt: `level=info msg="a b" ok`. Quoted values have the escapes of a Go string literal; a key
//! alone is true.

use super::{Pairs, Source, unescape};

const ESCAPES: [(char, char); 3] = [('n', '\n'), ('t', '\t'), ('r', '\r')];

pub(super) fn read(source: Source<'_>) -> Option<Pairs<'_>> {
    let mut pairs = Pairs::new();
    let mut rest = source.text.trim();
    let mut assigned = false;
    while !rest.is_empty() {
        let end = rest.find(|char: char| char == '=' || char.is_whitespace());
        let (key, after) = rest.split_at(end.unwrap_or(rest.len()));
        if key.is_empty() || key.contains('"') {
            return None;
        }
        let Some(value) = after.strip_prefix('=') else {
            pairs.push((key, "true"));
            rest = after.trim_start();
            continue;
        };
        assigned = true;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = super::split_unescaped(quoted, '"')?;
                (unescape(value, source.arena, &ESCAPES), after)
            }
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        pairs.push((key, value));
        rest = after.trim_start();
    }
    // Words without a single assignment are prose.
    assigned.then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::Format::Logfmt;
    use super::super::tests::{pairs, read};

    #[test]
    fn pairs_are_read_quoted_bare_and_alone() {
        let text = r#"level=info msg="a \"b\"\n=c" took=1.5ms done empty= q="""#;
        let expected = [
            ("level", "info"),
            ("msg", "a \"b\"\n=c"),
            ("took", "1.5ms"),
            ("done", "true"),
            ("empty", ""),
            ("q", ""),
        ];
        assert_eq!(read(Logfmt, text), pairs(&expected));
    }

    #[test]
    fn prose_is_not_logfmt() {
        for text in ["", "user logged in", "he said \"a=b\"", "a=\"open", "=b"] {
            assert_eq!(read(Logfmt, text), None, "{text}");
        }
    }
}
