//! Browser events: pages of rows, and the web vitals of pages.

use super::events::{Common, PageRow, common};
use super::{ClickhouseQuery, Sql};
use crate::answer::Shown;
use crate::ask::{Position, Scan};
use crate::principal::{Needs, Permission};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A browser event.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct RumRow {
    /// What all events share.
    #[serde(flatten)]
    pub common: Common,
    /// The session.
    pub session_id: String,
    /// The user.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub user_id: String,
    /// `pageview`, `click`, `error`, `performance` or `custom`.
    pub event_type: String,
    /// The address of the page.
    pub page_url: String,
    /// Its path, with identifiers replaced.
    pub page: String,
    /// Where the visitor came from.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub referrer: String,
    /// First contentful paint, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcp: Option<f64>,
    /// Largest contentful paint, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lcp: Option<f64>,
    /// First input delay, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fid: Option<f64>,
    /// Interaction to next paint, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inp: Option<f64>,
    /// Cumulative layout shift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cls: Option<f64>,
    /// Time to first byte, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<f64>,
    /// Time until the document was loaded, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dom_load: Option<f64>,
    /// Time until the window was loaded, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_load: Option<f64>,
    /// The error's message.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub error_message: String,
    /// The error's stack.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub error_stack: String,
    /// The error's type.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub error_type: String,
    /// Sent with a public key: anybody may have written it.
    pub untrusted: bool,
    /// Further attributes.
    pub attributes: BTreeMap<String, String>,
}

impl PageRow for RumRow {
    const COLUMNS: &'static str = common!(
        "SessionId AS session_id, UserId AS user_id, EventType AS event_type, \
         PageUrl AS page_url, Page AS page, Referrer AS referrer, Fcp AS fcp, Lcp AS lcp, \
         Fid AS fid, Inp AS inp, Cls AS cls, Ttfb AS ttfb, DomLoad AS dom_load, \
         WindowLoad AS window_load, ErrorMessage AS error_message, ErrorStack AS error_stack, \
         ErrorType AS error_type, Untrusted AS untrusted, CustomAttributes AS attributes"
    );

    fn position(&self) -> Position {
        Position {
            at: self.common.timestamp.0,
            id: self.common.id,
        }
    }
}

/// What pages are visited and how they feel.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The events.
    pub scan: Scan,
    /// At most so many, the most viewed first.
    pub limit: u32,
}

/// A page. A percentile is absent where nothing was measured.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PageStats {
    /// The page.
    pub page: String,
    /// Times it was viewed.
    pub pageviews: u64,
    /// Sessions.
    pub sessions: u64,
    /// Errors.
    pub errors: u64,
    /// First contentful paint: 50th, 75th and 95th percentile, milliseconds.
    pub fcp: [Option<f64>; 3],
    /// Largest contentful paint, likewise.
    pub lcp: [Option<f64>; 3],
    /// First input delay, likewise.
    pub fid: [Option<f64>; 3],
    /// Interaction to next paint, likewise.
    pub inp: [Option<f64>; 3],
    /// Cumulative layout shift, likewise, without unit.
    pub cls: [Option<f64>; 3],
    /// Time to first byte, likewise.
    pub ttfb: [Option<f64>; 3],
}

impl Needs for Pages {
    fn permission(&self) -> Permission {
        Permission::RumRead
    }
}

impl ClickhouseQuery for Pages {
    type Row = PageStats;

    fn sql(&self) -> Sql {
        let columns = "Page AS page, countIf(EventType = 'pageview') AS pageviews, \
             uniq(SessionId) AS sessions, countIf(EventType = 'error') AS errors, \
             quantilesIf(0.5, 0.75, 0.95)(Fcp, NOT isNaN(Fcp)) AS fcp, \
             quantilesIf(0.5, 0.75, 0.95)(Lcp, NOT isNaN(Lcp)) AS lcp, \
             quantilesIf(0.5, 0.75, 0.95)(Fid, NOT isNaN(Fid)) AS fid, \
             quantilesIf(0.5, 0.75, 0.95)(Inp, NOT isNaN(Inp)) AS inp, \
             quantilesIf(0.5, 0.75, 0.95)(Cls, NOT isNaN(Cls)) AS cls, \
             quantilesIf(0.5, 0.75, 0.95)(Ttfb, NOT isNaN(Ttfb)) AS ttfb";
        let mut sql = Sql::scan(columns, &self.scan);
        sql.push(" GROUP BY page ORDER BY pageviews DESC, page LIMIT ");
        sql.bind("UInt32", self.limit.to_string());
        sql
    }
}
