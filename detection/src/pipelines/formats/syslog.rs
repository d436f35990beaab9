//! Syslog: RFC 5424 with its structured data, and the older lines that RFC 3164 describes, with or
//! without a priority. The message, host, level and time go into the fields of that name, the rest
//! under `syslog.`.

use super::{Put, Source, prefixed, split_unescaped, unescape};
use millrace_shared::Value;
use millrace_shared::limits::FUTURE_NS_MAX;
use millrace_shared::time::{parse_timestamp, rfc3339};

/// RFC 5424, 6.2.1: by number.
const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Bytes of a tag, of which RFC 3164 allows 32 and senders use more.
const TAG_BYTES_MAX: usize = 128;

pub(super) fn read<'a>(source: Source<'a>, put: &mut Put<'_, 'a>) -> bool {
    let text = source.text.trim_end_matches(['\n', '\r', '\0']);
    let (priority, rest) = match priority(text) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, text),
    };
    let mut found: Vec<(&'a str, Value<'a>)> = Vec::new();
    let read = match rest.strip_prefix("1 ") {
        Some(rest) if priority.is_some() => rfc5424(rest, source, &mut found),
        Some(_) | None => rfc3164(rest, source, &mut found),
    };
    // A priority alone says of a line that it is syslog; RFC 3164, 4.3.3.
    if read.is_none() {
        if priority.is_none() {
            return false;
        }
        found.clear();
        found.push(("message", Value::Text(rest)));
    }
    if let Some(priority) = priority {
        let level = LEVELS.get(usize::from(priority % 8)).copied();
        let facility = FACILITIES.get(usize::from(priority / 8)).copied();
        put("level", Value::Text(level.unwrap_or("info")));
        put("syslog.facility", Value::Text(facility.unwrap_or("user")));
    }
    found.into_iter().for_each(|(name, value)| put(name, value));
    true
}

/// `<PRI>`, at most 191.
fn priority(text: &str) -> Option<(u8, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let priority: u8 = number.parse().ok()?;
    (number.len() <= 3 && priority <= 191).then_some((priority, rest))
}

type Found<'a> = Vec<(&'a str, Value<'a>)>;

fn rfc5424<'a>(text: &'a str, source: Source<'a>, found: &mut Found<'a>) -> Option<()> {
    let mut rest = text;
    for name in [
        "timestamp",
        "host",
        "syslog.appname",
        "syslog.procid",
        "syslog.msgid",
    ] {
        let (word, after) = rest.split_once(' ')?;
        if word.is_empty() {
            return None;
        }
        if word != "-" {
            found.push((name, Value::Text(word)));
        }
        rest = after;
    }
    let after = match rest.strip_prefix('-') {
        Some(after) => after,
        None => structured(rest, source, found)?,
    };
    let message = after.strip_prefix(' ').unwrap_or(after);
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    found.push(("message", Value::Text(message)));
    Some(())
}

/// `[id name="value" …][…]`; what follows it.
fn structured<'a>(text: &'a str, source: Source<'a>, found: &mut Found<'a>) -> Option<&'a str> {
    let mut rest = text.strip_prefix('[')?;
    loop {
        let end = rest.find([' ', ']'])?;
        let (id, mut after) = rest.split_at(end);
        while let Some(parameter) = after.strip_prefix(' ') {
            let (name, quoted) = parameter.split_once("=\"")?;
            let (value, following) = split_unescaped(quoted, '"')?;
            let name = prefixed("syslog.", &format!("{id}.{name}"), source.arena);
            found.push((name, Value::Text(unescape(value, source.arena, &[]))));
            after = following;
        }
        after = after.strip_prefix(']')?;
        match after.strip_prefix('[') {
            Some(next) => rest = next,
            None => return Some(after),
        }
    }
}

/// `Jun 14 15:16:01 host tag[pid]: message`, times in UTC.
fn rfc3164<'a>(text: &'a str, source: Source<'a>, found: &mut Found<'a>) -> Option<()> {
    let (time, rest) = text.split_at_checked(15)?;
    let at = time_without_year(time, source.received_ns)?;
    found.push(("timestamp", Value::Int(at)));
    let (host, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    found.push(("host", Value::Text(host)));
    let tag = rest
        .split_once(": ")
        .or_else(|| Some((rest.strip_suffix(':')?, "")))
        .filter(|(tag, _)| tag.len() <= TAG_BYTES_MAX && !tag.contains(' '));
    let Some((tag, message)) = tag else {
        found.push(("message", Value::Text(rest)));
        return Some(());
    };
    let pid = tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('['));
    let (name, pid) = pid.map_or((tag, None), |(name, pid)| (name, Some(pid)));
    found.push(("syslog.appname", Value::Text(name)));
    found.extend(pid.map(|pid| ("syslog.procid", Value::Text(pid))));
    found.push(("message", Value::Text(message)));
    Some(())
}

/// `Mmm dd hh:mm:ss` in the year in which it is not in the future of its receipt.
fn time_without_year(text: &str, received_ns: i64) -> Option<i64> {
    let (month, rest) = text.split_once(' ')?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (day, clock) = rest.trim_start().split_once(' ')?;
    let day: u8 = day.parse().ok()?;
    let year: i32 = rfc3339(received_ns).get(..4)?.parse().ok()?;
    let in_year = |year| parse_timestamp(&format!("{year:04}-{month:02}-{day:02}T{clock}Z"));
    let latest = received_ns.saturating_add(FUTURE_NS_MAX);
    let mut years = [year + 1, year, year - 1].into_iter().filter_map(in_year);
    years.find(|at| *at <= latest)
}

#[cfg(test)]
mod tests {
    use super::super::Format::Syslog;
    use super::super::tests::{pairs, read};

    #[test]
    fn the_examples_of_rfc_5424_are_read() {
        let text = r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App\]\"x"][b@1 c="d"] BOMAn entry"#;
        let expected = [
            ("level", "notice"),
            ("syslog.facility", "local4"),
            ("timestamp", "2003-10-11T22:14:15.003Z"),
            ("host", "mymachine.example.com"),
            ("syslog.appname", "evntslog"),
            ("syslog.msgid", "ID47"),
            ("syslog.exampleSDID@32473.iut", "3"),
            ("syslog.exampleSDID@32473.eventSource", "App]\"x"),
            ("syslog.b@1.c", "d"),
            ("message", "BOMAn entry"),
        ];
        assert_eq!(read(Syslog, text), pairs(&expected));
        let text = "<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - \u{feff}'su root' failed";
        let found = read(Syslog, text).unwrap();
        assert_eq!(found[0].1, "crit");
        assert_eq!(found.last().unwrap().1, "'su root' failed");
    }

    #[test]
    fn older_lines_are_read_with_the_year_of_their_receipt() {
        let text =
            "<38>Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; user=x";
        let expected = [
            ("level", "info"),
            ("syslog.facility", "auth"),
            ("timestamp", "1718378161000000000"),
            ("host", "combo"),
            ("syslog.appname", "sshd(pam_unix)"),
            ("syslog.procid", "19939"),
            ("message", "authentication failure; user=x"),
        ];
        assert_eq!(read(Syslog, text), pairs(&expected));
        // December, read in June, was last year's; without a priority there is no level.
        let found = read(Syslog, "Dec  3 06:00:00 h kernel: up").unwrap();
        assert_eq!(
            found[0],
            ("timestamp".to_owned(), "1701583200000000000".to_owned())
        );
        assert_eq!(found.last().unwrap().1, "up");
    }

    #[test]
    fn a_priority_alone_makes_a_message_and_prose_is_refused() {
        let expected = [
            ("level", "crit"),
            ("syslog.facility", "auth"),
            ("message", "odd line"),
        ];
        assert_eq!(read(Syslog, "<34>odd line"), pairs(&expected));
        for text in [
            "",
            "hello",
            "<999>x",
            "<34",
            "Jun 99 00:00:00 h t: m",
            "Foo 14 15:16:01 h t: m",
        ] {
            assert_eq!(read(Syslog, text), None, "{text}");
        }
    }
}
