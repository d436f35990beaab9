//! Paging, alike for all searches of events.

use crate::Api;
use crate::ask::{Cursor, DAY_S, Loose, Order, Scan, TimeRange, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::events::{Page, PageRow};
use millrace_shared::outcome::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

/// Rows of a page unless said otherwise.
const ROWS: u32 = 100;
/// Rows of a page at most.
const ROWS_MAX: u32 = 1000;

/// A page of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Give this as `cursor`, with the same filters, for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Start of the range that was searched.
    pub start: String,
    /// End of the range that was searched, not included.
    pub end: String,
}

/// What all searches of events take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paging<'a> {
    /// Start of the range.
    pub start: Option<&'a Loose>,
    /// End of the range.
    pub end: Option<&'a Loose>,
    /// `asc` or `desc`.
    pub order: Option<&'a str>,
    /// Rows.
    pub limit: Option<&'a Loose>,
    /// Where the page begins.
    pub cursor: Option<&'a str>,
    /// The longest range, days.
    pub days: i64,
}

/// A page as it was settled: by the cursor, or else by the parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    order: Order,
    limit: u32,
    cursor: Option<Cursor>,
}

impl Paging<'_> {
    /// The range of a first page.
    ///
    /// # Errors
    /// 400 and 422 for times that make no sense.
    pub(crate) fn range(&self, now_ns: i64) -> Result<TimeRange, Problem> {
        TimeRange::read(
            self.start,
            self.end,
            now_ns,
            self.days.saturating_mul(DAY_S),
        )
    }

    /// Settles a page; a cursor keeps the range and the order of its first page.
    ///
    /// # Errors
    /// 400 and 422 for parameters that make no sense.
    pub(crate) fn settle(&self, scan: &mut Scan) -> Result<Settled, Problem> {
        let limit = limit(self.limit, ROWS, ROWS_MAX)?;
        let order = match self.order {
            None => Order::Descending,
            Some(text) => Order::parse(text)
                .ok_or_else(|| Problem::parameter("order", "must be asc or desc"))?,
        };
        let Some(text) = self.cursor else {
            return Ok(Settled {
                order,
                limit,
                cursor: None,
            });
        };
        let cursor = Cursor::parse(text, Cursor::digest(&scan.filters()))?;
        if cursor.range.seconds() > self.days.saturating_mul(DAY_S) {
            return Err(Problem::new(
                Refusal::Unprocessable,
                "the cursor's range is too long",
            ));
        }
        scan.range = cursor.range;
        Ok(Settled {
            order: cursor.order,
            limit,
            cursor: Some(cursor),
        })
    }
}

/// Asks for a page.
///
/// # Errors
/// Those of the store.
pub(crate) async fn ask<R: PageRow + Clone>(
    api: &Api,
    caller: &Caller,
    scan: &Scan,
    settled: Settled,
) -> Result<Answer<R>, Problem> {
    let limit = usize::try_from(settled.limit).unwrap_or(usize::MAX);
    // One more than asked for tells whether there is a next page.
    let page = Page::<R>::new(scan.clone(), settled.order, settled.limit + 1)
        .after(settled.cursor.map(|cursor| cursor.after));
    let mut rows = api.clickhouse.rows(&caller.bind(page)?).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = |row: &R| {
        let cursor = Cursor {
            range: scan.range,
            order: settled.order,
            after: row.position(),
            filters: Cursor::digest(&scan.filters()),
        };
        cursor.text()
    };
    let (start, end) = scan.range.texts();
    Ok(Answer {
        next_cursor: rows.last().filter(|_| more).map(next),
        rows,
        start,
        end,
    })
}
