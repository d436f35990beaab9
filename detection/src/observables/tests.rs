use super::*;
use proptest::prelude::*;

fn found(text: &str) -> Vec<(Kind, String)> {
    named("message", text)
}

fn named(name: &str, text: &str) -> Vec<(Kind, String)> {
    let arena = Bump::new();
    let mut found = Observables::new();
    found.extract_text(name, arena.alloc_str(text), FieldAt::event(0), &arena);
    let list = found.as_slice().iter();
    // What is carried along is what the text says.
    list.clone().for_each(|one| {
        assert_eq!(*one, Observable::new(one.kind, one.value, one.at));
        assert_eq!(
            one.network.is_some(),
            matches!(one.kind, Kind::Ipv4 | Kind::Ipv6 | Kind::Cidr)
        );
    });
    list.map(|observable| (observable.kind, observable.value.to_owned()))
        .collect()
}

fn is(text: &str, expected: &[(Kind, &str)]) {
    let found = found(text);
    let found: Vec<_> = found
        .iter()
        .map(|(kind, value)| (*kind, value.as_str()))
        .collect();
    assert_eq!(found, expected, "in {text:?}");
}

#[test]
fn addresses_and_networks() {
    is(
        "from 8.8.4.4:53 to 10.0.0.0/8.",
        &[(Kind::Ipv4, "8.8.4.4"), (Kind::Cidr, "10.0.0.0/8")],
    );
    is(
        "/10.1.2.3:80 10.1.2.4-10.1.2.9",
        &[
            (Kind::Ipv4, "10.1.2.3"),
            (Kind::Ipv4, "10.1.2.4"),
            (Kind::Ipv4, "10.1.2.9"),
        ],
    );
    is(
        "192.168.1.5/24 and 1.2.3.4/32",
        &[(Kind::Ipv4, "192.168.1.5"), (Kind::Ipv4, "1.2.3.4")],
    );
    is("v1.2.3.4 1.2.3.4.5 1.2.3 300.1.1.1 01.2.3.4 1.2.3.4a", &[]);
    is(
        "peer 2001:DB8::0001, [fe80::1%eth0]:22",
        &[(Kind::Ipv6, "2001:db8::1"), (Kind::Ipv6, "fe80::1")],
    );
    is(
        "2001:db8::/32 ::ffff:8.8.8.8",
        &[(Kind::Cidr, "2001:db8::/32"), (Kind::Ipv4, "8.8.8.8")],
    );
    is(
        "12:34:56 std::string a::b aa:bb:cc:dd:ee:ff cafe:10.0.0.1",
        &[(Kind::Ipv4, "10.0.0.1")],
    );
}

#[test]
fn an_apostrophe_ends_a_url_that_stands_behind_one() {
    for (text, url) in [
        ("'http://evil.com/a'", "http://evil.com/a"),
        ("{'u': 'http://evil.com/a', 'b': 'c'}", "http://evil.com/a"),
        ("['http://evil.com/a','b','c']", "http://evil.com/a"),
        ("x='http://evil.com'", "http://evil.com"),
        ("'hxxp://evil[.]com/a'b", "http://evil.com/a"),
        // No apostrophe before it: those within are its own, one at its end is not.
        (
            "http://evil.com/it's/b?c='d'&e",
            "http://evil.com/it's/b?c='d'&e",
        ),
        ("see http://evil.com/it's.", "http://evil.com/it's"),
        ("'see http://evil.com/a'", "http://evil.com/a"),
        ("'see http://evil.com/'.", "http://evil.com"),
        ("http://evil.com','b'", "http://evil.com"),
        ("http://evil.com'/a", "http://evil.com"),
    ] {
        is(text, &[(Kind::Url, url), (Kind::Domain, "evil.com")]);
    }
    // A value by itself is the same.
    assert_eq!(
        guess("http://evil.com/it's"),
        Some((Kind::Url, "http://evil.com/it's".to_owned()))
    );
}

#[test]
fn domains_but_not_files_and_code() {
    is(
        "lookup of WWW.Evil.COM failed, t.co.",
        &[(Kind::Domain, "www.evil.com"), (Kind::Domain, "t.co")],
    );
    is(
        "powershell.exe main.rs foo.py README.md C:\\evil.com /var/www/evil.com/x",
        &[],
    );
    is("server.host=1 foo.run() java.lang.String 1.5s", &[]);
    is("bücher.de 访问evil.com查看", &[(Kind::Domain, "evil.com")]);
    is(
        "tcp://db.evil.com:5432 evil.com/path",
        &[(Kind::Domain, "db.evil.com"), (Kind::Domain, "evil.com")],
    );
    assert_eq!(
        named("dns.query", "evil.sh"),
        [(Kind::Domain, "evil.sh".to_owned())]
    );
    assert!(named("file", "evil.sh").is_empty());
}

#[test]
fn urls_with_their_hosts() {
    is(
        "GET HTTPS://Bob:pw@Evil.com:443/A/b?q=1#frag, done",
        &[
            (Kind::Url, "https://evil.com/A/b?q=1"),
            (Kind::Domain, "evil.com"),
        ],
    );
    is(
        "(see http://evil.com/a_(b)) and http://8.8.8.8:8080/",
        &[
            (Kind::Url, "http://evil.com/a_(b)"),
            (Kind::Domain, "evil.com"),
            (Kind::Url, "http://8.8.8.8:8080"),
            (Kind::Ipv4, "8.8.8.8"),
        ],
    );
    is(
        "http://[2001:DB8::1]:80/x http://localhost:80/ http://payments/x",
        &[
            (Kind::Url, "http://[2001:db8::1]/x"),
            (Kind::Ipv6, "2001:db8::1"),
        ],
    );
    is(
        "http://main.rs/x",
        &[(Kind::Url, "http://main.rs/x"), (Kind::Domain, "main.rs")],
    );
    // What stands before a fragment ends like what stands before a space.
    for written in [
        "[http://evil.com/C].",
        "[http://evil.com/C].#top",
        "http://evil.com/C?#x,y",
    ] {
        is(
            written,
            &[(Kind::Url, "http://evil.com/C"), (Kind::Domain, "evil.com")],
        );
    }
    // A path is defanged like a name, also where nothing else is; marks within marks are no path.
    is(
        "http://evil.com/a[.]php",
        &[
            (Kind::Url, "http://evil.com/a.php"),
            (Kind::Domain, "evil.com"),
        ],
    );
    is("http://evil.com/a[[.]]php", &[(Kind::Domain, "evil.com")]);
}

/// Text made to be read again and again from every byte is read in one go: a reader whose work
/// grows with the square of the length would not come to an end here.
#[test]
fn hostile_text_is_read_in_one_go() {
    for part in [
        "a:", "http://", "http://)", "a.", "a@", "1.", "::", "[[.", "cve-", "a-1.",
    ] {
        assert!(
            found(&part.repeat(300_000 / part.len())).len() < 2,
            "{part}"
        );
    }
}

#[test]
fn mail_addresses_hide_their_domain() {
    is(
        "from Bob.Smith+x@Evil.com to mary.name@evil.co.uk;",
        &[
            (Kind::Email, "bob.smith+x@evil.com"),
            (Kind::Email, "mary.name@evil.co.uk"),
        ],
    );
    is("root@host.local @evil.com a@b", &[]);
}

#[test]
fn digests_and_cves() {
    let (md5, sha1) = (
        "d41d8cd98f00b204e9800998ecf8427e",
        "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
    );
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let sha512 = sha256.repeat(2);
    is(
        &format!("md5={md5} {sha1}, sha256:{sha256}; {sha512}"),
        &[
            (Kind::Md5, md5),
            (Kind::Sha1, &sha1.to_lowercase()),
            (Kind::Sha256, sha256),
            (Kind::Sha512, &sha512),
        ],
    );
    is(&format!("{md5}0 x{md5} {}", "1".repeat(32)), &[]);
    is(
        "CVE-2021-44228, cve-2024-1234567: XCVE-2021-44228 CVE-21-1 CVE-2021-44228x",
        &[
            (Kind::Cve, "cve-2021-44228"),
            (Kind::Cve, "cve-2024-1234567"),
        ],
    );
}

#[test]
fn defanged_forms() {
    is(
        "hxxps://evil[.]com/x",
        &[
            (Kind::Url, "https://evil.com/x"),
            (Kind::Domain, "evil.com"),
        ],
    );
    is(
        "hXXp[:]//8[.]8.8[.]8",
        &[(Kind::Url, "http://8.8.8.8"), (Kind::Ipv4, "8.8.8.8")],
    );
    is(
        "login.evil.com[.]br bob (at) evil (dot) com",
        &[
            (Kind::Domain, "login.evil.com.br"),
            (Kind::Email, "bob@evil.com"),
        ],
    );
}

#[test]
fn no_doubles_and_a_bound() {
    is(
        "evil.com EVIL.com http://evil.com",
        &[(Kind::Domain, "evil.com"), (Kind::Url, "http://evil.com")],
    );
    let many: String = (0..100).map(|n| format!("8.8.8.{n} ")).collect();
    let arena = Bump::new();
    let mut found = Observables::new();
    found.extract_text("message", arena.alloc_str(&many), FieldAt::event(0), &arena);
    assert_eq!(
        (found.as_slice().len(), found.dropped()),
        (OBSERVABLES_MAX, 36)
    );
}

#[test]
fn a_trace_id_is_no_md5() {
    let arena = Bump::new();
    let id = "d41d8cd98f00b204e9800998ecf8427e";
    let field = |role| Field {
        name: "x",
        value: Value::Text(id),
        role,
        sub: 0,
    };
    let mut found = Observables::new();
    found.extract_event(&[field(Role::TraceId)], &arena);
    assert!(found.as_slice().is_empty());
    found.extract_event(&[field(Role::Level), field(Role::Attribute)], &arena);
    assert_eq!(
        found.as_slice().first().map(|first| first.at),
        Some(FieldAt::event(1))
    );
}

#[test]
fn values_of_feeds() {
    let is = |value: &str, kind, canonical: &str| {
        assert_eq!(guess(value), Some((kind, canonical.to_owned())), "{value}");
    };
    is(" 8.8.8[.]8 ", Kind::Ipv4, "8.8.8.8");
    is("8.8.8.8/32", Kind::Ipv4, "8.8.8.8");
    is("8.8.8.8/24", Kind::Cidr, "8.8.8.0/24");
    is("2001:DB8::1", Kind::Ipv6, "2001:db8::1");
    is("*.Evil.com.", Kind::Domain, "evil.com");
    is("evil.sh", Kind::Domain, "evil.sh");
    is("hxxp://evil[.]com/A", Kind::Url, "http://evil.com/A");
    is("CVE-2021-44228", Kind::Cve, "cve-2021-44228");
    for bad in [
        "",
        "evil",
        "two evil.com",
        "evil.com,x",
        "powershell.exe",
        "a/b",
    ] {
        assert_eq!(guess(bad), None, "{bad}");
    }
    assert_eq!(canonical(Kind::Md5, "evil.com"), None);
    assert!(canonical(Kind::Cidr, "8.8.8.8").is_some());
}

#[test]
fn special_ranges() {
    for special in [
        "10.1.1.1",
        "127.0.0.1",
        "169.254.1.1",
        "192.0.2.1",
        "203.0.113.9",
        "100.64.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "224.0.0.1",
        "0.0.0.0",
    ] {
        assert!(is_special(special.parse().unwrap()), "{special}");
    }
    for public in ["8.8.8.8", "100.128.0.1", "198.20.0.1", "2606:4700::1111"] {
        assert!(!is_special(public.parse().unwrap()), "{public}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_without_a_fault(text in "\\PC{0,200}") {
        found(&text);
        let _ = guess(&text);
    }

    #[test]
    fn any_mix_of_the_bytes_that_matter_is_read(text in "[a-f0-9.:@/\\[\\]()é%htps CVE-]{0,160}") {
        for (kind, value) in found(&text) {
            let again = guess(&value);
            prop_assert_eq!(again, Some((kind, value)), "in {:?}", text);
        }
    }

    #[test]
    fn an_address_is_found_between_any_words(a in any::<[u8; 4]>(), before in "[a-z ]{0,20} ", after in " [a-z ]{0,20}") {
        let address = std::net::Ipv4Addr::from(a).to_string();
        let found = found(&format!("{before}{address}{after}"));
        prop_assert!(found.contains(&(Kind::Ipv4, address)));
    }

    #[test]
    fn defanging_changes_nothing(host in "[a-z]{3,12}\\.(com|org|co\\.uk|de)", path in "[a-zA-Z0-9/]{0,10}") {
        let plain = found(&format!("x http://{host}/{path} y"));
        let fanged = found(&format!("x hxxp://{}/{path} y", host.replace('.', "[.]")));
        prop_assert_eq!(plain, fanged);
    }
}
