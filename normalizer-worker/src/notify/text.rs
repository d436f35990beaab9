//! Text for receivers: cut to length, and with what their markup means something by made plain. An
//! alert quotes what strangers sent, and they must not format messages, mention people or set links.

/// Stands at the end of what was cut.
const CUT: char = '…';

/// At most so many characters.
#[must_use]
pub(super) fn clip(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept = text.chars().take(chars.saturating_sub(1));
    kept.chain([CUT]).collect()
}

/// Whether there is nothing to be seen in it: receivers refuse a message with such a value, and a
/// stranger who sends one must not keep an alert from being told.
#[must_use]
pub(super) fn is_blank(text: &str) -> bool {
    // Besides white space: soft hyphen, Hangul fillers, zero-width marks and joiners, byte order mark.
    let unseen = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(
                c,
                '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}'
                    | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            )
    };
    text.chars().all(unseen)
}

/// At most so many characters after every character was replaced: escapes are not cut in two.
fn escaped(text: &str, chars: usize, escape: impl Fn(char) -> Option<String>) -> String {
    let (mut out, mut length) = (String::with_capacity(text.len()), 0);
    for c in text.chars() {
        let piece = escape(c).unwrap_or_else(|| c.to_string());
        length += piece.chars().count();
        if length > chars.saturating_sub(1) {
            out.push(CUT);
            break;
        }
        out.push_str(&piece);
    }
    out
}

/// For Slack's mrkdwn: the three characters that it documents as control characters.
#[must_use]
pub(super) fn slack(text: &str, chars: usize) -> String {
    escaped(text, chars, |c| match c {
        '&' => Some("&amp;".to_owned()),
        '<' => Some("&lt;".to_owned()),
        '>' => Some("&gt;".to_owned()),
        _ => None,
    })
}

/// For Markdown, as Discord reads it: every character that can mean something is escaped.
#[must_use]
pub(super) fn markdown(text: &str, chars: usize) -> String {
    escaped(text, chars, |c| {
        "\\`*_{}[]()<>#+-.!|~>:@&"
            .contains(c)
            .then(|| format!("\\{c}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_with_a_mark() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
        assert_eq!(clip("", 0), "");
    }

    #[test]
    fn what_cannot_be_seen_is_blank() {
        for blank in ["", " ", "\r\n\t", "\u{a0}\u{200b}", "\u{3164}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in [".", " a", "\u{200b}ä"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }

    #[test]
    fn escapes_stay_whole() {
        assert_eq!(slack("<@U1> & co", 100), "&lt;@U1&gt; &amp; co");
        for length in 0..40 {
            let text = slack("&&&&&&&&", length);
            assert!(text.chars().count() <= length.max(1), "{length}: {text}");
            assert_eq!(text.replace("&amp;", "").replace(CUT, ""), "", "{text}");
        }
        assert_eq!(markdown("**a**", 100), "\\*\\*a\\*\\*");
        assert_eq!(markdown("[a](https://x)", 100), "\\[a\\]\\(https\\://x\\)");
    }
}
