//! What each route needs of its caller: the one home of it. The guard refuses whoever lacks it
//! before anything else of the request is looked at, and the description names it as
//! `x-permission`. A route that does not stand here answers nobody.
//!
//! Queries need a permission of their own to be bound: that is the second lock, not the first.

use crate::error::Problem;
use crate::principal::{Caller, Permission};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use millrace_shared::outcome::Refusal;
use utoipa::Modify;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, PathItem};

/// The extension that names a route's permission.
const EXTENSION: &str = "x-permission";
/// What it says of a route that any valid token may ask.
const ANY_TOKEN: &str = "any-token";

/// What a route needs besides a valid token, if anything.
type Access = Option<Permission>;

/// Method, path, permission. What a parameter asks for on top (the contents of a dead letter) is
/// checked where the query is bound.
const ROUTES: &[(&str, &str, Access)] = &[
    ("GET", "/api/v1/whoami", None),
    ("GET", "/api/v1/logs/search", Some(Permission::LogsRead)),
    ("POST", "/api/v1/logs/search", Some(Permission::LogsRead)),
    ("GET", "/api/v1/logs/histogram", Some(Permission::LogsRead)),
    (
        "GET",
        "/api/v1/metrics/query",
        Some(Permission::MetricsRead),
    ),
    (
        "GET",
        "/api/v1/metrics/names",
        Some(Permission::MetricsRead),
    ),
    (
        "GET",
        "/api/v1/metrics/labels",
        Some(Permission::MetricsRead),
    ),
    (
        "GET",
        "/api/v1/metrics/label/{name}/values",
        Some(Permission::MetricsRead),
    ),
    ("GET", "/api/v1/traces/search", Some(Permission::TracesRead)),
    (
        "POST",
        "/api/v1/traces/search",
        Some(Permission::TracesRead),
    ),
    (
        "GET",
        "/api/v1/traces/{trace_id}",
        Some(Permission::TracesRead),
    ),
    ("GET", "/api/v1/audit/search", Some(Permission::AuditRead)),
    ("POST", "/api/v1/audit/search", Some(Permission::AuditRead)),
    ("GET", "/api/v1/audit/filters", Some(Permission::AuditRead)),
    ("GET", "/api/v1/rum/search", Some(Permission::RumRead)),
    ("POST", "/api/v1/rum/search", Some(Permission::RumRead)),
    ("GET", "/api/v1/rum/pages", Some(Permission::RumRead)),
    ("GET", "/api/v1/soc/overview", Some(Permission::SocRead)),
    ("GET", "/api/v1/alerts", Some(Permission::AlertsRead)),
    (
        "GET",
        "/api/v1/alerts/summary",
        Some(Permission::AlertsRead),
    ),
    ("GET", "/api/v1/alerts/{id}", Some(Permission::AlertsRead)),
    (
        "POST",
        "/api/v1/alerts/{id}/status",
        Some(Permission::AlertsTriage),
    ),
    (
        "POST",
        "/api/v1/alerts/{id}/assign",
        Some(Permission::AlertsTriage),
    ),
    (
        "POST",
        "/api/v1/alerts/{id}/notes",
        Some(Permission::AlertsTriage),
    ),
    ("GET", "/api/v1/channels", Some(Permission::ChannelsRead)),
    ("POST", "/api/v1/channels", Some(Permission::ChannelsManage)),
    (
        "GET",
        "/api/v1/channels/{id}",
        Some(Permission::ChannelsRead),
    ),
    (
        "PUT",
        "/api/v1/channels/{id}",
        Some(Permission::ChannelsManage),
    ),
    (
        "DELETE",
        "/api/v1/channels/{id}",
        Some(Permission::ChannelsManage),
    ),
    (
        "POST",
        "/api/v1/channels/{id}/test",
        Some(Permission::ChannelsManage),
    ),
    (
        "GET",
        "/api/v1/notifications",
        Some(Permission::ChannelsRead),
    ),
    (
        "POST",
        "/api/v1/notifications/{id}/retry",
        Some(Permission::ChannelsManage),
    ),
    (
        "POST",
        "/api/v1/notifications/{id}/drop",
        Some(Permission::ChannelsManage),
    ),
    ("GET", "/api/v1/rules", Some(Permission::RulesRead)),
    ("POST", "/api/v1/rules", Some(Permission::RulesManage)),
    ("POST", "/api/v1/rules/test", Some(Permission::RulesTest)),
    (
        "POST",
        "/api/v1/rules/backtest",
        Some(Permission::RulesTest),
    ),
    (
        "POST",
        "/api/v1/rules/{id}/backtest",
        Some(Permission::RulesTest),
    ),
    (
        "POST",
        "/api/v1/rules/import/sigma",
        Some(Permission::RulesManage),
    ),
    ("GET", "/api/v1/rules/coverage", Some(Permission::RulesRead)),
    (
        "GET",
        "/api/v1/rules/coverage/navigator",
        Some(Permission::RulesRead),
    ),
    ("GET", "/api/v1/rules/{id}", Some(Permission::RulesRead)),
    ("PUT", "/api/v1/rules/{id}", Some(Permission::RulesManage)),
    (
        "DELETE",
        "/api/v1/rules/{id}",
        Some(Permission::RulesManage),
    ),
    (
        "PUT",
        "/api/v1/rules/{id}/enabled",
        Some(Permission::RulesManage),
    ),
    (
        "GET",
        "/api/v1/retro-hunts",
        Some(Permission::IndicatorsRead),
    ),
    (
        "POST",
        "/api/v1/retro-hunts",
        Some(Permission::IndicatorsManage),
    ),
    (
        "GET",
        "/api/v1/retro-hunts/{id}",
        Some(Permission::IndicatorsRead),
    ),
    (
        "DELETE",
        "/api/v1/retro-hunts/{id}",
        Some(Permission::IndicatorsManage),
    ),
    ("GET", "/api/v1/pipelines", Some(Permission::PipelinesRead)),
    (
        "POST",
        "/api/v1/pipelines/test",
        Some(Permission::PipelinesRead),
    ),
    (
        "GET",
        "/api/v1/pipelines/{signal}",
        Some(Permission::PipelinesRead),
    ),
    (
        "PUT",
        "/api/v1/pipelines/{signal}",
        Some(Permission::PipelinesManage),
    ),
    (
        "DELETE",
        "/api/v1/pipelines/{signal}",
        Some(Permission::PipelinesManage),
    ),
    (
        "GET",
        "/api/v1/indicators",
        Some(Permission::IndicatorsRead),
    ),
    (
        "POST",
        "/api/v1/indicators",
        Some(Permission::IndicatorsManage),
    ),
    (
        "POST",
        "/api/v1/indicators/import",
        Some(Permission::IndicatorsManage),
    ),
    (
        "DELETE",
        "/api/v1/indicators/{id}",
        Some(Permission::IndicatorsManage),
    ),
    (
        "GET",
        "/api/v1/indicator-feeds",
        Some(Permission::IndicatorsRead),
    ),
    (
        "GET",
        "/api/v1/indicator-feeds/{name}",
        Some(Permission::IndicatorsRead),
    ),
    (
        "PUT",
        "/api/v1/indicator-feeds/{name}",
        Some(Permission::IndicatorsManage),
    ),
    (
        "DELETE",
        "/api/v1/indicator-feeds/{name}",
        Some(Permission::IndicatorsManage),
    ),
    (
        "GET",
        "/api/v1/allow-lists",
        Some(Permission::IndicatorsRead),
    ),
    (
        "GET",
        "/api/v1/allow-lists/{name}",
        Some(Permission::IndicatorsRead),
    ),
    (
        "PUT",
        "/api/v1/allow-lists/{name}",
        Some(Permission::IndicatorsManage),
    ),
    (
        "DELETE",
        "/api/v1/allow-lists/{name}",
        Some(Permission::IndicatorsManage),
    ),
    (
        "GET",
        "/api/v1/privacy/policy",
        Some(Permission::PrivacyRead),
    ),
    (
        "PUT",
        "/api/v1/privacy/policy",
        Some(Permission::PrivacyManage),
    ),
    (
        "POST",
        "/api/v1/privacy/policy/test",
        Some(Permission::PrivacyRead),
    ),
    (
        "GET",
        "/api/v1/privacy/peppers",
        Some(Permission::PrivacyRead),
    ),
    (
        "POST",
        "/api/v1/privacy/peppers",
        Some(Permission::PrivacyManage),
    ),
    (
        "POST",
        "/api/v1/privacy/hash",
        Some(Permission::PiiRevealHash),
    ),
    ("GET", "/api/v1/usage", Some(Permission::UsageRead)),
    ("GET", "/api/v1/sources", Some(Permission::SourcesRead)),
    (
        "GET",
        "/api/v1/ledger/batches",
        Some(Permission::LedgerRead),
    ),
    ("GET", "/api/v1/ledger/lost", Some(Permission::LedgerRead)),
    (
        "GET",
        "/api/v1/ledger/balance",
        Some(Permission::LedgerRead),
    ),
    (
        "GET",
        "/api/v1/dead-letters",
        Some(Permission::DeadLettersRead),
    ),
    (
        "GET",
        "/api/v1/dead-letters/{id}",
        Some(Permission::DeadLettersRead),
    ),
    (
        "POST",
        "/api/v1/dead-letters/{id}/replay",
        Some(Permission::DeadLettersManage),
    ),
    (
        "POST",
        "/api/v1/dead-letters/{id}/drop",
        Some(Permission::DeadLettersManage),
    ),
];

/// What a route needs; `None` for a route, or a method of one, that there is not.
fn of(method: &str, path: &str) -> Option<Access> {
    let mut routes = ROUTES.iter();
    let found = routes.find(|(known, pattern, _)| *known == method && *pattern == path);
    found.map(|(_, _, access)| *access)
}

/// Lets a verified caller through to a route whose permission it has. Paths and methods that there
/// are not pass, to be answered as such.
///
/// # Errors
/// Those of the handler.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match check(&request) {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => Ok(request.error_response(problem)),
    }
}

fn check(request: &ServiceRequest) -> Result<(), Problem> {
    let Some(pattern) = request.match_pattern() else {
        return Ok(());
    };
    match of(request.method().as_str(), &pattern) {
        Some(None) => Ok(()),
        Some(Some(permission)) => {
            let extensions = request.extensions();
            let caller = extensions.get::<Caller>();
            caller
                .ok_or_else(|| Problem::internal("a route without a caller", &pattern))?
                .require(permission)
        }
        None if ROUTES.iter().any(|(_, path, _)| *path == pattern) => Ok(()),
        None if pattern.starts_with("/api/v1/") => {
            let detail = "no permission is declared for this route, so nobody has it";
            Err(Problem::new(Refusal::Forbidden, detail))
        }
        None => Ok(()),
    }
}

/// Writes each route's permission into its description.
pub(super) struct Permissions;

impl Modify for Permissions {
    fn modify(&self, description: &mut OpenApi) {
        for (path, item) in &mut description.paths.paths {
            for (method, operation) in operations(item) {
                let named = match of(method, path) {
                    Some(Some(permission)) => permission.as_str(),
                    Some(None) => ANY_TOKEN,
                    None => continue,
                };
                let extension = Extensions::from_iter([(EXTENSION, named)]);
                operation
                    .extensions
                    .get_or_insert_default()
                    .merge(extension);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("GET", &mut item.get),
        ("PUT", &mut item.put),
        ("POST", &mut item.post),
        ("DELETE", &mut item.delete),
        ("PATCH", &mut item.patch),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_described_route_has_a_permission_and_no_other_stands_here() {
        let mut description = super::super::openapi();
        let mut described = Vec::new();
        for (path, item) in &mut description.paths.paths {
            for (method, operation) in operations(item) {
                let extensions = operation.extensions.as_ref();
                let named = extensions.and_then(|all| all.get(EXTENSION));
                assert!(
                    named.is_some(),
                    "{method} {path} stands in no line of ROUTES"
                );
                described.push((method, path.clone()));
            }
        }
        for (method, path, _) in ROUTES {
            assert!(
                described.contains(&(*method, (*path).to_owned())),
                "{method} {path} is not described"
            );
        }
        assert_eq!(described.len(), ROUTES.len());
    }
}
