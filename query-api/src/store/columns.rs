//! Tables and columns by name. Nothing else puts an identifier into a statement.

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl $type {
            /// The name in SQL.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($type::$name => $text,)* }
            }
        }
    };
}

names! {
    /// A table of events.
    Table {
        Logs = "millrace.logs",
        Spans = "millrace.spans",
        Rum = "millrace.rum_events",
        Audit = "millrace.audit_events",
    }
}

impl Table {
    /// The columns that may hold what an agent wrote, in SQL.
    #[must_use]
    pub const fn texts(self) -> &'static str {
        match self {
            Table::Logs => {
                "ServiceName, Host, Environment, TraceId, SpanId, SeverityText, Body, LogAttributes, \
                 ResourceAttributes, ClientIp, Observables"
            }
            Table::Spans => {
                "ServiceName, Host, Environment, SpanName, SpanAttributes, \"Events.Name\", \
                 \"Events.Attributes\", \"Links.Attributes\", ResourceAttributes, ClientIp, Observables"
            }
            Table::Rum => {
                "ServiceName, Host, Environment, SessionId, UserId, PageUrl, Page, Referrer, UserAgent, \
                 ErrorMessage, ErrorStack, ErrorType, CustomAttributes, ResourceAttributes, ClientIp, \
                 Observables"
            }
            Table::Audit => {
                "ServiceName, Host, Environment, EventType, Action, Operation, ActorId, ActorEmail, \
                 ActorName, ActorType, \"Targets.Id\", \"Targets.Type\", \"Targets.Name\", UserAgent, \
                 SessionId, EventRequestId, Message, Metadata, ResourceAttributes, ClientIp, Observables"
            }
        }
    }
}

names! {
    /// A column with one value.
    Column {
        Service = "ServiceName",
        Host = "Host",
        Environment = "Environment",
        Key = "KeyId",
        Request = "RequestId",
        Trace = "TraceId",
        Span = "SpanId",
        SeverityText = "SeverityText",
        Severity = "Severity",
        Body = "Body",
        ClientIp = "ClientIp",
        Country = "GeoCountry",
        Browser = "Browser",
        Os = "Os",
        Device = "Device",
        RiskScore = "RiskScore",
        SpanName = "SpanName",
        SpanKind = "SpanKind",
        Status = "StatusCode",
        Duration = "Duration",
        Session = "SessionId",
        User = "UserId",
        EventType = "EventType",
        PageUrl = "PageUrl",
        Page = "Page",
        ErrorMessage = "ErrorMessage",
        ErrorType = "ErrorType",
        Action = "Action",
        Outcome = "Outcome",
        Operation = "Operation",
        ActorId = "ActorId",
        ActorEmail = "ActorEmail",
        ActorName = "ActorName",
        ActorType = "ActorType",
        EventRequest = "EventRequestId",
        Message = "Message",
    }
}

names! {
    /// A column with a list of texts.
    List {
        TargetIds = "\"Targets.Id\"",
        TargetTypes = "\"Targets.Type\"",
        TargetNames = "\"Targets.Name\"",
        Observables = "Observables",
        Threats = "ThreatNames",
        Rules = "RuleMatches",
        PiiClasses = "PiiClasses",
    }
}

names! {
    /// A column with attributes.
    Map {
        Log = "LogAttributes",
        Span = "SpanAttributes",
        Rum = "CustomAttributes",
        Audit = "Metadata",
        Resource = "ResourceAttributes",
    }
}
