use super::*;
use crate::field::FieldAt;
use crate::observables::{Observable, Observables, canonical};
use bumpalo::Bump;
use ipnet::IpNet;
use millrace_shared::limits::NS_PER_DAY;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

const NOW: i64 = 1_718_193_600_000_000_000;
const ORG: OrgId = Uuid::from_u128(1);
const OTHER_ORG: OrgId = Uuid::from_u128(2);

fn feed(name: &str, trust: u8) -> Arc<Feed> {
    Arc::new(Feed {
        id: 7,
        name: name.to_owned(),
        trust,
    })
}

fn indicator(value: &str) -> Indicator {
    let (kind, value) = crate::observables::guess(value).unwrap();
    Indicator::new(kind, value, feed("test", 100))
}

fn asking(org: OrgId, allowed: Option<&Allowed>) -> Asking<'_> {
    Asking {
        org,
        now_ns: NOW,
        allowed,
    }
}

/// The values of the matches' indicators cannot be had, so their ids are.
fn ids(index: &IndicatorIndex, org: OrgId, text: &str) -> Vec<u64> {
    let (_, found) = matches(index, org, text);
    found
        .iter()
        .map(|found| index.known(*found).unwrap().id)
        .collect()
}

fn matches(index: &IndicatorIndex, org: OrgId, text: &str) -> (usize, Vec<IndicatorMatch>) {
    let arena = Bump::new();
    let mut observables = Observables::new();
    observables.extract_text("message", arena.alloc_str(text), FieldAt::event(0), &arena);
    let mut found = Vec::new();
    index.matches(&asking(org, None), observables.as_slice(), &mut found);
    (observables.as_slice().len(), found)
}

fn numbered(indicators: impl IntoIterator<Item = Indicator>) -> IndicatorIndex {
    let numbered = indicators.into_iter().zip(1..);
    IndicatorIndex::build(numbered.map(|(indicator, id)| Indicator { id, ..indicator }))
}

#[test]
fn a_sha256_matches_and_an_unknown_address_does_not() {
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let index = numbered([indicator(sha256)]);
    let text = format!("loaded {} from 8.8.8.8", sha256.to_uppercase());
    assert_eq!(ids(&index, ORG, &text), [1]);
    assert!(ids(&index, ORG, "connection from 8.8.8.8").is_empty());
    let (observables, found) = matches(&index, ORG, "connection from 8.8.8.8");
    let verdict = index.score(&found, observables, ScoreMode::Decayed, NOW);
    assert_eq!(verdict, Verdict::NONE);
}

#[test]
fn the_longest_prefix_and_the_longest_suffix_match() {
    let index = numbered(
        [
            "8.0.0.0/8",
            "8.8.0.0/16",
            "8.8.8.8",
            "evil.com",
            "deep.evil.com",
            "2a00::/16",
        ]
        .map(indicator),
    );
    assert_eq!(ids(&index, ORG, "8.8.8.8"), [3]);
    assert_eq!(ids(&index, ORG, "8.8.4.4"), [2]);
    assert_eq!(ids(&index, ORG, "8.9.4.4"), [1]);
    assert_eq!(ids(&index, ORG, "8.8.0.0/17"), [2]);
    assert_eq!(ids(&index, ORG, "8.0.0.0/7"), [0_u64; 0]);
    assert_eq!(ids(&index, ORG, "x.y.deep.evil.com"), [5]);
    assert_eq!(ids(&index, ORG, "shallow.evil.com"), [4]);
    assert_eq!(ids(&index, ORG, "notevil.com com"), [0_u64; 0]);
    assert_eq!(ids(&index, ORG, "2a00:1450::1"), [6]);
}

#[test]
fn private_and_documentation_ranges_match_only_when_asked_to() {
    let addresses = ["10.0.0.1", "203.0.113.7", "0.0.0.0/0", "fe80::/10"];
    let silent = numbered(addresses.map(indicator));
    let asked = numbered(addresses.map(|value| Indicator {
        match_private: true,
        ..indicator(value)
    }));
    for text in ["10.0.0.1", "203.0.113.7", "192.168.1.1", "fe80::1"] {
        assert!(ids(&silent, ORG, text).is_empty(), "{text}");
        assert_eq!(ids(&asked, ORG, text).len(), 1, "{text}");
    }
    assert_eq!(ids(&silent, ORG, "8.8.8.8").len(), 1);
}

#[test]
fn an_organisation_sees_its_own_and_everybodys() {
    let own = Indicator {
        org: Some(ORG),
        ..indicator("evil.com")
    };
    let network = Indicator {
        org: Some(ORG),
        ..indicator("8.8.8.0/24")
    };
    let index = numbered([own, indicator("evil.com"), network, indicator("8.8.0.0/16")]);
    assert_eq!(ids(&index, ORG, "evil.com"), [2, 1]);
    assert_eq!(ids(&index, OTHER_ORG, "evil.com"), [2]);
    assert_eq!(ids(&index, ORG, "8.8.8.8"), [3]);
    assert_eq!(ids(&index, OTHER_ORG, "8.8.8.8"), [4]);
}

#[test]
fn what_has_expired_matches_no_more() {
    let until = |expires_at| Indicator {
        expires_at: Some(expires_at),
        ..indicator("evil.com")
    };
    let index = numbered([until(NOW), until(NOW + NS_PER_DAY)]);
    assert_eq!(ids(&index, ORG, "evil.com"), [2]);
}

#[test]
fn what_was_put_in_comes_out() {
    let full = Indicator {
        id: 77,
        confidence: 90,
        severity: Severity::Critical,
        threat: "Emotet".to_owned(),
        tags: vec!["a".to_owned(), "b".to_owned()],
        first_seen: Some(NOW - NS_PER_DAY),
        last_seen: Some(NOW),
        ..Indicator::new(Kind::Cve, "cve-2021-44228".to_owned(), feed("nvd", 80))
    };
    let index = IndicatorIndex::build([full]);
    let (_, found) = matches(&index, ORG, "CVE-2021-44228");
    let known = index.known(found[0]).unwrap();
    assert_eq!(
        (known.id, known.kind, known.confidence),
        (77, Kind::Cve, 90)
    );
    assert_eq!(
        (known.severity, known.threat),
        (Severity::Critical, "Emotet")
    );
    assert_eq!(known.tags().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((known.feed.name.as_str(), known.feed.trust), ("nvd", 80));
    assert_eq!(
        (known.first_seen, known.last_seen),
        (Some(NOW - NS_PER_DAY), Some(NOW))
    );
    assert_eq!(known.expires_at, None);
}

fn scored(indicators: Vec<Indicator>, text: &str, mode: ScoreMode) -> Verdict {
    let index = numbered(indicators);
    let (observables, found) = matches(&index, ORG, text);
    index.score(&found, observables, mode, NOW)
}

fn sure(value: &str, confidence: u8, days: i64, feed: &Arc<Feed>) -> Indicator {
    Indicator {
        confidence,
        last_seen: Some(NOW - days * NS_PER_DAY),
        feed: Arc::clone(feed),
        ..indicator(value)
    }
}

#[test]
fn scores_decay_with_age_and_scale_with_trust() {
    let (full, half) = (feed("full", 100), feed("half", 50));
    let score =
        |indicator: Indicator, text: &str| scored(vec![indicator], text, ScoreMode::Decayed).score;
    assert_eq!(score(sure("8.8.8.8", 80, 0, &full), "8.8.8.8"), 80);
    assert_eq!(score(sure("8.8.8.8", 80, 30, &full), "8.8.8.8"), 40);
    assert_eq!(score(sure("8.8.8.8", 80, 15, &full), "8.8.8.8"), 60);
    assert_eq!(score(sure("8.8.8.8", 80, 90, &full), "8.8.8.8"), 10);
    assert_eq!(score(sure("8.8.8.8", 80, 0, &half), "8.8.8.8"), 40);
    assert_eq!(
        score(sure("cve-2021-44228", 80, 90, &full), "cve-2021-44228"),
        78
    );
}

#[test]
fn several_matches_and_several_sources_raise_the_score() {
    let (a, b) = (feed("a", 100), feed("b", 100));
    let one = vec![sure("8.8.8.8", 60, 0, &a)];
    let two_feeds = vec![sure("8.8.8.8", 60, 0, &a), sure("8.8.8.8", 50, 0, &b)];
    let two_values = vec![sure("8.8.8.8", 60, 0, &a), sure("evil.com", 10, 0, &a)];
    let text = "8.8.8.8 evil.com";
    let score = |list| scored(list, text, ScoreMode::Decayed).score;
    assert_eq!(
        (score(one), score(two_feeds), score(two_values)),
        (60, 65, 65)
    );
}

#[test]
fn severities_follow_the_score() {
    for (score, severity) in [
        (100, Severity::Critical),
        (85, Severity::Critical),
        (84, Severity::High),
        (70, Severity::High),
        (69, Severity::Medium),
        (40, Severity::Medium),
        (39, Severity::Low),
        (1, Severity::Low),
        (0, Severity::Info),
    ] {
        assert_eq!(severity_of_score(score), severity, "{score}");
    }
}

#[test]
fn the_classic_mode() {
    let a = feed("a", 10);
    let score = |list, text| scored(list, text, ScoreMode::Classic).score;
    assert_eq!(
        score(vec![sure("8.8.8.8", 60, 500, &a)], "8.8.8.8"),
        10 + 60 + 3
    );
    assert_eq!(score(vec![], "8.8.8.8"), 10 + 30 + 3);
    assert_eq!(
        score(vec![sure("evil.com", 60, 0, &a)], "8.8.8.8 1.1.1.1"),
        10 + 30 + 6
    );
    assert_eq!(score(vec![sure("evil.com", 60, 0, &a)], "nothing"), 0);
}

#[test]
fn plain_lists() {
    let text = "# my list\n8.8.8[.]8\n\nhxxp://evil[.]com/x  # seen today\n; other comment\nnonsense here\n*.evil.org\n";
    let parsed = parse::plain(text, &feed("list", 70));
    let values: Vec<_> = parsed
        .indicators
        .iter()
        .map(|indicator| (indicator.kind, indicator.value.as_str()))
        .collect();
    assert_eq!(
        values,
        [
            (Kind::Ipv4, "8.8.8.8"),
            (Kind::Url, "http://evil.com/x"),
            (Kind::Domain, "evil.org")
        ]
    );
    assert_eq!(parsed.errors.len(), 1);
    assert_eq!(
        parsed.errors[0].to_string(),
        "line 6: \"nonsense here\" is no indicator of a known type"
    );
}

#[test]
fn csv_with_named_columns() {
    let text = "\u{feff}# exported\nIndicator,Type,Confidence,Severity,Malware,Tags,First Seen,last_seen,match_private,reporter\n\
        8.8.8.8,ipv4-addr,90,high,Emotet,\"botnet, c2\",2024-01-01,2024-02-01 10:00:00,,x\n\
        10.0.0.0/8,cidr,,,,,,,true,x\n\
        evil[.]com,domain,high,,,,,,,x\n\
        evil.com,md5,1,,,,,,,x\n\
        evil.com,,101,,,,,,,x\n\
        ,,,,,,,,,x\n\
        evil.com,,,odd,,,,,,x\n\
        evil.com,,,,,,soon,,,x\n";
    let parsed = parse::csv(text, &feed("csv", 70));
    let errors: Vec<_> = parsed.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "line 6: \"evil.com\" is no md5",
            "line 7: confidence \"101\" is not 0 to 100",
            "line 8: no value",
            "line 9: unknown severity \"odd\"",
            "line 10: unreadable time \"soon\"",
        ]
    );
    let [first, second, third] = parsed.indicators.as_slice() else {
        panic!("{:?}", parsed.indicators);
    };
    assert_eq!((first.confidence, first.severity), (90, Severity::High));
    assert_eq!((first.threat.as_str(), first.tags.len()), ("Emotet", 2));
    assert_eq!(first.first_seen, Some(1_704_067_200_000_000_000));
    assert_eq!(first.last_seen, Some(1_706_781_600_000_000_000));
    assert!(second.match_private && second.kind == Kind::Cidr);
    assert_eq!((third.confidence, third.value.as_str()), (90, "evil.com"));
}

#[test]
fn a_published_feed_with_its_header_behind_a_comment() {
    let text = "################\n# abuse.ch URLhaus\n# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n\
        \"1\",\"2024-06-01 10:00:00\",\"http://evil.com/a\",\"online\",\"2024-06-02 10:00:00\",\"malware_download\",\"elf,mirai\",\"https://x\",\"me\"\n";
    let parsed = parse::csv(text, &feed("urlhaus", 90));
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    assert_eq!(parsed.indicators[0].value, "http://evil.com/a");
    assert_eq!(parsed.indicators[0].tags, ["elf", "mirai"]);
}

#[test]
fn csv_without_a_value_column_is_refused() {
    let parsed = parse::csv("a,b\n1,2\n", &feed("csv", 70));
    assert_eq!(parsed.errors[0].at, parse::Place::Line(1));
}

/// What the index must answer, tried one by one.
fn linear(values: &[Indicator], observable: &Observable<'_>) -> Vec<u64> {
    let depth = |indicator: &Indicator| -> Option<usize> {
        match (observable.kind, indicator.kind) {
            (Kind::Domain, Kind::Domain) => {
                let name = observable.value;
                let below = name.strip_suffix(&indicator.value)?;
                (below.is_empty() || below.ends_with('.')).then_some(indicator.value.len())
            }
            (Kind::Ipv4 | Kind::Ipv6, Kind::Cidr) => {
                let network: IpNet = indicator.value.parse().ok()?;
                let address: IpAddr = observable.value.parse().ok()?;
                network
                    .contains(&address)
                    .then_some(usize::from(network.prefix_len()))
            }
            (a, b) => (a == b && observable.value == indicator.value).then_some(1000),
        }
    };
    let deepest = values.iter().filter_map(depth).max();
    let mut ids: Vec<u64> = values
        .iter()
        .filter(|indicator| depth(indicator).is_some() && depth(indicator) == deepest)
        .map(|indicator| indicator.id)
        .collect();
    ids.sort_unstable();
    ids
}

/// Values without networks and subdomains, each number another one.
fn nth(n: u32) -> (Kind, String) {
    let spread = |n: u64| (n ^ n >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (a, b) = (spread(n.into()), spread(!u64::from(n)));
    match n % 7 {
        0 => (Kind::Ipv4, Ipv4Addr::from(0x4000_0000 + n).to_string()),
        1 => (Kind::Ipv6, format!("2a00::{:x}:{:x}", n >> 16, n & 0xFFFF)),
        2 => (Kind::Domain, format!("x{a:x}.com")),
        3 => (
            Kind::Url,
            format!("http://x.com/{a:x}?{}", "y".repeat(n as usize % 200)),
        ),
        4 => (Kind::Email, format!("x{a:x}@y.com")),
        5 => (Kind::Md5, format!("{a:016x}{b:016x}")),
        _ => (Kind::Sha256, format!("{a:016x}{b:016x}{b:016x}{a:016x}")),
    }
}

/// So many that cells and parts have many values, several times as often as not, and twice since no two indexes are alike.
#[test]
fn an_index_of_many_values_answers_as_a_map_does() {
    const VALUES: u32 = 30_000;
    for round in 0..2 {
        let mut model: HashMap<(Kind, String), Vec<u64>> = HashMap::new();
        let known = (0..VALUES)
            .chain((0..VALUES).step_by(5))
            .chain((0..VALUES).step_by(50));
        let indicators = known.zip(1..).map(|(n, id)| {
            let (kind, value) = nth(n + round);
            model.entry((kind, value.clone())).or_default().push(id);
            let indicator = Indicator::new(kind, value, feed("test", 100));
            Indicator { id, ..indicator }
        });
        let indicators: Vec<_> = indicators.collect();
        let index = IndicatorIndex::build(indicators);
        let asked: Vec<_> = (0..VALUES).map(|n| nth(n * 2 + round)).collect();
        let mut asked = asked.as_slice();
        for together in (1..=64).cycle() {
            let Some((few, rest)) = asked.split_at_checked(together) else {
                break;
            };
            asked = rest;
            let observables: Vec<_> = few
                .iter()
                .map(|(kind, value)| Observable::new(*kind, value, FieldAt::NONE))
                .collect();
            let mut found = Vec::new();
            index.matches(&asking(ORG, None), &observables, &mut found);
            let found: Vec<_> = found
                .iter()
                .map(|found| {
                    (
                        usize::from(found.observable),
                        index.known(*found).unwrap().id,
                    )
                })
                .collect();
            let expected = few.iter().enumerate().flat_map(|(number, value)| {
                let ids = model.get(value).into_iter().flatten();
                ids.map(move |id| (number, *id))
            });
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }
}

fn values() -> impl Strategy<Value = String> {
    // Few distinct values, so that they meet.
    prop_oneof![
        (8..10_u8, 0..3_u8, 0..3_u8, 0..3_u8).prop_map(|(a, b, c, d)| format!("{a}.{b}.{c}.{d}")),
        (8..10_u8, 0..3_u8, 8..=31_u8).prop_map(|(a, b, len)| format!("{a}.{b}.0.0/{len}")),
        (0..3_u8, 16..=127_u8).prop_map(|(a, len)| format!("2a0{a}::/{len}")),
        (0..3_u8, 0..3_u8).prop_map(|(a, b)| format!("2a0{a}::{b}")),
        "(a\\.|b\\.){0,3}(x|y)\\.(com|org)",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_index_answers_as_a_linear_scan_does(
        known in prop::collection::vec(values(), 0..40),
        asked in prop::collection::vec(values(), 1..10),
    ) {
        let indicators: Vec<Indicator> = known
            .iter()
            .zip(1..)
            .map(|(value, id)| Indicator { id, ..indicator(value) })
            .collect();
        let index = IndicatorIndex::build(indicators.iter().cloned());
        prop_assert_eq!(index.len(), indicators.len());
        for value in &asked {
            let Some((kind, value)) = crate::observables::guess(value) else { continue };
            if kind == Kind::Cidr { continue }
            let observable = Observable::new(kind, &value, FieldAt::NONE);
            let mut found = Vec::new();
            index.matches(&asking(ORG, None), &[observable], &mut found);
            let mut ids: Vec<u64> = found.iter().map(|found| index.known(*found).unwrap().id).collect();
            ids.sort_unstable();
            let mut expected = linear(&indicators, &observable);
            expected.truncate(16);
            prop_assert_eq!(ids, expected, "{}", value);
        }
    }

    /// Values that several organisations know, that have ended, and more of them than are looked up at once.
    #[test]
    fn values_together_match_as_each_alone_and_only_what_is_visible(
        known in prop::collection::vec((values(), 0..3_u8, prop::bool::ANY), 0..60),
        asked in prop::collection::vec(values(), 1..60),
    ) {
        let indicators: Vec<Indicator> = known
            .iter()
            .zip(1..)
            .map(|((value, org, has_ended), id)| Indicator {
                id,
                org: [None, Some(ORG), Some(OTHER_ORG)][usize::from(*org)],
                expires_at: has_ended.then_some(NOW),
                ..indicator(value)
            })
            .collect();
        let index = IndicatorIndex::build(indicators.iter().cloned());
        let visible: Vec<Indicator> = indicators
            .into_iter()
            .filter(|one| one.org != Some(OTHER_ORG) && one.expires_at.is_none())
            .collect();
        let asked: Vec<_> = asked.iter().filter_map(|value| crate::observables::guess(value)).collect();
        let observables: Vec<_> = asked
            .iter()
            .filter(|(kind, _)| *kind != Kind::Cidr)
            .map(|(kind, value)| Observable::new(*kind, value, FieldAt::NONE))
            .collect();
        let mut found = Vec::new();
        index.matches(&asking(ORG, None), &observables, &mut found);
        for (number, observable) in observables.iter().enumerate() {
            let own = found.iter().filter(|one| usize::from(one.observable) == number);
            let mut ids: Vec<u64> = own.map(|found| index.known(*found).unwrap().id).collect();
            ids.sort_unstable();
            let expected = linear(&visible, observable);
            prop_assert_eq!(ids.len(), expected.len().min(16));
            prop_assert!(ids.iter().all(|id| expected.contains(id)), "{}", observable.value);
        }
        prop_assert!(found.is_sorted_by_key(|one| one.observable));
    }

    #[test]
    fn any_feed_is_read_without_a_fault(text in "\\PC{0,200}") {
        let feed = feed("any", 1);
        let plain = parse::plain(&text, &feed);
        let csv = parse::csv(&format!("value,type\n{text}"), &feed);
        for indicator in plain.indicators.iter().chain(&csv.indicators) {
            prop_assert!(canonical(indicator.kind, &indicator.value).is_some());
        }
    }
}
