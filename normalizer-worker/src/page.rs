//! The page a URL belongs to: its path, identifiers in it replaced, so that pages can be counted.

use std::borrow::Cow;

/// Hexadecimal digits from which on a path segment counts as an identifier.
const HEX_ID_MIN: usize = 16;

/// The path of a URL without scheme, host, query and fragment; `:id` stands for numbers, UUIDs and
/// long hexadecimal identifiers.
pub(crate) fn page(url: &str) -> Cow<'_, str> {
    let url = url.split(['?', '#']).next().unwrap_or("");
    let path = match url.split_once("://") {
        None => url,
        Some((_, rest)) => rest
            .get(rest.find('/').unwrap_or(rest.len())..)
            .unwrap_or(""),
    };
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.split('/').any(is_identifier) {
        return Cow::Borrowed(path);
    }
    let segments: Vec<_> = path
        .split('/')
        .map(|s| if is_identifier(s) { ":id" } else { s })
        .collect();
    Cow::Owned(segments.join("/"))
}

fn is_identifier(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let all = |test: fn(&u8) -> bool| !bytes.is_empty() && bytes.iter().all(test);
    let hex = all(|b| b.is_ascii_hexdigit() || *b == b'-');
    all(u8::is_ascii_digit) || (hex && bytes.len() >= HEX_ID_MIN)
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn urls_of_one_page_share_its_name() {
        for (url, expected) in [
            ("https://shop.example/orders/12345?x=1#top", "/orders/:id"),
            (
                "https://shop.example/orders/6f9619ff-8b86-d011-b42d-00cf4fc964ff/items",
                "/orders/:id/items",
            ),
            ("https://shop.example", "/"),
            ("https://shop.example?x=/a", "/"),
            ("/relative/path?x", "/relative/path"),
            ("/deadbeef", "/deadbeef"),
        ] {
            assert_eq!(page(url), expected, "{url}");
        }
    }
}
