//! Sigma end to end: rules, filters and correlations are imported as a publisher wrote them, events
//! are sent as an agent sends them, and the alerts say what happened and how often.

use millrace_shared::Signal;
use millrace_tests::{Answer, Org, process, shared, until};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Logins at a server, as rules that only correlations are made of, a filter that lets a scanner
/// pass, and a rule that stands for itself. The spans are long: a busy machine may take minutes.
const RULES: &str = "
title: Failed login
name: login_failed
logsource: {product: linux, service: sshd}
detection:
    keywords: ['Failed password for']
    condition: keywords
level: informational
---
title: Login
name: login_good
logsource: {product: linux, service: sshd}
detection:
    keywords: ['Accepted password for']
    condition: keywords
level: informational
---
title: Tunnel through the login server
id: 5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a01
tags: [attack.command-and-control, attack.t1572]
logsource: {product: linux, service: sshd}
detection:
    selection:
        forward|contains: ':3389'
    condition: selection
level: medium
---
title: Our own scanner
logsource: {product: linux, service: sshd}
filter:
    rules: [login_failed]
    selection:
        src_ip|cidr: 198.51.100.0/24
    condition: selection
---
title: Many failed logins from one address
id: 5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a02
tags: [attack.credential-access, attack.t1110.001]
correlation:
    type: event_count
    rules: [login_failed]
    group-by: [src_ip]
    timespan: 2h
    condition: {gte: 10}
level: high
---
title: Logins of many accounts from one address
id: 5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a03
correlation:
    type: value_count
    rules: [login_failed]
    group-by: [src_ip]
    timespan: 2h
    condition: {field: account, gte: 4}
level: medium
---
title: Burst of failed logins
name: burst
correlation:
    type: event_count
    rules: [login_failed]
    group-by: [src_ip]
    timespan: 2h
    condition: {gte: 10}
---
title: Login after many failures
id: 5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a04
tags: [attack.initial-access, attack.t1078]
correlation:
    type: temporal_ordered
    rules: [burst, login_good]
    group-by: [src_ip]
    timespan: 2h
level: critical
";
const TUNNEL: &str = "5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a01";
const MANY: &str = "5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a02";
const ACCOUNTS: &str = "5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a03";
const AFTER: &str = "5f0b1c8e-0c7a-4f0e-9d1b-7f6f6c1f0a04";

fn import(org: &Org, query: &str, body: &[u8]) -> Answer {
    org.tell_bytes_as("admin", &format!("/api/v1/rules/import/sigma{query}"), body)
}

fn login(outcome: &str, address: &str, account: &str) -> Value {
    json!({
        "service": "sshd", "message": format!("{outcome} password for {account} port 50022 ssh2"),
        "attributes": {"src_ip": address, "account": account},
    })
}

fn send(org: &Org, logs: &[Value]) {
    org.store(Signal::Logs, &json!({ "logs": logs }));
}

/// Rule, count and severity of every alert, in order.
fn told(org: &Org) -> Vec<(String, u64, String)> {
    let alerts = org.alerts().into_iter().map(|alert| {
        let text = |name: &str| alert[name].as_str().unwrap().to_owned();
        (
            text("rule_id"),
            alert["count"].as_u64().unwrap(),
            text("severity"),
        )
    });
    let mut alerts: Vec<_> = alerts.collect();
    alerts.sort();
    alerts
}

fn wait_for(org: &Org, wanted: &[(&str, u64, &str)]) {
    until("the alerts are these", || {
        let told = told(org);
        let same = told
            .iter()
            .map(|(rule, count, severity)| (rule.as_str(), *count, severity.as_str()));
        if same.eq(wanted.iter().copied()) {
            Ok(())
        } else {
            Err(told)
        }
    });
}

#[test]
fn correlations_and_filters_count_what_is_sent_over_many_requests() {
    let org = Org::new("sigma");
    let answer = import(&org, "", RULES.as_bytes()).must_be(200).json();
    let count = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!(
        (count("created"), count("refused"), count("filters")),
        (4, 0, 1),
        "{answer}"
    );
    org.rules_are_loaded();
    let attacker = "203.0.113.7";
    // Nine are not yet many, a successful login among them is no attack, and failures of several
    // addresses do not add up; each request may land in another shard.
    for account in ["root", "root", "admin"] {
        let failure = login("Failed", attacker, account);
        send(&org, &vec![failure; 3]);
    }
    send(&org, &[login("Accepted", attacker, "root")]);
    let others: Vec<Value> = (0..12)
        .map(|n| login("Failed", &format!("203.0.113.{}", 100 + n), "root"))
        .collect();
    send(&org, &others);
    // The scanner is let pass, however much it tries.
    for n in 0..3 {
        let scans: Vec<Value> = (0..6)
            .map(|m| login("Failed", "198.51.100.9", &format!("user{}", n * 6 + m)))
            .collect();
        send(&org, &scans);
    }
    assert_eq!(told(&org), []);
    // The tenth makes it many, and those before it count.
    send(&org, &[login("Failed", attacker, "root")]);
    wait_for(&org, &[(MANY, 10, "high")]);
    send(&org, &vec![login("Failed", attacker, "guest"); 4]);
    wait_for(&org, &[(MANY, 14, "high")]);
    // Another address tries one account after the other.
    let tries = ["a", "a", "b", "c"].map(|account| login("Failed", "203.0.113.8", account));
    send(&org, &tries);
    assert_eq!(told(&org).len(), 1);
    send(&org, &[login("Failed", "203.0.113.8", "d")]);
    wait_for(&org, &[(MANY, 14, "high"), (ACCOUNTS, 5, "medium")]);
    // The door opens: fourteen failures, the login between them and this one are hits.
    send(&org, &[login("Accepted", attacker, "root")]);
    let rest = [
        (MANY, 14, "high"),
        (ACCOUNTS, 5, "medium"),
        (AFTER, 16, "critical"),
    ];
    wait_for(&org, &rest);
    let alerts = org.alerts();
    let after = alerts
        .iter()
        .find(|alert| alert["rule_id"] == AFTER)
        .unwrap();
    assert_eq!(after["attack"], json!(["TA0001", "T1078"]));
    assert_eq!(after["group_key"], json!({ "src_ip": attacker }));
    // A rule that stands for itself.
    let tunnel =
        json!({"service": "sshd", "message": "forwarding", "attributes": {"forward": "db:3389"}});
    send(&org, &[tunnel.clone(), tunnel]);
    wait_for(&org, &[(TUNNEL, 2, "medium"), rest[0], rest[1], rest[2]]);
}

#[test]
fn an_exception_outlives_the_next_import() {
    let org = Org::new("sigma-tuned");
    let rule = |level: &str| {
        format!(
            "title: Needle\nid: needle\nlogsource: {{product: appliance}}\ndetection:\n    selection: {{kind: needle}}\n    condition: selection\nlevel: {level}\n"
        )
    };
    let _made = import(&org, "", rule("low").as_bytes()).must_be(200);
    let found = org.ask("/api/v1/rules/needle").must_be(200).json();
    let mut tuned = found["rule"].clone();
    tuned["exceptions"] = json!([{"reason": "the lab",
        "selection": {"field": "service", "op": "eq", "value": "lab"}}]);
    let token = format!("Bearer {}", org.token("admin"));
    let url = format!("{}/api/v1/rules/needle", org.query_url);
    let put = millrace_tests::Http::new().send(
        reqwest::Method::PUT,
        &url,
        &[("authorization", &token)],
        tuned.to_string().into_bytes(),
    );
    let _put = put.unwrap().must_be(200);
    let renewed = import(&org, "", rule("high").as_bytes())
        .must_be(200)
        .json();
    assert_eq!(renewed["updated"], 1, "{renewed}");
    org.rules_are_loaded();
    let needle = |service: &str| json!({"service": service, "message": "m", "attributes": {"kind": "needle"}});
    send(&org, &[needle("lab"), needle("shop"), needle("lab")]);
    wait_for(&org, &[("needle", 1, "high")]);
}

/// A tar file, as `tar` writes it.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        bytes.extend(header);
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// What came of an import, whoever made it.
fn counts(answer: &Value) -> [u64; 5] {
    ["created", "updated", "unchanged", "refused", "filters"]
        .map(|name| answer[name].as_u64().unwrap_or_else(|| panic!("{answer}")))
}

/// What a directory or an archive holds: the rules, one that is refused, and what is none.
fn files() -> [(&'static str, &'static str); 4] {
    let unbound = "title: Unbound\nlogsource: {product: linux}\ndetection:\n    s: {user|expand: '%Admins%'}\n    condition: s\n";
    [
        ("ssh/all.yml", RULES),
        ("ssh/unbound.yaml", unbound),
        ("ssh/.git/no.yml", "no: rule"),
        ("ssh/notes.txt", "no rule"),
    ]
}

#[test]
fn the_tool_and_the_api_take_the_same_in() {
    let org = Org::new("sigma-tool");
    let directory = process::logs().join(&org.name);
    std::fs::create_dir_all(directory.join("ssh/.git")).unwrap();
    for (name, text) in files() {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let path = directory.display().to_string();
    let tool = |more: &str| {
        let mut arguments = vec!["rules", "import-sigma", path.as_str()];
        arguments.extend(more.split(' '));
        shared().installation.admin(&arguments)
    };
    let to_org = format!("--org {}", org.name);
    let all = [4, 0, 0, 1, 1];
    assert_eq!(counts(&tool("--dry-run")), all);
    assert_eq!(counts(&tool(&format!("--dry-run {to_org}"))), all);
    let none = org.ask(&format!("/api/v1/rules/{MANY}"));
    assert_eq!(none.status, 404);
    let made = tool(&format!("--disabled {to_org}"));
    assert_eq!(counts(&made), all);
    let row = &made["results"][0];
    assert_eq!(
        (&row["outcome"], &row["title"]),
        (&json!("refused"), &json!("Unbound"))
    );
    let detail = row["detail"].as_str().unwrap();
    assert!(detail.contains("%Admins%"), "{row}");
    // The same through the API, as an archive: nothing is new.
    let archive = tar(&files());
    let same = import(&org, "", &archive).must_be(200).json();
    assert_eq!(counts(&same), [0, 0, 4, 1, 1], "{same}");
    let bound = import(&org, "?bind=Admins=root&bind=Admins=adm*", &archive);
    assert_eq!(counts(&bound.must_be(200).json()), [1, 0, 4, 0, 1]);
    let bound = tool(&format!("{to_org} --bind Admins=root --bind Admins=adm*"));
    assert_eq!(counts(&bound), [0, 0, 5, 0, 1]);
}

#[test]
fn the_tool_tells_what_is_covered_and_what_it_cannot_take() {
    let org = Org::new("sigma-covered");
    let installation = &shared().installation;
    let _made = import(&org, "?disabled=true", RULES.as_bytes()).must_be(200);
    let layer = process::logs().join(format!("{}.layer.json", org.name));
    let shown = layer.display().to_string();
    let name = org.name.as_str();
    let arguments = ["rules", "coverage", "--org", name, "--navigator", &shown];
    let covered = installation.admin(&arguments);
    let mut rows = covered.as_array().unwrap().iter();
    let tunnel = rows.find(|row| row["attack"] == "T1572").unwrap();
    assert_eq!(
        (&tunnel["rules_on"], &tunnel["rules_off"]),
        (&json!(0), &json!(1)),
        "{tunnel}"
    );
    let file: Value = serde_json::from_slice(&std::fs::read(layer).unwrap()).unwrap();
    let api = org.ask("/api/v1/rules/coverage/navigator");
    assert_eq!(file, api.must_be(200).json());
    let directory = process::logs().join(format!("{name}-empty"));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.display().to_string();
    let fails = |word: &str| {
        let arguments = ["rules", "import-sigma", &path, "--org", name];
        let output = process::run("millrace-admin", installation.settings(), &arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(word), "{told}");
    };
    fails("holds no file");
    std::fs::write(directory.join("wrong.yml"), "title: Wrong\n").unwrap();
    fails("(Wrong): detection: is required");
}

/// What `docs/detection.md` says of Sigma.
const DOCUMENT: &str = include_str!("../../../docs/detection.md");

/// The blocks of a language in the sections from one heading to before another.
fn blocks(language: &str, from: &str, until: &str) -> Vec<String> {
    let (_, rest) = DOCUMENT.split_once(from).expect(from);
    let (section, _) = rest.split_once(until).expect(until);
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    let end = |block: &str| block.split_once("```").expect("an end").0.to_owned();
    blocks.map(end).collect()
}

/// A shell in which the blocks are pasted one after the other. It does not sleep: what the reader
/// waits for is waited for between the blocks.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    fn new(org: &Org) -> Shell {
        let directory = process::logs().join(format!("{}-shell", org.name));
        std::fs::create_dir_all(&directory).unwrap();
        let mut child = Command::new("bash")
            .args(["-eu", "-o", "pipefail"])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shell = Shell {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        let [analyst, admin] = ["analyst", "admin"].map(|role| org.token(role));
        let secret = org.secret.reveal();
        let (gateway, query, key) = (&org.gateway_url, &org.query_url, &org.key_id);
        let run = format!(
            "sleep() {{ :; }}\nrun() {{ case \"$1\" in gateway_url) echo '{gateway}';; key_id) echo '{key}';; \
             secret) echo '{secret}';; query_url) echo '{query}';; analyst) echo '{analyst}';; \
             admin) echo '{admin}';; esac; }}\n"
        );
        assert_eq!(shell.paste(&run), "");
        shell
    }

    /// Pastes a block; what it prints.
    fn paste(&mut self, block: &str) -> String {
        writeln!(self.stdin, "{block}\necho; echo '--'").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(
                read > 0,
                "the shell ended in {block}; before that: {printed}"
            );
            if line == "--\n" {
                return printed.trim().to_owned();
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn the_worked_examples_work_when_pasted() {
    for tool in ["bash", "curl", "openssl"] {
        if Command::new(tool).arg("--help").output().is_err() {
            eprintln!("skipped: there is no {tool}");
            return;
        }
    }
    let org = Org::new("sigma-pasted");
    let mut shell = Shell::new(&org);
    let section = [
        "### One rule\n",
        "### Correlations and filters\n",
        "### Many rules, and again\n",
    ];
    let parts = blocks("sh", section[0], section[1]);
    let [import, attack] = parts.as_slice() else {
        panic!("{parts:?}");
    };
    let answer: Value = serde_json::from_str(&shell.paste(import)).unwrap();
    let written = blocks("json", section[0], section[1]);
    assert_eq!(answer, serde_json::from_str::<Value>(&written[0]).unwrap());
    org.rules_are_loaded();
    let _shown = shell.paste(attack);
    let one = ("6c1f0a52-4f0e-4d5e-9a51-0f8a3f5c2b10", 1, "high");
    wait_for(&org, &[one]);
    let parts = blocks("sh", section[1], section[2]);
    let [import, attack] = parts.as_slice() else {
        panic!("{parts:?}");
    };
    let answer: Value = serde_json::from_str(&shell.paste(import)).unwrap();
    assert_eq!(
        (&answer["created"], &answer["filters"]),
        (&json!(1), &json!(1)),
        "{answer}"
    );
    org.rules_are_loaded();
    let _shown = shell.paste(attack);
    let many = ("0f3c0f6e-3f43-4a4b-8f0e-7f1f3a1c5d22", 6, "medium");
    wait_for(&org, &[many, one]);
    let covered = shell.paste(&blocks("sh", "### Coverage\n", "## Alerts\n")[0]);
    assert!(covered.contains("T1059.001"), "{covered}");
}
