//! What holds for every text: no panic, idempotence, valid boundaries, clean text untouched.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not know as tests"
)]

use bumpalo::Bump;
use millrace_scrubber::{Class, ClassSet, Pepper, Policy, Scrubbed, Scrubber, Strategy as Write};
use proptest::prelude::*;

fn pepper() -> Pepper {
    Pepper::new(1, b"a pepper of a good length").unwrap()
}

/// Every class under one strategy; addresses too, which the default keeps.
fn everywhere(strategy: Write) -> Scrubber {
    let classes = Class::ALL
        .into_iter()
        .map(|class| (class, strategy))
        .collect();
    Scrubber::new(
        &Policy {
            classes,
            ..Policy::default()
        },
        pepper(),
    )
    .unwrap()
}

fn scrub(scrubber: &Scrubber, text: &str) -> (String, ClassSet) {
    let arena = Bump::new();
    let mut found = ClassSet::EMPTY;
    let scrubbed = match scrubber.scrub(&arena, "message", text, &mut found) {
        None => text.to_owned(),
        Some(Scrubbed::Replaced(text)) => text.to_owned(),
        Some(Scrubbed::Removed) => String::new(),
    };
    (scrubbed, found)
}

/// Pieces that detectors react to, and what breaks them, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("bob@example.com".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("4111111111111111".to_owned()),
        Just("123-45-6789".to_owned()),
        Just("123456789".to_owned()),
        Just("ssn ".to_owned()),
        Just("phone: ".to_owned()),
        Just("+1 (415) 555-2671".to_owned()),
        Just("tel. 91 234 56 78".to_owned()),
        Just("(02) 9374 4000".to_owned()),
        Just("\\n".to_owned()),
        Just("\\u003c".to_owned()),
        Just("%3D".to_owned()),
        Just("пароль: ".to_owned()),
        Just("\"card\":4111111111111111,".to_owned()),
        Just("email:v2:0123456789abcdef01234567".to_owned()),
        Just("415-555-2671".to_owned()),
        Just("020 7946 0958".to_owned()),
        Just("GB82WEST12345698765432".to_owned()),
        Just("DE89 3704 0044 0532 0130 00".to_owned()),
        Just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned()),
        Just("ghp_0123456789abcdefghijABCDEFGHIJ012345".to_owned()),
        Just("sk-0123456789abcdefghijABCDEFGHIJ".to_owned()),
        Just("password=".to_owned()),
        Just("\"token\":".to_owned()),
        Just("\\\"secret\\\": \\\"".to_owned()),
        Just("Authorization: Bearer ".to_owned()),
        Just("Cookie: ".to_owned()),
        Just("<pwd>".to_owned()),
        Just("--password ".to_owned()),
        Just("postgres://u:p@h.com/".to_owned()),
        Just("/home/alice/".to_owned()),
        Just("C:\\Users\\bob\\".to_owned()),
        Just("00:1a:2b:3c:4d:5e".to_owned()),
        Just("001a.2b3c.4d5e".to_owned()),
        Just("10.1.2.3".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        Just("-----END PRIVATE KEY-----".to_owned()),
        Just("[EMAIL]".to_owned()),
        Just("***".to_owned()),
        "[-@.:=/ \\\\\"'+()\\[\\]{}<>&,;*%\n]{1,3}",
        "[a-z0-9]{1,6}",
        "[0-9]{1,12}",
        "\\PC{1,4}",
    ];
    proptest::collection::vec(piece, 1..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn scrubbing_twice_changes_nothing_more(text in pieces()) {
        for strategy in [Write::Redact, Write::Mask, Write::Hash, Write::Remove] {
            let scrubber = everywhere(strategy);
            let (once, _) = scrub(&scrubber, &text);
            let (twice, _) = scrub(&scrubber, &once);
            prop_assert_eq!(&twice, &once, "{:?} of {:?}", strategy, text);
        }
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}", path in "\\PC{0,40}") {
        let scrubber = everywhere(Write::Pseudonym.or_redact());
        let arena = Bump::new();
        let mut found = ClassSet::EMPTY;
        let _ = scrubber.scrub(&arena, &path, &text, &mut found);
        let _ = scrubber.scrub_key(&arena, &path, &mut found);
    }

    #[test]
    fn what_was_found_is_gone(before in "[a-z ]{0,80}", after in "[a-z ]{0,80}") {
        let scrubber = everywhere(Write::Redact);
        let text = format!("{before} bob@example.com {after}");
        let (scrubbed, found) = scrub(&scrubber, &text);
        prop_assert_eq!(scrubbed, format!("{before} [EMAIL] {after}"));
        prop_assert!(found.contains(Class::Email));
    }

    #[test]
    fn words_are_left_alone(text in "([A-Za-z]{1,9}[ ,.!?]{1,2}){1,20}") {
        prop_assert_eq!(scrub(&everywhere(Write::Redact), &text).0, text);
    }

    #[test]
    fn hashes_and_numbers_are_left_alone(
        hex in "[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}",
        uuid in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
        number in 0u32..400_000_000,
        seconds in 1_500_000_000u64..1_999_999_999,
    ) {
        let scrubber = Scrubber::new(&Policy::default(), pepper()).unwrap();
        let text = format!("{hex} {uuid} n={number} t={seconds} t={seconds}123 t={seconds}123456789");
        prop_assert_eq!(scrub(&scrubber, &text).0, text);
    }
}

/// Triggers everywhere, and after each of them as much to read as detectors will read.
#[test]
fn texts_made_to_be_slow_are_survived() {
    let scrubber = everywhere(Write::Redact);
    for piece in [
        "@",
        "a@",
        "%40",
        "eyJ-",
        "eyJ.",
        "sk-",
        "xoxb-",
        "basic+",
        "bearer%20",
        "pw=",
        "pw:[",
        "pw:{{",
        "\"pw\":\"",
        "cookie:",
        "-----BEGIN PRIVATE KEY-----",
        "1:",
        "1.",
        "1 ",
        "0123 ",
        "+1",
        "(1",
        "/home/",
        "\\users\\",
        "--pw ",
        "<pw>",
        "://",
        "a:b@",
        "DE00",
        "ssn 123456789",
        "tel 91 234 56 78 ",
        "12 34 56 ",
        "\\u0041",
        "%41",
        "пароль",
        "aa:",
        "SG.a.",
    ] {
        let text = piece.repeat(20_000 / piece.len());
        let (once, _) = scrub(&scrubber, &text);
        assert!(!once.is_empty());
    }
}

#[test]
fn the_place_in_a_long_text_does_not_matter() {
    let scrubber = everywhere(Write::Redact);
    for (value, placeholder) in [
        ("bob@example.com", "[EMAIL]"),
        ("4111 1111 1111 1111", "[CARD]"),
        ("4111111111111111", "[CARD]"),
        ("123-45-6789", "[SSN]"),
        ("415.555.2671", "[PHONE]"),
        ("+14155552671", "[PHONE]"),
        ("DE89370400440532013000", "[IBAN]"),
        ("00:1a:2b:3c:4d:5e", "[MAC]"),
        ("001a.2b3c.4d5e", "[MAC]"),
        ("10.1.2.3", "[IPV4]"),
        ("2001:db8::1", "[IPV6]"),
        ("AKIAIOSFODNN7EXAMPLE", "[SECRET]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[JWT]"),
    ] {
        for before in 0..200 {
            let (head, tail) = ("x".repeat(before), "y".repeat(200 - before));
            let text = format!("{head} {value} {tail}");
            assert_eq!(
                scrub(&scrubber, &text).0,
                format!("{head} {placeholder} {tail}")
            );
        }
    }
}

/// Pseudonyms are for addresses; the other classes are redacted beside them.
trait OrRedact {
    fn or_redact(self) -> Write;
}

impl OrRedact for Write {
    fn or_redact(self) -> Write {
        if self == Write::Pseudonym {
            Write::Redact
        } else {
            self
        }
    }
}
