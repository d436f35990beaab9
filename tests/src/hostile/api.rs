//! Malformed requests to the query API, made from its OpenAPI document: every route with bad tokens,
//! every parameter with every injected text, every body that is none. Each gets its 4xx, or an
//! answer that holds only what is the caller's own; none a 5xx.

use super::case::{Area, Case, Due, Pace, Then};
use super::injection::TEXTS;
use super::request::Request;
use serde_json::Value;

/// A route of the document with one of its methods.
#[derive(Clone, Debug)]
struct Route {
    method: String,
    path: String,
    /// Names of its parameters in the query.
    query: Vec<String>,
    /// Whether it takes a JSON body.
    takes_body: bool,
}

/// Who asks, and where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `host:port` of the query API.
    pub host: String,
    /// A token of a role that may read and change everything of its organisation.
    pub token: String,
}

/// All cases for the API of this document.
#[must_use]
pub fn cases(document: &Value, caller: &Caller) -> Vec<Case> {
    let routes = routes(document);
    let mut cases: Vec<Case> = routes
        .iter()
        .flat_map(|route| {
            [
                tokens(route, caller),
                parameters(route, caller),
                places(route, caller),
                bodies(route, caller),
                methods(route, caller),
            ]
            .concat()
        })
        .collect();
    cases.extend(tenants(caller));
    cases.extend(framing(caller));
    for case in &mut cases {
        // The API gives up a request whose client closes its half, so the client waits here.
        case.then = Then::Wait;
        case.pace = Pace::Prompt;
    }
    cases
}

fn routes(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let parameters = operation["parameters"].as_array();
            let query = parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "query");
            let query = query.filter_map(|parameter| parameter["name"].as_str().map(str::to_owned));
            let method = method.to_uppercase();
            routes.push(Route {
                takes_body: operation["requestBody"].is_object() || method == "POST",
                method,
                path: path.clone(),
                query: query.collect(),
            });
        }
    }
    routes
}

/// What stands for the parameters of a path: of the right form, and nobody's.
fn filled(path: &str) -> String {
    path.replace("{id}", "999999999")
        .replace("{name}", "hostile")
        .replace("{signal}", "hostile")
        .replace("{trace_id}", "0af7651916cd43dd8448eb211c80319c")
}

fn request(route: &Route, caller: &Caller, target: String, body: &[u8]) -> Request {
    let request = Request {
        line: (
            route.method.clone().into_bytes(),
            target.into_bytes(),
            b"HTTP/1.1".to_vec(),
        ),
        headers: Vec::new(),
        body: body.to_vec(),
    };
    let request = request
        .with("host", &caller.host)
        .with("connection", "close")
        .with("authorization", format!("Bearer {}", caller.token))
        .with("content-length", body.len().to_string());
    match body.is_empty() {
        true => request,
        false => request.with("content-type", "application/json"),
    }
}

fn case(name: String, request: &Request, statuses: &[u16]) -> Case {
    Case::new(Area::Api, name, request.wire(), Due::refused(statuses, &[]))
}

fn shown(route: &Route) -> String {
    format!("{} {}", route.method, route.path)
}

/// Callers whom nobody knows: 401, whatever they ask.
fn tokens(route: &Route, caller: &Caller) -> Vec<Case> {
    let unknown = format!("mlr_{}", "x".repeat(43));
    let (token, cut) = (&caller.token, &caller.token[..caller.token.len() - 1]);
    let mut cases = Vec::new();
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Bearer {cut}"),
        format!("Bearer {token}x"),
        format!("Bearer {unknown}"),
        format!("Basic {token}"),
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer \"{token}\""),
        format!("Bearer {token},{token}"),
        "Bearer ' OR '1'='1".to_owned(),
        format!("Bearer {}", "a".repeat(20_000)),
        "Bearer \u{e9}".to_owned(),
    ] {
        let odd = request(route, caller, filled(&route.path), b"").with("authorization", &value);
        let what: String = value.chars().take(24).collect();
        let name = format!("{} by {what:?} of {} characters", shown(route), value.len());
        let mut case = case(name, &odd, &[401]);
        case.due[0].codes = &["unauthorized"];
        cases.push(case);
    }
    let nobody = request(route, caller, filled(&route.path), b"").without("authorization");
    cases.push(case(format!("{} by nobody", shown(route)), &nobody, &[401]));
    cases
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Texts that are no numbers, times, words, cursors or durations.
const ODD: [&str; 22] = [
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "NaN",
    "99999999999999999999",
    "-9223372036854775808",
    "9223372036854775807",
    "18446744073709551616",
    "0x10",
    "1.5",
    "null",
    "true",
    "[]",
    "{}",
    "now-",
    "now-99999999999d",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "%",
];

/// Parameters that no route has.
const UNKNOWN: &[&str] = &[
    "hostile",
    "org",
    "org_id",
    "tenant",
    "OrgId",
    "%00",
    "__proto__",
    "sql",
    "format",
];

/// Ranges that are empty, backwards or longer than anybody may ask for.
const RANGES: &[(&str, &str)] = &[
    ("0", "now"),
    ("now", "now-1h"),
    ("1970-01-01", "2200-01-01"),
    ("now-36500d", "now"),
    ("now", "now"),
];

/// So many of the texts, others for each number: over all parameters each of them occurs.
fn some<'t>(texts: &'t [&'t str], number: usize, count: usize) -> impl Iterator<Item = &'t str> {
    let from = number * count;
    (from..from + count).filter_map(move |at| texts.get(at % texts.len()).copied())
}

/// Each parameter with some of the odd texts. Text is text: a search for it finds nothing, or it is refused.
fn parameters(route: &Route, caller: &Caller) -> Vec<Case> {
    const ANSWERED: &[u16] = &[200, 400, 404, 422];
    let path = filled(&route.path);
    let mut cases = Vec::new();
    for (number, name) in route.query.iter().enumerate() {
        for text in some(&TEXTS, number, 3).chain(some(&ODD, number, 4)) {
            let target = format!("{path}?{name}={}", encoded(text));
            let odd = request(route, caller, target, b"");
            cases.push(case(
                format!("{} with {name}={text:?}", shown(route)),
                &odd,
                ANSWERED,
            ));
        }
        for (what, value) in [
            ("bytes that are no UTF-8", "%ff%fe%80".to_owned()),
            ("10,000 letters", "a".repeat(10_000)),
            ("10,000 commas", ",".repeat(10_000)),
            ("half an escape", "%f".to_owned()),
            ("nested quantifiers", encoded("a=~\"((((a*)*)*)*)*b\"")),
        ] {
            let odd = request(route, caller, format!("{path}?{name}={value}"), b"");
            cases.push(case(
                format!("{} with {name} of {what}", shown(route)),
                &odd,
                ANSWERED,
            ));
        }
        let twice = request(route, caller, format!("{path}?{name}=a&{name}=b"), b"");
        cases.push(case(
            format!("{} with {name} twice", shown(route)),
            &twice,
            ANSWERED,
        ));
    }
    let takes_query = route.method == "GET" && !route.query.is_empty();
    for unknown in UNKNOWN {
        let odd = request(route, caller, format!("{path}?{unknown}=1"), b"");
        let statuses = if takes_query { &[400][..] } else { ANSWERED };
        cases.push(case(
            format!("{} with an unknown {unknown}", shown(route)),
            &odd,
            statuses,
        ));
    }
    for (start, end) in RANGES {
        if route.query.iter().any(|name| name == "start") {
            let odd = request(
                route,
                caller,
                format!("{path}?start={start}&end={end}"),
                b"",
            );
            let name = format!("{} from {start} to {end}", shown(route));
            cases.push(case(name, &odd, &[400, 404, 422]));
        }
    }
    cases
}

/// Each parameter of the path with each odd text: no such thing, or none that could be.
fn places(route: &Route, caller: &Caller) -> Vec<Case> {
    let mut cases = Vec::new();
    for place in ["{id}", "{name}", "{trace_id}"] {
        if !route.path.contains(place) {
            continue;
        }
        for text in some(&TEXTS, route.path.len(), 12)
            .chain(ODD.iter().copied())
            .filter(|text| !text.is_empty())
        {
            let path = filled(&route.path.replace(place, &encoded(text)));
            let odd = request(route, caller, path, b"");
            // Asked for the values of a label that nobody has, the answer is an empty list.
            let statuses: &[u16] = if place == "{name}" {
                &[200, 400, 404]
            } else {
                &[400, 404, 422]
            };
            cases.push(case(
                format!("{} with {place} {text:?}", shown(route)),
                &odd,
                statuses,
            ));
        }
    }
    cases
}

/// Bodies that are no JSON, or none that is meant.
const TEXTUAL: &[&str] = &[
    "[",
    "{",
    "{\"a\"",
    "{\"a\":1,}",
    "[1,]",
    "nul",
    "NaN",
    "{'a':1}",
    "\"",
    "\u{feff}{}",
    "{} {}",
    "{a:1}",
    "01",
    "+1",
    "\u{0}",
    "//",
    "[]",
    "1",
    "\"a\"",
    "null",
    "true",
    "[{}]",
    "{\"hostile\":1}",
    "{\"__proto__\":{}}",
    "{\"org_id\":\"x\"}",
    "{\"\":1}",
    "{\"a\":1e999}",
    "{\"a\":\"\\ud800\"}",
    "{\"limit\":{}}",
    "{\"limit\":[1,2]}",
    "{\"status\":7}",
    "{\"start\":\"x\"}",
    "{\"id\":[]}",
];

/// Bodies that are no JSON, or none that is meant.
fn bodies(route: &Route, caller: &Caller) -> Vec<Case> {
    const REFUSED: &[u16] = &[400, 404, 422];
    if !route.takes_body {
        return Vec::new();
    }
    let deep = ["[".repeat(100_000), "{\"a\":".repeat(100_000)];
    let mut bodies: Vec<(String, Vec<u8>)> = Vec::new();
    for text in TEXTUAL {
        bodies.push((format!("{text:?}"), text.as_bytes().to_vec()));
    }
    for text in some(&TEXTS, route.path.len(), 12) {
        bodies.push((
            format!("{text:?} as JSON text"),
            Value::from(text).to_string().into_bytes(),
        ));
    }
    bodies.push((
        "bytes that are no UTF-8".to_owned(),
        b"{\"a\":\"\xff\"}".to_vec(),
    ));
    bodies.push(("100,000 arrays".to_owned(), deep[0].clone().into_bytes()));
    bodies.push(("100,000 objects".to_owned(), deep[1].clone().into_bytes()));
    let path = filled(&route.path);
    let mut cases: Vec<Case> = bodies
        .into_iter()
        .map(|(what, body)| {
            let odd = request(route, caller, path.clone(), &body);
            case(
                format!("{} with {what} as its body", shown(route)),
                &odd,
                REFUSED,
            )
        })
        .collect();
    let large = request(route, caller, path, &vec![b' '; 3 * 1024 * 1024]);
    let name = format!("{} with 3 MiB as its body", shown(route));
    // An import takes as much, and finds no rule in it.
    cases.push(case(name, &large, &[400, 404, 413, 422]).or_silence());
    cases
}

fn methods(route: &Route, caller: &Caller) -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["PATCH", "TRACE", "OPTIONS", "PROPFIND", "get"] {
        let mut odd = route.clone();
        odd.method = method.to_owned();
        let asked = request(&odd, caller, filled(&route.path), b"");
        cases.push(case(
            format!("{method} instead of {}", shown(route)),
            &asked,
            &[405],
        ));
    }
    cases
}

/// Another organisation named by one who may not.
fn tenants(caller: &Caller) -> Vec<Case> {
    let route = Route {
        method: "GET".to_owned(),
        path: "/api/v1/whoami".to_owned(),
        query: Vec::new(),
        takes_body: false,
    };
    let mut cases = Vec::new();
    for tenant in [
        "",
        "x",
        "00000000-0000-0000-0000-000000000000",
        "' OR 1=1 --",
        "*",
    ] {
        let odd = request(&route, caller, route.path.clone(), b"").and("x-tenant-id", tenant);
        cases.push(case(format!("x-tenant-id: {tenant:?}"), &odd, &[400, 403]));
    }
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/logs/search",
        "/api/v1/../v1/x",
        "/metrics",
        "/%00",
        "/nothing",
    ] {
        let odd = request(&route, caller, path.to_owned(), b"");
        cases.push(case(format!("GET {path}"), &odd, &[404]));
    }
    cases
}

/// What is no HTTP is refused before the API is asked, with a bare status.
fn framing(caller: &Caller) -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, head) in [
        (
            "both lengths",
            "POST /api/v1/logs/search HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "two lengths",
            "POST /api/v1/logs/search HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
        ),
        (
            "a length that is none",
            "POST /api/v1/logs/search HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        ),
        (
            "a space in a name",
            "GET /api/v1/whoami HTTP/1.1\r\nhost: a\r\na b: c\r\n\r\n",
        ),
        (
            "a folded header",
            "GET /api/v1/whoami HTTP/1.1\r\nhost: a\r\na: b\r\n c\r\n\r\n",
        ),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (
            "another version",
            "GET /api/v1/whoami HTTP/9.9\r\nhost: a\r\n\r\n",
        ),
        ("noise", "\u{1}\u{2}\u{3}\r\n\r\n"),
        (
            "a NUL in a value",
            "GET /api/v1/whoami HTTP/1.1\r\nhost: a\r\na: b\0\r\n\r\n",
        ),
    ] {
        let mut case = Case::new(
            Area::Api,
            format!("{what} at {}", "the API"),
            head.into(),
            Due::refused(&[400], &[]),
        );
        case.bare = true;
        cases.push(case.or_silence());
    }
    let flood = format!(
        "GET /api/v1/whoami HTTP/1.1\r\nhost: {}\r\n{}\r\n",
        caller.host,
        "a: b\r\n".repeat(5_000)
    );
    let mut case = Case::new(
        Area::Api,
        "5000 headers at the API",
        flood.into(),
        Due::refused(&[400, 431], &[]),
    );
    case.bare = true;
    cases.push(case.or_silence());
    cases
}
