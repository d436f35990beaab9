//! Back-tests: what a rule would have done over stored history.

use super::rules;
use crate::Api;
use crate::ask::Body;
use crate::backtest::{Asks, BacktestAnswer, Place, Question, Run, Step, TIME_MAX};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::history::Surroundings;
use crate::trail::Entry;
use actix_web::http::header::ACCEPT;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use millrace_detection::RuleDef;
use millrace_shared::outcome::Refusal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// What is accepted to have progress streamed.
const NDJSON: &str = "application/x-ndjson";
/// From one line of progress to the next.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// A rule that is not saved, and over what it is tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unsaved {
    /// The rule.
    #[schema(value_type = Object)]
    rule: Value,
    /// Over what it is tried.
    #[serde(default)]
    over: Asks,
}

/// Put a present rule to stored history: what it would have selected, and the alerts it would have
/// raised, with the engine that judges live events. Raises and stores nothing. With `Accept:
/// application/x-ndjson` lines of `progress` come every second, and the last one is the `result` or
/// a `problem`. A rule that stored events cannot answer for is a 400 that says why.
#[utoipa::path(post, path = "/api/v1/rules/{id}/backtest", request_body = Asks,
    params(("id" = String, Path, description = "The rule")), tag = "rules",
    responses((status = 200, body = BacktestAnswer), (status = 400), (status = 404), (status = 422),
        (status = 429)))]
pub(crate) async fn present(
    api: Data<Api>,
    caller: Caller,
    (id, request): (Path<String>, HttpRequest),
    body: Body<Asks>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::RulesTest)?;
    let Body(asks) = body;
    let document = rules::answer(&api, &caller, &id).await?.rule.rule;
    let wanted = Wanted { document, asks };
    wanted.answer(api, caller, &request).await
}

/// The same for a rule that is not saved.
#[utoipa::path(post, path = "/api/v1/rules/backtest", request_body = Unsaved, tag = "rules",
    responses((status = 200, body = BacktestAnswer), (status = 400), (status = 422), (status = 429)))]
pub(crate) async fn unsaved(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
    body: Body<Unsaved>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::RulesTest)?;
    let Body(Unsaved { rule, over }) = body;
    let wanted = Wanted {
        document: rule,
        asks: over,
    };
    wanted.answer(api, caller, &request).await
}

/// A rule and over what it is tried.
struct Wanted {
    document: Value,
    asks: Asks,
}

impl Wanted {
    async fn answer(
        self,
        api: Data<Api>,
        caller: Caller,
        request: &HttpRequest,
    ) -> Result<HttpResponse, Problem> {
        let place = api.backtests.take(caller.org())?;
        let streamed = wants_lines(request);
        let question = self.question(&api, &caller).await?;
        let entry = Entry::of("DATA_ACCESS", "rule.backtest").target("rule", question.rule_id());
        api.trail.record(&caller, entry).await?;
        let time = if streamed {
            TIME_MAX
        } else {
            api.clickhouse.limits().timeout
        };
        let deadline = Instant::now() + time;
        let run = Run::begin(&api, &caller, question, deadline).await?;
        let under_way = UnderWay {
            api,
            caller,
            run,
            _place: place,
        };
        if streamed {
            return Ok(under_way.lines());
        }
        under_way
            .whole()
            .await
            .map(|answer| HttpResponse::Ok().json(answer))
    }

    async fn question(self, api: &Api, caller: &Caller) -> Result<Question, Problem> {
        let org = api.pg.first(&caller.bind(Surroundings)?).await?;
        let org = org.ok_or_else(|| Problem::not_found("organisation"))?;
        let now_ns = caller.now_ns;
        let checked = tokio::task::spawn_blocking(move || {
            let rule = RuleDef::from_json(&self.document)
                .map_err(|problem| Problem::new(Refusal::Unprocessable, problem.to_string()))?;
            Question::new(rule, &self.asks, &org, now_ns)
        });
        checked
            .await
            .map_err(|error| Problem::internal("the rule could not be checked", &error))?
    }
}

fn wants_lines(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(ACCEPT);
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains(NDJSON))
}

/// A back-test with what it needs to go on.
struct UnderWay {
    api: Data<Api>,
    caller: Caller,
    run: Run,
    _place: Place,
}

impl UnderWay {
    /// Goes on to the end.
    async fn whole(mut self) -> Result<BacktestAnswer, Problem> {
        while self.run.step(&self.api, &self.caller).await? == Step::More {}
        self.run.finish()
    }

    /// Lines of progress, and the result. Whoever stops reading has ended it.
    fn lines(self) -> HttpResponse {
        let first = line(&json!({ "progress": self.run.progress() }));
        let begun = stream::once(async move { Ok::<Bytes, Infallible>(first) });
        let rest = stream::unfold(Some(self), |under_way: Option<UnderWay>| async move {
            let (line, under_way) = under_way?.next().await;
            Some((Ok::<Bytes, Infallible>(line), under_way))
        });
        HttpResponse::Ok()
            .content_type(NDJSON)
            .streaming(stream::StreamExt::chain(begun, rest))
    }

    /// Goes on for a while; the next line, and what goes on after it.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        let until = Instant::now() + PROGRESS_EVERY;
        loop {
            match self.run.step(&self.api, &self.caller).await {
                Ok(Step::More) if Instant::now() < until => {}
                Ok(Step::More) => {
                    let progress = line(&json!({ "progress": self.run.progress() }));
                    return (progress, Some(self));
                }
                Ok(Step::Done) => break,
                Err(problem) => return (told(&problem, &self.caller), None),
            }
        }
        let UnderWay { run, caller, .. } = self;
        match run.finish() {
            Ok(answer) => (line(&json!({ "result": answer })), None),
            Err(problem) => (told(&problem, &caller), None),
        }
    }
}

fn told(problem: &Problem, caller: &Caller) -> Bytes {
    line(&json!({ "problem": problem.body(&caller.request_id) }))
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
