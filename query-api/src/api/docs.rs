//! The OpenAPI description, made from the handlers, and its user interface.

use super::access::Permissions;
use super::{
    alerts, allow_lists, audit, backtest, channels, dead_letters, feeds, hunts, indicators, ledger,
    logs, metric, notifications, pipelines, privacy, rules, rum, sigma, soc, traces, usage, whoami,
};
use crate::error::ProblemBody;
use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use utoipa::openapi::OpenApi as Description;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millrace query API",
        description = "Searches, aggregates, alerts, rules and the books of one organisation.\n\n\
            Send `authorization: Bearer mlr_…`. Times are RFC 3339 in UTC. Lists are paged by \
            cursor. Errors are `application/problem+json` (RFC 9457) with a stable `code`. `x-permission` \
            names what an operation needs.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        whoami::whoami,
        logs::search,
        logs::histogram,
        metric::query,
        metric::names,
        metric::labels,
        metric::values,
        traces::search,
        traces::show,
        audit::search,
        audit::filters,
        rum::search,
        rum::pages,
        soc::overview,
        alerts::list,
        alerts::summary,
        alerts::show,
        alerts::status,
        alerts::assign,
        alerts::note,
        channels::list,
        channels::create,
        channels::show,
        channels::update,
        channels::remove,
        channels::test,
        notifications::list,
        notifications::retry,
        notifications::drop_one,
        rules::list,
        rules::create,
        rules::test,
        rules::show,
        rules::update,
        rules::remove,
        rules::enable,
        backtest::present,
        backtest::unsaved,
        sigma::import,
        sigma::covered,
        sigma::layer,
        hunts::list,
        hunts::begin,
        hunts::show,
        hunts::cancel,
        pipelines::list,
        pipelines::test,
        pipelines::show,
        pipelines::put,
        pipelines::remove,
        indicators::list,
        indicators::create,
        indicators::import,
        indicators::remove,
        feeds::list,
        feeds::show,
        feeds::put,
        feeds::remove,
        allow_lists::list,
        allow_lists::show,
        allow_lists::put,
        allow_lists::remove,
        privacy::policy,
        privacy::put_policy,
        privacy::test,
        privacy::peppers,
        privacy::rotate,
        privacy::hash,
        usage::usage,
        usage::sources,
        ledger::batches,
        ledger::balance,
        ledger::lost,
        dead_letters::list,
        dead_letters::show,
        dead_letters::replay,
        dead_letters::drop_letter,
    ),
    components(schemas(ProblemBody)),
    modifiers(&Bearer, &Permissions),
    security(("token" = []))
)]
struct ApiDoc;

/// Says how callers are known.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut Description) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description of the whole API.
#[must_use]
pub fn openapi() -> Description {
    ApiDoc::openapi()
}

/// Serves the description at `/api/openapi.json` and the user interface at `/docs`.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/api/openapi.json", web::get().to(description))
        .route("/docs", web::get().to(to_docs))
        .service(SwaggerUi::new("/docs/{_:.*}").config(Config::from("/api/openapi.json")));
}

async fn description() -> HttpResponse {
    HttpResponse::Ok().json(openapi())
}

async fn to_docs() -> HttpResponse {
    HttpResponse::Found()
        .insert_header(("location", "/docs/"))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ROUTES;

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let description = openapi();
        let described: Vec<_> = description.paths.paths.keys().map(String::as_str).collect();
        for route in ROUTES.iter().filter(|route| route.starts_with("/api/v1/")) {
            assert!(described.contains(route), "{route} is not described");
        }
        for path in described {
            assert!(ROUTES.contains(&path), "{path} is no route");
        }
    }
}
