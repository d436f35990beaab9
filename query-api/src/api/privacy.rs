//! Personal data: the organisation's policy, its trial, its peppers, and searches for values that
//! are stored as hashes. A value that is searched for is hashed here and stands nowhere after that:
//! not in the audit event, not in a log.

use crate::Api;
use crate::ask::{self, Body, Condition, Scan};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::List;
use crate::store::privacy::{
    self, Change, Deed, PepperRow, PepperVersions, Peppers, PolicyRow, PolicyVersions,
};
use crate::trail::Entry;
use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use bumpalo::Bump;
use millrace_detection::pipelines::trial::shown;
use millrace_detection::rules::trial::read;
use millrace_scrubber::{Class, ClassSet, Pepper, Policy, PolicyError, Scrubber, Strategy};
use millrace_shared::Signal;
use millrace_shared::limits::REASON_CHARS_MAX;
use millrace_shared::outcome::Refusal;
use millrace_shared::secret::random;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Versions listed.
const VERSIONS_MAX: i64 = 100;
/// Bytes of a value that is searched for: no personal value is longer.
const VALUE_BYTES_MAX: usize = 4096;
/// What is recorded when a value is hashed for somebody.
const HASHED: &str = "pii.search";

/// The policy with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyAnswer {
    /// The present one.
    #[serde(flatten)]
    present: PolicyRow,
    /// What happens to each class where no path says otherwise, defaults included.
    #[schema(value_type = Object)]
    effective: BTreeMap<Class, Strategy>,
    /// All versions, the present one first, at most 100.
    versions: Vec<PolicyRow>,
}

/// The organisation's policy for personal data, and its versions.
#[utoipa::path(get, path = "/api/v1/privacy/policy", tag = "privacy",
    responses((status = 200, body = PolicyAnswer)))]
pub(crate) async fn policy(api: Data<Api>, caller: Caller) -> Result<Json<PolicyAnswer>, Problem> {
    answer(&api, &caller).await.map(Json)
}

async fn answer(api: &Api, caller: &Caller) -> Result<PolicyAnswer, Problem> {
    let versions = present(api, caller).await?;
    let present = versions
        .first()
        .cloned()
        .ok_or_else(|| Problem::not_found("policy"))?;
    // One that cannot be read is not in force either: the default is.
    let policy = usable(&present.policy).unwrap_or_default();
    Ok(PolicyAnswer {
        effective: policy.effective().collect(),
        present,
        versions,
    })
}

async fn present(api: &Api, caller: &Caller) -> Result<Vec<PolicyRow>, Problem> {
    let limit = VERSIONS_MAX;
    api.pg.rows(&caller.bind(PolicyVersions { limit })?).await
}

/// A policy as it is put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyPut {
    /// The policy: `classes`, `paths`, `sensitive_keys`, `plain_keys`, all of them optional.
    #[schema(value_type = Object)]
    policy: Value,
    /// The revision that it replaces; a conflict when another came between.
    revision: Option<i64>,
}

/// Replace the policy. It holds for what is received a few seconds later; what is stored stays.
#[utoipa::path(put, path = "/api/v1/privacy/policy", request_body = PolicyPut, tag = "privacy",
    responses((status = 200, body = PolicyAnswer), (status = 409), (status = 422)))]
pub(crate) async fn put_policy(
    api: Data<Api>,
    caller: Caller,
    body: Body<PolicyPut>,
) -> Result<Json<PolicyAnswer>, Problem> {
    caller.require(Permission::PrivacyManage)?;
    let Body(PolicyPut { policy, revision }) = body;
    let usable = usable(&policy)?;
    let stored = serde_json::to_value(&usable)
        .map_err(|error| Problem::internal("a policy cannot be written", &error))?;
    let entry = Entry::of("DATA_PRIVACY", "privacy.policy.put");
    change(&api, &caller, (Deed::Policy(stored), revision), entry).await?;
    answer(&api, &caller).await.map(Json)
}

async fn change(
    api: &Api,
    caller: &Caller,
    (deed, expected): (Deed, Option<i64>),
    entry: Entry,
) -> Result<(), Problem> {
    let change = Change {
        deed,
        expected,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(change)?;
    let entry = entry.target("organisation", &caller.org().to_string());
    privacy::change(&api.pg, &bound, async || {
        api.trail.record(caller, entry).await
    })
    .await
}

fn usable(policy: &Value) -> Result<Policy, Problem> {
    let refused = |why: &dyn std::fmt::Display| {
        Problem::new(Refusal::Unprocessable, format!("policy: {why}"))
    };
    if !policy.is_object() {
        return Err(refused(&"must be an object"));
    }
    let policy: Policy = Policy::deserialize(policy).map_err(|error| refused(&error))?;
    policy.validate().map_err(|error| refused(&error))?;
    Ok(policy)
}

/// A policy and events to try it on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyTrial {
    /// The signal of the events.
    signal: String,
    /// The policy; the present one by default.
    #[schema(value_type = Option<Object>)]
    policy: Option<Value>,
    /// Events as they are sent, 1 to 100.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
}

/// What an event becomes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scrubbed {
    /// Its fields by path, attributes as `attributes.<key>`.
    #[schema(value_type = Object)]
    event: Map<String, Value>,
    /// The classes that were found, as the stored event would name them.
    classes: Vec<&'static str>,
    /// The fields that were changed, under the names they were sent with, with the classes found in
    /// each.
    changed: BTreeMap<String, Vec<&'static str>>,
}

/// What came of a trial.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyTrialAnswer {
    /// One for each event.
    events: Vec<Scrubbed>,
}

/// Try a policy on sample events, with what scrubs live ones. Stores nothing. Hashes and pseudonyms
/// are made with a pepper of the trial's own, so that nobody learns here what they are in store.
#[utoipa::path(post, path = "/api/v1/privacy/policy/test", request_body = PolicyTrial, tag = "privacy",
    responses((status = 200, body = PolicyTrialAnswer), (status = 422)))]
pub(crate) async fn test(
    api: Data<Api>,
    caller: Caller,
    body: Body<PolicyTrial>,
) -> Result<Json<PolicyTrialAnswer>, Problem> {
    let Body(trial) = body;
    let signal = ask::signal(&trial.signal)?;
    ask::within_trial(&trial.events)?;
    let versions = present(&api, &caller).await?;
    let present = versions.first();
    let policy = match (&trial.policy, present) {
        (Some(policy), _) => usable(policy)?,
        (None, Some(present)) => usable(&present.policy)?,
        (None, None) => Policy::default(),
    };
    let version = present.map_or(1, |present| present.pepper_version);
    let pepper = Pepper::new(version.unsigned_abs(), &fresh()?).map_err(internal)?;
    let scrubber = Scrubber::new(&policy.with_hashed_paths(), pepper).map_err(internal)?;
    let events = trial.events;
    let tried = tokio::task::spawn_blocking(move || dry_run(&scrubber, signal, &events));
    let events = tried
        .await
        .map_err(|error| Problem::internal("the trial broke off", &error))??;
    Ok(Json(PolicyTrialAnswer { events }))
}

fn internal(error: PolicyError) -> Problem {
    Problem::internal("a scrubber cannot be made", &error)
}

fn fresh() -> Result<[u8; 32], Problem> {
    random().map_err(|error| Problem::internal("no randomness", &error))
}

fn dry_run(
    scrubber: &Scrubber,
    signal: Signal,
    events: &[Value],
) -> Result<Vec<Scrubbed>, Problem> {
    let arena = Bump::new();
    let mut all = Vec::with_capacity(events.len());
    read(signal, events, &arena, |_, event| {
        let changed = scrubber.try_event(event, &arena);
        let classes = changed
            .values()
            .fold(ClassSet::EMPTY, |all, one| all.union(*one));
        let changed = changed.into_iter();
        all.push(Scrubbed {
            event: shown(event),
            classes: classes.names().collect(),
            changed: changed
                .map(|(name, found)| (name, found.names().collect()))
                .collect(),
        });
    })
    .map_err(|problem| Problem::new(Refusal::Unprocessable, problem.to_string()))?;
    Ok(all)
}

/// The peppers of the organisation, without the keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PepperList {
    /// The present one first.
    peppers: Vec<PepperRow>,
}

/// The versions of the pepper that hashes and pseudonyms are made with.
#[utoipa::path(get, path = "/api/v1/privacy/peppers", tag = "privacy",
    responses((status = 200, body = PepperList)))]
pub(crate) async fn peppers(api: Data<Api>, caller: Caller) -> Result<Json<PepperList>, Problem> {
    list(&api, &caller).await.map(Json)
}

async fn list(api: &Api, caller: &Caller) -> Result<PepperList, Problem> {
    let limit = VERSIONS_MAX;
    let peppers = api.pg.rows(&caller.bind(PepperVersions { limit })?).await?;
    Ok(PepperList { peppers })
}

/// Why a new pepper is made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// The reason, 1 to 200 characters, as it stands in the audit event.
    reason: String,
}

/// Make a new pepper. What is received a few seconds later is hashed with it; what was hashed with
/// an old one is found by searches as before.
#[utoipa::path(post, path = "/api/v1/privacy/peppers", request_body = Rotation, tag = "privacy",
    responses((status = 201, body = PepperList), (status = 422)))]
pub(crate) async fn rotate(
    api: Data<Api>,
    caller: Caller,
    body: Body<Rotation>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::PrivacyManage)?;
    let reason = body.0.reason.trim();
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        let detail = format!("reason must have 1 to {REASON_CHARS_MAX} characters");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    let entry = Entry::of("DATA_PRIVACY", "privacy.pepper.rotate").with("reason", reason);
    change(&api, &caller, (Deed::Rotate(fresh()?), None), entry).await?;
    Ok(HttpResponse::Created().json(list(&api, &caller).await?))
}

/// A value as a person knows it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainValue {
    /// Its class, such as `email`.
    class: String,
    /// The value, in any spelling.
    value: String,
}

/// How a value is stored under each pepper there was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HashedValue {
    /// Its class.
    class: &'static str,
    /// Its stored forms, that under the present pepper first: hashes, and for addresses pseudonyms.
    forms: Vec<String>,
}

/// How a value is stored where it was hashed. Asking is recorded, without the value.
#[utoipa::path(post, path = "/api/v1/privacy/hash", request_body = PlainValue, tag = "privacy",
    responses((status = 200, body = HashedValue), (status = 422)))]
pub(crate) async fn hash(
    api: Data<Api>,
    caller: Caller,
    body: Body<PlainValue>,
) -> Result<Json<HashedValue>, Problem> {
    let Body(PlainValue { class, value }) = body;
    let class = Class::from_name(&class)
        .ok_or_else(|| Problem::new(Refusal::Unprocessable, unknown_class()))?;
    let forms = forms(&api, &caller, (class, &value), "/api/v1/privacy/hash").await?;
    let class = class.as_str();
    Ok(Json(HashedValue { class, forms }))
}

fn unknown_class() -> String {
    let words: Vec<&str> = Class::ALL.into_iter().map(Class::as_str).collect();
    format!("class knows only {}", words.join(", "))
}

/// The stored forms of a value, for those who may know them; recorded before they are told.
async fn forms(
    api: &Api,
    caller: &Caller,
    (class, value): (Class, &str),
    route: &'static str,
) -> Result<Vec<String>, Problem> {
    if !(1..=VALUE_BYTES_MAX).contains(&value.len()) {
        let detail = format!("value must have 1 to {VALUE_BYTES_MAX} bytes");
        return Err(Problem::new(Refusal::Unprocessable, detail));
    }
    let limit = VERSIONS_MAX;
    let keys = api.pg.rows(&caller.bind(Peppers { limit })?).await?;
    let mut forms = Vec::with_capacity(2 * keys.len());
    for key in &keys {
        let pepper = Pepper::new(key.version.unsigned_abs(), &key.pepper).map_err(internal)?;
        forms.push(pepper.hashed(class, value));
        if matches!(class, Class::Ipv4 | Class::Ipv6) {
            forms.extend(pepper.pseudonym(value.trim()));
        }
    }
    let hash = forms.first().cloned().unwrap_or_default();
    let entry = Entry::of("DATA_PRIVACY", HASHED)
        .target("route", route)
        .with("class", class.as_str())
        .with("hash", hash);
    api.trail.record(caller, entry).await?;
    Ok(forms)
}

/// Adds to a search that the rows must hold a value somewhere, hashed or as a pseudonym. `given` is
/// `class:value`.
///
/// # Errors
/// 403 without the permission, 400 for what names no class.
pub(super) async fn hashed(
    api: &Api,
    caller: &Caller,
    (given, route): (Option<&str>, &'static str),
    scan: &mut Scan,
) -> Result<(), Problem> {
    let Some(given) = given else {
        return Ok(());
    };
    caller.require(Permission::PiiRevealHash)?;
    let named = given.split_once(':');
    let asked = named.and_then(|(class, value)| Some((Class::from_name(class)?, value)));
    let (class, value) = asked.ok_or_else(|| {
        Problem::parameter(
            "hashed",
            format!("must be `class:value`, and {}", unknown_class()),
        )
    })?;
    let mut forms = forms(api, caller, (class, value), route).await?;
    // Hashes from before peppers had versions are those of the first.
    let first = format!("{class}:v1:");
    let old = forms.iter().find_map(|form| form.strip_prefix(&first));
    if let Some(digits) = old.map(|digits| format!("{class}:{digits}")) {
        forms.push(digits);
    }
    scan.conditions.push(Condition::Holds(
        List::PiiClasses,
        class.as_str().to_owned(),
    ));
    scan.conditions.push(Condition::Anywhere(scan.table, forms));
    Ok(())
}
