//! Rows of the ClickHouse tables, as RowBinary: the Rust side of the DDL in `clickhouse-init/`.
//!
//! Each row type names its columns, their types and their order once; a test compares them with
//! what the store says of its tables. A row borrows everything and writes itself into a buffer;
//! [`Stored`] reads it back.

mod encode;
mod decode;
mod stored;

pub use encode::{
    Attributes, Column, EventAttributes, Listed, Ns, PreEncoded, Texts, put_len, put_text,
};
pub use stored::{RowError, Stored, UNKNOWN_SERVICE, typed};

use crate::event::Field;
use uuid::Uuid;

macro_rules! columns {
    ($(#[$doc:meta])* $row:ident<$($life:lifetime),*> { $($(#[$field_doc:meta])* $field:ident : $type:ty => $column:literal $sql:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $row<$($life),*> { $($(#[$field_doc])* #[doc = concat!("Column `", $column, "`.")] pub $field: $type,)* }

        impl<$($life),*> $row<$($life),*> {
            /// Names and types of the columns, in order.
            pub const COLUMNS: &'static [(&'static str, &'static str)] = &[$(($column, $sql),)*];

            /// Appends the columns to a RowBinary buffer.
            #[inline]
            pub fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
        }
    };
}

columns! {
    /// What every table begins with.
    Head<'e> {
        org_id: Uuid => "OrgId" "UUID",
        timestamp: Ns => "Timestamp" "DateTime64(9, 'UTC')",
        received_at: Ns => "ReceivedAt" "DateTime64(9, 'UTC')",
        event_id: Uuid => "EventId" "UUID",
        batch_id: u64 => "BatchId" "UInt64",
        row_number: u32 => "RowNumber" "UInt32",
        attempt: u8 => "Attempt" "UInt8",
        service_name: &'e str => "ServiceName" "LowCardinality(String)",
        host: &'e str => "Host" "LowCardinality(String)",
        environment: &'e str => "Environment" "LowCardinality(String)",
        key_id: &'e str => "KeyId" "LowCardinality(String)",
        request_id: &'e str => "RequestId" "String",
    }
}

/// Where the `Attempt` byte stands in every row: after two UUIDs, two times, a u64 and a u32. It is
/// the only byte that may differ when the same batch is written again.
pub const ATTEMPT_OFFSET: usize = 16 + 8 + 8 + 16 + 8 + 4;

columns! {
    /// What every table ends with.
    Tail<'e> {
        resource_attributes: PreEncoded<'e> => "ResourceAttributes" "Map(LowCardinality(String), String)",
        client_ip: &'e str => "ClientIp" "String",
        geo_country: &'e str => "GeoCountry" "LowCardinality(String)",
        geo_city: &'e str => "GeoCity" "LowCardinality(String)",
        browser: &'e str => "Browser" "LowCardinality(String)",
        os: &'e str => "Os" "LowCardinality(String)",
        device: &'e str => "Device" "LowCardinality(String)",
        pii_classes: Texts<'e> => "PiiClasses" "Array(LowCardinality(String))",
        observables: Texts<'e> => "Observables" "Array(String)",
        risk_score: u8 => "RiskScore" "UInt8",
        indicator_ids: Listed<'e, u64> => "IndicatorIds" "Array(UInt64)",
        threat_names: Texts<'e> => "ThreatNames" "Array(LowCardinality(String))",
        rule_matches: Texts<'e> => "RuleMatches" "Array(LowCardinality(String))",
    }
}

columns! {
    /// The columns of `logs` between head and tail.
    LogRow<'e, 'a> {
        trace_id: &'e str => "TraceId" "String",
        span_id: &'e str => "SpanId" "String",
        severity_text: &'e str => "SeverityText" "LowCardinality(String)",
        severity_number: u8 => "SeverityNumber" "UInt8",
        severity: &'e str => "Severity" "LowCardinality(String)",
        body: &'e str => "Body" "String",
        attributes: Attributes<'e, 'a> => "LogAttributes" "Map(LowCardinality(String), String)",
    }
}

columns! {
    /// The columns of `spans` between head and tail.
    SpanRow<'e, 'a> {
        trace_id: &'e str => "TraceId" "String",
        span_id: &'e str => "SpanId" "String",
        parent_span_id: &'e str => "ParentSpanId" "String",
        name: &'e str => "SpanName" "LowCardinality(String)",
        kind: &'e str => "SpanKind" "LowCardinality(String)",
        duration: u64 => "Duration" "UInt64",
        status: &'e str => "StatusCode" "LowCardinality(String)",
        attributes: Attributes<'e, 'a> => "SpanAttributes" "Map(LowCardinality(String), String)",
        event_times: Listed<'e, Ns> => "Events.Timestamp" "Array(DateTime64(9, 'UTC'))",
        event_names: Texts<'e> => "Events.Name" "Array(LowCardinality(String))",
        event_attributes: EventAttributes<'e, 'a> => "Events.Attributes" "Array(Map(LowCardinality(String), String))",
        link_traces: Texts<'e> => "Links.TraceId" "Array(String)",
        link_spans: Texts<'e> => "Links.SpanId" "Array(String)",
        link_attributes: EventAttributes<'e, 'a> => "Links.Attributes" "Array(Map(LowCardinality(String), String))",
    }
}

columns! {
    /// The columns of `rum_events` between head and tail.
    RumRow<'e, 'a> {
        session_id: &'e str => "SessionId" "String",
        user_id: &'e str => "UserId" "String",
        event_type: &'e str => "EventType" "LowCardinality(String)",
        page_url: &'e str => "PageUrl" "String",
        page: &'e str => "Page" "LowCardinality(String)",
        referrer: &'e str => "Referrer" "String",
        user_agent: &'e str => "UserAgent" "String",
        fcp: f64 => "Fcp" "Float64",
        lcp: f64 => "Lcp" "Float64",
        fid: f64 => "Fid" "Float64",
        inp: f64 => "Inp" "Float64",
        cls: f64 => "Cls" "Float64",
        ttfb: f64 => "Ttfb" "Float64",
        dom_load: f64 => "DomLoad" "Float64",
        window_load: f64 => "WindowLoad" "Float64",
        error_message: &'e str => "ErrorMessage" "String",
        error_stack: &'e str => "ErrorStack" "String",
        error_type: &'e str => "ErrorType" "LowCardinality(String)",
        untrusted: bool => "Untrusted" "Bool",
        attributes: Attributes<'e, 'a> => "CustomAttributes" "Map(LowCardinality(String), String)",
    }
}

columns! {
    /// The columns of `audit_events` between head and tail.
    AuditRow<'e, 'a> {
        event_type: &'e str => "EventType" "LowCardinality(String)",
        action: &'e str => "Action" "LowCardinality(String)",
        outcome: &'e str => "Outcome" "LowCardinality(String)",
        severity: &'e str => "Severity" "LowCardinality(String)",
        operation: &'e str => "Operation" "LowCardinality(String)",
        actor_id: &'e str => "ActorId" "String",
        actor_email: &'e str => "ActorEmail" "String",
        actor_name: &'e str => "ActorName" "String",
        actor_type: &'e str => "ActorType" "LowCardinality(String)",
        target_ids: Texts<'e> => "Targets.Id" "Array(String)",
        target_types: Texts<'e> => "Targets.Type" "Array(LowCardinality(String))",
        target_names: Texts<'e> => "Targets.Name" "Array(String)",
        user_agent: &'e str => "UserAgent" "String",
        session_id: &'e str => "SessionId" "String",
        event_request_id: &'e str => "EventRequestId" "String",
        message: &'e str => "Message" "String",
        metadata: Attributes<'e, 'a> => "Metadata" "Map(LowCardinality(String), String)",
    }
}

/// The columns of every ClickHouse table, by its name: what the DDL must say.
#[must_use]
pub fn tables() -> [(&'static str, Vec<(&'static str, &'static str)>); 4] {
    let table =
        |columns: &[(&'static str, &'static str)]| [Head::COLUMNS, columns, Tail::COLUMNS].concat();
    [
        ("logs", table(LogRow::COLUMNS)),
        ("spans", table(SpanRow::COLUMNS)),
        ("rum_events", table(RumRow::COLUMNS)),
        ("audit_events", table(AuditRow::COLUMNS)),
    ]
}

/// The RowBinary bytes of a map of those fields, to be written into many rows.
pub fn encode_map(fields: &[Field<'_>], out: &mut Vec<u8>) {
    Attributes {
        fields,
        role: crate::event::Role::ResourceAttribute,
        sub: None,
    }
    .put(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_byte_is_where_it_is_said_to_be() {
        let head = |attempt| Head {
            org_id: Uuid::from_u128(1),
            timestamp: Ns(2),
            received_at: Ns(3),
            event_id: Uuid::from_u128(4),
            batch_id: 5,
            row_number: 6,
            attempt,
            service_name: "s",
            host: "h",
            environment: "e",
            key_id: "k",
            request_id: "r",
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        head(0).put(&mut first);
        head(9).put(&mut second);
        assert_eq!(second[ATTEMPT_OFFSET], 9);
        second[ATTEMPT_OFFSET] = 0;
        assert_eq!(first, second);
    }
}
