//! Parts of a date: the minute, hour, day, week, month or year of a time that a field holds, in
//! UTC. It knows no other zone.

use millrace_shared::Value;
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::time::{parse_number, parse_timestamp};

const SECONDS_PER_DAY: i64 = 24 * 3600;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const EPOCH_WEEKDAY: i64 = 3;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Part {
    /// The part of the time that a value is; `None` when it is no time.
    pub(super) fn of(self, value: &Value<'_>) -> Option<i64> {
        let at_ns = match value {
            Value::Text(text) => parse_timestamp(text.trim())?,
            Value::Int(_) | Value::Float(_) => {
                let mut buffer = [0; 32];
                parse_number(super::condition::written(value, &mut buffer)?)?
            }
            Value::Bool(_) | Value::Null | Value::Json(_) => return None,
        };
        let seconds = at_ns.div_euclid(NS_PER_SECOND);
        let (day, second) = (
            seconds.div_euclid(SECONDS_PER_DAY),
            seconds.rem_euclid(SECONDS_PER_DAY),
        );
        let (year, month, of_month) = civil(day);
        Some(match self {
            Part::Minute => second / 60 % 60,
            Part::Hour => second / 3600,
            Part::Day => of_month,
            Part::Week => week(day),
            Part::Month => month,
            Part::Year => year,
        })
    }
}

/// Year, month and day of a day since 1970 (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
const fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, of_month)
}

/// The week by ISO 8601: the one of the year that holds its Thursday.
const fn week(day: i64) -> i64 {
    let weekday = (day + EPOCH_WEEKDAY).rem_euclid(7);
    let thursday = day - weekday + 3;
    let (year, ..) = civil(thursday);
    // The first day of that year, by counting back from the Thursday.
    let mut first = thursday;
    let mut step = 366;
    while step > 0 {
        if civil(first - step).0 == year {
            first -= step;
        } else {
            step /= 2;
        }
    }
    (thursday - first) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        for (text, minute, hour, day, week, month, year) in [
            ("2024-06-12T08:59:59Z", 59, 8, 12, 24, 6, 2024),
            ("2021-01-03 23:01:00", 1, 23, 3, 53, 1, 2021),
            ("2024-12-30T00:00:00Z", 0, 0, 30, 1, 12, 2024),
            ("2020-12-31T12:30:00Z", 30, 12, 31, 53, 12, 2020),
            ("2023-01-01T00:00:00Z", 0, 0, 1, 52, 1, 2023),
            ("1969-12-31T23:59:59Z", 59, 23, 31, 1, 12, 1969),
            ("2024-02-29T10:00:00+02:00", 0, 8, 29, 9, 2, 2024),
        ] {
            let value = Value::Text(text);
            let parts = [
                Part::Minute,
                Part::Hour,
                Part::Day,
                Part::Week,
                Part::Month,
                Part::Year,
            ];
            let found = parts.map(|part| part.of(&value));
            let wanted = [minute, hour, day, week, month, year].map(Some);
            assert_eq!(found, wanted, "{text}");
        }
        assert_eq!(Part::Year.of(&Value::Int(1_718_182_799)), Some(2024));
        assert_eq!(Part::Year.of(&Value::Text("no time")), None);
    }
}
