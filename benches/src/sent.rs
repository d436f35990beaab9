//! Events that no published rule selects but that are ordinary otherwise, as they are sent: processes
//! that start on Windows, and lines of logs.

use serde_json::{Value, json};

/// How far on in a file the next line is taken from: a prime, so that each comes once before any
/// comes again, and those of several logs in one file are mixed.
const STEP: usize = 7_919;

/// A process that starts, as Sysmon tells it.
#[must_use]
pub fn windows(n: usize) -> Value {
    let image = match n % 4 {
        0 => r"C:\Program Files\Contoso\Agent\agentsvc.exe",
        1 => r"C:\Windows\System32\conhost.exe",
        2 => r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
        _ => r"C:\Users\anna\AppData\Local\Contoso\updater.exe",
    };
    json!({
        "service": "sysmon", "level": "info", "message": "Process Create", "attributes": {
            "EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Provider_Name": "Microsoft-Windows-Sysmon", "Computer": "ws-0042.corp.example",
            "UtcTime": "2026-01-05 08:51:00.008", "ProcessGuid": format!("c1b49677-43f4-5c7a-{n:08x}"),
            "ProcessId": 1_000 + n, "Image": image, "FileVersion": "1.3.28.13",
            "Description": "Contoso component", "Product": "Contoso Suite", "Company": "Contoso Ltd.",
            "OriginalFileName": "component.exe",
            "CommandLine": format!("\"{image}\" --type=renderer --lang=en-US --instance={n} /background"),
            "CurrentDirectory": r"C:\Users\anna\", "User": r"CORP\anna",
            "LogonGuid": "c1b49677-3fb9-5c09-0000-0020e7030000", "LogonId": "0x3e7",
            "TerminalSessionId": 1, "IntegrityLevel": "Medium",
            // Digits, for letters make words that rules look for.
            "Hashes": format!("MD5={n:032},SHA256={n:064},IMPHASH={:032}", n * 7),
            "ParentProcessId": 900, "ParentImage": r"C:\Program Files\Contoso\Agent\launcher.exe",
            "ParentCommandLine": "\"C:\\Program Files\\Contoso\\Agent\\launcher.exe\" /service",
        },
    })
}

/// The same with the number within each text but for the channel's, which is the log source.
#[must_use]
pub fn windows_fresh(n: usize) -> Value {
    let mut event = windows(n);
    let attributes = event.get_mut("attributes").and_then(Value::as_object_mut);
    for (key, value) in attributes.into_iter().flatten() {
        if let Value::String(text) = value
            && key != "Channel"
        {
            // A path stays one that such programs are at.
            let at = text.rfind('\\').map_or(text.len() / 2, |at| at + 1);
            text.insert_str(at, &n.to_string());
        }
    }
    event
}

/// A line of a text, or, where there is none, one such as servers write.
#[must_use]
pub fn log_line(n: usize, lines: &[&str]) -> Value {
    let line = |text: &str| json!({"service": "syslog", "level": "info", "message": text, "attributes": {"pid": 4711}});
    let at = n.wrapping_mul(STEP).checked_rem(lines.len());
    if let Some(text) = at.and_then(|at| lines.get(at)) {
        return line(text);
    }
    line(&match n % 4 {
        0 => format!(
            "sshd[{n}]: Accepted publickey for deploy from 198.51.100.{} port 5{n:04} ssh2",
            n % 250
        ),
        1 => format!("CRON[{n}]: (root) CMD (/usr/lib/sysstat/sa1 1 1)"),
        2 => format!("kernel: [ 12{n}.004] eth0: link up, 1000Mbps, full-duplex, lpa 0xFFFF"),
        _ => format!(
            "nginx: 203.0.113.{} GET /api/v1/orders/{n} 200 512 0.012",
            n % 250
        ),
    })
}
