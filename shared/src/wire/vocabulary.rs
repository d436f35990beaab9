//! The words of the contract: levels, kinds, outcomes, severities, with their accepted aliases.

/// A closed vocabulary of the contract.
pub trait Vocabulary: Copy + 'static {
    /// All words.
    const WORDS: &'static [Self];

    /// The word as it is stored.
    fn word(self) -> &'static str;

    /// Reads the word or an alias of it, in either case.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All words.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word as it is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// Reads the word or an alias of it, in either case.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                $(if text.eq_ignore_ascii_case($word) $(|| text.eq_ignore_ascii_case($alias))* {
                    return Some($name::$variant);
                })*
                None
            }
        }

        impl Vocabulary for $name {
            const WORDS: &'static [Self] = Self::ALL;

            fn word(self) -> &'static str {
                self.as_str()
            }

            fn read(text: &str) -> Option<Self> {
                Self::parse(text)
            }
        }
    };
}

words! {
    /// Log level. The aliases are those of syslog, log4j, Python, .NET and journald.
    Level {
        /// Finest detail.
        Trace = "trace" | "verbose" | "finest" | "finer" | "all",
        /// Detail for developers.
        Debug = "debug" | "fine" | "config" | "dbg",
        /// Normal operation.
        Info = "info" | "information" | "informational" | "notice" | "log" | "ok" | "success",
        /// Something to look at.
        Warn = "warn" | "warning",
        /// Something failed.
        Error = "error" | "err" | "severe" | "eror",
        /// The process cannot go on.
        Fatal = "fatal" | "critical" | "crit" | "alert" | "emerg" | "emergency" | "panic",
    }
}

impl Level {
    /// OpenTelemetry's `SeverityNumber` of the level.
    #[must_use]
    pub const fn severity_number(self) -> u8 {
        match self {
            Level::Trace => 1,
            Level::Debug => 5,
            Level::Info => 9,
            Level::Warn => 13,
            Level::Error => 17,
            Level::Fatal => 21,
        }
    }

    /// The level on the five-step scale of severities.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Level::Trace | Level::Debug | Level::Info => Severity::Info,
            Level::Warn => Severity::Medium,
            Level::Error => Severity::High,
            Level::Fatal => Severity::Critical,
        }
    }
}

words! {
    /// The five-step scale on which everything is weighed.
    Severity {
        /// Of note only.
        Info = "info" | "informational" | "none",
        /// Of little weight.
        Low = "low" | "minor",
        /// To be looked at.
        Medium = "medium" | "moderate" | "warning",
        /// To be looked at now.
        High = "high" | "major" | "error",
        /// To be acted upon now.
        Critical = "critical" | "fatal",
    }
}

words! {
    /// Metric type.
    MetricType {
        /// Only ever grows, or restarts from zero.
        Counter = "counter" | "sum",
        /// Goes up and down.
        Gauge = "gauge",
        /// A bucket, sum or count of a histogram.
        Histogram = "histogram",
        /// A quantile, sum or count of a summary.
        Summary = "summary",
    }
}

words! {
    /// Span kind.
    SpanKind {
        /// Calls another service.
        Client = "client",
        /// Answers a call.
        Server = "server",
        /// Sends a message.
        Producer = "producer",
        /// Takes a message.
        Consumer = "consumer",
        /// Stays inside.
        Internal = "internal" | "unspecified",
    }
}

words! {
    /// Span status.
    SpanStatus {
        /// Said to have gone well.
        Ok = "ok",
        /// Failed.
        Error = "error",
        /// Nothing said.
        Unset = "unset",
    }
}

words! {
    /// What a browser event tells.
    RumEventType {
        /// A page was shown.
        Pageview = "pageview" | "page_view",
        /// Something was clicked.
        Click = "click",
        /// A script failed.
        Error = "error",
        /// Timings of a page.
        Performance = "performance",
        /// Anything else.
        Custom = "custom",
    }
}

words! {
    /// How an audited action ended.
    AuditOutcome {
        /// Done.
        Success = "SUCCESS",
        /// Tried and failed.
        Failure = "FAILURE",
        /// Refused.
        Blocked = "BLOCKED",
        /// Refused for its rate.
        RateLimited = "RATE_LIMITED",
        /// Done, and odd.
        Suspicious = "SUSPICIOUS",
    }
}
