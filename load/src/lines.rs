//! One line of a log file, as programs write them, to what is known of it.
//!
//! Understands JSON lines, syslog (RFC 5424, RFC 3164, and as files hold it), the Apache error and
//! access logs, and lines with an ISO 8601 time near their beginning. Whatever it is, the line
//! itself stays the message: guesses only add to it.

use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Level;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

/// What is known of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line<'l> {
    /// When it was written, nanoseconds since 1970 UTC.
    pub timestamp: Option<i64>,
    /// How bad it is.
    pub level: Option<Level>,
    /// The machine.
    pub host: Option<&'l str>,
    /// The program.
    pub program: Option<&'l str>,
    /// The process.
    pub process: Option<&'l str>,
}

/// Words looked at for a level: further on it is prose.
const LEVEL_WITHIN_WORDS: usize = 8;
/// Words looked at for the beginning of an ISO 8601 time.
const TIME_WITHIN_WORDS: usize = 3;

/// Reads a line. `now` (nanoseconds) tells the year where the line does not.
#[must_use]
pub fn read(line: &str, now: i64) -> Line<'_> {
    let (priority, rest) = priority(line);
    let mut found = rfc5424(rest)
        .filter(|_| priority.is_some())
        .or_else(|| bsd_syslog(rest, now))
        .or_else(|| apache_error(rest))
        .or_else(|| access_log(rest))
        .unwrap_or_else(|| Line {
            timestamp: iso_time(rest),
            ..Line::default()
        });
    found.level = priority.or(found.level).or_else(|| level_word(rest));
    found
}

/// `<34>` before a syslog message: facility times eight plus severity.
fn priority(line: &str) -> (Option<Level>, &str) {
    let parts = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let Some((Ok(number), rest)) = parts.map(|(number, rest)| (number.parse::<u8>(), rest)) else {
        return (None, line);
    };
    let level = match number % 8 {
        0..=2 => Level::Fatal,
        3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    };
    (Some(level), rest)
}

/// `1 2003-10-11T22:14:15.003Z host program process …`.
fn rfc5424(rest: &str) -> Option<Line<'_>> {
    let mut words = rest.strip_prefix("1 ")?.split(' ');
    let mut word = || words.next().filter(|word| *word != "-");
    Some(Line {
        timestamp: word().and_then(millrace_shared::time::parse_timestamp),
        host: word(),
        program: word(),
        process: word(),
        level: None,
    })
}

/// `Jun 14 15:16:01 host program(module)[process]: …`.
fn bsd_syslog(rest: &str, now: i64) -> Option<Line<'_>> {
    let mut words = rest.split_ascii_whitespace();
    let month = month(words.next()?)?;
    let day: u8 = words.next()?.parse().ok()?;
    let clock = clock_time(words.next()?)?;
    let host = words.next();
    let tag = words.next().and_then(|tag| tag.split(':').next());
    let program = tag.map(|tag| tag.split(['(', '[']).next().unwrap_or(tag));
    let process = tag.and_then(|tag| tag.split_once('[')?.1.strip_suffix(']'));
    Some(Line {
        timestamp: latest_before(now, month, day, clock),
        host,
        program,
        process,
        level: None,
    })
}

/// `[Sun Dec 04 04:47:44 2005] [error] …`, also with fractions of seconds.
fn apache_error(rest: &str) -> Option<Line<'_>> {
    let (time, rest) = rest.strip_prefix('[')?.split_once("] [")?;
    let (level, _) = rest.split_once(']')?;
    let words: Vec<&str> = time.split_ascii_whitespace().collect();
    let [_, name, day, clock, year] = words.as_slice() else {
        return None;
    };
    let date = Date::from_calendar_date(year.parse().ok()?, month(name)?, day.parse().ok()?);
    let time = PrimitiveDateTime::new(date.ok()?, clock_time(clock)?);
    Some(Line {
        timestamp: nanoseconds(time, UtcOffset::UTC),
        level: Level::parse(level.rsplit(':').next()?),
        ..Line::default()
    })
}

/// `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326`.
fn access_log(rest: &str) -> Option<Line<'_>> {
    let (_, rest) = rest.split_once(" [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let (clock, zone) = time.split_once(' ')?;
    let (date, clock) = clock.split_once(':')?;
    let parts: Vec<&str> = date.split('/').collect();
    let [day, name, year] = parts.as_slice() else {
        return None;
    };
    let date = Date::from_calendar_date(year.parse().ok()?, month(name)?, day.parse().ok()?);
    let offset = zone.parse::<i32>().ok()?;
    let offset = UtcOffset::from_hms(
        i8::try_from(offset / 100).ok()?,
        i8::try_from(offset % 100).ok()?,
        0,
    );
    let (_, after) = rest.split_once("\" ")?;
    let status: u16 = after.split(' ').next()?.parse().ok()?;
    Some(Line {
        timestamp: nanoseconds(
            PrimitiveDateTime::new(date.ok()?, clock_time(clock)?),
            offset.ok()?,
        ),
        level: Some(match status {
            500.. => Level::Error,
            400..500 => Level::Warn,
            _ => Level::Info,
        }),
        program: None,
        ..Line::default()
    })
}

/// An ISO 8601 time among the first words, its date and clock joined by `T` or a space.
fn iso_time(rest: &str) -> Option<i64> {
    let begins = |at: &usize| {
        let date = rest.get(*at..).unwrap_or("").as_bytes();
        date.get(4) == Some(&b'-') && date.get(7) == Some(&b'-')
    };
    let after_space = |(at, _): (usize, &str)| at + 1;
    std::iter::once(0)
        .chain(rest.match_indices([' ', '[']).map(after_space))
        .take(TIME_WITHIN_WORDS)
        .filter(begins)
        .find_map(|at| {
            let text = rest.get(at..)?;
            let clock = text.get(11..)?;
            let end = clock.find([' ', ']', '|']).unwrap_or(clock.len());
            millrace_shared::time::parse_timestamp(text.get(..11 + end)?)
        })
}

/// A level that stands by itself in capitals, in brackets, or before a colon.
fn level_word(rest: &str) -> Option<Level> {
    rest.split_ascii_whitespace()
        .take(LEVEL_WITHIN_WORDS)
        .find_map(|word| {
            let bare = word.trim_matches(['[', ']', '(', ')', ':', '|', ',']);
            let set_apart = word.len() > bare.len() || bare.bytes().all(|b| b.is_ascii_uppercase());
            let level = Level::parse(bare).filter(|_| set_apart)?;
            // Words that are levels and much else besides.
            (!["all", "ok", "log", "success", "config"].contains(&bare.to_lowercase().as_str()))
                .then_some(level)
        })
}

fn month(name: &str) -> Option<Month> {
    const NAMES: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = NAMES.iter().position(|known| *known == name)?;
    Month::try_from(u8::try_from(at).ok()? + 1).ok()
}

/// `15:16:01`, with or without a fraction.
fn clock_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Time::from_hms_nano(hour, minute, second, digits.parse().ok()?).ok()
}

/// The latest such day that is not after tomorrow: a line without a year was written in the past.
fn latest_before(now: i64, month: Month, day: u8, clock: Time) -> Option<i64> {
    let today = time::OffsetDateTime::from_unix_timestamp(now / NS_PER_SECOND).ok()?;
    (0..=4).find_map(|back| {
        let date = Date::from_calendar_date(today.year() - back, month, day).ok()?;
        let ns = nanoseconds(PrimitiveDateTime::new(date, clock), UtcOffset::UTC)?;
        (ns <= now + 24 * 3600 * NS_PER_SECOND).then_some(ns)
    })
}

fn nanoseconds(time: PrimitiveDateTime, offset: UtcOffset) -> Option<i64> {
    i64::try_from(time.assume_offset(offset).unix_timestamp_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-01-15T12:00:00Z.
    const NOW: i64 = 1_768_478_400_000_000_000;

    fn timestamp(text: &str) -> Option<i64> {
        millrace_shared::time::parse_timestamp(text)
    }

    #[test]
    fn lines_as_programs_write_them() {
        let sshd = read(
            "Dec 10 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 173.234.31.186",
            NOW,
        );
        assert_eq!(sshd.timestamp, timestamp("2025-12-10T06:55:46Z"));
        assert_eq!(sshd.host, Some("LabSZ"));
        assert_eq!((sshd.program, sshd.process), (Some("sshd"), Some("24200")));
        let pam = read(
            "Jan 14 15:16:01 combo sshd(pam_unix)[19939]: check pass",
            NOW,
        );
        assert_eq!(pam.timestamp, timestamp("2026-01-14T15:16:01Z"));
        assert_eq!((pam.program, pam.process), (Some("sshd"), Some("19939")));
        let apache = read(
            "[Sun Dec 04 04:47:44 2005] [error] mod_jk child in error state 6",
            NOW,
        );
        assert_eq!(apache.timestamp, timestamp("2005-12-04T04:47:44Z"));
        assert_eq!(apache.level, Some(Level::Error));
        let nova = read(
            "nova-api.log.1 2017-05-16 00:00:00.008 25746 INFO nova.wsgi.server [req-1] GET",
            NOW,
        );
        assert_eq!(nova.timestamp, timestamp("2017-05-16T00:00:00.008Z"));
        assert_eq!(nova.level, Some(Level::Info));
        let access = read(
            r#"192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 404 2326"#,
            NOW,
        );
        assert_eq!(access.timestamp, timestamp("2000-10-10T20:55:36Z"));
        assert_eq!(access.level, Some(Level::Warn));
        let syslog = read(
            "<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 - failed",
            NOW,
        );
        assert_eq!(syslog.timestamp, timestamp("2003-10-11T22:14:15.003Z"));
        assert_eq!(
            (syslog.host, syslog.program),
            (Some("mymachine"), Some("su"))
        );
        assert_eq!(syslog.level, Some(Level::Fatal));
    }

    #[test]
    fn prose_is_no_level() {
        assert_eq!(read("an error occurred while all went ok", NOW).level, None);
        assert_eq!(
            read("2026-01-01T00:00:00Z error: no space", NOW).level,
            Some(Level::Error)
        );
        assert_eq!(read("[warn] low on disk", NOW).level, Some(Level::Warn));
        assert_eq!(read("", NOW), Line::default());
    }

    proptest! {
        #[test]
        fn never_panics(line in any::<String>(), prefix in "(<[0-9]{1,3}>1? ?|\\[|Jun 31 |)") {
            let _ = read(&format!("{prefix}{line}"), NOW);
        }
    }
}
