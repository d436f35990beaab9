//! Rules: list, show, create, update, switch, remove, try.

use super::page::Answer;
use crate::Api;
use crate::ask::{Asked, Body, Loose, limit};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::history::Surroundings;
use crate::store::rules::{self, Change, Deed, Listing, RuleRow, Versions};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use millrace_detection::rules::trial::{dry_run, run_tests};
use millrace_detection::rules::{BusinessHours, check_new_id};
use millrace_detection::{OrgSettings, RuleDef};
use millrace_shared::Signal;
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Rules of a page unless said otherwise, and at most.
const RULES: (u32, u32) = (100, 1000);
/// Sample events of a trial.
const EVENTS_MAX: usize = 100;

/// What rules are listed by.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RuleSearch {
    /// Only those that run (`true`) or do not (`false`).
    enabled: Option<Loose>,
    /// Text in id or name.
    text: Option<String>,
    /// Rules, 1 to 1000.
    limit: Option<Loose>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the present rules, by id.
#[utoipa::path(get, path = "/api/v1/rules", params(RuleSearch), tag = "rules",
    responses((status = 200, body = Answer<RuleRow>)))]
pub(crate) async fn list(
    api: Data<Api>,
    caller: Caller,
    asked: Asked<RuleSearch>,
) -> Result<Json<Answer<RuleRow>>, Problem> {
    let Asked(search) = asked;
    let limit = limit(search.limit.as_ref(), RULES.0, RULES.1)?;
    let listing = Listing {
        enabled: match &search.enabled {
            Some(enabled) => Some(Loose::flag(Some(enabled), "enabled")?),
            None => None,
        },
        text: search.text,
        after: search.cursor,
        limit: i64::from(limit) + 1,
    };
    let mut rows = api.pg.rows(&caller.bind(listing)?).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    Ok(Json(Answer {
        next_cursor: rows.last().filter(|_| more).map(|rule| rule.id.clone()),
        rows,
        start: String::new(),
        end: String::new(),
    }))
}

/// A rule with its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleAnswer {
    /// The present version.
    #[serde(flatten)]
    pub(super) rule: RuleRow,
    /// All versions, newest first.
    versions: Vec<RuleRow>,
}

/// One rule with its versions.
#[utoipa::path(get, path = "/api/v1/rules/{id}",
    params(("id" = String, Path, description = "The rule")), tag = "rules",
    responses((status = 200, body = RuleAnswer), (status = 404)))]
pub(crate) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<RuleAnswer>, Problem> {
    answer(&api, &caller, &id).await.map(Json)
}

pub(super) async fn answer(api: &Api, caller: &Caller, id: &str) -> Result<RuleAnswer, Problem> {
    let versions = api.pg.rows(&caller.bind(Versions(id.to_owned()))?).await?;
    let current = versions.iter().find(|version| version.current).cloned();
    let rule = current.ok_or_else(|| Problem::not_found("rule"))?;
    Ok(RuleAnswer { rule, versions })
}

/// Make a rule.
#[utoipa::path(post, path = "/api/v1/rules", request_body = Object, tag = "rules",
    responses((status = 201, body = RuleAnswer), (status = 409), (status = 422)))]
pub(crate) async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body<Value>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::RulesManage)?;
    let rule = checked(&body.0)?;
    check_new_id(&rule.id)
        .map_err(|problem| Problem::new(Refusal::Unprocessable, problem.to_string()))?;
    let (id, document) = (rule.id.clone(), rule.to_json());
    let entry = Entry::of("SYSTEM_CONFIG", "rule.create");
    let answer = change(&api, &caller, (&id, Deed::Create(document)), entry).await?;
    Ok(HttpResponse::Created().json(answer))
}

/// Replace a rule. A `version` in the body must be that of the present one.
#[utoipa::path(put, path = "/api/v1/rules/{id}", request_body = Object,
    params(("id" = String, Path, description = "The rule")), tag = "rules",
    responses((status = 200, body = RuleAnswer), (status = 404), (status = 409), (status = 422)))]
pub(crate) async fn update(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body<Value>,
) -> Result<Json<RuleAnswer>, Problem> {
    caller.require(Permission::RulesManage)?;
    let Body(mut document) = body;
    let expected = document.get("version").and_then(Value::as_i64);
    let expected = expected.and_then(|version| i32::try_from(version).ok());
    if let Some(members) = document.as_object_mut() {
        members.entry("id").or_insert_with(|| id.as_str().into());
    }
    let rule = checked(&document)?;
    if rule.id != *id {
        return Err(Problem::parameter(
            "id",
            "in the body is not that of the path",
        ));
    }
    let deed = Deed::Update(rule.to_json(), expected);
    let entry = Entry::of("SYSTEM_CONFIG", "rule.update");
    change(&api, &caller, (&id, deed), entry).await.map(Json)
}

/// Whether a rule runs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enabled {
    /// It runs.
    enabled: bool,
}

/// Switch a rule on or off.
#[utoipa::path(put, path = "/api/v1/rules/{id}/enabled", request_body = Enabled,
    params(("id" = String, Path, description = "The rule")), tag = "rules",
    responses((status = 200, body = RuleAnswer), (status = 404)))]
pub(crate) async fn enable(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
    body: Body<Enabled>,
) -> Result<Json<RuleAnswer>, Problem> {
    let Body(Enabled { enabled }) = body;
    let entry = Entry::of("SYSTEM_CONFIG", "rule.enable").with("enabled", enabled);
    change(&api, &caller, (&id, Deed::Enable(enabled)), entry)
        .await
        .map(Json)
}

/// Remove a rule; its versions stay in the record.
#[utoipa::path(delete, path = "/api/v1/rules/{id}",
    params(("id" = String, Path, description = "The rule")), tag = "rules",
    responses((status = 204), (status = 404)))]
pub(crate) async fn remove(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let entry = Entry::of("SYSTEM_CONFIG", "rule.delete");
    carry_out(&api, &caller, (&id, Deed::Delete), entry).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn change(
    api: &Api,
    caller: &Caller,
    deed: (&str, Deed),
    entry: Entry,
) -> Result<RuleAnswer, Problem> {
    let id = deed.0;
    carry_out(api, caller, deed, entry).await?;
    answer(api, caller, id).await
}

async fn carry_out(
    api: &Api,
    caller: &Caller,
    (id, deed): (&str, Deed),
    entry: Entry,
) -> Result<(), Problem> {
    let change = Change {
        id: id.to_owned(),
        deed,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(change)?;
    let entry = entry.target("rule", id);
    rules::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await
}

/// A rule that can be used: it compiles, and its own test cases pass.
fn checked(document: &Value) -> Result<RuleDef, Problem> {
    let refused = |detail: String| Problem::new(Refusal::Unprocessable, detail);
    let rule = RuleDef::from_json(document).map_err(|problem| refused(problem.to_string()))?;
    let outcomes = run_tests(&rule, settings()).map_err(|error| refused(error.to_string()))?;
    // A rule without test cases is compiled all the same.
    let (_, errors) = millrace_detection::RuleSet::compile(
        [std::sync::Arc::new(RuleDef {
            enabled: true,
            ..rule.clone()
        })],
        settings(),
    );
    if let Some(error) = errors.first() {
        return Err(refused(error.to_string()));
    }
    match outcomes.iter().find(|outcome| !outcome.passed) {
        Some(failed) => Err(refused(format!("its test case `{}` fails", failed.name))),
        None => Ok(rule),
    }
}

/// A rule's own test cases depend on no organisation: any key does, and the usual hours.
pub(super) fn settings() -> OrgSettings {
    OrgSettings {
        hash_key: [0; 32],
        hours: BusinessHours::default(),
    }
}

/// A rule and events to try it on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    /// The rule; or else `rule_id`.
    #[schema(value_type = Option<Object>)]
    rule: Option<Value>,
    /// The id of a present rule.
    rule_id: Option<String>,
    /// Events as they are sent, up to 100; without any, only its own test cases run.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
    /// The signal of the events; that of the rule by default.
    signal: Option<String>,
    /// The indicator score that the events have.
    #[serde(default)]
    ioc_score: u8,
}

/// A test case of the rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestOutcome {
    /// Its name.
    name: String,
    /// Whether the rule did as expected.
    passed: bool,
    /// Events it selected.
    matches: usize,
    /// Times it fired.
    firings: usize,
}

/// What came of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialAnswer {
    /// The rule's own test cases.
    tests: Vec<TestOutcome>,
    /// Indexes of the given events that it selects.
    matched: Vec<usize>,
    /// Indexes of the given events at which it fires.
    fired: Vec<usize>,
}

/// Try a rule on sample events, with the engine that judges live ones and the organisation's working
/// hours; its own test cases have the usual hours. Stores nothing.
#[utoipa::path(post, path = "/api/v1/rules/test", request_body = Trial, tag = "rules",
    responses((status = 200, body = TrialAnswer), (status = 422)))]
pub(crate) async fn test(
    api: Data<Api>,
    caller: Caller,
    body: Body<Trial>,
) -> Result<Json<TrialAnswer>, Problem> {
    caller.require(Permission::RulesTest)?;
    let Body(trial) = body;
    if trial.events.len() > EVENTS_MAX {
        let detail = format!("more than {EVENTS_MAX} events");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    let document = match (&trial.rule, &trial.rule_id) {
        (Some(document), None) => document.clone(),
        (None, Some(id)) => answer(&api, &caller, id).await?.rule.rule,
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::parameter(
                "rule",
                "or rule_id is needed, and only one of them",
            ));
        }
    };
    let org = api.pg.first(&caller.bind(Surroundings)?).await?;
    let org = org.ok_or_else(|| Problem::not_found("organisation"))?;
    let work = move || try_rule(&document, &trial, org.for_trials());
    let tried = tokio::task::spawn_blocking(work).await;
    tried
        .map_err(|error| Problem::internal("the trial broke off", &error))?
        .map(Json)
}

/// The rule's own test cases, and the given events under the organisation's own hours.
fn try_rule(document: &Value, trial: &Trial, hours: OrgSettings) -> Result<TrialAnswer, Problem> {
    let refused = |detail: String| Problem::new(Refusal::Unprocessable, detail);
    let rule = RuleDef::from_json(document).map_err(|problem| refused(problem.to_string()))?;
    let signal = match &trial.signal {
        Some(name) => Signal::from_name(name)
            .ok_or_else(|| Problem::parameter("signal", "is none of the five"))?,
        None => rule.scope.first().copied().unwrap_or(Signal::Logs),
    };
    let outcomes = run_tests(&rule, settings()).map_err(|error| refused(error.to_string()))?;
    let run = if trial.events.is_empty() {
        millrace_detection::rules::trial::DryRun::default()
    } else {
        dry_run(&rule, hours, signal, &trial.events, trial.ioc_score)
            .map_err(|error| refused(error.to_string()))?
    };
    let tests = outcomes.into_iter().map(|outcome| TestOutcome {
        name: outcome.name,
        passed: outcome.passed,
        matches: outcome.matches,
        firings: outcome.firings,
    });
    Ok(TrialAnswer {
        tests: tests.collect(),
        matched: run.matched,
        fired: run.fired,
    })
}
