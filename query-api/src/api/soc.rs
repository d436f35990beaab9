//! The SOC overview.

use crate::Api;
use crate::answer::Moment;
use crate::answer::soc::{
    Conduct, GRAVE_TYPES, Posture, ThreatLevel, security_score, threat_level, user_risk,
};
use crate::ask::{Asked, DAY_S, Loose, Scan, TimeRange};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::events::{Counted, Facet};
use crate::store::soc::{AlertCounts, AlertType, AlertTypes, Hours, RiskyUsers, Totals};
use crate::store::{Column, Table};
use actix_web::web::{Data, Json};
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Severity;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The longest range, days.
const DAYS_MAX: i64 = 366;
/// Types and countries listed.
const LISTED: u32 = 100;
/// Alert types that count as threats, and that the score looks at.
const THREATS: usize = 5;

/// The range of an overview.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OverviewOf {
    /// Start of the range; a day before the end by default.
    start: Option<Loose>,
    /// End of the range, not included; now by default.
    end: Option<Loose>,
}

/// A frequent type of alert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Threat {
    /// The type.
    alert_type: String,
    /// Alerts.
    alerts: i64,
    /// The matches they stand for.
    occurrences: i64,
    /// The highest severity among them.
    severity: &'static str,
    /// When one was last seen.
    last_seen: Moment,
}

/// A user at risk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserRisk {
    /// The actor's id, or else the e-mail address.
    user: String,
    /// 0 to 100.
    score: u8,
    /// Failed authentications.
    failed_authentications: u64,
    /// Rate-limited actions.
    rate_limited: u64,
    /// Critical events.
    critical: u64,
    /// Countries.
    countries: u64,
}

/// The state of security of an organisation over a range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overview {
    /// Start of the range.
    start: String,
    /// End of the range, not included.
    end: String,
    /// Audit events.
    total_events: u64,
    /// Audit events of severity critical.
    critical_events: u64,
    /// Alerts that are open, acknowledged or in progress.
    active_alerts: u64,
    /// Alerts that are resolved or closed.
    resolved_alerts: u64,
    /// 0 (worst) to 100.
    security_score: u8,
    /// LOW, MODERATE, HIGH or CRITICAL.
    threat_level: ThreatLevel,
    /// Audit events by type.
    events_by_type: Vec<Counted>,
    /// Alerts by type.
    alerts_by_type: Vec<Counted>,
    /// The most frequent alert types.
    top_threats: Vec<Threat>,
    /// Audit events by country.
    by_country: Vec<Counted>,
    /// Audit events by hour of day (UTC), from 0 to 23.
    by_hour: Vec<u64>,
    /// The users with the most risk.
    user_risks: Vec<UserRisk>,
}

/// The SOC overview of a range.
#[utoipa::path(get, path = "/api/v1/soc/overview", params(OverviewOf), tag = "soc",
    responses((status = 200, body = Overview)))]
pub(crate) async fn overview(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<OverviewOf>,
) -> Result<Json<Overview>, Problem> {
    let range = range(&asked.0, caller.now_ns)?;
    let (totals, counts) = (
        caller.bind(Totals(range))?,
        caller.bind(AlertCounts::new(range))?,
    );
    let types = caller.bind(AlertTypes::new(range))?;
    let (totals, alerts, types, events_by_type, by_country, by_hour, user_risks) = tokio::try_join!(
        api.clickhouse.rows(&totals),
        api.pg.first(&counts),
        api.pg.rows(&types),
        facet(&api, &caller, range, Column::EventType),
        facet(&api, &caller, range, Column::Country),
        hours(&api, &caller, range),
        risks(&api, &caller, range),
    )?;
    let totals = totals.first().copied().unwrap_or_default();
    let alerts = alerts.unwrap_or_default();
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let (active, resolved) = (count(alerts.active), count(alerts.resolved));
    let grave = types.iter().take(THREATS);
    let grave = grave.filter(|kind| GRAVE_TYPES.contains(&kind.alert_type.as_str()));
    let score = security_score(Posture {
        events: totals.events,
        critical: totals.critical,
        active,
        grave: grave.map(|kind| count(kind.alerts)).sum(),
    });
    let (start, end) = range.texts();
    let by_type = |kind: &AlertType| Counted {
        value: kind.alert_type.clone(),
        count: count(kind.alerts),
    };
    Ok(Json(Overview {
        start,
        end,
        total_events: totals.events,
        critical_events: totals.critical,
        active_alerts: active,
        resolved_alerts: resolved,
        security_score: score,
        threat_level: threat_level(score, active, totals.critical),
        events_by_type,
        alerts_by_type: types.iter().map(by_type).collect(),
        top_threats: types.iter().take(THREATS).map(threat).collect(),
        by_country,
        by_hour,
        user_risks,
    }))
}

fn range(asked: &OverviewOf, now_ns: i64) -> Result<TimeRange, Problem> {
    let (start, end) = (asked.start.as_ref(), asked.end.as_ref());
    let mut range = TimeRange::read(start, end, now_ns, DAYS_MAX * DAY_S)?;
    if start.is_none() {
        range.start = range.end.saturating_sub(DAY_S * NS_PER_SECOND);
    }
    Ok(range)
}

async fn facet(
    api: &Api,
    caller: &Caller,
    range: TimeRange,
    column: Column,
) -> Result<Vec<Counted>, Problem> {
    let facet = Facet {
        scan: Scan::new(Table::Audit, range),
        column,
        limit: LISTED,
        permission: Permission::SocRead,
    };
    api.clickhouse.rows(&caller.bind(facet)?).await
}

async fn hours(api: &Api, caller: &Caller, range: TimeRange) -> Result<Vec<u64>, Problem> {
    let mut by_hour = vec![0; 24];
    for hour in api.clickhouse.rows(&caller.bind(Hours(range))?).await? {
        if let Some(count) = by_hour.get_mut(usize::from(hour.hour)) {
            *count = hour.count;
        }
    }
    Ok(by_hour)
}

async fn risks(api: &Api, caller: &Caller, range: TimeRange) -> Result<Vec<UserRisk>, Problem> {
    let users = api
        .clickhouse
        .rows(&caller.bind(RiskyUsers(range))?)
        .await?;
    let risk = users.into_iter().map(|user| UserRisk {
        score: user_risk(Conduct {
            failed: user.failed,
            rate_limited: user.rate_limited,
            critical: user.critical,
            countries: user.countries,
        }),
        user: user.user,
        failed_authentications: user.failed,
        rate_limited: user.rate_limited,
        critical: user.critical,
        countries: user.countries,
    });
    Ok(risk.collect())
}

fn threat(kind: &AlertType) -> Threat {
    let rank = usize::try_from(kind.severity_rank).unwrap_or_default();
    Threat {
        alert_type: kind.alert_type.clone(),
        alerts: kind.alerts,
        occurrences: kind.occurrences,
        severity: Severity::ALL
            .get(rank)
            .map_or("critical", |severity| severity.as_str()),
        last_seen: kind.last_seen.into(),
    }
}
