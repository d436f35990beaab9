//! Every class, strategy and rule through the public interface, as a table of texts.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not know as tests"
)]

use bumpalo::Bump;
use millrace_scrubber::{Class, ClassSet, Pepper, Policy, PolicyError, Scrubbed, Scrubber};

const PEPPER: &[u8] = b"a pepper of a good length";

fn scrubber(policy: &str) -> Scrubber {
    let policy: Policy = serde_json::from_str(policy).unwrap();
    Scrubber::new(&policy, Pepper::new(1, PEPPER).unwrap()).unwrap()
}

/// The text after scrubbing (`None` when the field went), and the classes that were found.
fn scrub_at(scrubber: &Scrubber, path: &str, text: &str) -> (Option<String>, Vec<&'static str>) {
    let arena = Bump::new();
    let mut found = ClassSet::EMPTY;
    let scrubbed = match scrubber.scrub(&arena, path, text, &mut found) {
        None => Some(text.to_owned()),
        Some(Scrubbed::Replaced(text)) => Some(text.to_owned()),
        Some(Scrubbed::Removed) => None,
    };
    (scrubbed, found.names().collect())
}

fn scrub(policy: &str, text: &str) -> String {
    scrub_at(&scrubber(policy), "message", text).0.unwrap()
}

fn assert_redacted(cases: &[(&str, &str)]) {
    let scrubber = scrubber("{}");
    for (text, expected) in cases {
        let (scrubbed, found) = scrub_at(&scrubber, "message", text);
        assert_eq!(scrubbed.as_deref(), Some(*expected), "{text}");
        assert_eq!(found.is_empty(), text == expected, "{text}");
    }
}

#[test]
fn personal_data_is_redacted() {
    assert_redacted(&[
        ("mail bob@example.com, now", "mail [EMAIL], now"),
        ("card 4111-1111-1111-1111 declined", "card [CARD] declined"),
        ("{\"card\":\"4111111111111111\"}", "{\"card\":\"[CARD]\"}"),
        ("ssn is 123-45-6789.", "ssn is [SSN]."),
        ("SSN: 123456789", "SSN: [SSN]"),
        ("call +1 (415) 555-2671 now", "call [PHONE] now"),
        ("call (415) 555-2671 now", "call [PHONE] now"),
        ("tel: 98765 43210", "tel: [PHONE]"),
        ("pay DE89 3704 0044 0532 0130 00 today", "pay [IBAN] today"),
        ("mac 00:1a:2b:3c:4d:5e up", "mac [MAC] up"),
        ("mac 001a.2b3c.4d5e up", "mac [MAC] up"),
        (
            "open /home/alice/x and /Users/bob/y",
            "open /home/[USER]/x and /Users/[USER]/y",
        ),
        (r"open C:\Users\carol\x", r"open C:\Users\[USER]\x"),
        ("a@b.co c@d.co", "[EMAIL] [EMAIL]"),
        (
            r#"{"card":4111111111111111,"a":1}"#,
            r#"{"card":"[CARD]","a":1}"#,
        ),
        (r#"{\"phone\": 4155552671}"#, r#"{\"phone\": \"[PHONE]\"}"#),
        (
            r#"{"m":"a\nbob@example.com\nb"}"#,
            r#"{"m":"a\n[EMAIL]\nb"}"#,
        ),
        (r"\u003cbob@example.com\u003e", r"\u003c[EMAIL]\u003e"),
    ]);
}

#[test]
fn secrets_with_a_format_are_redacted() {
    let alnum = "0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGHIJ0123456789";
    let hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let of = |body: &str, length: usize| body.get(..length).unwrap().to_owned();
    let secrets = [
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        "ASIAIOSFODNN7EXAMPLE".to_owned(),
        format!("ghp_{}", of(alnum, 36)),
        format!("gho_{}", of(alnum, 36)),
        format!("github_pat_{}", of(alnum, 60)),
        format!("glpat-{}", of(alnum, 20)),
        "xoxb-123456789012-1234567890123-abcdefABCDEF".to_owned(),
        "xoxp-123456789012-abcdef".to_owned(),
        format!("sk_live_{}", of(alnum, 24)),
        format!("rk_live_{}", of(alnum, 24)),
        format!("AIza{}", of(alnum, 35)),
        format!("sk-{}", of(alnum, 48)),
        format!("sk-proj-{}", of(alnum, 48)),
        format!("sk-ant-api03-{}", of(alnum, 60)),
        format!("npm_{}", of(alnum, 36)),
        format!("pypi-AgEIcHlwaS5vcmc{}", of(alnum, 40)),
        format!("SG.{}.{}", of(alnum, 22), of(alnum, 43)),
        format!("SK{}", of(hex, 32)),
        format!("whsec_{}", of(alnum, 32)),
        format!("dop_v1_{}", of(hex, 64)),
        format!("shpat_{}", of(hex, 32)),
        format!("hvs.{}", of(alnum, 24)),
        format!("110201543:AA{}", of(alnum, 33)),
    ];
    let scrubber = scrubber("{}");
    for secret in &secrets {
        for (before, after) in [
            ("", ""),
            ("using ", " now"),
            ("\"", "\""),
            ("x=", "&y"),
            ("(", ")."),
        ] {
            let (scrubbed, found) =
                scrub_at(&scrubber, "message", &format!("{before}{secret}{after}"));
            assert_eq!(
                scrubbed,
                Some(format!("{before}[SECRET]{after}")),
                "{secret}"
            );
            assert_eq!(found, ["secret"]);
        }
    }
}

#[test]
fn tokens_schemes_and_key_blocks_are_redacted() {
    assert_redacted(&[
        (
            "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end",
            "got [JWT] end",
        ),
        ("Bearer 0a1b2c3d4e5f", "Bearer [SECRET]"),
        (
            "with bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "with bearer [SECRET]",
        ),
        ("auth Basic dXNlcjpwYXNzd29yZA==", "auth Basic [SECRET]"),
        ("Basic authentication failed", "Basic authentication failed"),
        ("bearer authentication", "bearer authentication"),
        (
            "postgres://app:s3cr3t@db.example.com/x",
            "postgres://app:[SECRET]@db.example.com/x",
        ),
        (
            "key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\ndone",
            "key:\n[SECRET]\ndone",
        ),
        (r"-----BEGIN PRIVATE KEY-----\nMIIEow", "[SECRET]"),
        (
            "-----BEGIN CERTIFICATE-----\nMIIEow",
            "-----BEGIN CERTIFICATE-----\nMIIEow",
        ),
        (
            "css sk-circle-fade-dot-container-large",
            "css sk-circle-fade-dot-container-large",
        ),
    ]);
}

#[test]
fn named_values_are_redacted() {
    assert_redacted(&[
        ("password=hunter2", "password=[SECRET]"),
        (
            "user=bob password=hunter2 x=1",
            "user=bob password=[SECRET] x=1",
        ),
        ("password: hunter2", "password: [SECRET]"),
        ("password = 'my secret' ok", "password = '[SECRET]' ok"),
        (
            r#"{"password":"hun\"ter2","a":1}"#,
            r#"{"password":"[SECRET]","a":1}"#,
        ),
        (
            r#"{"body":"{\"password\":\"hunter2\",\"a\":1}"}"#,
            r#"{"body":"{\"password\":\"[SECRET]\",\"a\":1}"}"#,
        ),
        (
            r#"{\\\"apiKey\\\": \\\"abc\\\"}"#,
            r#"{\\\"apiKey\\\": \\\"[SECRET]\\\"}"#,
        ),
        (r#"{"cvv": 123, "a": 1}"#, r#"{"cvv": "[SECRET]", "a": 1}"#),
        (r#"{\"cvv\":123}"#, r#"{\"cvv\":\"[SECRET]\"}"#),
        (
            r#"{"secrets":["a","b"],"c":1}"#,
            r#"{"secrets":"[SECRET]","c":1}"#,
        ),
        (
            "?user=bob&api_key=abc123&page=2",
            "?user=bob&api_key=[SECRET]&page=2",
        ),
        ("user[password]=hunter2&x=1", "user[password]=[SECRET]&x=1"),
        (
            "<Password>hunter2</Password>",
            "<Password>[SECRET]</Password>",
        ),
        (
            "mysql --password hunter2 -u bob",
            "mysql --password [SECRET] -u bob",
        ),
        ("x --api-key=abc123", "x --api-key=[SECRET]"),
        (":password=>\"hunter2\"", ":password=>\"[SECRET]\""),
        (
            "Authorization: Bearer abcdef012345",
            "Authorization: Bearer [SECRET]",
        ),
        (
            "Authorization: Token abcdef012345",
            "Authorization: Token [SECRET]",
        ),
        (
            "Cookie: sid=abc; theme=dark\r\nHost: x",
            "Cookie: [SECRET]\r\nHost: x",
        ),
        ("access_token=abcdef", "access_token=[SECRET]"),
        (
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG",
            "AWS_SECRET_ACCESS_KEY=[SECRET]",
        ),
    ]);
}

#[test]
fn named_values_of_addresses_sql_and_other_scripts_are_redacted() {
    assert_redacted(&[
        (
            "user%5Bpassword%5D=hunter2&x=1",
            "user%5Bpassword%5D=[SECRET]&x=1",
        ),
        (
            "user%5Btoken%5D=hunter2&x=1",
            "user%5Btoken%5D=[SECRET]&x=1",
        ),
        ("密码：hunter2，请重试", "密码：[SECRET]，请重试"),
        ("password＝hunter2 x", "password＝[SECRET] x"),
        (
            "ALTER USER bob WITH PASSWORD 'it''s1' VALID UNTIL 'infinity'",
            "ALTER USER bob WITH PASSWORD '[SECRET]' VALID UNTIL 'infinity'",
        ),
        (
            "create user x identified by 'hunter2'; next",
            "create user x identified by '[SECRET]'; next",
        ),
        ("SET PASSWORD('hunter2')", "SET PASSWORD('[SECRET]')"),
    ]);
}

#[test]
fn what_joins_and_detection_need_is_kept() {
    for text in [
        "author=bob authored_by: alice authority=x",
        "tokens_used=1234 max_tokens: 4096 token_count=17",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "id 3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "12345678-1234-4234-8234-123456789012",
        "41111111-1111-4111-8111-411111111111",
        "md5 d41d8cd98f00b204e9800998ecf8427e",
        "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:4111111111111111aabbccddeeff00114111111111111111aabbccddeeff0011",
        "sha256 a4111111111111111aabbccddeeff0011411111111111111aabbccddeeff0011",
        "commit 1234567 of v1.2.3 and 10.0.19045.3570",
        "at 1700000000 1700000000123 1700000000123456 1700000000123456789",
        "2026-11-21T04:05:06.123456789Z 2026-11-21 04:05:06,123 +0100",
        "20261121040506 2026-11-21",
        "card 4111111111111112 and 4111 1111 1111 1112",
        "block blk_-1608999687919862906 terminating",
        "10.250.19.102:54106 and 2001:db8::1",
        "price 12345678.90 total 1,234,567,890",
        "0x7ffee4111111111111111 0xdeadbeef",
        "Failed password for invalid user admin from 10.0.0.1 port 22 ssh2",
        "password: required, token: unexpected, auth: failed, secret is null",
        "status installed python3-jwt:all 2.6.0-1",
        "configure passwd:amd64 1:4.13+dfsg1-1 <none>",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 ruser= rhost=10.0.0.1",
        "GET /home/start HTTP/1.1 and https://example.com/home/x",
        "std::fs::File a==b token == x",
        "00:1a:2b:3c:4d:5e:6f:70:81:92:a3:b4:c5:d6:e7:f8",
        "TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls",
        "[EMAIL] [CARD] password=[SECRET] /home/[USER]/x",
    ] {
        assert_eq!(scrub("{}", text), text);
    }
}

#[test]
fn a_sensitive_field_is_replaced_whole() {
    let scrubber = scrubber("{}");
    for path in [
        "user.password",
        "headers.authorization",
        "apiKey",
        "cookies.sid",
    ] {
        let (scrubbed, found) = scrub_at(&scrubber, path, "12345");
        assert_eq!(scrubbed.as_deref(), Some("[REDACTED]"));
        assert_eq!(found, ["sensitive_key"]);
        assert!(scrubber.is_sensitive_key(path));
    }
    for path in [
        "author",
        "article.authored_by",
        "usage.tokens_used",
        "message",
    ] {
        assert_eq!(
            scrub_at(&scrubber, path, "12345"),
            (Some("12345".to_owned()), vec![])
        );
        assert!(!scrubber.is_sensitive_key(path));
    }
    assert_eq!(
        scrub_at(&scrubber, "user.phone", "98765 43210")
            .0
            .as_deref(),
        Some("[PHONE]")
    );
    assert_eq!(
        scrub_at(&scrubber, "user.ssn", "123456789").0.as_deref(),
        Some("[SSN]")
    );
}

#[test]
fn every_strategy_writes_what_it_says() {
    let all = |strategy: &str| {
        let classes: Vec<String> = Class::ALL
            .iter()
            .filter(|class| strategy != "pseudonym" || matches!(class, Class::Ipv4 | Class::Ipv6))
            .map(|class| format!("\"{class}\":\"{strategy}\""))
            .collect();
        format!("{{\"classes\":{{{}}}}}", classes.join(","))
    };
    let text = "bob@example.com 4111 1111 1111 1111 /home/bob/ 10.1.2.3 00:1a:2b:3c:4d:5e";
    assert_eq!(scrub(&all("keep"), text), text);
    assert_eq!(
        scrub(&all("mask"), text),
        "b***@example.com ****1111 /home/b***/ 10.1.*.* 00:1a:2b:**:**:**"
    );
    assert_eq!(
        scrub(&all("redact"), text),
        "[EMAIL] [CARD] /home/[USER]/ [IPV4] [MAC]"
    );
    assert_eq!(scrub(&all("remove"), "a bob@example.com b"), "a  b");
    assert_eq!(
        scrub_at(&scrubber(&all("remove")), "m", "bob@example.com").0,
        None
    );
    assert_eq!(scrub_at(&scrubber(&all("remove")), "password", "x").0, None);
    let pseudonym = scrub(&all("pseudonym"), "10.1.2.3 10.1.2.4 2001:db8::1");
    let addresses: Vec<&str> = pseudonym.split(' ').collect();
    assert!(addresses[0].parse::<std::net::Ipv4Addr>().is_ok());
    assert_eq!(
        addresses[0].rsplit_once('.').unwrap().0,
        addresses[1].rsplit_once('.').unwrap().0
    );
    assert!(addresses[2].parse::<std::net::Ipv6Addr>().is_ok());
    assert!(!pseudonym.contains("10.1.2.3"));
}

#[test]
fn hashes_join_and_can_be_searched() {
    let policy = r#"{"classes":{"email":"hash","payment_card":"hash","sensitive_key":"hash"}}"#;
    let scrubber = scrubber(policy);
    let hashed = scrubber.pepper().hashed(Class::Email, "bob@example.com");
    assert_eq!(hashed.len(), "email:v1:".len() + 24);
    for spelling in ["bob@example.com", "Bob@Example.COM", "bob%40example.com"] {
        assert_eq!(
            scrub_at(&scrubber, "m", spelling).0.as_deref(),
            Some(&*hashed)
        );
    }
    let card = scrubber
        .pepper()
        .hashed(Class::PaymentCard, "4111111111111111");
    assert_eq!(
        scrub_at(&scrubber, "m", "4111-1111-1111-1111").0,
        Some(card)
    );
    let whole = scrubber.pepper().hashed(Class::SensitiveKey, "abc");
    assert_eq!(scrub_at(&scrubber, "token", "abc").0, Some(whole));
    assert_ne!(
        scrubber.pepper().hashed(Class::Email, "x"),
        scrubber.pepper().hashed(Class::Secret, "x")
    );
    let other = Pepper::new(1, b"another pepper, as long").unwrap();
    assert_ne!(other.hashed(Class::Email, "bob@example.com"), hashed);
    let second = Pepper::new(2, PEPPER).unwrap();
    let second = Scrubber::new(&serde_json::from_str(policy).unwrap(), second).unwrap();
    let rotated = scrub_at(&second, "m", "bob@example.com").0.unwrap();
    assert_eq!(rotated, hashed.replace(":v1:", ":v2:"));
    // Neither is found again, whichever pepper is in use.
    for scrubber in [&scrubber, &second] {
        for text in [&hashed, &rotated, &hashed.replace(":v1", "")] {
            let text = format!("by {text} at noon");
            assert_eq!(scrub_at(scrubber, "m", &text), (Some(text), vec![]));
        }
    }
}

#[test]
fn path_rules_win_over_the_policy() {
    let scrubber = scrubber(
        r#"{"classes":{"email":"mask"},"paths":[
            {"path":"user.email","classes":{"email":"keep"}},
            {"path":"user.*","classes":{"email":"hash"}},
            {"path":"user.debug.*","value":"remove"},
            {"path":"notes","value":"redact"},
            {"path":"parser.token","value":"keep"}]}"#,
    );
    let at = |path: &str| scrub_at(&scrubber, path, "bob@example.com").0;
    assert_eq!(at("user.email").as_deref(), Some("bob@example.com"));
    assert!(at("user.other").unwrap().starts_with("email:"));
    assert_eq!(at("user.debug.x"), None);
    assert_eq!(at("notes").as_deref(), Some("[REDACTED]"));
    assert_eq!(at("username").as_deref(), Some("b***@example.com"));
    assert_eq!(
        scrub_at(&scrubber, "parser.token", "x").0.as_deref(),
        Some("x")
    );
    assert!(scrubber.is_sensitive_key("notes") && !scrubber.is_sensitive_key("parser.token"));
}

/// A rule that asks for leaked secrets must not hear of one wherever a policy replaces a field.
#[test]
fn what_only_a_policy_replaces_counts_as_what_it_holds() {
    let scrubber = scrubber(
        r#"{"sensitive_keys":["badge"],"paths":[{"path":"notes","value":"redact"},
            {"path":"debug.*","value":"remove"},{"path":"who.password","value":"hash"}]}"#,
    );
    let found = |path: &str, text: &str| scrub_at(&scrubber, path, text).1;
    assert_eq!(found("notes", "nothing to speak of"), [""; 0]);
    assert_eq!(found("debug.dump", "x"), [""; 0]);
    assert_eq!(
        found("notes", "of bob@example.com, password=hunter2x"),
        ["email", "secret"]
    );
    assert_eq!(found("debug.dump", "4111 1111 1111 1111"), ["payment_card"]);
    // The name says it, with a rule and without one.
    assert_eq!(found("who.password", "x"), ["sensitive_key"]);
    assert_eq!(found("debug.password", "x"), ["sensitive_key"]);
    assert_eq!(found("badge", "17"), ["sensitive_key"]);
}

#[test]
fn keys_are_scrubbed_too() {
    let arena = Bump::new();
    let mut found = ClassSet::EMPTY;
    let redact = scrubber("{}");
    assert_eq!(redact.scrub_key(&arena, "http.method", &mut found), None);
    assert_eq!(redact.scrub_key(&arena, "password", &mut found), None);
    assert_eq!(
        redact.scrub_key(&arena, "seen:bob@example.com", &mut found),
        Some("seen:[EMAIL]")
    );
    assert_eq!(found.names().collect::<Vec<_>>(), ["email"]);
    let remove = scrubber(r#"{"classes":{"email":"remove"}}"#);
    assert_eq!(
        remove.scrub_key(&arena, "bob@example.com", &mut found),
        Some("[EMAIL]")
    );
}

#[test]
fn a_short_pepper_is_refused() {
    let refused = Pepper::new(1, b"short").unwrap_err();
    assert_eq!(refused, PolicyError::ShortPepper(16));
    assert!(!format!("{:?}", scrubber("{}")).contains("pepper"));
}
