//! CEF: `CEF:0|vendor|product|version|class|name|severity|key=value key=value`, as a whole message
//! or after a syslog header. (ArcSight Common Event Format, revision 26.)

use super::{Pairs, Source, prefixed, split_unescaped, unescape};

const HEADER: [&str; 6] = [
    "cef.device_vendor",
    "cef.device_product",
    "cef.device_version",
    "cef.device_event_class_id",
    "cef.name",
    "cef.severity",
];
const ESCAPES: [(char, char); 2] = [('n', '\n'), ('r', '\r')];

pub(super) fn read(source: Source<'_>) -> Option<Pairs<'_>> {
    let (_, after) = source.text.split_once("CEF:")?;
    let (version, mut rest) = after.split_once('|')?;
    version.parse::<u8>().ok()?;
    let mut pairs = Pairs::new();
    for name in HEADER {
        let (value, after) = match split_unescaped(rest, '|') {
            Some(parts) => parts,
            // Some senders leave the last bar out when no extension follows.
            None if name == "cef.severity" => (rest, ""),
            None => return None,
        };
        pairs.push((name, unescape(value, source.arena, &[])));
        rest = after;
    }
    extension(rest, source, &mut pairs);
    Some(pairs)
}

/// `key=value` pairs whose values may hold spaces: a value ends before the next key.
fn extension<'a>(text: &'a str, source: Source<'a>, pairs: &mut Pairs<'a>) {
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=').filter(|(key, _)| is_key(key)) {
        let next = next_key(after);
        let (value, following) = after.split_at(next.unwrap_or(after.len()));
        let value = unescape(value.trim_end(), source.arena, &ESCAPES);
        pairs.push((prefixed("cef.", key, source.arena), value));
        rest = following.trim_start();
    }
}

fn is_key(key: &str) -> bool {
    let fits =
        |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-' | '[' | ']');
    !key.is_empty() && key.chars().all(fits)
}

/// Where the next ` key=` begins whose equals sign no backslash stands before.
fn next_key(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut word = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b' ' => word = Some(at + 1),
            b'=' => {
                let key = word.filter(|begin| text.get(*begin..at).is_some_and(is_key));
                if let Some(begin) = key {
                    return Some(begin - 1);
                }
            }
            _other => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Format::Cef;
    use super::super::tests::{pairs, read};

    #[test]
    fn header_and_extension_are_read_with_their_escapes() {
        let text = r"Sep 19 08:26:10 host CEF:0|Sec\|Corp|thr\\eat|1.0|100|worm stopped|10|src=10.0.0.1 msg=a b\=c\nd dst=2.1.2.2 cs1Label=Rule Name";
        let expected = [
            ("cef.device_vendor", "Sec|Corp"),
            ("cef.device_product", r"thr\eat"),
            ("cef.device_version", "1.0"),
            ("cef.device_event_class_id", "100"),
            ("cef.name", "worm stopped"),
            ("cef.severity", "10"),
            ("cef.src", "10.0.0.1"),
            ("cef.msg", "a b=c\nd"),
            ("cef.dst", "2.1.2.2"),
            ("cef.cs1Label", "Rule Name"),
        ];
        assert_eq!(read(Cef, text), pairs(&expected));
    }

    #[test]
    fn a_first_value_with_an_equals_sign_is_not_taken_for_a_key() {
        let found = read(
            Cef,
            "CEF:0|v|p|1|c|n|5|request=https://x/?a=b&c=d act=blocked",
        )
        .unwrap();
        let last: Vec<_> = found
            .iter()
            .skip(6)
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            last,
            [
                ("cef.request", "https://x/?a=b&c=d"),
                ("cef.act", "blocked")
            ]
        );
    }

    #[test]
    fn what_lacks_a_header_is_not_cef() {
        for text in ["", "CEF:", "CEF:0|a|b", "CEF:x|a|b|c|d|e|5|", "a=b"] {
            assert_eq!(read(Cef, text), None, "{text}");
        }
        assert_eq!(read(Cef, "CEF:0|a|b|c|d|e|5").unwrap().len(), 6);
    }
}
