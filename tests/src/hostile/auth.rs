//! Every way in which a key or a signature can be wrong. All of them get one and the same answer,
//! save for a time that is off, and for what a key that is known may not do.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, small};
use super::sender::{Key, ORIGIN, Sender};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use millrace_shared::Signal;
use millrace_shared::secret::Secret;
use millrace_shared::signature::{sign_body, sign_webhook};

const AREA: Area = Area::Auth;

const UNKNOWN: (u16, &[&str]) = (401, &["unauthorized"]);
const BAD: (u16, &[&str]) = (400, &["bad_header"]);
const NOT_ALLOWED: (u16, &[&str]) = (403, &["forbidden"]);
const OFF: (u16, &[&str]) = (401, &["timestamp_out_of_tolerance"]);

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        keys(sender),
        signatures(sender),
        digits(sender),
        bodies(sender),
        webhooks(sender),
        webhook_ids(sender),
        webhook_bodies(sender),
        times(sender),
        webhook_signatures(sender),
        both_schemes(sender),
        permissions(sender),
        public(sender),
    ]
    .concat()
}

fn good(sender: &Sender, signal: Signal, what: &str) -> Request {
    Request::signed(sender, signal, small(sender, signal, what))
}

fn keys(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let request = good(sender, signal, "a key");
        let id = &sender.good.id;
        let mut add = |what: &str, request: Request| {
            let name = format!("/v1/{signal}: {what}");
            refuse(&mut cases, AREA, name, &request, UNKNOWN);
        };
        add(
            "nothing of who sends",
            request.clone().without("x-org-key").without("x-signature"),
        );
        add("no key", request.clone().without("x-org-key"));
        add("no signature", request.clone().without("x-signature"));
        for (what, key) in [
            ("an empty key", String::new()),
            ("an unknown key", "k_nobody".to_owned()),
            ("a key in capitals", id.to_uppercase()),
            ("a key and more", format!("{id}x")),
            ("a key and less", id[..id.len() - 1].to_owned()),
            ("two keys in one", format!("{id},{id}")),
            ("a key in quotes", format!("\"{id}\"")),
            ("a key of 65 characters", "k".repeat(65)),
            ("a key of 10000 characters", "k".repeat(10_000)),
            ("a key that is SQL", "' OR '1'='1".to_owned()),
            ("a key that is a pattern", "k_%".to_owned()),
            ("a key that is a path", "../../etc/passwd".to_owned()),
            ("a key that is null", "null".to_owned()),
            ("a key that is a secret", "whsec_AAAA".to_owned()),
            ("a key of another organisation", sender.foreign.id.clone()),
            ("the public key", format!("{}x", sender.public)),
            ("a revoked key", sender.revoked.id.clone()),
        ] {
            add(what, request.clone().with("x-org-key", key));
        }
        let odd = request.clone().with("x-org-key", "k\u{e9}y");
        let due = Due::refused(&[400, 401], &["unauthorized", "bad_header"]);
        let name = format!("/v1/{signal}: a key that is not ASCII");
        cases.push(Case::new(Area::Auth, name, odd.wire(), due));
        for (what, key) in [
            ("expired", &sender.expired),
            ("early", &sender.early),
            ("revoked", &sender.revoked),
        ] {
            let body = small(sender, signal, "a key that is not good now");
            let request = Request::signed_by(key, sender, signal, body);
            let name = format!("/v1/{signal}: a key that is {what}, rightly signed");
            refuse(&mut cases, AREA, name, &request, UNKNOWN);
        }
        let query = request
            .clone()
            .without("x-org-key")
            .target(format!("/v1/{signal}?key={id}"));
        if signal != Signal::Rum {
            let name = format!("/v1/{signal}: the key in the query");
            refuse(&mut cases, AREA, name, &query, UNKNOWN);
        }
    }
    cases
}

/// Values of `x-signature` that are not the one for this body, and what is odd about each.
fn odd_signatures(sender: &Sender, body: &[u8]) -> Vec<(&'static str, String)> {
    let right = sign_body(&sender.good.secret, body);
    let hex = right.trim_start_matches("sha256=").to_owned();
    let raw = hex::decode(&hex).unwrap_or_default();
    let decoded = Secret::parse(sender.good.secret.reveal());
    let by_bytes = decoded.map_or(String::new(), |secret| {
        // Keyed with the decoded bytes, as the other scheme is.
        let inner = sign_webhook(&secret, "", 0, body);
        inner.trim_start_matches("v1,").to_owned()
    });
    vec![
        ("empty", String::new()),
        ("a word", "sha256".to_owned()),
        ("without digits", "sha256=".to_owned()),
        ("of 63 digits", right[..right.len() - 1].to_owned()),
        ("of 65 digits", format!("{right}0")),
        ("of 66 digits", format!("{right}00")),
        ("twice in one", format!("{right},{right}")),
        ("without its name", hex.clone()),
        ("under another name", format!("sha512={hex}")),
        ("named in capitals", format!("SHA256={hex}")),
        ("with a colon", format!("sha256:{hex}")),
        ("with spaces inside", format!("sha256= {hex}")),
        ("with 0x", format!("sha256=0x{hex}")),
        ("in base64", format!("sha256={}", STANDARD.encode(&raw))),
        (
            "with a digit that is none",
            format!("sha256=g{}", &hex[1..]),
        ),
        ("of zeros", format!("sha256={}", "0".repeat(64))),
        ("of ones", format!("sha256={}", "f".repeat(64))),
        (
            "reversed",
            format!("sha256={}", hex.chars().rev().collect::<String>()),
        ),
        ("over nothing", sign_body(&sender.good.secret, b"")),
        ("over something else", sign_body(&sender.good.secret, b"{}")),
        (
            "by another organisation",
            sign_body(&sender.foreign.secret, body),
        ),
        ("by a revoked key", sign_body(&sender.revoked.secret, body)),
        ("of the other scheme", by_bytes),
        (
            "in full-width digits",
            format!("sha256={}", "\u{ff10}".repeat(64)),
        ),
        ("that is SQL", "sha256=' OR '1'='1".to_owned()),
        ("a wildcard", "*".to_owned()),
    ]
}

/// Values of `x-signature` that are none.
fn signatures(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let body = small(sender, signal, "a signature");
        let request = good(sender, signal, "a signature");
        for (what, value) in odd_signatures(sender, &body) {
            let name = format!("/v1/{signal}: a signature {what}");
            let odd = request.clone().with("x-signature", &value);
            let mut due = Due::refused(&[401], &["unauthorized"]);
            if !value.is_ascii() {
                due = Due::refused(&[400, 401], &["unauthorized", "bad_header"]);
            }
            cases.push(Case::new(Area::Auth, name, odd.wire(), due));
        }
    }
    cases
}

/// One digit of a right signature changed: each of them counts.
fn digits(sender: &Sender) -> Vec<Case> {
    let body = small(sender, Signal::Logs, "each digit counts");
    let request = good(sender, Signal::Logs, "each digit counts");
    let right = sign_body(&sender.good.secret, &body);
    let first = "sha256=".len();
    let mut cases = Vec::new();
    for at in first..right.len() {
        let mut wrong = right.clone().into_bytes();
        wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
        let name = format!("digit {} of a signature is wrong", at - first);
        let odd = request.clone().with("x-signature", wrong);
        refuse(&mut cases, AREA, name, &odd, UNKNOWN);
    }
    cases
}

/// One byte of the body changed after it was signed.
fn bodies(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let request = good(sender, signal, "changed on its way");
        let length = request.body.len();
        for at in (0..length).step_by(length / 8) {
            let mut body = request.body.clone();
            body[at] ^= 1;
            let name = format!("/v1/{signal}: byte {at} of the body is another");
            refuse(
                &mut cases,
                AREA,
                name,
                &request.clone().carrying(body),
                UNKNOWN,
            );
        }
        for (what, body) in [
            ("a space more", [request.body.as_slice(), b" "].concat()),
            ("a space before", [b" ", request.body.as_slice()].concat()),
            ("a byte less", request.body[..length - 1].to_vec()),
            (
                "another good body",
                small(sender, signal, "exchanged on its way"),
            ),
            ("no body", Vec::new()),
        ] {
            let size = body.len().to_string();
            let odd = request.clone().carrying(body).with("content-length", size);
            let name = format!("/v1/{signal}: {what}");
            refuse(&mut cases, AREA, name, &odd, UNKNOWN);
        }
    }
    cases
}

fn webhook(sender: &Sender, id: &str, at: i64) -> Request {
    let body = small(sender, Signal::Logs, "a webhook");
    Request::webhook(&sender.good, sender, (id, at), body)
}

/// Headers of Standard Webhooks that are missing or empty or say something else than was signed.
fn webhooks(sender: &Sender) -> Vec<Case> {
    let now = sender.now_s;
    let request = webhook(sender, "msg_signed", now);
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let mut cases = Vec::new();
    for name in names {
        let without = request.clone().without(name);
        refuse(
            &mut cases,
            AREA,
            format!("a webhook without {name}"),
            &without,
            UNKNOWN,
        );
        let empty = request.clone().with(name, "");
        refuse(
            &mut cases,
            AREA,
            format!("a webhook with an empty {name}"),
            &empty,
            UNKNOWN,
        );
        let mut alone = request.clone();
        for other in names.iter().filter(|other| **other != name) {
            alone = alone.without(other);
        }
        refuse(
            &mut cases,
            AREA,
            format!("a webhook with {name} alone"),
            &alone,
            UNKNOWN,
        );
        let odd = request.clone().with(name, "\u{e9}");
        let due = Due::refused(&[400, 401], &["unauthorized", "bad_header"]);
        let what = format!("a webhook with a {name} that is not ASCII");
        cases.push(Case::new(Area::Auth, what, odd.wire(), due));
    }
    cases
}

/// An id or a time that is another than was signed, or an id that is none.
fn webhook_ids(sender: &Sender) -> Vec<Case> {
    let now = sender.now_s;
    let request = webhook(sender, "msg_signed", now);
    let mut cases = Vec::new();
    for id in [
        "msg_other",
        "MSG_SIGNED",
        "msg_signed.",
        "msg_signe",
        "0",
        "msg_signed.1",
    ] {
        let odd = request.clone().with("webhook-id", id);
        refuse(
            &mut cases,
            AREA,
            format!("signed with another id than {id}"),
            &odd,
            UNKNOWN,
        );
    }
    let long = webhook(sender, &"m".repeat(129), now);
    refuse(
        &mut cases,
        AREA,
        "a webhook-id of 129 characters",
        &long,
        BAD,
    );
    let spaced = webhook(sender, "msg 1", now);
    refuse(&mut cases, AREA, "a webhook-id with a space", &spaced, BAD);
    for (what, at) in [("a second later", now + 1), ("a second earlier", now - 1)] {
        let odd = request.clone().with("webhook-timestamp", at.to_string());
        refuse(&mut cases, AREA, format!("signed {what}"), &odd, UNKNOWN);
    }
    cases
}

/// What is signed beside the id is the body as well.
fn webhook_bodies(sender: &Sender) -> Vec<Case> {
    let request = webhook(sender, "msg_signed", sender.now_s);
    let mut cases = Vec::new();
    let length = request.body.len();
    for at in (0..length).step_by(length / 8) {
        let mut body = request.body.clone();
        body[at] ^= 1;
        let name = format!("a webhook, byte {at} of its body another");
        refuse(
            &mut cases,
            AREA,
            name,
            &request.clone().carrying(body),
            UNKNOWN,
        );
    }
    cases
}

/// Times that are none, or too far from now.
fn times(sender: &Sender) -> Vec<Case> {
    let now = sender.now_s;
    let mut cases = Vec::new();
    for off in [
        -3_600,
        3_600,
        -86_400,
        86_400,
        -now,
        -now + 1,
        i64::MAX - now,
        -2 * now,
    ] {
        let request = webhook(sender, "msg_late", now.saturating_add(off));
        let name = format!("signed for {off} s from now");
        refuse(&mut cases, AREA, name, &request, OFF);
    }
    let millis = webhook(sender, "msg_ms", now * 1_000);
    refuse(&mut cases, AREA, "signed in milliseconds", &millis, OFF);
    let request = webhook(sender, "msg_odd_time", now);
    for odd in [
        "soon".to_owned(),
        format!("{now}.0"),
        format!("{now}s"),
        format!("0x{now:x}"),
        format!("{now}e0"),
        "9".repeat(30),
        "-".to_owned(),
        "+".to_owned(),
        "NaN".to_owned(),
        "1970-01-01T00:00:00Z".to_owned(),
        format!("{now} {now}"),
        format!("{now},{now}"),
    ] {
        let odd_request = request.clone().with("webhook-timestamp", &odd);
        let name = format!("a webhook-timestamp of {odd:?}");
        refuse(&mut cases, AREA, name, &odd_request, UNKNOWN);
    }
    for odd in [format!("+{now}"), format!("0{now}")] {
        // The number is that of now, but what was signed was written otherwise.
        let odd_request = request.clone().with("webhook-timestamp", &odd);
        let name = format!("a webhook-timestamp written as {odd:?}");
        refuse(&mut cases, AREA, name, &odd_request, UNKNOWN);
    }
    cases
}

/// Values of `webhook-signature` that are not the right one.
fn odd_macs(
    sender: &Sender,
    (id, body): (&str, &[u8]),
    right: &str,
) -> Vec<(&'static str, String)> {
    let now = sender.now_s;
    let mac = right.trim_start_matches("v1,").to_owned();
    let raw = STANDARD.decode(&mac).unwrap_or_default();
    let wrong = format!("v1,{}", STANDARD.encode([0; 32]));
    vec![
        ("without a version", mac.clone()),
        ("of version 1a", format!("v1a,{mac}")),
        ("of version 2", format!("v2,{mac}")),
        ("of version V1", format!("V1,{mac}")),
        ("of version 1 without a comma", format!("v1{mac}")),
        ("with a colon", format!("v1:{mac}")),
        (
            "without padding",
            format!("v1,{}", STANDARD_NO_PAD.encode(&raw)),
        ),
        ("in hexadecimal", format!("v1,{}", hex::encode(&raw))),
        ("cut short", format!("v1,{}", STANDARD.encode(&raw[..31]))),
        (
            "with a byte more",
            format!("v1,{}", STANDARD.encode([&raw[..], &[0]].concat())),
        ),
        ("of zeros", wrong.clone()),
        ("of nothing", "v1,".to_owned()),
        ("of a comma", ",".to_owned()),
        (
            "reversed",
            format!("v1,{}", mac.chars().rev().collect::<String>()),
        ),
        (
            "by another organisation",
            sign_webhook(&sender.foreign.secret, id, now, body),
        ),
        (
            "over another id",
            sign_webhook(&sender.good.secret, "msg_x", now, body),
        ),
        (
            "over another time",
            sign_webhook(&sender.good.secret, id, now + 1, body),
        ),
        ("over the body alone", sign_body(&sender.good.secret, body)),
        (
            "behind a hundred wrong ones",
            [vec![wrong.clone(); 100], vec![right.to_owned()]]
                .concat()
                .join(" "),
        ),
        ("among wrong ones, with commas", format!("{wrong},{right}")),
    ]
}

fn webhook_signatures(sender: &Sender) -> Vec<Case> {
    let (now, id) = (sender.now_s, "msg_mac");
    let request = webhook(sender, id, now);
    let right = sign_webhook(&sender.good.secret, id, now, &request.body);
    let mac = right.trim_start_matches("v1,").to_owned();
    let raw = STANDARD.decode(&mac).unwrap_or_default();
    let wrong = format!("v1,{}", STANDARD.encode([0; 32]));
    let mut cases = Vec::new();
    for (what, value) in odd_macs(sender, (id, &request.body), &right) {
        let name = format!("a webhook-signature {what}");
        let odd = request.clone().with("webhook-signature", value);
        refuse(&mut cases, AREA, name, &odd, UNKNOWN);
    }
    let url_safe = format!("v1,{}", URL_SAFE.encode(&raw));
    if url_safe != right {
        let odd = request.clone().with("webhook-signature", url_safe);
        refuse(
            &mut cases,
            AREA,
            "a webhook-signature for URLs",
            &odd,
            UNKNOWN,
        );
    }
    for at in 0..32 {
        let mut wrong = raw.clone();
        wrong[at] ^= 0x80;
        let value = format!("v1,{}", STANDARD.encode(wrong));
        let odd = request.clone().with("webhook-signature", value);
        let name = format!("byte {at} of a webhook-signature is wrong");
        refuse(&mut cases, AREA, name, &odd, UNKNOWN);
    }
    let second = request
        .clone()
        .with("webhook-signature", format!("{wrong} v1a,x {right}"));
    let name = "a right webhook-signature behind a wrong one";
    cases.push(Case::new(Area::Auth, name, second.wire(), Due::accepted()));
    cases
}

/// Who signs in both ways must be right in the stricter one: nobody is let down to the weaker.
fn both_schemes(sender: &Sender) -> Vec<Case> {
    let request = webhook(sender, "msg_both", sender.now_s);
    let body = sign_body(&sender.good.secret, &request.body);
    let mut cases = Vec::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let odd = request.clone().with("x-signature", &body).without(name);
        let what = format!("x-signature is right, {name} is missing");
        refuse(&mut cases, AREA, what, &odd, UNKNOWN);
        let odd = request.clone().with("x-signature", &body).with(name, "x");
        let what = format!("x-signature is right, {name} is wrong");
        refuse(&mut cases, AREA, what, &odd, UNKNOWN);
    }
    let late = webhook(sender, "msg_both", sender.now_s - 900).with("x-signature", &body);
    refuse(
        &mut cases,
        AREA,
        "x-signature is right, the time is off",
        &late,
        OFF,
    );
    cases
}

/// Keys that are known, for what they may not do.
fn permissions(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    let by = |key: &Key, signal: Signal| {
        Request::signed_by(key, sender, signal, small(sender, signal, "not allowed"))
    };
    for signal in Signal::ALL {
        let elsewhere = by(&sender.elsewhere, signal);
        let claimed = elsewhere.clone().and("x-forwarded-for", "10.99.0.1");
        let mut requests = vec![
            (
                "x-signature with a key for webhooks",
                by(&sender.webhook_only, signal),
            ),
            ("a key for another network", elsewhere),
            (
                "a key for another network, which the request claims",
                claimed,
            ),
        ];
        if signal != Signal::Logs {
            requests.push(("a key for logs", by(&sender.logs_only, signal)));
        }
        for (what, request) in requests {
            let name = format!("/v1/{signal}: {what}");
            refuse(&mut cases, AREA, name, &request, NOT_ALLOWED);
        }
    }
    let body = small(sender, Signal::Logs, "not allowed");
    let webhook = Request::webhook(
        &sender.body_only,
        sender,
        ("msg_scheme", sender.now_s),
        body,
    );
    let name = "a webhook with a key for x-signature";
    refuse(&mut cases, AREA, name, &webhook, NOT_ALLOWED);
    cases
}

/// Origins that are not the one allowed, however near they come.
const FOREIGN_ORIGINS: &[&str] = &[
    "",
    "null",
    "*",
    "https://shop.example.hostile.example",
    "https://hostile.example/https://shop.example",
    "https://shop.example/",
    "https://shop.example:444",
    "http://shop.example",
    "https://user@shop.example",
    "https://shopxexample",
    "https://xshop.example",
    "https://shop.example https://shop.example",
    "shop.example",
    "//shop.example",
    "file://",
    "https://shop.example%00",
    "https://shop.example\u{7f}x",
];

/// The public key, which anybody may know.
fn public(sender: &Sender) -> Vec<Case> {
    let of_page = |signal: Signal| {
        Request::unsigned(sender, signal, small(sender, signal, "from a page"))
            .and("x-org-key", &sender.public)
            .and("origin", ORIGIN)
    };
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        if signal == Signal::Rum {
            continue;
        }
        let name = format!("/v1/{signal} with the public key");
        refuse(&mut cases, AREA, name, &of_page(signal), NOT_ALLOWED);
    }
    let page = of_page(Signal::Rum);
    let none = page.clone().without("origin");
    refuse(
        &mut cases,
        AREA,
        "the public key without an origin",
        &none,
        NOT_ALLOWED,
    );
    for origin in FOREIGN_ORIGINS.iter().copied() {
        let odd = page.clone().with("origin", origin);
        let mut due = Due::refused(&[403], &["forbidden"]);
        if origin.contains('\u{7f}') {
            due = Due::refused(&[400, 403], &["forbidden", "bad_header"]);
        }
        let name = format!("the public key from {origin:?}");
        cases.push(Case::new(Area::Auth, name, odd.wire(), due));
    }
    let body = small(sender, Signal::Rum, "from a page");
    let query = Request::unsigned(sender, Signal::Rum, body)
        .target("/v1/rum?key=pub_nobody")
        .and("origin", ORIGIN);
    refuse(
        &mut cases,
        AREA,
        "an unknown public key in the query",
        &query,
        UNKNOWN,
    );
    let ask = Request::unsigned(sender, Signal::Rum, "")
        .method("GET")
        .target("/v1/batches/x")
        .and("x-org-key", &sender.public)
        .and("origin", ORIGIN);
    refuse(
        &mut cases,
        AREA,
        "the public key asks for a batch",
        &ask,
        NOT_ALLOWED,
    );
    cases
}
