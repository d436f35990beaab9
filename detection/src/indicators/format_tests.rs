//! Feeds in the shapes in which they are published.

use super::parse::{self, Format, Parsed, Unread};
use super::*;
use crate::observables::canonical;
use proptest::prelude::*;

const URLHAUS: &str = include_str!("fixtures/urlhaus.csv");
const THREATFOX: &str = include_str!("fixtures/threatfox.csv");
const BAZAAR: &str = include_str!("fixtures/malwarebazaar.csv");
const FEODO: &str = include_str!("fixtures/feodo.csv");
const HOSTS: &str = include_str!("fixtures/hosts.txt");
const BUNDLE: &str = include_str!("fixtures/bundle.json");
const EVENT: &str = include_str!("fixtures/misp_event.json");
const WARNING_LIST: &str = include_str!("fixtures/warninglist.json");
const SHA256: &str = "d347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77";
const DAY: i64 = millrace_shared::limits::NS_PER_DAY;
/// 2024-01-01 in days since 1970.
const YEAR_2024: i64 = 19_723;

fn feed() -> Arc<Feed> {
    Arc::new(Feed {
        id: 0,
        name: "test".to_owned(),
        trust: 100,
    })
}

fn read(text: &str, format: Format) -> Parsed {
    assert_eq!(Format::detect(text), Ok(format));
    let (found, parsed) = parse::read(text, None, &feed()).unwrap();
    assert_eq!(found, format);
    parsed
}

fn values(parsed: &Parsed) -> Vec<&str> {
    let values = parsed.indicators.iter().map(|one| one.value.as_str());
    values.collect()
}

fn errors(parsed: &Parsed) -> Vec<String> {
    assert_eq!(parsed.errors.len() as u64, parsed.refused);
    parsed.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn urlhaus() {
    let parsed = read(URLHAUS, Format::Csv);
    assert_eq!(errors(&parsed), [""; 0]);
    let urls = [
        "http://203.0.113.160:54570/bin.sh",
        "https://bad.example.com/panel/x.exe",
    ];
    assert_eq!(values(&parsed), urls);
    let first = &parsed.indicators[0];
    assert_eq!(first.tags, ["32-bit", "elf", "mips", "Mozi"]);
    assert_eq!(first.threat, "malware_download");
    assert_eq!(first.last_seen, Some(1_718_876_046_000_000_000));
    assert_eq!(parsed.indicators[1].tags, [""; 0]);
}

#[test]
fn threatfox_with_blanks_before_its_quotes() {
    let parsed = read(THREATFOX, Format::Csv);
    assert_eq!(
        errors(&parsed),
        ["line 10: confidence \"500\" is not 0 to 100"]
    );
    assert_eq!(
        values(&parsed),
        ["203.0.113.90", "c2-panel.example.net", SHA256]
    );
    let [first, second, third] = parsed.indicators.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(
        (first.threat.as_str(), first.confidence),
        ("Cobalt Strike", 75)
    );
    assert_eq!(first.tags, ["c2", "CobaltStrike"]);
    assert_eq!(second.threat, "Test \"Banker\", the 2nd");
    assert_eq!(
        (third.kind, third.last_seen),
        (Kind::Sha256, third.first_seen)
    );
}

#[test]
fn malwarebazaar_gives_every_digest_of_a_file() {
    let parsed = read(BAZAAR, Format::Csv);
    assert_eq!(errors(&parsed), [""; 0]);
    let kinds: Vec<Kind> = parsed.indicators.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Sha256, Kind::Md5, Kind::Sha1].repeat(2));
    let threats: Vec<&str> = parsed
        .indicators
        .iter()
        .map(|one| one.threat.as_str())
        .collect();
    assert_eq!(threats, ["", "", "", "Mirai", "Mirai", "Mirai"]);
}

#[test]
fn feodo_tracker() {
    let parsed = read(FEODO, Format::Csv);
    assert_eq!(errors(&parsed), [""; 0]);
    assert_eq!(values(&parsed), ["203.0.113.162", "198.51.100.32"]);
    assert_eq!(parsed.indicators[1].threat, "Dridex");
    assert_eq!(
        parsed.indicators[1].last_seen,
        Some(1_715_472_000_000_000_000)
    );
}

#[test]
fn csv_that_is_broken_is_refused_line_by_line() {
    let text = "value,tags\n\"evil.example.com\",\"a\nb\"\n\"open,x\nworse.example.com,\"y\"z\nlast.example.com,c\n";
    let parsed = parse::csv(text, &feed());
    assert_eq!(values(&parsed), ["evil.example.com", "last.example.com"]);
    assert_eq!(parsed.indicators[0].tags, ["a\nb"]);
    assert_eq!(
        errors(&parsed),
        [
            "line 4: text behind a closing quote",
            "line 5: text behind a closing quote",
        ]
    );
}

#[test]
fn hosts_files() {
    let parsed = read(HOSTS, Format::Hosts);
    let names = [
        "bad.example.com",
        "worse.example.net",
        "worst.example.org",
        "v6.example.com",
    ];
    assert_eq!(values(&parsed), names);
    assert_eq!(
        errors(&parsed),
        [
            "line 12: \"192.0.2.1\" is not an address that hosts files send names away to",
            "line 13: \"not_a_name\" is no domain",
        ]
    );
    assert_eq!(parsed.left_out, 8);
}

#[test]
fn plain_lists_with_every_comment() {
    let text = "// a list\n1.10.16.0/20 ; SBL256894\n203.0.113.9:8443\n[2001:db8::1]:443\nevil[.]example[.]com\t# new\n";
    let parsed = read(text, Format::Plain);
    assert_eq!(
        values(&parsed),
        [
            "1.10.16.0/20",
            "203.0.113.9",
            "2001:db8::1",
            "evil.example.com"
        ]
    );
}

#[test]
fn a_bundle_of_stix() {
    let parsed = read(BUNDLE, Format::Stix);
    assert_eq!(
        values(&parsed),
        [
            "198.51.100.3",
            "203.0.113.0/24",
            "2001:db8::1",
            "2001:db8:7::/48",
            SHA256,
            "eve@example.com",
            "http://evil.example.com/a",
        ]
    );
    assert_eq!(
        errors(&parsed),
        [
            "indicator--3: FOLLOWEDBY asks for observations in their order, which an indicator cannot say",
            "indicator--4: its pattern is one of yara, not of STIX",
            "indicator--6: confidence 185 is not 0 to 100",
        ]
    );
    let notes: Vec<String> = parsed.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "indicator--2: of conditions joined by AND the digests are taken, which name the file alone",
            "indicator--7: observations joined by AND are taken each alone",
        ]
    );
    // Three objects of other types, and one that was taken back.
    assert_eq!(parsed.left_out, 4);
    let first = &parsed.indicators[0];
    assert_eq!(
        (first.threat.as_str(), first.confidence),
        ("Poison Ivy", 85)
    );
    assert_eq!((first.severity, first.tags.len()), (Severity::High, 2));
    assert_eq!(first.first_seen, Some(YEAR_2024 * DAY));
    assert_eq!(first.last_seen, Some((YEAR_2024 + 60) * DAY));
    assert_eq!(first.expires_at, Some(21_915 * DAY));
    assert_eq!(parsed.indicators[4].threat, "A dropper");
    assert_eq!(parsed.indicators[4].severity, Severity::Medium);
}

fn pattern(pattern: &str) -> Result<(Vec<String>, usize), String> {
    let object = serde_json::json!([{"type": "indicator", "id": "i", "pattern": pattern}]);
    let parsed = parse::stix(&object.to_string(), &feed()).unwrap();
    match parsed.errors.first() {
        Some(error) => Err(error.what.clone()),
        None => {
            let values = values(&parsed).into_iter().map(str::to_owned).collect();
            Ok((values, parsed.notes.len()))
        }
    }
}

/// Patterns, their values, and how many notes they leave.
const SAY_VALUES: &[(&str, &str, usize)] = &[
    ("[ipv4-addr:value = '203.0.113.7']", "203.0.113.7", 0),
    ("[ ipv4-addr : value = '203.0.113.7/32' ]", "203.0.113.7", 0),
    (
        "[ipv4-addr:value ISSUBSET '203.0.113.0/24']",
        "203.0.113.0/24",
        0,
    ),
    ("[ipv4-addr:value LIKE '203.0.113.7']", "203.0.113.7", 0),
    (
        "[domain-name:value LIKE '%.evil.example.com']",
        "evil.example.com",
        0,
    ),
    (
        "[url:value = 'http://a.example.com/it\\'s']",
        // An apostrophe is part of a URL, here as in events.
        "http://a.example.com/it's",
        0,
    ),
    (
        "[file:hashes.MD5 == '44d88612fea8a8f36de82e1278abb02f']",
        "44d88612fea8a8f36de82e1278abb02f",
        0,
    ),
    (
        "[file:hashes.'SHA256' IN ('d347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77')]",
        SHA256,
        0,
    ),
    (
        "[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '203.0.113.7' AND network-traffic:dst_port = 443]",
        "203.0.113.7",
        2,
    ),
    (
        "[(ipv4-addr:value = '203.0.113.7') OR (file:name = 'x')]",
        "203.0.113.7",
        1,
    ),
    (
        "([ipv4-addr:value = '203.0.113.7'] OR [email-message:from_ref.value = 'eve@example.com'])",
        "203.0.113.7 eve@example.com",
        0,
    ),
    (
        "[email-message:to_refs[*].value = 'eve@example.com']",
        "eve@example.com",
        0,
    ),
    (
        "[file:hashes.MD5 = '44d88612fea8a8f36de82e1278abb02f' AND file:hashes.'SHA-256' = 'd347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77']",
        "44d88612fea8a8f36de82e1278abb02f d347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77",
        1,
    ),
];

#[test]
fn patterns_that_say_values() {
    for (text, expected, notes) in SAY_VALUES {
        let (values, told) = pattern(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            (values.join(" ").as_str(), told),
            (*expected, *notes),
            "{text}"
        );
    }
}

/// Patterns, and what is said of them.
const SAY_MORE: &[(&str, &str)] = &[
    (
        "[ipv4-addr:value = '203.0.113.7'] REPEATS 5 TIMES",
        "REPEATS asks for",
    ),
    (
        "[ipv4-addr:value = '203.0.113.7'] WITHIN 5 SECONDS",
        "WITHIN asks for",
    ),
    (
        "[ipv4-addr:value = '203.0.113.7'] START t'2024-01-01T00:00:00Z' STOP t'2024-01-02T00:00:00Z'",
        "START asks for",
    ),
    (
        "[ipv4-addr:value = '203.0.113.7' AND domain-name:value = 'evil.example.com']",
        "AND asks for several values",
    ),
    (
        "[domain-name:value = 'evil.example.com' AND domain-name:resolves_to_refs[*].value = '203.0.113.7']",
        "resolves_to_refs.value is nothing",
    ),
    ("[file:name = 'x.exe']", "file:name is nothing"),
    (
        "[file:hashes.SSDEEP = '3:x']",
        "file:hashes.SSDEEP is nothing",
    ),
    ("[network-traffic:dst_port = 443]", "no more than a port"),
    ("[ipv4-addr:value != '203.0.113.7']", "not to be"),
    ("[ipv4-addr:value NOT = '203.0.113.7']", "not to be"),
    (
        "[ipv4-addr:value ISSUPERSET '203.0.113.7']",
        "ISSUPERSET on",
    ),
    ("[url:value MATCHES '^http']", "MATCHES on"),
    ("[url:value LIKE 'http://%.example.com/']", "LIKE"),
    ("[EXISTS ipv4-addr:value]", "EXISTS"),
    (
        "[domain-name:value = 'no domain']",
        "is no value of domain-name:value",
    ),
    (
        "[ipv4-addr:value = '203.0.113.7'",
        "it ends where `]` should stand",
    ),
    (
        "[ipv4-addr:value = '203.0.113.7'] x",
        "`x` where the pattern should end",
    ),
    (
        "[ipv4-addr:value = '203.0.113.7",
        "a string that is not closed",
    ),
    ("[ipv4-addr:value ~ 'x']", "'~' means nothing"),
    ("", "it ends where `[`"),
];

#[test]
fn patterns_that_say_more_are_refused_with_the_reason() {
    for (text, reason) in SAY_MORE {
        let why = pattern(text).expect_err(text);
        assert!(why.contains(reason), "{text}: {why}");
    }
    let deep = format!("{}{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(pattern(&deep).unwrap_err().contains("parentheses"));
    let many: Vec<String> = (0..3_000)
        .map(|n| format!("'10.{}.{}.1'", n / 250, n % 250))
        .collect();
    let many = format!("[ipv4-addr:value IN ({})]", many.join(","));
    assert!(pattern(&many).unwrap_err().contains("values or more"));
}

#[test]
fn an_event_of_misp() {
    let parsed = read(EVENT, Format::Misp);
    assert_eq!(
        errors(&parsed),
        ["attribute a-6: \"not an address\" is no ip-src"]
    );
    // A link, a comment, and one that was deleted.
    assert_eq!(parsed.left_out, 3);
    let told: Vec<(&str, Severity, u8)> = parsed
        .indicators
        .iter()
        .map(|one| (one.value.as_str(), one.severity, one.confidence))
        .collect();
    assert_eq!(
        told,
        [
            ("203.0.113.7", Severity::High, 50),
            ("c2.example.com", Severity::Medium, 25),
            ("203.0.113.8", Severity::Medium, 25),
            (SHA256, Severity::Critical, 75),
            ("eve@example.com", Severity::Low, 25),
            ("44d88612fea8a8f36de82e1278abb02f", Severity::Critical, 50),
        ]
    );
    let first = &parsed.indicators[0];
    assert_eq!((first.threat.as_str(), first.tags.len()), ("Emotet", 2));
    assert_eq!(first.last_seen, Some(1_718_870_001_000_000_000));
    let event: serde_json::Value = serde_json::from_str(EVENT).unwrap();
    let attributes = &event["Event"]["Attribute"];
    for (wrapped, count) in [
        (serde_json::json!({ "response": [event] }), 6),
        (serde_json::json!([event, event]), 12),
        (
            serde_json::json!({ "response": { "Attribute": attributes } }),
            5,
        ),
        (attributes.clone(), 5),
    ] {
        assert_eq!(
            read(&wrapped.to_string(), Format::Misp).indicators.len(),
            count
        );
    }
}

#[test]
fn the_manifest_of_a_misp_feed() {
    let text = r#"{
        "5d0092c5-5f74-4287-9642-33f4c354e56d": {"info": "older", "date": "2024-06-01", "timestamp": "1717200000", "Orgc": {"name": "CIRCL"}},
        "55f6ea5e-2c60-40e5-964f-47a8950d210f": {"info": "newer", "date": "2024-06-02", "timestamp": 1717300000}
    }"#;
    assert_eq!(Format::detect(text), Ok(Format::MispFeed));
    let events = parse::manifest(text).unwrap();
    let told: Vec<&str> = events.iter().map(|event| event.info.as_str()).collect();
    assert_eq!(told, ["newer", "older"]);
    assert_eq!(
        parse::read(text, None, &feed()).unwrap_err(),
        Unread::Manifest
    );
    assert!(parse::manifest("{\"x\": {}}").is_err());
}

#[test]
fn what_is_no_feed_is_told_so() {
    for (text, why) in [
        ("", "nothing"),
        ("\n# only a comment\n", "nothing"),
        ("\"a\"", "no header"),
        ("{\"a\": 1", "begins like JSON"),
        ("{\"a\": 1}", "is JSON, and no"),
        ("[]", "nothing"),
        ("[1]", "is JSON, and no"),
        (WARNING_LIST, "allow-list"),
    ] {
        let error = parse::read(text, None, &feed()).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    // Said to be one thing, it is read as that.
    let (_, parsed) = parse::read("203.0.113.7", Some(Format::Hosts), &feed()).unwrap();
    assert!(parsed.indicators.is_empty());
    assert!(parse::read("203.0.113.7", Some(Format::Csv), &feed()).is_err());
    assert!(parse::read("203.0.113.7", Some(Format::Stix), &feed()).is_err());
    for format in Format::ALL {
        assert_eq!(Format::parse(format.as_str()), Some(*format));
    }
}

#[test]
fn more_errors_than_anybody_reads_are_counted() {
    let text = "no value\n".repeat(5_000);
    let parsed = parse::plain(&text, &feed());
    assert_eq!(
        (parsed.errors.len(), parsed.refused),
        (parse::TOLD_MAX, 5_000)
    );
}

fn allow(matching: &str, list: &[&str], attributes: &[&str]) -> Result<Allow, String> {
    let text = serde_json::json!({
        "name": "n", "type": matching, "version": 1, "list": list, "matching_attributes": attributes,
    });
    let list = AllowList::from_json(&text.to_string()).map_err(|error| error.to_string())?;
    list.compile().map_err(|error| error.to_string())
}

#[test]
fn allow_lists_of_every_type() {
    let cidr = AllowList::from_json(WARNING_LIST)
        .unwrap()
        .compile()
        .unwrap();
    let name = allow("hostname", &[".Example.com", "*.example.org"], &[]).unwrap();
    let string = allow("string", &["hxxp://a.example.com", "8.8.8.8"], &[]).unwrap();
    let substring = allow("substring", &["/Download/"], &["url"]).unwrap();
    let regex = allow("regex", &["/^https?:\\/\\/cdn\\d+\\./i", "^x"], &[]).unwrap();
    for (list, kind, value, holds) in [
        (&cidr, Kind::Ipv4, "192.0.2.77", true),
        (&cidr, Kind::Ipv4, "198.51.100.7", true),
        (&cidr, Kind::Ipv4, "198.51.100.8", false),
        (&cidr, Kind::Cidr, "192.0.2.128/25", true),
        (&cidr, Kind::Cidr, "192.0.0.0/16", false),
        (&cidr, Kind::Ipv6, "2001:db8::1", true),
        (&cidr, Kind::Url, "http://192.0.2.7/", false),
        (&name, Kind::Domain, "example.com", true),
        (&name, Kind::Domain, "a.b.example.com", true),
        (&name, Kind::Domain, "badexample.com", false),
        (
            &name,
            Kind::Url,
            "https://u:p@www.example.org:8443/x?y#z",
            true,
        ),
        (&name, Kind::Email, "ada@example.com", true),
        (&string, Kind::Ipv4, "8.8.8.8", true),
        (&string, Kind::Url, "http://a.example.com", true),
        (&string, Kind::Domain, "a.example.com", false),
        (
            &substring,
            Kind::Url,
            "http://a.example.com/download/x",
            true,
        ),
        (&substring, Kind::Domain, "a.example.com", false),
        (&regex, Kind::Url, "http://CDN7.example.com/", true),
        (&regex, Kind::Url, "http://cdn.example.com/", false),
    ] {
        assert_eq!(list.holds(kind, value), holds, "{kind:?} {value}");
    }
    for (matching, list, why) in [
        (
            "cidr",
            &["10.0.0.0/8", "10.0.0.0/99"][..],
            "entry 2 (\"10.0.0.0/99\") is no address",
        ),
        ("regex", &["("], "entry 1 (\"(\") is no regular expression"),
        ("regex", &["/a/q"], "unknown flags `q`"),
        ("string", &[" "], "there is no entry"),
        ("prefix", &["a"], "unknown variant"),
    ] {
        let error = allow(matching, list, &[]).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_is_allowed_never_matches() {
    const ORG: OrgId = uuid::Uuid::from_u128(1);
    const OTHER: OrgId = uuid::Uuid::from_u128(2);
    let values = [
        "8.8.0.0/16",
        "8.8.8.0/24",
        "evil.com",
        "cdn.evil.com",
        SHA256,
    ];
    let index = IndicatorIndex::build(values.iter().zip(1..).map(|(text, id)| {
        let (kind, value) = crate::observables::guess(text).unwrap();
        Indicator {
            id,
            ..Indicator::new(kind, value, feed())
        }
    }));
    let lists = [
        (
            Some(ORG),
            allow("cidr", &["8.8.8.8", "8.8.8.0/24"], &[]).unwrap(),
        ),
        (
            Some(ORG),
            allow("hostname", &["cdn.evil.com"], &[]).unwrap(),
        ),
        (None, allow("string", &[SHA256], &[]).unwrap()),
    ];
    let allowed = Allowed::new(lists.map(|(org, list)| (org, Arc::new(list))));
    let ids = |org, value: &str| {
        let (kind, value) = crate::observables::guess(value).unwrap();
        let at = crate::field::FieldAt::NONE;
        let observable = crate::observables::Observable::new(kind, &value, at);
        let asking = Asking {
            org,
            now_ns: 0,
            allowed: Some(&allowed),
        };
        let mut found = Vec::new();
        index.matches(&asking, &[observable], &mut found);
        let ids = found.iter().map(|one| index.known(*one).unwrap().id);
        ids.collect::<Vec<u64>>()
    };
    assert_eq!(ids(OTHER, "8.8.8.8"), [2]);
    assert_eq!(ids(ORG, "8.8.8.8"), [0; 0], "the observable is on a list");
    assert_eq!(ids(ORG, "8.8.4.4"), [1]);
    assert_eq!(ids(OTHER, "x.cdn.evil.com"), [4]);
    assert_eq!(ids(ORG, "x.cdn.evil.com"), [0; 0]);
    assert_eq!(ids(ORG, "x.evil.com"), [3]);
    assert_eq!((ids(ORG, SHA256), ids(OTHER, SHA256)), (vec![], vec![]));
}

#[test]
fn an_allowed_network_leaves_the_wider_one() {
    const ORG: OrgId = uuid::Uuid::from_u128(1);
    let index = IndicatorIndex::build(["8.0.0.0/8", "8.8.8.0/25"].iter().zip(1..).map(
        |(text, id)| {
            let (kind, value) = crate::observables::guess(text).unwrap();
            Indicator {
                id,
                ..Indicator::new(kind, value, feed())
            }
        },
    ));
    let list = allow("string", &["8.8.8.0/25"], &[]).unwrap();
    let allowed = Allowed::new([(None, Arc::new(list))]);
    let asking = Asking {
        org: ORG,
        now_ns: 0,
        allowed: Some(&allowed),
    };
    let at = crate::field::FieldAt::NONE;
    let observable = crate::observables::Observable::new(Kind::Ipv4, "8.8.8.8", at);
    let mut found = Vec::new();
    index.matches(&asking, &[observable], &mut found);
    let ids: Vec<u64> = found
        .iter()
        .map(|one| index.known(*one).unwrap().id)
        .collect();
    assert_eq!(
        ids,
        [1],
        "the indicator is on the list, the observable is not"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_read_without_a_fault(
        text in "([\\[\\]{}():,.'\"=\\\\ \n#|0-9a-z]|AND|OR|ipv4-addr:value|domain-name|\\PC){0,60}",
    ) {
        let json = serde_json::json!([{"type": "indicator", "id": "i", "pattern": text}]).to_string();
        for text in [text.as_str(), json.as_str()] {
            let Ok((_, parsed)) = parse::read(text, None, &feed()) else { continue };
            for one in &parsed.indicators {
                let again = canonical(one.kind, &one.value);
                prop_assert_eq!(again, Some((one.kind, one.value.clone())));
            }
        }
    }

    #[test]
    fn networks_of_an_allow_list_hold_what_lies_within(
        list in prop::collection::vec((0..4_u8, 0..4_u8, 8..=32_u8), 1..8), asked in (0..4_u8, 0..4_u8),
    ) {
        let networks: Vec<String> = list.iter().map(|(a, b, len)| format!("{a}.{b}.0.0/{len}")).collect();
        let texts: Vec<&str> = networks.iter().map(String::as_str).collect();
        let allow = allow("cidr", &texts, &[]).unwrap();
        let address = format!("{}.{}.0.0", asked.0, asked.1);
        let expected = networks.iter().any(|network| {
            let network: ipnet::IpNet = network.parse().unwrap();
            network.contains(&address.parse::<std::net::IpAddr>().unwrap())
        });
        prop_assert_eq!(allow.holds(Kind::Ipv4, &address), expected);
    }
}
