//! Methods, targets, versions, parameters and content types that are not those of the contract.

use super::case::{Area, Case, Due, refuse};
use super::request::{Request, small};
use super::sender::Sender;
use millrace_shared::Signal;

const AREA: Area = Area::Targets;

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [
        methods(sender),
        paths(sender),
        forms(sender),
        tunnels(sender),
        versions(sender),
        parameters(sender),
        content_types(sender),
        batches(sender),
    ]
    .concat()
}

fn good(sender: &Sender, signal: Signal, what: &str) -> Request {
    Request::signed(sender, signal, small(sender, signal, what))
}

/// Other methods at each endpoint: 405, whatever else is right (RFC 9110, 15.5.6).
fn methods(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let request = good(sender, signal, "another method");
        for method in [
            "GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "POSTS", "post", "Post",
            "PROPFIND", "QUERY", "PURGE", "X", "GET_", "POST!",
        ] {
            if method == "OPTIONS" && signal == Signal::Rum {
                continue;
            }
            let odd = request.clone().method(method);
            let name = format!("{method} /v1/{signal}");
            let mut case = Case::refused(Area::Targets, name, &odd, (405, &["method_not_allowed"]));
            case.headless = method == "HEAD";
            cases.push(case);
        }
        // Tokens may have an apostrophe, which not every parser knows.
        let odd = request.clone().method("G'ET");
        let name = format!("G'ET /v1/{signal}");
        cases.push(Case::new(
            Area::Targets,
            name,
            odd.wire(),
            Due::refused(&[400, 405], &[]),
        ));
        let long = request.clone().method("A".repeat(300));
        let name = format!("a method of 300 letters at /v1/{signal}");
        cases.push(Case::new(
            Area::Targets,
            name,
            long.wire(),
            Due::refused(&[400, 405], &[]),
        ));
    }
    cases
}

/// Paths at which there is nothing.
const PATHS: &[&str] = &[
    "/",
    "//",
    "/v1",
    "/v1/",
    "/v1/logs/",
    "//v1/logs",
    "/v1//logs",
    "/v1/logs//",
    "/V1/logs",
    "/v1/Logs",
    "/v1/LOGS",
    "/v2/logs",
    "/v1/log",
    "/v1/logs/x",
    "/v1/logs.json",
    "/v1/logs;a=b",
    "/v1/logs%00",
    "/v1/logs%0a",
    "/v1/logs%20",
    "/v1/logs%2f",
    "/v1%2flogs",
    "/%2fv1/logs",
    "/v1/%2e/logs",
    "/v1/./logs",
    "/v1/../v1/logs",
    "/x/../v1/logs",
    "/v1/logs/..",
    "/v1/logs/.",
    "/v1/logs/..;/",
    "/..%2f..%2fetc/passwd",
    "/../../etc/passwd",
    "/v1/\\logs",
    "/v1/logs\\",
    "/v1/logs'",
    "/v1/logs\"",
    "/v1/logs|id",
    "/v1/logs$(id)",
    "/v1/logs`id`",
    "/v1/{signal}",
    "/v1/*",
    "/metrics",
    "/healthz",
    "/readyz",
    "/.git/config",
    "/.env",
    "/admin",
    "/api/v1/logs/search",
    "/docs",
    "/v1/batches",
    "/v1/batches/",
    "/v1/batches/a/b",
    "/v1/events",
    "/v1/logs,metrics",
    "/v1/logs&x=1",
    "/cgi-bin/test.cgi",
    "/server-status",
    "/%",
    "/%zz",
    "/%c0%af",
    "/%ff",
    "/v1/logs%",
    "/v1/logs%zz",
];

/// Paths beside the endpoints: 404, and never an endpoint by another name.
fn paths(sender: &Sender) -> Vec<Case> {
    let request = good(sender, Signal::Logs, "another path");
    let mut cases = Vec::new();
    for path in PATHS.iter().copied() {
        // What is no percent-encoding, or no URI character, may also be called malformed.
        let loose = path.contains(['\\', '"', '`', '|', '{'])
            || path.contains("/%")
            || path.contains("logs%");
        let statuses: &[u16] = if loose { &[400, 404] } else { &[404] };
        let due = Due::refused(statuses, &["not_found", "bad_header"]);
        let name = format!("POST {path}");
        cases.push(Case::new(
            Area::Targets,
            name,
            request.clone().target(path).wire(),
            due,
        ));
    }
    // The same resource by RFC 3986, 6.2.2.2; a server need not see it.
    let encoded = request.clone().target("/v1/%6cogs");
    let due = Due::refused(&[202, 404], &[]);
    cases.push(Case::new(
        Area::Targets,
        "POST /v1/%6cogs",
        encoded.wire(),
        due,
    ));
    cases
}

/// Targets that are neither a path nor a URL of ours.
const FORMS: &[&str] = &[
    "*",
    "v1/logs",
    "logs",
    "",
    "?",
    "#",
    "/v1/logs#x",
    "http://",
    "http:///v1/logs",
    "://x/v1/logs",
    "http:/v1/logs",
    "//",
    "127.0.0.1:80",
    "a b",
    "http://a b/v1/logs",
    "http://[::1/v1/logs",
    "http://u:p@h:x/v1/logs",
    "\u{e9}",
    "/v1/\u{202e}logs",
    "/v1/logs?\u{0}",
    "/v1/lo\u{0}gs",
    "/v1/logs\r\nx: y",
    "<script>",
    "..",
    "../v1/logs",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
];

/// Targets in another form than a path.
fn forms(sender: &Sender) -> Vec<Case> {
    let request = good(sender, Signal::Logs, "another form");
    let host = &sender.host;
    let absolute = request.clone().target(format!("http://{host}/v1/logs"));
    // "A server MUST accept the absolute-form in requests" (RFC 9112, 3.2.2).
    let mut cases = vec![
        Case::new(
            Area::Targets,
            "absolute form",
            absolute.wire(),
            Due::accepted(),
        ),
        Case::new(
            Area::Targets,
            "absolute form of another path",
            request
                .clone()
                .target(format!("http://{host}/v1/nothing"))
                .wire(),
            Due::refused(&[404], &["not_found"]),
        ),
        Case::new(
            Area::Targets,
            "OPTIONS *",
            request.clone().method("OPTIONS").target("*").wire(),
            Due::refused(&[400, 404, 405], &[]),
        ),
    ];
    for target in FORMS.iter().copied() {
        let due = Due::refused(&[400, 404], &[]);
        let mut name = format!("the target {target:?}");
        let wire = request.clone().target(target).wire();
        let due = if target == "/v1/logs\r\nx: y" {
            // The first line ends in the target: it has no version.
            Due::refused(&[400], &["bad_header"])
        } else if target == "/v1/logs#x" {
            name.push_str(", whose fragment no client sends");
            Due::refused(&[202, 400, 404], &[])
        } else if target == "gopher://127.0.0.1:6379/_FLUSHALL" {
            Due::refused(&[400, 404], &["not_found", "bad_header"])
        } else {
            due
        };
        cases.push(Case::new(Area::Targets, name, wire, due));
    }
    cases
}

/// Tunnels, which nobody gets, and targets longer than anybody needs.
fn tunnels(sender: &Sender) -> Vec<Case> {
    let request = good(sender, Signal::Logs, "a tunnel");
    let mut cases = Vec::new();
    for target in ["127.0.0.1:6379", "example.com:443", "/v1/logs", "*"] {
        let tunnel = request.clone().method("CONNECT").target(target);
        let due = Due::refused(&[400, 404, 405], &[]);
        cases.push(Case::new(
            Area::Targets,
            format!("CONNECT {target}"),
            tunnel.wire(),
            due,
        ));
    }
    for length in [4_000usize, 70_000, 140_000, 1_000_000] {
        let long = request.clone().target(format!("/{}", "a".repeat(length)));
        let statuses: &[u16] = if length < 10_000 {
            &[404]
        } else {
            &[400, 414, 431]
        };
        let name = format!("a target of {length} characters");
        cases.push(Case::new(
            Area::Targets,
            name,
            long.wire(),
            Due::refused(statuses, &[]),
        ));
    }
    cases
}

/// Versions that are none, or not ours.
fn versions(sender: &Sender) -> Vec<Case> {
    let request = good(sender, Signal::Logs, "another version");
    let mut cases = Vec::new();
    for version in [
        "HTTP/0.9",
        "HTTP/2",
        "HTTP/2.0",
        "HTTP/3",
        "HTTP/9.9",
        "HTTP/1",
        "HTTP/11",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1.1.1",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/1,1",
        "HTTP/-1.1",
        "HTTP/A.B",
        "http/1.1",
        "Http/1.1",
        "HTTPS/1.1",
        "HTTP 1.1",
        "HTTP1.1",
        "HTP/1.1",
        "XHTTP/1.1",
        "1.1",
        "",
        "HTTP/",
        "HTTP",
        "ICAP/1.0",
        "HTTP/\u{661}.1",
        "HTTP/1.1x",
        "HTTP/4294967297.1",
    ] {
        let odd = request.clone().version(version);
        let name = format!("the version {version:?}");
        refuse(&mut cases, AREA, name, &odd, (400, &["bad_header"]));
    }
    // A higher minor version is to be taken as the highest known (RFC 9110, 2.5), or may be refused.
    for (version, statuses) in [
        ("HTTP/1.2", &[202, 400][..]),
        ("HTTP/1.9", &[202, 400]),
        ("HTTP/1.0", &[202]),
    ] {
        let name = format!("the version {version}");
        let due = Due::refused(statuses, &[]);
        cases.push(Case::new(
            Area::Targets,
            name,
            request.clone().version(version).wire(),
            due,
        ));
    }
    cases
}

fn parameters(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let request = good(sender, signal, "a parameter");
        for value in [
            "maybe",
            "",
            "TRUE",
            "2",
            "-1",
            "true ",
            "true%00",
            "tru%65",
            "truefalse",
            "'or'1'='1",
            "null",
            "\u{7f}",
            "[]",
            "%",
            "true;false",
        ] {
            let odd = request
                .clone()
                .target(format!("/v1/{signal}?validate={value}"));
            let name = format!("/v1/{signal}?validate={value:?}");
            let due = Due::refused(&[400], &["bad_parameter", "bad_header"]);
            cases.push(Case::new(Area::Targets, name, odd.wire(), due));
        }
    }
    cases
}

/// Content types that are none of ours.
const TYPES: &[&str] = &[
    "",
    " ",
    "text/html",
    "text/json",
    "text/xml",
    "application/xml",
    "application",
    "application/",
    "/json",
    "json",
    "application/json+xml",
    "application/jsonx",
    "application/json-seq",
    "application/ld+json",
    "application/x-json",
    "application/vnd.api+json",
    "application/octet-stream",
    "application/*",
    "*/*",
    "application/x-ndjsonx",
    "application/ndjson ",
    "application / json",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "application/x-protobuf",
    "application/grpc",
    "application/cbor",
    "application/msgpack",
    "image/png",
    "{\"a\":1}",
    "application/json/",
    "application/json, text/plain",
    "text/plain, application/json",
    "<script>",
    "application%2fjson",
    "application/json\u{e9}",
];

fn content_types(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for signal in Signal::ALL {
        let request = good(sender, signal, "a content type");
        let mut types = TYPES.to_vec();
        if signal != Signal::Rum {
            types.push("text/plain");
        }
        for value in types {
            let odd = request.clone().with("content-type", value);
            let mut due = Due::refused(&[415], &["unsupported_media_type"]);
            if !value.is_ascii() {
                due = Due::refused(&[400, 415], &["unsupported_media_type", "bad_header"]);
            }
            let name = format!("/v1/{signal} with content-type {value:?}");
            cases.push(Case::new(Area::Targets, name, odd.wire(), due));
        }
        let none = request.clone().without("content-type");
        let name = format!("/v1/{signal} without a content-type");
        refuse(
            &mut cases,
            AREA,
            name,
            &none,
            (415, &["unsupported_media_type"]),
        );
        let twice = request.clone().and("content-type", "application/json");
        let name = format!("/v1/{signal} with two content-types");
        refuse(&mut cases, AREA, name, &twice, (400, &["bad_header"]));
    }
    // Signed, and of the type that only a page's beacon may have.
    let plain = good(sender, Signal::Rum, "plain text").with("content-type", "text/plain");
    let name = "a signed beacon";
    refuse(
        &mut cases,
        AREA,
        name,
        &plain,
        (415, &["unsupported_media_type"]),
    );
    cases
}

/// Ids that we never gave out.
const BATCH_IDS: &[&str] = &[
    "x",
    "0",
    "logs",
    "logs-0",
    "logs-0-0",
    "logs-0-0-0",
    "logs-0-1-1-0000000000000000",
    "logs-999999-1-1-0000000000000000",
    "logs--1-1-1-0000000000000000",
    "metrics-0-zz-0-0000000000000000",
    "logs-0-1-1-",
    "-",
    "----",
    "%00",
    "%2e%2e",
    "..%2f..",
    "'%20OR%201=1--",
    "%F0%9F%98%80",
    "logs-0-ffffffffffffffff-ffffffffffffffff-0000000000000000",
    "logs-0-1-1-0000000000000000'",
    "null",
    "undefined",
    "LOGS-0-1-1-0000000000000000",
    "%ff%fe",
    "%3Cscript%3E",
];

/// Questions that ask for nothing there is.
const BATCH_QUERIES: &[&str] = &[
    "wait=",
    "wait=done",
    "wait=COMMITTED",
    "wait=committed&timeout=",
    "wait=committed&timeout=soon",
    "wait=committed&timeout=-1s",
    "wait=committed&timeout=1e3s",
    "wait=committed&timeout=99999999999999999999s",
    "wait=committed&timeout=5m",
    "wait=committed&timeout=0x5s",
    "wait=%63ommitted",
    "wait=queued'--",
];

/// Questions about batches.
fn batches(sender: &Sender) -> Vec<Case> {
    let ask = |target: &str| {
        Request::signed(sender, Signal::Logs, "")
            .method("GET")
            .target(target)
            .without("content-type")
    };
    let mut cases = Vec::new();
    for id in BATCH_IDS {
        let request = ask(&format!("/v1/batches/{id}"));
        let due = Due::refused(&[400, 404], &["not_found", "bad_header"]);
        cases.push(Case::new(
            Area::Targets,
            format!("the batch {id:?}"),
            request.wire(),
            due,
        ));
    }
    let long = ask(&format!("/v1/batches/{}", "a".repeat(5_000)));
    refuse(
        &mut cases,
        AREA,
        "a batch id of 5000",
        &long,
        (404, &["not_found"]),
    );
    for query in BATCH_QUERIES {
        let request = ask(&format!("/v1/batches/x?{query}"));
        let name = format!("a batch with {query}");
        refuse(&mut cases, AREA, name, &request, (400, &["bad_parameter"]));
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = ask("/v1/batches/x").method(method);
        let name = format!("{method} /v1/batches/x");
        refuse(
            &mut cases,
            AREA,
            name,
            &request,
            (405, &["method_not_allowed"]),
        );
    }
    let unsigned = ask("/v1/batches/x").without("x-signature");
    refuse(
        &mut cases,
        AREA,
        "a batch, unsigned",
        &unsigned,
        (401, &["unauthorized"]),
    );
    cases
}
