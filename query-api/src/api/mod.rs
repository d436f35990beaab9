//! One handler a route. A handler reads its parameters into a question, has the caller bind it, asks
//! the store, and shapes the answer: nothing else.

mod access;
mod page;
mod logs;
mod metric;
mod traces;
mod audit;
mod rum;
mod soc;
mod alerts;
mod channels;
mod address;
mod notifications;
mod rules;
mod backtest;
mod sigma;
mod hunts;
mod pipelines;
mod indicators;
mod feeds;
mod allow_lists;
mod privacy;
mod usage;
mod ledger;
mod dead_letters;
mod whoami;
mod docs;

pub use docs::openapi;

use crate::arrive::{not_allowed, not_found};
use crate::principal::authenticate;
use actix_web::Resource;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig, delete, get, post, put};

/// Registers all routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let scope = web::scope("/api/v1")
        .wrap(from_fn(access::guard))
        .wrap(from_fn(authenticate))
        .service(at("/whoami").route(get().to(whoami::whoami)))
        .service(
            at("/logs/search")
                .route(get().to(logs::search))
                .route(post().to(logs::search)),
        )
        .service(at("/logs/histogram").route(get().to(logs::histogram)))
        .service(at("/metrics/query").route(get().to(metric::query)))
        .service(at("/metrics/names").route(get().to(metric::names)))
        .service(at("/metrics/labels").route(get().to(metric::labels)))
        .service(at("/metrics/label/{name}/values").route(get().to(metric::values)))
        .service(
            at("/traces/search")
                .route(get().to(traces::search))
                .route(post().to(traces::search)),
        )
        .service(at("/traces/{trace_id}").route(get().to(traces::show)))
        .service(
            at("/audit/search")
                .route(get().to(audit::search))
                .route(post().to(audit::search)),
        )
        .service(at("/audit/filters").route(get().to(audit::filters)))
        .service(
            at("/rum/search")
                .route(get().to(rum::search))
                .route(post().to(rum::search)),
        )
        .service(at("/rum/pages").route(get().to(rum::pages)))
        .service(at("/soc/overview").route(get().to(soc::overview)))
        .configure(handling)
        .configure(telling)
        .default_service(web::to(not_found));
    config.service(scope).configure(docs::routes);
}

/// Registers the routes of alerts, rules and the books.
fn handling(config: &mut ServiceConfig) {
    config
        .service(at("/alerts").route(get().to(alerts::list)))
        .service(at("/alerts/summary").route(get().to(alerts::summary)))
        .service(at("/alerts/{id}").route(get().to(alerts::show)))
        .service(at("/alerts/{id}/status").route(post().to(alerts::status)))
        .service(at("/alerts/{id}/assign").route(post().to(alerts::assign)))
        .service(at("/alerts/{id}/notes").route(post().to(alerts::note)))
        .service(
            at("/rules")
                .route(get().to(rules::list))
                .route(post().to(rules::create)),
        )
        .service(at("/rules/test").route(post().to(rules::test)))
        .service(at("/rules/backtest").route(post().to(backtest::unsaved)))
        .service(at("/rules/import/sigma").route(post().to(sigma::import)))
        .service(at("/rules/coverage").route(get().to(sigma::covered)))
        .service(at("/rules/coverage/navigator").route(get().to(sigma::layer)))
        .service(
            at("/rules/{id}")
                .route(get().to(rules::show))
                .route(put().to(rules::update))
                .route(delete().to(rules::remove)),
        )
        .service(at("/rules/{id}/enabled").route(put().to(rules::enable)))
        .service(at("/rules/{id}/backtest").route(post().to(backtest::present)))
        .service(
            at("/retro-hunts")
                .route(get().to(hunts::list))
                .route(post().to(hunts::begin)),
        )
        .service(
            at("/retro-hunts/{id}")
                .route(get().to(hunts::show))
                .route(delete().to(hunts::cancel)),
        )
        .service(at("/pipelines").route(get().to(pipelines::list)))
        .service(at("/pipelines/test").route(post().to(pipelines::test)))
        .service(
            at("/pipelines/{signal}")
                .route(get().to(pipelines::show))
                .route(put().to(pipelines::put))
                .route(delete().to(pipelines::remove)),
        )
        .configure(intelligence)
        .configure(personal)
        .service(at("/usage").route(get().to(usage::usage)))
        .service(at("/sources").route(get().to(usage::sources)))
        .service(at("/ledger/batches").route(get().to(ledger::batches)))
        .service(at("/ledger/lost").route(get().to(ledger::lost)))
        .service(at("/ledger/balance").route(get().to(ledger::balance)))
        .service(at("/dead-letters").route(get().to(dead_letters::list)))
        .service(at("/dead-letters/{id}").route(get().to(dead_letters::show)))
        .service(at("/dead-letters/{id}/replay").route(post().to(dead_letters::replay)))
        .service(at("/dead-letters/{id}/drop").route(post().to(dead_letters::drop_letter)));
}

/// Registers the routes of notification channels and of what is sent to them.
fn telling(config: &mut ServiceConfig) {
    config
        .service(
            at("/channels")
                .route(get().to(channels::list))
                .route(post().to(channels::create)),
        )
        .service(
            at("/channels/{id}")
                .route(get().to(channels::show))
                .route(put().to(channels::update))
                .route(delete().to(channels::remove)),
        )
        .service(at("/channels/{id}/test").route(post().to(channels::test)))
        .service(at("/notifications").route(get().to(notifications::list)))
        .service(at("/notifications/{id}/retry").route(post().to(notifications::retry)))
        .service(at("/notifications/{id}/drop").route(post().to(notifications::drop_one)));
}

/// Registers the routes of indicators.
fn intelligence(config: &mut ServiceConfig) {
    config
        .service(
            at("/indicators")
                .route(get().to(indicators::list))
                .route(post().to(indicators::create)),
        )
        .service(at("/indicators/import").route(post().to(indicators::import)))
        .service(at("/indicators/{id}").route(delete().to(indicators::remove)))
        .service(at("/indicator-feeds").route(get().to(feeds::list)))
        .service(
            at("/indicator-feeds/{name}")
                .route(get().to(feeds::show))
                .route(put().to(feeds::put))
                .route(delete().to(feeds::remove)),
        )
        .service(at("/allow-lists").route(get().to(allow_lists::list)))
        .service(
            at("/allow-lists/{name}")
                .route(get().to(allow_lists::show))
                .route(put().to(allow_lists::put))
                .route(delete().to(allow_lists::remove)),
        );
}

/// Registers the routes of personal data.
fn personal(config: &mut ServiceConfig) {
    config
        .service(
            at("/privacy/policy")
                .route(get().to(privacy::policy))
                .route(put().to(privacy::put_policy)),
        )
        .service(at("/privacy/policy/test").route(post().to(privacy::test)))
        .service(
            at("/privacy/peppers")
                .route(get().to(privacy::peppers))
                .route(post().to(privacy::rotate)),
        )
        .service(at("/privacy/hash").route(post().to(privacy::hash)));
}

/// A resource under the API's root, which answers other methods with 405.
fn at(path: &str) -> Resource {
    web::resource(path).default_service(web::to(not_allowed))
}
