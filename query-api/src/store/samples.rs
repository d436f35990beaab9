//! Samples of metrics by group and step, from the samples or from a rollup.
//!
//! A rate is the increase of its counters over the step: every sample adds what it grew by since
//! the one before it (all of it, when it is less: the counter restarted), wherever that one lies. So
//! the rates of a range times their step add up to the whole increase. A rollup keeps its samples
//! in order, which makes the same sequence of them.

use super::pg::{instant, pg_range};
use super::{FromRow, PgQuery};
use crate::ask::TimeRange;
use crate::principal::{Needs, Permission};
use millrace_shared::limits::NS_PER_SECOND;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// Where samples are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The samples themselves.
    Raw,
    /// Buckets of a minute.
    Minute,
    /// Buckets of five minutes.
    FiveMinutes,
    /// Buckets of an hour.
    Hour,
}

impl Tier {
    /// Width of its buckets, seconds; zero for samples.
    #[must_use]
    pub const fn width_s(self) -> i64 {
        match self {
            Tier::Raw => 0,
            Tier::Minute => 60,
            Tier::FiveMinutes => 300,
            Tier::Hour => 3600,
        }
    }

    /// Days for which it is kept (the data model's retention).
    #[must_use]
    pub const fn kept_days(self) -> i64 {
        match self {
            Tier::Minute => 7,
            Tier::Raw | Tier::FiveMinutes => 30,
            Tier::Hour => 365,
        }
    }

    /// The name shown in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Raw => "samples",
            Tier::Minute => "metric_1m",
            Tier::FiveMinutes => "metric_5m",
            Tier::Hour => "metric_1h",
        }
    }

    /// The coarsest tier whose buckets make up the step and which still holds the start; else the
    /// one that is kept longest among those that fit the step.
    #[must_use]
    pub fn choose(step_s: i64, age_s: i64) -> Tier {
        let fits = |tier: &Tier| tier.width_s() == 0 || step_s % tier.width_s() == 0;
        let tiers = [Tier::Hour, Tier::FiveMinutes, Tier::Minute, Tier::Raw];
        let holds = |tier: &Tier| age_s <= tier.kept_days() * 24 * 3600;
        let found = tiers.into_iter().filter(fits).find(holds);
        let longest = || {
            tiers
                .into_iter()
                .filter(fits)
                .max_by_key(|tier| tier.kept_days())
        };
        found.or_else(longest).unwrap_or(Tier::Raw)
    }
}

/// What is asked of the samples.
#[derive(Clone, Debug)]
pub struct Samples {
    tier: Tier,
    increase: bool,
    series: Vec<i64>,
    groups: Vec<i32>,
    origin_s: f64,
    step_s: f64,
    start: OffsetDateTime,
    end: OffsetDateTime,
    back_to: OffsetDateTime,
}

/// How far before the range the sample is looked for from which the first one grew.
const LOOK_BACK_S: i64 = 300;

impl Samples {
    /// Sums, counts and extremes by group and step.
    #[must_use]
    pub fn new(tier: Tier, range: TimeRange, step_s: i64) -> Self {
        let (start, end) = pg_range(range);
        let back_ns = step_s.max(LOOK_BACK_S).saturating_mul(NS_PER_SECOND);
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
        let (origin_s, step_s) = ((range.start / NS_PER_SECOND) as f64, step_s as f64);
        Samples {
            tier,
            increase: false,
            series: Vec::new(),
            groups: Vec::new(),
            origin_s,
            step_s,
            start,
            end,
            back_to: instant(range.start.saturating_sub(back_ns)),
        }
    }

    /// The increase of counters instead of the sum.
    #[must_use]
    pub fn increase(mut self) -> Self {
        self.increase = true;
        self
    }

    /// Adds a series to a group.
    pub fn add(&mut self, series: i64, group: i32) {
        self.series.push(series);
        self.groups.push(group);
    }
}

/// The samples of one group in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The group.
    pub group: i32,
    /// Number of the step, from 0.
    pub slot: i32,
    /// Sum of the values, or the increase.
    pub sum: f64,
    /// Number of samples.
    pub count: i64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

impl Needs for Samples {
    fn permission(&self) -> Permission {
        Permission::MetricsRead
    }
}

macro_rules! members {
    ($rest:expr) => {
        concat!(
            "WITH member AS (
                SELECT s.id AS series_id, g.grp
                  FROM unnest($2::bigint[], $3::int[]) AS g(series_id, grp)
                  JOIN metric_series s ON s.id = g.series_id AND s.org_id = $1
             )",
            $rest
        )
    };
}

macro_rules! rolled_up {
    ($view:literal) => {
        members!(concat!(
            " SELECT grp, floor((extract(epoch FROM bucket)::float8 - $4) / $5)::int AS slot,
                     sum(r.sum) AS sum, sum(r.count)::bigint AS count, min(r.min), max(r.max)
                FROM member JOIN ",
            $view,
            " r USING (series_id)
               WHERE bucket >= $6 AND bucket < $7 AND $8::timestamptz IS NOT NULL
               GROUP BY 1, 2 ORDER BY 1, 2"
        ))
    };
}

macro_rules! increase {
    ($time:literal, $order:literal, $from:literal) => {
        members!(concat!(
            ", grown AS (
                SELECT grp, ",
            $time,
            " AS time, value,
                       lag(value) OVER (PARTITION BY series_id ORDER BY ",
            $order,
            ") AS before
                  FROM member JOIN ",
            $from,
            "
                 WHERE ",
            $time,
            " >= $8 AND ",
            $time,
            " < $7
             )
             SELECT grp, floor((extract(epoch FROM time)::float8 - $4) / $5)::int AS slot,
                    sum(CASE WHEN value >= before THEN value - before ELSE value END) AS sum,
                    count(*) AS count, min(value), max(value)
               FROM grown WHERE before IS NOT NULL AND time >= $6
              GROUP BY 1, 2 ORDER BY 1, 2"
        ))
    };
}

impl PgQuery for Samples {
    type Row = Step;

    fn sql(&self) -> &'static str {
        match (self.tier, self.increase) {
            (Tier::Raw, false) => members!(
                " SELECT grp, floor((extract(epoch FROM m.time)::float8 - $4) / $5)::int AS slot,
                         sum(m.value) AS sum, count(*) AS count, min(m.value), max(m.value)
                    FROM member JOIN metric_samples m USING (series_id)
                   WHERE m.time >= $6 AND m.time < $7 AND $8::timestamptz IS NOT NULL
                   GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            (Tier::Minute, false) => rolled_up!("metric_1m"),
            (Tier::FiveMinutes, false) => rolled_up!("metric_5m"),
            (Tier::Hour, false) => rolled_up!("metric_1h"),
            (Tier::Raw, true) => {
                increase!(
                    "m.time",
                    "m.time, m.value",
                    "metric_samples m USING (series_id)"
                )
            }
            (Tier::Minute, true) => increase!(
                "bucket",
                "bucket, i",
                "metric_1m r USING (series_id), unnest(r.samples) WITH ORDINALITY AS u(value, i)"
            ),
            (Tier::FiveMinutes, true) => increase!(
                "bucket",
                "bucket, i",
                "metric_5m r USING (series_id), unnest(r.samples) WITH ORDINALITY AS u(value, i)"
            ),
            (Tier::Hour, true) => increase!(
                "bucket",
                "bucket, i",
                "metric_1h r USING (series_id), unnest(r.samples) WITH ORDINALITY AS u(value, i)"
            ),
        }
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.series,
            &self.groups,
            &self.origin_s,
            &self.step_s,
            &self.start,
            &self.end,
            &self.back_to,
        ]
    }
}

impl FromRow for Step {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Step {
            group: row.try_get("grp")?,
            slot: row.try_get("slot")?,
            sum: row.try_get("sum")?,
            count: row.try_get("count")?,
            min: row.try_get("min")?,
            max: row.try_get("max")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarsest_tier_that_fits_and_still_holds_the_start_is_read() {
        let day = 24 * 3600;
        for (step, age, tier) in [
            (15, 3600, Tier::Raw),
            (60, 3600, Tier::Minute),
            (60, 10 * day, Tier::Raw),
            (300, 10 * day, Tier::FiveMinutes),
            (3600, 3600, Tier::Hour),
            (3600, 400 * day, Tier::Hour),
            (90, day, Tier::Raw),
        ] {
            assert_eq!(Tier::choose(step, age), tier, "step {step}, age {age}");
        }
    }
}
