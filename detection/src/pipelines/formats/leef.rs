//! LEEF: `LEEF:1.0|vendor|product|version|event|key=value<tab>key=value`; 2.0 names its delimiter in
//! a sixth part, as a character or as `0x5E`. (IBM Log Event Extended Format, versions 1.0 and 2.0.)

use super::{Pairs, Source, prefixed};

const HEADER: [&str; 4] = [
    "leef.vendor",
    "leef.product",
    "leef.version",
    "leef.event_id",
];

pub(super) fn read(source: Source<'_>) -> Option<Pairs<'_>> {
    let (_, after) = source.text.split_once("LEEF:")?;
    let (version, mut rest) = after.split_once('|')?;
    let mut pairs = Pairs::new();
    for name in HEADER {
        let (value, after) = rest.split_once('|')?;
        pairs.push((name, value));
        rest = after;
    }
    let delimiter = match version {
        "1.0" | "1" => '\t',
        "2.0" | "2" => match rest.split_once('|') {
            // The part may be left out; then what follows is the first attribute.
            Some((named, after)) if !named.contains('=') || named.len() == 1 => {
                rest = after;
                delimiter(named)?
            }
            Some(_) | None => '\t',
        },
        _other => return None,
    };
    for pair in rest.split(delimiter) {
        if let Some((key, value)) = pair
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
        {
            pairs.push((prefixed("leef.", key.trim(), source.arena), value));
        }
    }
    Some(pairs)
}

fn delimiter(named: &str) -> Option<char> {
    let mut chars = named.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some('\t'),
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => {
            let digits = named
                .strip_prefix("0x")
                .or_else(|| named.strip_prefix('x'))?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format::Leef;
    use super::super::tests::{pairs, read};

    const HEAD: [(&str, &str); 4] = [
        ("leef.vendor", "Microsoft"),
        ("leef.product", "MSExchange"),
        ("leef.version", "4.0 SP1"),
        ("leef.event_id", "15345"),
    ];

    #[test]
    fn both_versions_and_their_delimiters_are_read() {
        let attributes = [("leef.src", "192.0.2.0"), ("leef.usrName", "a b=c")];
        let expected = [&HEAD[..], &attributes[..]].concat();
        for text in [
            "LEEF:1.0|Microsoft|MSExchange|4.0 SP1|15345|src=192.0.2.0\tusrName=a b=c",
            "<13>Jan 1 host LEEF:2.0|Microsoft|MSExchange|4.0 SP1|15345|^|src=192.0.2.0^usrName=a b=c",
            "LEEF:2.0|Microsoft|MSExchange|4.0 SP1|15345|x5E|src=192.0.2.0^usrName=a b=c",
            "LEEF:2.0|Microsoft|MSExchange|4.0 SP1|15345|0x09|src=192.0.2.0\tusrName=a b=c",
            "LEEF:2.0|Microsoft|MSExchange|4.0 SP1|15345||src=192.0.2.0\tusrName=a b=c",
            "LEEF:2.0|Microsoft|MSExchange|4.0 SP1|15345|src=192.0.2.0\tusrName=a b=c",
        ] {
            assert_eq!(read(Leef, text), pairs(&expected), "{text}");
        }
    }

    #[test]
    fn what_lacks_a_header_is_not_leef() {
        for text in [
            "",
            "LEEF:1.0|a|b",
            "LEEF:3.0|a|b|c|d|x=1",
            "LEEF:2.0|a|b|c|d|xyz|k=v",
        ] {
            assert_eq!(read(Leef, text), None, "{text}");
        }
    }
}
