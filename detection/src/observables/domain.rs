//! Which names are domains: a known public suffix below at least one label of its own.

use super::bytes::{ALNUM, HOST, is};

/// Bytes of a name, and of one label (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Top-level domains that are also extensions of files. A bare name of two labels under one of
/// them (`main.rs`, `foo.py`, `README.md`) is taken for a file, unless the field says host.
const FILE_SUFFIXES: [&str; 17] = [
    "rs",
    "py",
    "sh",
    "pl",
    "md",
    "zip",
    "mov",
    "ps",
    "ml",
    "mk",
    "mm",
    "am",
    "cc",
    "so",
    "tf",
    "pub",
    "properties",
];

/// Whether the last label could be a top-level domain at all: the cheap test before the list.
pub(super) fn ends_like_a_domain(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.len() >= 2
        && (last.bytes().all(|byte| byte.is_ascii_alphabetic())
            || last
                .get(..4)
                .is_some_and(|start| start.eq_ignore_ascii_case("xn--")))
}

/// Whether a lower-case name is a domain.
pub(super) fn is_domain(name: &str) -> bool {
    if name.len() > NAME_BYTES_MAX || !ends_like_a_domain(name) {
        return false;
    }
    let well_formed = name.split('.').all(|label| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| is(byte, HOST))
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    // `domain` is the label below the public suffix with the suffix: none when the name is itself
    // a suffix. An underscore is fine in a service label, not in a registered name.
    well_formed
        && psl::domain(name.as_bytes())
            .is_some_and(|domain| domain.suffix().is_known() && !domain.as_bytes().contains(&b'_'))
}

/// Whether a lower-case name of two labels is rather a file's.
pub(super) fn is_file_like(name: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(_, suffix)| FILE_SUFFIXES.contains(&suffix))
}

/// Whether a field of that name holds a host by its meaning.
pub(super) fn is_host_field(field: &str) -> bool {
    let last = field.rsplit(['.', '_', '-']).next().unwrap_or_default();
    [
        "host",
        "hostname",
        "domain",
        "fqdn",
        "query",
        "qname",
        "sni",
        "authority",
    ]
    .iter()
    .any(|word| last.eq_ignore_ascii_case(word))
}

/// Whether the byte can begin or end a label.
pub(super) const fn is_edge(byte: u8) -> bool {
    is(byte, ALNUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_a_known_suffix_and_a_name_below_it() {
        for good in [
            "evil.com",
            "a.b.co.uk",
            "_dmarc.evil.com",
            "xn--bcher-kva.de",
            "t.co",
        ] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "powershell.exe",
            "co.uk",
            "com",
            "a..com",
            "-a.com",
            "a_b.com",
            "1.2",
            "x.local",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
        assert!(is_file_like("main.rs") && is_file_like("foo.py") && !is_file_like("www.foo.rs"));
    }
}
