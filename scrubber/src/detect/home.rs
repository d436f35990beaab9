//! User names in home directory paths: `/home/x`, `/Users/x`, `C:\Users\x`.

use super::bytes::{
    at, before, ends_ci, from, is_word, run, run_before, seen_before, starts_ci, word_length,
};
use crate::class::Class;
use crate::spans::Span;

/// Directories beside those of people.
const SHARED: &[&[u8]] = &[
    b"shared",
    b"public",
    b"default",
    b"all users",
    b"default user",
    b"lost+found",
];

/// Where home directories are mounted under another root.
const ROOTS: &[&[u8]] = &[
    b"/export", b"/mnt", b"/nfs", b"/data", b"/var", b"/usr", b"file://",
];

/// `GET /home/start` is a page.
const METHODS: &[&[u8]] = &[
    b"get ",
    b"post ",
    b"put ",
    b"patch ",
    b"delete ",
    b"head ",
    b"options ",
    b"\"get ",
    b"path=",
    b"route=",
];

/// The longest user name that systems allow, with room for a directory service's.
const MAX_NAME: usize = 64;

/// The name in the path whose slash before `home` or `Users` is at `slash`.
pub(crate) fn at_slash(text: &str, slash: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let start = match at(bytes, slash) {
        b'/' => unix(bytes, slash)?,
        b'\\' => windows(bytes, slash)?,
        _ => return None,
    };
    let length = word_length(text, start, |mark| matches!(mark, '_' | '.' | '-' | '$'));
    let length = length - run_before(bytes, start + length, |byte| byte == b'.').min(length);
    let name = bytes.get(start..start + length)?;
    let next = at(bytes, start + length);
    let ordinary = !name.is_empty()
        && name.len() <= MAX_NAME
        && !SHARED
            .iter()
            .any(|shared| name.eq_ignore_ascii_case(shared))
        && !matches!(next, b'*' | b'[' | b'{' | b'%')
        && !is_hashed(from(bytes, start));
    ordinary.then(|| Span::new(Class::UserName, start, start + length))
}

fn unix(text: &[u8], slash: usize) -> Option<usize> {
    let rest = from(text, slash);
    let length = [&b"/home/"[..], b"/Users/"]
        .iter()
        .find(|root| rest.starts_with(root))?
        .len();
    let drive = before(text, slash) == b':' && before(text, slash - 1).is_ascii_alphabetic();
    let cygwin =
        before(text, slash - 1.min(slash)) == b'/' && before(text, slash).is_ascii_alphabetic();
    let rooted = ROOTS.iter().any(|root| ends_ci(text, slash, root));
    let last = seen_before(text, slash);
    let inside = is_word(last) || matches!(last, b'.' | b'-' | b'/' | b'}' | b']');
    let page = METHODS.iter().any(|method| ends_ci(text, slash, method));
    ((drive || cygwin || rooted || !inside) && !page).then_some(slash + length)
}

/// Backslashes may be doubled, once for every time the path was quoted.
fn windows(text: &[u8], slash: usize) -> Option<usize> {
    let end = slash + b"\\users".len();
    let named = starts_ci(text, slash, b"\\users\\");
    named.then(|| end + run(text, end, |byte| byte == b'\\'))
}

/// A name that was replaced by its hash.
fn is_hashed(rest: &[u8]) -> bool {
    rest.starts_with(b"user_name:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let slashes = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| matches!(byte, b'/' | b'\\'));
        let spans = slashes.filter_map(|(slash, _)| at_slash(text, slash));
        spans
            .map(|span| text.get(span.start..span.end).unwrap())
            .collect()
    }

    #[test]
    fn names() {
        for (text, name) in [
            ("/home/alice/.ssh/id_rsa", "alice"),
            ("open '/home/alice'", "alice"),
            ("at /Users/bob.smith/x.js:12", "bob.smith"),
            (r"C:\Users\Carol\AppData", "Carol"),
            (r#"{"path":"C:\\Users\\Carol\\x"}"#, "Carol"),
            ("c:/Users/dave/x", "dave"),
            ("/c/Users/dave/x", "dave"),
            ("file:///home/eve/x", "eve"),
            ("/export/home/frank/", "frank"),
            ("HOME=/home/grace:", "grace"),
            ("/home/jürgen/x", "jürgen"),
            ("„/home/ivan“ fehlt", "ivan"),
            ("/home/judyを開けません", "judy"),
            (r"first\n/home/heidi/x", "heidi"),
        ] {
            assert_eq!(found(text), [name], "{text}");
        }
    }

    #[test]
    fn other_paths() {
        for text in [
            "/home/",
            "/home",
            "https://example.com/home/index",
            "GET /home/start HTTP/1.1",
            "/Users/Shared/x",
            r"C:\Users\Public\x",
            "/api/users/17",
            "/api/Users/17",
            "/homes/x",
            "/home/[USER]/x",
            "/home/a***/x",
            "/home/user_name:0123456789abcdef01234567/x",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
