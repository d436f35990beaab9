//! Sigma: published rules taken in, and what the organisation's rules cover of ATT&CK.

use super::rules::settings;
use crate::Api;
use crate::ask::{InQuery, Loose, OneOrMany};
use crate::error::Problem;
use crate::principal::{Caller, Permission};
use crate::store::rule_import::{self, Bulk, Done, MappedRule, Mapping};
use crate::trail::Entry;
use actix_web::web::{Data, Json, Payload};
use millrace_detection::RuleDef;
use millrace_detection::sigma::{
    ARCHIVE_BYTES_MAX, Coverage, FILE_BYTES_MAX, Import, Imported, Mapped, Options, Refused,
    Renewal, Technique, coverage, navigator_layer, unpack,
};
use millrace_shared::outcome::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Documents that an answer names; their number is always given.
const RESULTS_MAX: usize = 20_000;
/// Values of placeholders that one request may give.
const BINDINGS_MAX: usize = 1_000;
/// Rules that the audit event names; more are found by their revision.
const TARGETS_NAMED: usize = 20;
/// What a body that is one file is called.
const BODY: &str = "body";

/// How rules are taken in.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SigmaSearch {
    /// `true`: says what would come of it, and stores nothing.
    dry_run: Option<Loose>,
    /// `true`: takes new rules in without switching them on. Rules that were there stay as they are.
    disabled: Option<Loose>,
    /// `true`: leaves the built-in mapping of fields and log sources out.
    plain: Option<Loose>,
    /// What a placeholder stands for, as `NAME=VALUE`; repeated for several values.
    bind: Option<OneOrMany>,
}

/// What became of a document.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SigmaResult {
    /// The file it stands in; `body` where the body is one file.
    file: String,
    /// Its title, as far as it has one.
    title: Option<String>,
    /// The id of the rule; of a refused one that of the document, as far as it has one.
    id: Option<String>,
    /// `created`, `updated`, `unchanged` or `refused`.
    outcome: &'static str,
    /// The version that runs now, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    /// Where in a refused document.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What is odd about it and does no harm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What came of an import.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SigmaAnswer {
    /// Whether nothing was stored because it was asked for so.
    dry_run: bool,
    /// Rules made.
    created: usize,
    /// Rules that have a new version.
    updated: usize,
    /// Rules that were there and say the same.
    unchanged: usize,
    /// Documents refused.
    refused: usize,
    /// Filters that were applied to rules of the import.
    filters: usize,
    /// Each document: the refused ones first, then the rules in the order of the files.
    results: Vec<SigmaResult>,
    /// Documents for which there was no room in `results`.
    omitted: usize,
}

/// Take Sigma rules in: one YAML file of one or many documents, or a zip, tar or tar.gz of them, as
/// the body. Correlations and filters count for the rules they come with; files with
/// `transformations` are processing pipelines. Rules that are known by their id get a new version if
/// they say something new, and keep what the organisation made of them: whether they run, exceptions,
/// mute windows, dedupe and test cases. Where nothing can be taken in, the answer is a 422 with the
/// reasons; a dry run names them all.
#[utoipa::path(post, path = "/api/v1/rules/import/sigma", params(SigmaSearch), tag = "rules",
    request_body(content = String, content_type = "application/yaml",
        description = "YAML, zip, tar or tar.gz, up to 16 MiB, holding up to 16 MiB of YAML"),
    responses((status = 200, body = SigmaAnswer), (status = 413), (status = 422), (status = 429)))]
pub(crate) async fn import(
    api: Data<Api>,
    caller: Caller,
    asked: InQuery<SigmaSearch>,
    payload: Payload,
) -> Result<Json<SigmaAnswer>, Problem> {
    caller.require(Permission::RulesManage)?;
    let InQuery(search) = asked;
    let dry_run = Loose::flag(search.dry_run.as_ref(), "dry_run")?;
    let options = options(&search)?;
    let place = api.imports.take(caller.org()).await?;
    let body = place.body(payload, ARCHIVE_BYTES_MAX).await?;
    let (_place, import) = place
        .work(move || take_in(&body, &options, dry_run))
        .await?;
    let rules: Vec<RuleDef> = import.rules.iter().map(|one| one.rule.clone()).collect();
    let bulk = Bulk {
        rules: Arc::new(rules),
        settings: settings(),
        dry_run,
        who: caller.name().to_owned(),
    };
    let bound = caller.bind(bulk)?;
    let done = rule_import::import(&api.pg, &bound, async |done: &[Done], revision: i64| {
        let entry = entry(&import, done).with("revision", revision);
        api.trail.record(&caller, entry).await
    })
    .await?;
    let answer = answer(&import, &done);
    Ok(Json(SigmaAnswer { dry_run, ..answer }))
}

fn options(search: &SigmaSearch) -> Result<Options, Problem> {
    let mut placeholders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let given = search.bind.as_ref().map_or(&[][..], |bind| &bind.0);
    if given.len() > BINDINGS_MAX {
        let why = format!("is given more than {BINDINGS_MAX} times");
        return Err(Problem::parameter("bind", why));
    }
    for binding in given {
        let (name, value) = binding
            .split_once('=')
            .ok_or_else(|| Problem::parameter("bind", "must be NAME=VALUE"))?;
        let values = placeholders.entry(name.trim_matches('%').to_owned());
        values.or_default().push(value.to_owned());
    }
    Ok(Options {
        plain: Loose::flag(search.plain.as_ref(), "plain")?,
        disabled: Loose::flag(search.disabled.as_ref(), "disabled")?,
        placeholders,
        ..Options::default()
    })
}

/// The rules of a body. Where there is none, and nobody asked what would come of it, the reasons
/// are the answer.
fn take_in(body: &[u8], options: &Options, dry_run: bool) -> Result<Import, Problem> {
    let refused = |detail: String| Problem::new(Refusal::Unprocessable, detail);
    let sources = unpack(BODY, body).map_err(|problem| refused(problem.to_string()))?;
    if let [one] = sources.as_slice()
        && one.name == BODY
        && one.text.len() > FILE_BYTES_MAX
    {
        let detail = format!("a YAML file is larger than {FILE_BYTES_MAX} bytes");
        return Err(Problem::new(Refusal::TooLarge, detail));
    }
    if sources.is_empty() {
        let detail = "the archive holds no file that ends in .yml or .yaml";
        return Err(refused(detail.to_owned()));
    }
    let import = Import::new(&sources, options);
    if import.rules.is_empty() && import.refused.is_empty() {
        let detail = "the body holds no rule and no correlation of Sigma";
        return Err(refused(detail.to_owned()));
    }
    if import.rules.is_empty() && !dry_run {
        let detail = format!("nothing was taken in: {}", import.reasons());
        return Err(refused(detail));
    }
    Ok(import)
}

fn answer(import: &Import, done: &[Done]) -> SigmaAnswer {
    let mut answer = SigmaAnswer {
        filters: import.filters,
        ..SigmaAnswer::default()
    };
    let refused = import.refused.iter().map(refused);
    let (mut taken, mut results) = (Vec::new(), refused.collect::<Vec<_>>());
    for (one, done) in import.rules.iter().zip(done) {
        let result = result(one, done);
        match &done.renewal {
            Renewal::New => answer.created += 1,
            Renewal::Changed(_) => answer.updated += 1,
            Renewal::Same => answer.unchanged += 1,
            Renewal::Refused(_) => {
                results.push(result);
                continue;
            }
        }
        taken.push(result);
    }
    answer.refused = results.len();
    results.append(&mut taken);
    answer.omitted = results.len().saturating_sub(RESULTS_MAX);
    results.truncate(RESULTS_MAX);
    answer.results = results;
    answer
}

fn result(one: &Imported, done: &Done) -> SigmaResult {
    let (outcome, problem) = match &done.renewal {
        Renewal::New => ("created", None),
        Renewal::Changed(_) => ("updated", None),
        Renewal::Same => ("unchanged", None),
        Renewal::Refused(problem) => ("refused", Some(problem)),
    };
    SigmaResult {
        file: one.file.clone(),
        title: Some(one.rule.name.clone()),
        id: Some(one.rule.id.clone()),
        outcome,
        version: problem.is_none().then_some(done.version),
        path: problem.map(|problem| problem.path.clone()),
        reason: problem.map(|problem| problem.what.clone()),
        warnings: one.warnings.clone(),
    }
}

fn refused(refused: &Refused) -> SigmaResult {
    SigmaResult {
        file: refused.file.clone(),
        title: refused.title.clone(),
        id: refused.id.clone(),
        outcome: "refused",
        path: Some(refused.problem.path.clone()),
        reason: Some(refused.problem.what.clone()),
        ..SigmaResult::default()
    }
}

/// The audit event of an import.
fn entry(import: &Import, done: &[Done]) -> Entry {
    let counts = answer(import, done);
    let entry = Entry::of("SYSTEM_CONFIG", "rule.import")
        .with("format", "sigma")
        .with("created", counts.created)
        .with("updated", counts.updated)
        .with("refused", counts.refused);
    let rules = import.rules.iter().zip(done);
    let changed = rules.filter(|(_, done)| match done.renewal {
        Renewal::New | Renewal::Changed(_) => true,
        Renewal::Same | Renewal::Refused(_) => false,
    });
    changed
        .take(TARGETS_NAMED)
        .fold(entry, |entry, (one, _)| entry.target("rule", &one.rule.id))
}

/// How well a technique or tactic is covered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Covered {
    /// Its ATT&CK id.
    id: String,
    /// Rules that run.
    enabled: usize,
    /// Rules that are switched off.
    disabled: usize,
    /// The highest severity of those that run.
    severity: Option<&'static str>,
}

/// What the organisation's rules cover.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CoverageAnswer {
    /// All present rules.
    rules: usize,
    /// Those without any ATT&CK id.
    unmapped: usize,
    /// By technique and sub-technique.
    techniques: Vec<Covered>,
    /// By tactic.
    tactics: Vec<Covered>,
}

/// What the organisation's rules cover of ATT&CK.
#[utoipa::path(get, path = "/api/v1/rules/coverage", tag = "rules",
    responses((status = 200, body = CoverageAnswer)))]
pub(crate) async fn covered(
    api: Data<Api>,
    caller: Caller,
) -> Result<Json<CoverageAnswer>, Problem> {
    let Coverage {
        techniques,
        tactics,
        unmapped,
        rules,
    } = of_all(&api, &caller).await?;
    let list = |known: BTreeMap<String, Technique>| {
        let each = known.into_iter().map(|(id, technique)| Covered {
            id,
            enabled: technique.enabled,
            disabled: technique.disabled,
            severity: technique.severity.map(|severity| severity.as_str()),
        });
        each.collect()
    };
    Ok(Json(CoverageAnswer {
        rules,
        unmapped,
        techniques: list(techniques),
        tactics: list(tactics),
    }))
}

/// The same as a layer for the ATT&CK Navigator (format 4.5): the score of a technique is the number
/// of rules that run.
#[utoipa::path(get, path = "/api/v1/rules/coverage/navigator", tag = "rules",
    responses((status = 200, body = Object)))]
pub(crate) async fn layer(api: Data<Api>, caller: Caller) -> Result<Json<Value>, Problem> {
    let coverage = of_all(&api, &caller).await?;
    Ok(Json(navigator_layer(&coverage, caller.organisation())))
}

async fn of_all(api: &Api, caller: &Caller) -> Result<Coverage, Problem> {
    let rules = api.pg.rows(&caller.bind(Mapping)?).await?;
    Ok(coverage(rules.iter().map(mapped)))
}

fn mapped(rule: &MappedRule) -> Mapped<'_> {
    Mapped {
        attack: &rule.attack,
        enabled: rule.enabled,
        severity: rule.severity,
    }
}
