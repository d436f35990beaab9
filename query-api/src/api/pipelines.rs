//! Normalization pipelines: list, show, put, remove, try.

use crate::Api;
use crate::ask::{self, Body};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::pipelines::{self, Change, PipelineRow, Pipelines};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use millrace_detection::pipelines::Pipeline;
use millrace_detection::pipelines::trial::dry_run;
use millrace_shared::Signal;
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// All pipelines of the organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineList {
    /// One for each signal that has one.
    pipelines: Vec<PipelineRow>,
}

/// List the pipelines.
#[utoipa::path(get, path = "/api/v1/pipelines", tag = "pipelines",
    responses((status = 200, body = PipelineList)))]
pub(crate) async fn list(api: Data<Api>, caller: Caller) -> Result<Json<PipelineList>, Problem> {
    let pipelines = api.pg.rows(&caller.bind(Pipelines(None))?).await?;
    Ok(Json(PipelineList { pipelines }))
}

/// The pipeline of one signal.
#[utoipa::path(get, path = "/api/v1/pipelines/{signal}",
    params(("signal" = String, Path, description = "`logs`, `metrics`, `traces`, `rum` or `audit`")),
    tag = "pipelines", responses((status = 200, body = PipelineRow), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    signal: Path<String>,
) -> Result<Json<PipelineRow>, Problem> {
    present(&api, &caller, named(&signal)?).await.map(Json)
}

async fn present(api: &Api, caller: &Caller, signal: Signal) -> Result<PipelineRow, Problem> {
    let asked = caller.bind(Pipelines(Some(signal.as_str())))?;
    let mut rows = api.pg.rows(&asked).await?.into_iter();
    rows.next().ok_or_else(|| Problem::not_found("pipeline"))
}

fn named(signal: &str) -> Result<Signal, Problem> {
    Signal::from_name(signal).ok_or_else(|| Problem::not_found("signal"))
}

/// A pipeline as it is put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steps {
    /// The steps, in order.
    #[schema(value_type = Vec<Object>)]
    steps: Value,
}

/// Make the pipeline of a signal, or replace it. It holds for what is received a few seconds later.
#[utoipa::path(put, path = "/api/v1/pipelines/{signal}", request_body = Steps,
    params(("signal" = String, Path, description = "`logs`, `metrics`, `traces`, `rum` or `audit`")),
    tag = "pipelines",
    responses((status = 200, body = PipelineRow), (status = 201, body = PipelineRow), (status = 422)))]
pub(crate) async fn put(
    api: Data<Api>,
    caller: Caller,
    signal: Path<String>,
    body: Body<Steps>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::PipelinesManage)?;
    let signal = named(&signal)?;
    let Body(Steps { steps }) = body;
    let _usable = compiled(signal, &steps)?;
    let entry = Entry::of("SYSTEM_CONFIG", "pipeline.put");
    let replaced = change(&api, &caller, (signal, Some(steps)), entry).await?;
    let row = present(&api, &caller, signal).await?;
    Ok(match replaced {
        true => HttpResponse::Ok().json(row),
        false => HttpResponse::Created().json(row),
    })
}

/// Remove the pipeline of a signal.
#[utoipa::path(delete, path = "/api/v1/pipelines/{signal}",
    params(("signal" = String, Path, description = "`logs`, `metrics`, `traces`, `rum` or `audit`")),
    tag = "pipelines", responses((status = 204), (status = 404)))]
pub(crate) async fn remove(
    api: Data<Api>,
    caller: Caller,
    signal: Path<String>,
) -> Result<HttpResponse, Problem> {
    let entry = Entry::of("SYSTEM_CONFIG", "pipeline.delete");
    change(&api, &caller, (named(&signal)?, None), entry).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn change(
    api: &Api,
    caller: &Caller,
    (signal, steps): (Signal, Option<Value>),
    entry: Entry,
) -> Result<bool, Problem> {
    let change = Change {
        signal,
        steps,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(change)?;
    let entry = entry.target("pipeline", signal.as_str());
    pipelines::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await
}

fn compiled(signal: Signal, steps: &Value) -> Result<Pipeline, Problem> {
    Pipeline::from_json(signal, steps).map_err(unusable)
}

fn unusable(problem: millrace_detection::rules::Problem) -> Problem {
    Problem::new(Refusal::Unprocessable, problem.to_string())
}

/// A pipeline and events to try it on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineTrial {
    /// The signal of the events.
    signal: String,
    /// The steps; those of the present pipeline by default.
    #[schema(value_type = Option<Vec<Object>>)]
    steps: Option<Value>,
    /// Events as they are sent, 1 to 100.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
}

/// What an event becomes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tried {
    /// Its fields by path, attributes as `attributes.<key>`; null when it is dropped.
    #[schema(value_type = Option<Object>)]
    event: Option<Map<String, Value>>,
    /// The steps that changed it, from 0; the last one dropped it if it is dropped.
    changed_by: Vec<usize>,
}

/// What came of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineTrialAnswer {
    /// One for each event.
    events: Vec<Tried>,
}

/// Try a pipeline on sample events, with the steps that change live ones. Stores nothing.
#[utoipa::path(post, path = "/api/v1/pipelines/test", request_body = PipelineTrial, tag = "pipelines",
    responses((status = 200, body = PipelineTrialAnswer), (status = 404), (status = 422)))]
pub(crate) async fn test(
    api: Data<Api>,
    caller: Caller,
    body: Body<PipelineTrial>,
) -> Result<Json<PipelineTrialAnswer>, Problem> {
    let Body(trial) = body;
    let signal = ask::signal(&trial.signal)?;
    ask::within_trial(&trial.events)?;
    let steps = match trial.steps {
        Some(steps) => steps,
        None => present(&api, &caller, signal).await?.steps,
    };
    let events = trial.events;
    let tried = tokio::task::spawn_blocking(move || {
        let pipeline = compiled(signal, &steps)?;
        dry_run(&pipeline, &events).map_err(unusable)
    });
    let tried = tried
        .await
        .map_err(|error| Problem::internal("the trial broke off", &error))??;
    let events = tried.into_iter().map(|one| Tried {
        event: one.event,
        changed_by: one.changed_by,
    });
    Ok(Json(PipelineTrialAnswer {
        events: events.collect(),
    }))
}
