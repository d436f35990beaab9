//! Audit events: search, and the values there are to filter by.

use super::logs::{Attributes, attributes};
use super::page::{self, Answer, Paging};
use super::privacy::hashed;
use crate::Api;
use crate::ask::{Asked, Condition, Loose, OneOrMany, Scan};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::events::{AuditRow, Counted, Facet};
use crate::store::{Column, List, Map, Table};
use actix_web::web::{Data, Json};
use millrace_shared::Signal;
use millrace_shared::limits::retention_days;
use millrace_shared::wire::Severity;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Values listed for each filter.
const VALUES_MAX: u32 = 200;

/// What audit events are searched by. Every filter narrows; of several values one must match.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditSearch {
    /// Start of the range; an hour before the end by default.
    start: Option<Loose>,
    /// End of the range, not included; now by default.
    end: Option<Loose>,
    /// Event types, such as `AUTHENTICATION`.
    event_type: Option<OneOrMany>,
    /// Actions.
    action: Option<OneOrMany>,
    /// Operations.
    operation: Option<OneOrMany>,
    /// Outcomes: SUCCESS, FAILURE, BLOCKED, RATE_LIMITED, SUSPICIOUS.
    outcome: Option<OneOrMany>,
    /// Severities: info, low, medium, high, critical.
    severity: Option<OneOrMany>,
    /// Actors, by id, e-mail address or name.
    actor: Option<OneOrMany>,
    /// Kinds of actor.
    actor_type: Option<OneOrMany>,
    /// A target, by id or name.
    target: Option<String>,
    /// A kind of target.
    target_type: Option<String>,
    /// Client addresses.
    ip: Option<OneOrMany>,
    /// Countries.
    country: Option<OneOrMany>,
    /// Services.
    service: Option<OneOrMany>,
    /// Environments.
    environment: Option<OneOrMany>,
    /// Sessions.
    session_id: Option<OneOrMany>,
    /// Request ids inside the events.
    request_id: Option<OneOrMany>,
    /// Text in the message.
    text: Option<String>,
    /// An observable in the event.
    observable: Option<String>,
    /// A rule that matched.
    rule: Option<String>,
    /// Least risk score.
    min_risk: Option<Loose>,
    /// Metadata that must be equal, as `key=value`, repeated.
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

impl AuditSearch {
    fn paging(&self) -> Paging<'_> {
        Paging {
            start: self.start.as_ref(),
            end: self.end.as_ref(),
            order: self.order.as_deref(),
            limit: self.limit.as_ref(),
            cursor: self.cursor.as_deref(),
            days: retention_days(Signal::Audit) + 1,
        }
    }

    fn scan(&self, now_ns: i64) -> Result<Scan, Problem> {
        let mut scan = Scan::new(Table::Audit, self.paging().range(now_ns)?);
        scan.one_of_upper(Column::EventType, self.event_type.as_ref());
        scan.one_of(Column::Action, self.action.as_ref());
        scan.one_of(Column::Operation, self.operation.as_ref());
        scan.one_of_upper(Column::Outcome, self.outcome.as_ref());
        scan.one_of_words::<Severity>((Column::Severity, "severity"), self.severity.as_ref())?;
        scan.one_of(Column::ActorType, self.actor_type.as_ref());
        scan.one_of(Column::ClientIp, self.ip.as_ref());
        scan.one_of(Column::Country, self.country.as_ref());
        scan.one_of(Column::Service, self.service.as_ref());
        scan.one_of(Column::Environment, self.environment.as_ref());
        scan.one_of(Column::Session, self.session_id.as_ref());
        scan.one_of(Column::EventRequest, self.request_id.as_ref());
        let actors = self
            .actor
            .as_ref()
            .map(OneOrMany::split)
            .unwrap_or_default();
        if !actors.is_empty() {
            let columns = vec![Column::ActorId, Column::ActorEmail, Column::ActorName];
            scan.conditions.push(Condition::AnyOneOf(columns, actors));
        }
        self.further(&mut scan)?;
        Ok(scan)
    }

    /// The conditions that are no plain equality.
    fn further(&self, scan: &mut Scan) -> Result<(), Problem> {
        let conditions = &mut scan.conditions;
        if let Some(target) = &self.target {
            let lists = vec![List::TargetIds, List::TargetNames];
            conditions.push(Condition::AnyHolds(lists, target.clone()));
        }
        let held = [
            (List::TargetTypes, &self.target_type),
            (List::Observables, &self.observable),
            (List::Rules, &self.rule),
        ];
        for (list, value) in held {
            if let Some(value) = value {
                conditions.push(Condition::Holds(list, value.clone()));
            }
        }
        if let Some(text) = self.text.as_ref().filter(|text| !text.trim().is_empty()) {
            conditions.push(Condition::Contains(Column::Message, text.clone()));
        }
        if let Some(risk) = &self.min_risk {
            let least = risk.number("min_risk")?;
            conditions.push(Condition::AtLeast(Column::RiskScore, least));
        }
        if let Some(id) = self.event_id {
            conditions.push(Condition::Id(id));
        }
        attributes(scan, Map::Audit, self.attribute.as_ref())
    }
}

/// Search audit events, newest first, page by page.
#[utoipa::path(method(get, post), path = "/api/v1/audit/search", params(AuditSearch), tag = "audit",
    responses((status = 200, body = Answer<AuditRow>)))]
pub(crate) async fn search(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<AuditSearch>,
) -> Result<Json<Answer<AuditRow>>, Problem> {
    let Asked(search) = asked;
    let mut scan = search.scan(caller.now_ns)?;
    let given = (search.hashed.as_deref(), "/api/v1/audit/search");
    hashed(&api, &caller, given, &mut scan).await?;
    let settled = search.paging().settle(&mut scan)?;
    page::ask(&api, &caller, &scan, settled).await.map(Json)
}

/// The values that audit events can be filtered by, with their counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Filters {
    /// Event types.
    event_types: Vec<Counted>,
    /// Outcomes.
    outcomes: Vec<Counted>,
    /// Severities.
    severities: Vec<Counted>,
    /// Operations.
    operations: Vec<Counted>,
    /// Actions.
    actions: Vec<Counted>,
    /// Kinds of actor.
    actor_types: Vec<Counted>,
    /// Services.
    services: Vec<Counted>,
    /// Countries.
    countries: Vec<Counted>,
}

/// The values that audit events of a range can be filtered by.
#[utoipa::path(get, path = "/api/v1/audit/filters", params(AuditSearch), tag = "audit",
    responses((status = 200, body = Filters)))]
pub(crate) async fn filters(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<AuditSearch>,
) -> Result<Json<Filters>, Problem> {
    let Asked(search) = asked;
    let mut scan = search.scan(caller.now_ns)?;
    let given = (search.hashed.as_deref(), "/api/v1/audit/filters");
    hashed(&api, &caller, given, &mut scan).await?;
    let facet = async |column| {
        let facet = Facet {
            scan: scan.clone(),
            column,
            limit: VALUES_MAX,
            permission: Permission::AuditRead,
        };
        api.clickhouse.rows(&caller.bind(facet)?).await
    };
    let (event_types, outcomes, severities, operations) = tokio::try_join!(
        facet(Column::EventType),
        facet(Column::Outcome),
        facet(Column::Severity),
        facet(Column::Operation),
    )?;
    let (actions, actor_types, services, countries) = tokio::try_join!(
        facet(Column::Action),
        facet(Column::ActorType),
        facet(Column::Service),
        facet(Column::Country),
    )?;
    Ok(Json(Filters {
        event_types,
        outcomes,
        severities,
        operations,
        actions,
        actor_types,
        services,
        countries,
    }))
}
