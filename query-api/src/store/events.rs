//! Pages, histograms and facets of tables of events.

use super::{ClickhouseQuery, Column, Sql, Table};
use crate::answer::{Moment, Shown};
use crate::ask::{Order, Position, Scan};
use crate::principal::{Needs, Permission};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use utoipa::ToSchema;
use uuid::Uuid;

/// The permission that reading a table needs.
#[must_use]
pub const fn permission(table: Table) -> Permission {
    match table {
        Table::Logs => Permission::LogsRead,
        Table::Spans => Permission::TracesRead,
        Table::Rum => Permission::RumRead,
        Table::Audit => Permission::AuditRead,
    }
}

/// A row of a page.
pub trait PageRow: DeserializeOwned + Send {
    /// The columns, each under the name of its member.
    const COLUMNS: &'static str;
    /// Where it stands in time.
    fn position(&self) -> Position;
}

/// Rows after a position, in order.
#[derive(Clone, Debug)]
pub struct Page<R> {
    scan: Scan,
    order: Order,
    after: Option<Position>,
    limit: u32,
    row: PhantomData<fn() -> R>,
}

impl<R: PageRow> Page<R> {
    /// The first rows, at most `limit`.
    #[must_use]
    pub fn new(scan: Scan, order: Order, limit: u32) -> Self {
        Page {
            scan,
            order,
            after: None,
            limit,
            row: PhantomData,
        }
    }

    /// Only those after this one.
    #[must_use]
    pub fn after(mut self, after: Option<Position>) -> Self {
        self.after = after;
        self
    }
}

impl<R> Needs for Page<R> {
    fn permission(&self) -> Permission {
        permission(self.scan.table)
    }
}

impl<R: PageRow> ClickhouseQuery for Page<R> {
    type Row = R;

    fn sql(&self) -> Sql {
        let mut sql = Sql::scan(R::COLUMNS, &self.scan);
        if let Some(after) = self.after {
            let (not_before, past) = match self.order {
                Order::Ascending => (" AND Timestamp >= ", " > "),
                Order::Descending => (" AND Timestamp <= ", " < "),
            };
            sql.push(not_before).instant(after.at);
            sql.push(" AND (Timestamp").push(past).instant(after.at);
            sql.push(" OR EventId")
                .push(past)
                .bind("UUID", after.id.to_string());
            sql.push(")");
        }
        sql.push(match self.order {
            Order::Ascending => " ORDER BY Timestamp ASC, EventId ASC LIMIT ",
            Order::Descending => " ORDER BY Timestamp DESC, EventId DESC LIMIT ",
        });
        sql.bind("UInt32", self.limit.to_string());
        sql
    }
}

/// Counts by time and severity.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// What is counted.
    pub scan: Scan,
    /// Width of a bar, seconds.
    pub step_s: i64,
}

/// A count of a histogram.
#[derive(Clone, Debug, Deserialize)]
pub struct Bar {
    /// Start of the bar, seconds since 1970.
    pub at: i64,
    /// The severity.
    pub severity: String,
    /// Rows.
    pub count: u64,
}

impl Needs for Histogram {
    fn permission(&self) -> Permission {
        permission(self.scan.table)
    }
}

impl ClickhouseQuery for Histogram {
    type Row = Bar;

    fn sql(&self) -> Sql {
        let columns = "intDiv(toUnixTimestamp(Timestamp), {step:Int64}) * {step:Int64} AS at, \
                       Severity AS severity, count() AS count";
        let mut sql = Sql::scan(columns, &self.scan);
        sql.push(" GROUP BY at, severity ORDER BY at, severity");
        sql.named("step", self.step_s.to_string());
        sql
    }
}

/// The values of a column with their counts, most frequent first.
#[derive(Clone, Debug)]
pub struct Facet {
    /// Where.
    pub scan: Scan,
    /// The column.
    pub column: Column,
    /// At most so many.
    pub limit: u32,
    /// What it is asked for.
    pub permission: Permission,
}

/// A value with its count.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Counted {
    /// The value.
    pub value: String,
    /// Rows.
    pub count: u64,
}

impl Needs for Facet {
    fn permission(&self) -> Permission {
        self.permission
    }
}

impl ClickhouseQuery for Facet {
    type Row = Counted;

    fn sql(&self) -> Sql {
        let mut sql = Sql::counts(self.column, &self.scan);
        sql.push(" AND ").push(self.column.name()).push(" != ''");
        sql.push(" GROUP BY value ORDER BY count DESC, value LIMIT ");
        sql.bind("UInt32", self.limit.to_string());
        sql
    }
}

/// Columns that all tables of events share, in a select list.
macro_rules! common {
    ($own:literal) => {
        concat!(
            "EventId AS id, toUnixTimestamp64Nano(Timestamp) AS timestamp, ",
            "toUnixTimestamp64Nano(ReceivedAt) AS received_at, ServiceName AS service, Host AS host, ",
            "Environment AS environment, KeyId AS key_id, RequestId AS request_id, ",
            "ResourceAttributes AS resource, ClientIp AS client_ip, GeoCountry AS country, ",
            "GeoCity AS city, Browser AS browser, Os AS os, Device AS device, ",
            "PiiClasses AS pii_classes, Observables AS observables, RiskScore AS risk_score, ",
            "IndicatorIds AS indicator_ids, ThreatNames AS threat_names, RuleMatches AS rule_matches, ",
            $own
        )
    };
}
pub(super) use common;

/// What every event says of itself.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Common {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub timestamp: Moment,
    /// When it was received.
    pub received_at: Moment,
    /// The service.
    pub service: String,
    /// The host.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub host: String,
    /// The environment.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub environment: String,
    /// The ingest key that sent it.
    pub key_id: String,
    /// The id of the request that brought it.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub request_id: String,
    /// Attributes of its resource.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub resource: BTreeMap<String, String>,
    /// The client's address.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub client_ip: String,
    /// The client's country.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub country: String,
    /// The client's city.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub city: String,
    /// The client's browser.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub browser: String,
    /// The client's operating system.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub os: String,
    /// The client's kind of device.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub device: String,
    /// Classes of personal data that were scrubbed from it.
    pub pii_classes: Vec<String>,
    /// Observables found in it.
    pub observables: Vec<String>,
    /// The risk that indicators give it, 0 to 100.
    pub risk_score: u8,
    /// Indicators that match.
    pub indicator_ids: Vec<u64>,
    /// Their threats.
    pub threat_names: Vec<String>,
    /// Rules that match.
    pub rule_matches: Vec<String>,
}

impl Common {
    fn position(&self) -> Position {
        Position {
            at: self.timestamp.0,
            id: self.id,
        }
    }
}

/// A log record.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct LogRow {
    /// What all events share.
    #[serde(flatten)]
    pub common: Common,
    /// The level as it was sent.
    pub level: String,
    /// OpenTelemetry's number for it.
    pub severity_number: u8,
    /// The five-step severity.
    pub severity: String,
    /// The message.
    pub message: String,
    /// The trace it belongs to.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub trace_id: String,
    /// The span it belongs to.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub span_id: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

impl PageRow for LogRow {
    const COLUMNS: &'static str = common!(
        "SeverityText AS level, SeverityNumber AS severity_number, Severity AS severity, \
         Body AS message, TraceId AS trace_id, SpanId AS span_id, LogAttributes AS attributes"
    );

    fn position(&self) -> Position {
        self.common.position()
    }
}

/// An audit event.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct AuditRow {
    /// What all events share.
    #[serde(flatten)]
    pub common: Common,
    /// Its type, as `AUTHENTICATION`.
    pub event_type: String,
    /// The action.
    pub action: String,
    /// How it ended.
    pub outcome: String,
    /// The five-step severity.
    pub severity: String,
    /// The operation.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub operation: String,
    /// Who did it.
    pub actor_id: String,
    /// The actor's e-mail address, as far as it was kept.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub actor_email: String,
    /// The actor's name.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub actor_name: String,
    /// The kind of actor.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub actor_type: String,
    /// Ids of what it was done to.
    pub target_ids: Vec<String>,
    /// Types of what it was done to, in the same order.
    pub target_types: Vec<String>,
    /// Names of what it was done to, in the same order.
    pub target_names: Vec<String>,
    /// The user agent.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub user_agent: String,
    /// The session.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub session_id: String,
    /// The request id inside the event.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub event_request_id: String,
    /// The message.
    pub message: String,
    /// Further members.
    pub metadata: BTreeMap<String, String>,
}

impl PageRow for AuditRow {
    const COLUMNS: &'static str = common!(
        "EventType AS event_type, Action AS action, Outcome AS outcome, Severity AS severity, \
         Operation AS operation, ActorId AS actor_id, ActorEmail AS actor_email, \
         ActorName AS actor_name, ActorType AS actor_type, \"Targets.Id\" AS target_ids, \
         \"Targets.Type\" AS target_types, \"Targets.Name\" AS target_names, \
         UserAgent AS user_agent, SessionId AS session_id, EventRequestId AS event_request_id, \
         Message AS message, Metadata AS metadata"
    );

    fn position(&self) -> Position {
        self.common.position()
    }
}
