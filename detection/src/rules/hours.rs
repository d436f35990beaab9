//! Business hours. It reads the time it is given, never a clock.

use millrace_shared::limits::NS_PER_SECOND;

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

impl BusinessHours {
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

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::time::parse_timestamp;

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
