//! The metric catalog: series, names, labels and their values.

use super::{FromRow, PgQuery};
use crate::principal::{Needs, Permission};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

macro_rules! needs_metrics_read {
    ($($query:ident)*) => {
        $(impl Needs for $query {
            fn permission(&self) -> Permission {
                Permission::MetricsRead
            }
        })*
    };
}
needs_metrics_read!(SeriesOf Names LabelNames LabelValues);

/// The series of a metric, narrowed by equal labels.
#[derive(Clone, Debug)]
pub struct SeriesOf {
    /// Name of the metric.
    pub name: String,
    /// Labels that must be equal, as JSON.
    pub labels: Value,
    /// The service, if it must be equal.
    pub service: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// A series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its number.
    pub id: i64,
    /// Its labels, service, host and environment among them where they are known.
    pub labels: BTreeMap<String, String>,
    /// Its type.
    pub kind: String,
    /// Its unit.
    pub unit: String,
}

impl PgQuery for SeriesOf {
    type Row = Series;

    fn sql(&self) -> &'static str {
        "SELECT id, labels, service, host, environment, type, unit
           FROM metric_series
          WHERE org_id = $1 AND name = $2 AND labels @> $3::jsonb
            AND ($4::text IS NULL OR service = $4)
          ORDER BY id LIMIT $5"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.name, &self.labels, &self.service, &self.limit]
    }
}

impl FromRow for Series {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let stored: Value = row.try_get("labels")?;
        let mut labels = BTreeMap::new();
        for (name, value) in stored.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            labels.insert(name.clone(), text);
        }
        for name in ["service", "host", "environment"] {
            let value: String = row.try_get(name)?;
            if !value.is_empty() {
                labels.insert(name.to_owned(), value);
            }
        }
        Ok(Series {
            id: row.try_get("id")?,
            labels,
            kind: row.try_get("type")?,
            unit: row.try_get("unit")?,
        })
    }
}

/// The names of metrics.
#[derive(Clone, Debug)]
pub struct Names {
    /// A part of the name.
    pub contains: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// A metric.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MetricName {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its unit.
    pub unit: String,
    /// Number of its series.
    pub series: i64,
}

impl PgQuery for Names {
    type Row = MetricName;

    fn sql(&self) -> &'static str {
        "SELECT name, min(type) AS type, max(unit) AS unit, count(*) AS series
           FROM metric_series
          WHERE org_id = $1 AND ($2::text IS NULL OR position(lower($2) IN lower(name)) > 0)
          GROUP BY name ORDER BY name LIMIT $3"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.contains, &self.limit]
    }
}

impl FromRow for MetricName {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(MetricName {
            name: row.try_get("name")?,
            kind: row.try_get("type")?,
            unit: row.try_get("unit")?,
            series: row.try_get("series")?,
        })
    }
}

/// The names of labels, of one metric or of all.
#[derive(Clone, Debug)]
pub struct LabelNames {
    /// The metric.
    pub name: Option<String>,
    /// At most so many.
    pub limit: i64,
}

impl PgQuery for LabelNames {
    type Row = String;

    fn sql(&self) -> &'static str {
        "SELECT DISTINCT label FROM (
             SELECT jsonb_object_keys(labels) AS label FROM metric_series
              WHERE org_id = $1 AND ($2::text IS NULL OR name = $2)
              UNION ALL
             SELECT unnest(ARRAY[CASE WHEN service <> '' THEN 'service' END,
                                 CASE WHEN host <> '' THEN 'host' END,
                                 CASE WHEN environment <> '' THEN 'environment' END])
               FROM metric_series WHERE org_id = $1 AND ($2::text IS NULL OR name = $2)
         ) labels WHERE label IS NOT NULL ORDER BY label LIMIT $3"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.name, &self.limit]
    }
}

/// The values of a label, in one metric or in all.
#[derive(Clone, Debug)]
pub struct LabelValues {
    /// The label.
    pub label: String,
    /// The metric.
    pub name: Option<String>,
    /// At most so many.
    pub limit: i64,
}

impl PgQuery for LabelValues {
    type Row = String;

    fn sql(&self) -> &'static str {
        "SELECT DISTINCT value FROM (
             SELECT CASE $2::text WHEN 'service' THEN service WHEN 'host' THEN host
                    WHEN 'environment' THEN environment ELSE labels ->> $2 END AS value
               FROM metric_series WHERE org_id = $1 AND ($3::text IS NULL OR name = $3)
         ) listed WHERE value <> '' ORDER BY value LIMIT $4"
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.label, &self.name, &self.limit]
    }
}
