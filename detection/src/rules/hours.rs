//! Business hours. It reads the time it is given, never a clock.

use millrace_shared::limits::NS_PER_SECOND;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

const MINUTES_PER_DAY: i64 = 24 * 60;
/// 1970-01-01 was a Thursday; days of the week count from Monday.
const EPOCH_WEEKDAY: i64 = 3;

/// When an organisation works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusinessHours {
    /// Offset of the local time from UTC, minutes.
    pub utc_offset_minutes: i32,
    /// First minute of the working day.
    pub from_minute: u16,
    /// First minute after the working day.
    pub until_minute: u16,
    /// Working days: bit 0 is Monday.
    pub weekdays: u8,
}

impl Default for BusinessHours {
    fn default() -> Self {
        BusinessHours::UTC_OFFICE
    }
}

/// Working hours that cannot be used.
#[derive(Debug, Error)]
pub enum HoursError {
    /// They are not of the form.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
    /// A time is not `HH:MM`.
    #[error("a time is HH:MM")]
    Time,
    /// A day is none of the week.
    #[error("weekdays are 1 (Monday) to 7")]
    Weekday,
}

/// Working hours as an organisation's settings have them; all of it may be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    utc_offset_minutes: i32,
    from: Option<String>,
    until: Option<String>,
    weekdays: Option<Vec<u8>>,
}

impl BusinessHours {
    /// Those of an organisation's settings:
    /// `{"hours": {"utc_offset_minutes": 60, "from": "09:00", "until": "17:00", "weekdays": [1, 2, 3]}}`
    /// with Monday as day 1.
    ///
    /// # Errors
    /// [`HoursError`] when they cannot be used.
    pub fn of_settings(settings: &Value) -> Result<Self, HoursError> {
        let mut hours = BusinessHours::default();
        let Some(given) = settings.get("hours") else {
            return Ok(hours);
        };
        let given = Given::deserialize(given)?;
        let read = |text: &Option<String>, default: u16| match text {
            None => Ok(default),
            Some(text) => minute(text).ok_or(HoursError::Time),
        };
        hours.utc_offset_minutes = given.utc_offset_minutes;
        hours.from_minute = read(&given.from, hours.from_minute)?;
        hours.until_minute = read(&given.until, hours.until_minute)?;
        if let Some(days) = given.weekdays {
            if !days.iter().all(|day| (1..=7).contains(day)) {
                return Err(HoursError::Weekday);
            }
            hours.weekdays = days.iter().fold(0, |bits, day| bits | 1 << (day - 1));
        }
        Ok(hours)
    }

    /// 09:00–17:00 UTC, Monday to Friday.
    pub const UTC_OFFICE: BusinessHours = BusinessHours {
        utc_offset_minutes: 0,
        from_minute: 9 * 60,
        until_minute: 17 * 60,
        weekdays: 0b001_1111,
    };

    /// Whether a time (nanoseconds UTC) lies outside of them.
    #[must_use]
    pub fn is_after_hours(&self, at_ns: i64) -> bool {
        let minute = at_ns.div_euclid(60 * NS_PER_SECOND) + i64::from(self.utc_offset_minutes);
        let weekday = (minute.div_euclid(MINUTES_PER_DAY) + EPOCH_WEEKDAY).rem_euclid(7);
        let of_day = minute.rem_euclid(MINUTES_PER_DAY);
        let works = self.weekdays >> weekday & 1 == 1;
        let within = (i64::from(self.from_minute)..i64::from(self.until_minute)).contains(&of_day);
        !(works && within)
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour <= 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::time::parse_timestamp;
    use serde_json::json;

    #[test]
    fn settings_are_read_and_what_makes_no_sense_is_refused() {
        let read = |hours: Value| BusinessHours::of_settings(&json!({ "hours": hours }));
        let hours = read(json!({"utc_offset_minutes": 60, "from": "08:30", "weekdays": [1, 7]}));
        let expected = BusinessHours {
            utc_offset_minutes: 60,
            from_minute: 510,
            weekdays: 0b100_0001,
            ..BusinessHours::default()
        };
        assert_eq!(hours.unwrap(), expected);
        let default = BusinessHours::of_settings(&json!({}));
        assert_eq!(default.unwrap(), BusinessHours::default());
        for bad in [
            json!({"from": "nine"}),
            json!({"weekdays": [0]}),
            json!({"tz": "CET"}),
            json!(null),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn evenings_and_weekends_are_after_hours() {
        let utc = BusinessHours::default();
        let berlin = BusinessHours {
            utc_offset_minutes: 120,
            ..utc
        };
        for (time, in_utc, in_berlin) in [
            ("2024-06-12T08:59:59Z", true, false),
            ("2024-06-12T09:00:00Z", false, false),
            ("2024-06-12T15:00:00Z", false, true),
            ("2024-06-12T17:00:00Z", true, true),
            ("2024-06-15T12:00:00Z", true, true),
            ("2024-06-16T12:00:00Z", true, true),
            ("2024-06-17T12:00:00Z", false, false),
            ("1969-12-31T12:00:00Z", false, false),
        ] {
            let at = parse_timestamp(time).unwrap();
            assert_eq!(utc.is_after_hours(at), in_utc, "{time} UTC");
            assert_eq!(berlin.is_after_hours(at), in_berlin, "{time} +02:00");
        }
    }
}
