//! The server: routes, threads, one log line and one count per request, and the way down.

use crate::answer::Answer;
use crate::append::{Appender, RESPONSE_TIMEOUT};
use crate::batches;
use crate::config::Config;
use crate::connection::{Connection, Patience};
use crate::cors;
use crate::error::{GatewayError, Problem};
use crate::gateway::{Gateway, Shared};
use crate::health;
use crate::ingest::ingest;
use crate::loss;
use crate::metrics::{self, DURATION, PANICS, REQUESTS};
use crate::pressure::LATE_MAX;
use crate::proof::Proof;
use crate::pulse::Pulse;
use crate::receive::discard;
use crate::trail::Trail;
use crate::watch::watch;
use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_server::Server;
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, Resource, web};
use futures_util::FutureExt as _;
use millrace_runtime::redis::Connections;
use millrace_runtime::shutdown::CancellationToken;
use millrace_runtime::{admin, metric, redis};
use millrace_shared::Signal;
use millrace_shared::outcome::Refusal;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

/// Idle connections are kept longer than common proxies keep theirs, so that the proxy closes.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a connection that is closed upon a half-read body is read on, so that its sender sees
/// the answer and no reset.
const LINGER: Duration = Duration::from_secs(2);
/// Time for requests in flight when going down.
const SHUTDOWN_S: u64 = 20;
/// Connections of one thread; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// Bytes of answers that the system keeps for a client that reads none: a hundred of them. Left to
/// itself it keeps megabytes for each of thousands, and they are not seen to be slow until then.
const UNREAD_BYTES: usize = 64 * 1024;

/// When who is not known is told so, counted from his headers. Longer than looking a key up takes,
/// so that nobody can tell an id that is in the cache from one that PostgreSQL was asked for.
const UNKNOWN_AFTER: Duration = Duration::from_millis(25);

/// Where the gateway listens.
#[derive(Debug)]
pub struct Listeners {
    /// For agents.
    pub public: TcpListener,
    /// For `/metrics`, `/healthz` and `/readyz`.
    pub admin: Option<TcpListener>,
}

/// Runs a gateway until `shutdown`, then finishes what is in flight.
///
/// # Errors
/// When a store's address cannot be used, PostgreSQL does not come up, or serving fails.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let exporter = metric::exporter();
    metric::describe_all(metrics::ALL);
    let redis = Arc::new(Connections::open(&config.redis_url, 1, RESPONSE_TIMEOUT)?);
    let watched = redis::open(&config.redis_url, RESPONSE_TIMEOUT)?;
    let searched = redis::open(&config.redis_url, RESPONSE_TIMEOUT)?;
    let shared = Shared::start(config).await?;
    let watch = watch(Arc::clone(&shared), watched, shutdown.clone());
    let search = loss::watch(&shared, searched, shutdown.clone());
    let public = serve(listeners.public, Arc::clone(&shared), shutdown.clone());
    let admin = async {
        match listeners.admin {
            Some(listener) => {
                let ready = health::readiness(Arc::clone(&shared), redis);
                admin::serve(listener, exporter, ready, shutdown.clone()).await
            }
            None => Ok(()),
        }
    };
    let (public, admin, (), ()) = futures_util::future::join4(public, admin, watch, search).await;
    public.and(admin).map_err(GatewayError::Serve)
}

async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let threads = shared.config.threads;
    let of_threads = Arc::clone(&shared);
    let draining = shutdown.clone();
    let address = listener.local_addr()?;
    // Its connections inherit it.
    socket2::SockRef::from(&listener).set_send_buffer_size(UNREAD_BYTES)?;
    let server = Server::build()
        .workers(threads)
        .max_concurrent_connections(CONNECTIONS_MAX)
        .shutdown_timeout(SHUTDOWN_S)
        .disable_signals()
        .listen("gateway", listener, move || {
            connections(&of_threads, &draining)
        })?
        .run();
    tracing::info!(%address, threads, "gateway listens");
    let handle = server.handle();
    let stop = async {
        shutdown.cancelled().await;
        shared.pressure.go_down();
        handle.stop(true).await;
    };
    let (served, ()) = futures_util::future::join(server, stop).await;
    served
}

/// What serves the connections of one thread.
fn connections(
    shared: &Arc<Shared>,
    draining: &CancellationToken,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
+ use<> {
    let of_app = Arc::clone(shared);
    let app = App::new()
        .data_factory(move || std::future::ready(gateway(&of_app)))
        .configure(routes)
        .default_service(web::to(not_found));
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    let draining = draining.clone();
    let http = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(shared.config.header_timeout)
        .client_disconnect_timeout(LINGER)
        .on_connect_ext(|_: &Connection, of_connection| {
            of_connection.insert(Proof::default());
        })
        .graceful_shutdown_signal(move || draining.clone().cancelled_owned())
        .h1(app.map_err(|error| error.error_response()));
    let patience = Patience {
        // The library's own answer, a 408, comes first where it watches.
        head: shared.config.header_timeout + Duration::from_secs(1),
        idle: KEEP_ALIVE + Duration::from_secs(1),
        // Taking an answer may take as long as sending a body.
        write: shared.config.body_timeout,
    };
    fn_service(move |stream: TcpStream| {
        let peer = stream.peer_addr().ok();
        std::future::ready(Ok((Connection::new(stream, patience), peer)))
    })
    .and_then(http)
}

fn gateway(shared: &Arc<Shared>) -> Result<Gateway, ::redis::RedisError> {
    Ok(Gateway {
        shared: Arc::clone(shared),
        appender: Appender::open(&shared.config)?,
        pulse: Pulse::start(),
    })
}

fn routes(app: &mut web::ServiceConfig) {
    for signal in Signal::ALL {
        app.service(ingest_resource(signal));
    }
    app.service(
        web::resource("/v1/batches/{batch_id}")
            .route(web::get().to(get_batch))
            .default_service(web::to(|request| not_allowed(request, "GET"))),
    );
}

fn ingest_resource(signal: Signal) -> Resource {
    let post = move |gateway: web::Data<Gateway>, request: HttpRequest, payload: web::Payload| {
        post_events(signal, gateway, request, payload)
    };
    let resource = web::resource(format!("/v1/{signal}")).route(web::post().to(post));
    if signal == Signal::Rum {
        let preflight = web::method(actix_web::http::Method::OPTIONS)
            .to(|request: HttpRequest| std::future::ready(cors::preflight(&request)));
        resource
            .route(preflight)
            .default_service(web::to(|request| not_allowed(request, "POST, OPTIONS")))
    } else {
        resource.default_service(web::to(|request| not_allowed(request, "POST")))
    }
}

async fn post_events(
    signal: Signal,
    gateway: web::Data<Gateway>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse {
    let started = Instant::now();
    let mut trail = Trail::of(&request);
    let span = span(signal, &trail);
    let ingest = ingest(&gateway, signal, &request, &mut payload, &mut trail);
    let outcome = AssertUnwindSafe(ingest)
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let outcome = outcome.unwrap_or_else(|_| Err(defect()));
    hold(outcome.as_ref().err(), started).await;
    let label = match &outcome {
        Ok(answer) => answer.outcome.as_str(),
        Err(problem) => problem.refusal.code(),
    };
    let took = started.elapsed();
    REQUESTS.add(&[signal.as_str(), label], 1);
    DURATION.observe(&[signal.as_str()], took.as_secs_f64());
    span.in_scope(|| log(&gateway, &trail, signal, &outcome, took));
    let mut response = match &outcome {
        Ok(answer) => answer.response(),
        Err(problem) => {
            if let (429 | 503, Some(key)) = (problem.refusal.status(), &trail.sender) {
                gateway.shared.admission.refused(key.org);
            }
            // A thread that is late answers first; the connection then lingers and is closed.
            if !problem.is_last_word() && gateway.pulse.late() <= LATE_MAX {
                discard(&mut payload, gateway.shared.caps.wire_bytes).await;
            }
            problem.response(&trail.request_id)
        }
    };
    trail.finish(&mut response, gateway.shared.pressure.is_going_down());
    response
}

/// Keeps an answer that says no more than "not known" until its time.
async fn hold(problem: Option<&Problem>, started: Instant) {
    if problem.is_some_and(|problem| problem.refusal == Refusal::Unauthorized) {
        tokio::time::sleep_until((started + UNKNOWN_AFTER).into()).await;
    }
}

/// The request's span, a child of the caller's where it sent a `traceparent`.
fn span(signal: Signal, trail: &Trail) -> Span {
    let trace = trail.trace.as_ref();
    let (trace_id, parent) = trace.map_or(("", ""), |t| (&t.trace_id, &t.span_id));
    tracing::info_span!(
        "ingest",
        signal = signal.as_str(),
        request_id = trail.request_id.as_str(),
        trace_id,
        parent_span_id = parent,
        outcome = Empty,
        own = Empty,
    )
}

/// One line per request. What the pipeline sends about itself is marked so that it is not sent
/// again, and is logged only for debugging, or each line would cause the next.
fn log(
    gateway: &Gateway,
    trail: &Trail,
    signal: Signal,
    outcome: &Result<Answer, Problem>,
    took: Duration,
) {
    let key = trail.sender.as_deref();
    let own = key.is_some_and(|key| key.id == gateway.shared.config.self_key_id);
    let trace_id = trail.trace.as_ref().map(|trace| trace.trace_id.as_str());
    let (request_id, signal) = (trail.request_id.as_str(), signal.as_str());
    let org = key.map(|key| tracing::field::display(key.org));
    let key = key.map(|key| key.id.as_str());
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let span = Span::current();
    if own {
        span.record("own", true);
    }
    match outcome {
        Ok(answer) => {
            let (outcome, counts) = (answer.outcome.as_str(), answer.counts);
            let (accepted, rejected) = (counts.accepted, counts.rejected);
            span.record("outcome", outcome);
            if own {
                tracing::debug!(own, request_id, signal, accepted, "request");
            } else {
                tracing::info!(
                    request_id, signal, org, key, outcome, accepted, rejected, trace_id, took_us,
                    "request"
                );
            }
        }
        Err(problem) => {
            let (outcome, detail) = (problem.refusal.code(), problem.detail.as_ref());
            span.record("outcome", outcome);
            tracing::info!(
                own,
                request_id,
                signal,
                org,
                key,
                outcome,
                detail,
                trace_id,
                took_us,
                "request refused"
            );
        }
    }
}

async fn get_batch(
    gateway: web::Data<Gateway>,
    request: HttpRequest,
    batch_id: web::Path<String>,
) -> HttpResponse {
    let started = Instant::now();
    let mut trail = Trail::of(&request);
    let status = batches::status(&gateway, &batch_id, &request, &mut trail);
    let outcome = AssertUnwindSafe(status).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_| Err(defect()));
    hold(outcome.as_ref().err(), started).await;
    let mut response = match outcome {
        Ok(response) => response,
        Err(problem) => problem.response(&trail.request_id),
    };
    trail.finish(&mut response, gateway.shared.pressure.is_going_down());
    response
}

/// The panic hook has logged where.
fn defect() -> Problem {
    PANICS.add(&[], 1);
    Problem::new(Refusal::Internal, "the request met a defect of the gateway")
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    refuse(
        &request,
        &Problem::new(Refusal::NotFound, "there is nothing at this path"),
    )
}

async fn not_allowed(request: HttpRequest, methods: &'static str) -> HttpResponse {
    let detail = format!("this path takes {methods}");
    refuse(
        &request,
        &Problem::new(Refusal::MethodNotAllowed, detail).allowing(methods),
    )
}

fn refuse(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    let trail = Trail::of(request);
    let mut response = problem.response(&trail.request_id);
    trail.finish(&mut response, false);
    response
}
