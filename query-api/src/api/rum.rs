//! Browser events: search, and the web vitals of pages.

use super::logs::{Attributes, attributes};
use super::page::{self, Answer, Paging};
use super::privacy::hashed;
use crate::Api;
use crate::ask::{Asked, Condition, Loose, OneOrMany, Scan, limit};
use crate::error::Problem;
use crate::principal::Caller;
use crate::store::rum::{PageStats, Pages, RumRow};
use crate::store::{Column, Map, Table};
use actix_web::web::{Data, Json};
use millrace_shared::Signal;
use millrace_shared::limits::retention_days;
use millrace_shared::wire::RumEventType;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Pages listed unless said otherwise, and at most.
const PAGES: (u32, u32) = (100, 1000);

/// What browser events are searched by. Every filter narrows; of several values one must match.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RumSearch {
    /// Start of the range; an hour before the end by default.
    start: Option<Loose>,
    /// End of the range, not included; now by default.
    end: Option<Loose>,
    /// Sessions.
    session_id: Option<OneOrMany>,
    /// Users.
    user_id: Option<OneOrMany>,
    /// Event types: pageview, click, error, performance, custom.
    event_type: Option<OneOrMany>,
    /// Pages, as `/rum/pages` lists them.
    page: Option<OneOrMany>,
    /// Text in the page's address.
    url: Option<String>,
    /// Text in the error's message.
    error: Option<String>,
    /// Types of error.
    error_type: Option<OneOrMany>,
    /// Services.
    service: Option<OneOrMany>,
    /// Browsers.
    browser: Option<OneOrMany>,
    /// Operating systems.
    os: Option<OneOrMany>,
    /// Kinds of device.
    device: Option<OneOrMany>,
    /// Countries.
    country: Option<OneOrMany>,
    /// Attributes that must be equal, as `key=value`, repeated.
    attribute: Option<Attributes>,
    /// Event id.
    event_id: Option<Uuid>,
    /// A value that is stored as a hash or pseudonym, as `email:ada@example.com`: hashed here, for
    /// those with `pii:reveal-hash`, and recorded. Better sent in the body of a POST.
    hashed: Option<String>,
    /// `desc` (newest first, the default) or `asc`.
    order: Option<String>,
    /// Rows, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl RumSearch {
    fn paging(&self) -> Paging<'_> {
        Paging {
            start: self.start.as_ref(),
            end: self.end.as_ref(),
            order: self.order.as_deref(),
            limit: self.limit.as_ref(),
            cursor: self.cursor.as_deref(),
            days: retention_days(Signal::Rum) + 1,
        }
    }

    fn scan(&self, now_ns: i64) -> Result<Scan, Problem> {
        let mut scan = Scan::new(Table::Rum, self.paging().range(now_ns)?);
        scan.one_of(Column::Session, self.session_id.as_ref());
        scan.one_of(Column::User, self.user_id.as_ref());
        let kind = (Column::EventType, "event_type");
        scan.one_of_words::<RumEventType>(kind, self.event_type.as_ref())?;
        scan.one_of(Column::Page, self.page.as_ref());
        scan.one_of(Column::ErrorType, self.error_type.as_ref());
        scan.one_of(Column::Service, self.service.as_ref());
        scan.one_of(Column::Browser, self.browser.as_ref());
        scan.one_of(Column::Os, self.os.as_ref());
        scan.one_of(Column::Device, self.device.as_ref());
        scan.one_of(Column::Country, self.country.as_ref());
        if let Some(url) = &self.url {
            scan.conditions
                .push(Condition::Contains(Column::PageUrl, url.clone()));
        }
        if let Some(error) = &self.error {
            scan.conditions
                .push(Condition::Contains(Column::ErrorMessage, error.clone()));
        }
        if let Some(id) = self.event_id {
            scan.conditions.push(Condition::Id(id));
        }
        attributes(&mut scan, Map::Rum, self.attribute.as_ref())?;
        Ok(scan)
    }
}

/// Search browser events, newest first, page by page.
#[utoipa::path(method(get, post), path = "/api/v1/rum/search", params(RumSearch), tag = "rum",
    responses((status = 200, body = Answer<RumRow>)))]
pub(crate) async fn search(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<RumSearch>,
) -> Result<Json<Answer<RumRow>>, Problem> {
    let Asked(search) = asked;
    let mut scan = search.scan(caller.now_ns)?;
    let given = (search.hashed.as_deref(), "/api/v1/rum/search");
    hashed(&api, &caller, given, &mut scan).await?;
    let settled = search.paging().settle(&mut scan)?;
    page::ask(&api, &caller, &scan, settled).await.map(Json)
}

/// Pages with their web vitals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PagesAnswer {
    /// The pages, the most viewed first.
    pages: Vec<PageStats>,
    /// Start of the range.
    start: String,
    /// End of the range, not included.
    end: String,
}

/// The pages of a range: views, sessions, errors and web vitals.
#[utoipa::path(get, path = "/api/v1/rum/pages", params(RumSearch), tag = "rum",
    responses((status = 200, body = PagesAnswer)))]
pub(crate) async fn pages(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<RumSearch>,
) -> Result<Json<PagesAnswer>, Problem> {
    let Asked(search) = asked;
    let mut scan = search.scan(caller.now_ns)?;
    let given = (search.hashed.as_deref(), "/api/v1/rum/pages");
    hashed(&api, &caller, given, &mut scan).await?;
    let limit = limit(search.limit.as_ref(), PAGES.0, PAGES.1)?;
    let (start, end) = scan.range.texts();
    let pages = api
        .clickhouse
        .rows(&caller.bind(Pages { scan, limit })?)
        .await?;
    Ok(Json(PagesAnswer { pages, start, end }))
}
