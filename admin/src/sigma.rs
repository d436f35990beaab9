//! Sigma rules from files, directories and archives, and what an organisation's rules cover of
//! ATT&CK. What is imported once more keeps what the organisation made of it.

use crate::output::Page;
use crate::rule_import::Done;
use crate::stores::Stores;
use crate::{organisations, rule_import};
use anyhow::{Context as _, bail};
use clap::Args;
use deadpool_postgres::GenericClient;
use millrace_detection::RuleDef;
use millrace_detection::rules::Problem;
use millrace_detection::sigma::{
    Coverage, Import, Imported, Mapped, Options, Pipeline, Renewal, Source, TEXT_BYTES_MAX,
    coverage, navigator_layer, unpack,
};
use millrace_shared::ids::OrgId;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Files of a directory.
const FILES_MAX: usize = 50_000;
/// Directories inside of each other.
const DEPTH_MAX: usize = 16;

/// Columns of what came of an import.
const COLUMNS: &[&str] = &["outcome", "version", "id", "title", "file", "detail"];

/// Where rules come from, and how they are taken in.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file, directory or archive
    path: PathBuf,
    /// Organisation, by name or id; a dry run does without
    #[arg(long, required_unless_present = "dry_run")]
    org: Option<String>,
    /// A processing pipeline in pySigma's format; may be given several times
    #[arg(long)]
    pipeline: Vec<PathBuf>,
    /// What a placeholder stands for, `NAME=VALUE`; several values by giving it several times
    #[arg(long, value_parser = binding)]
    bind: Vec<(String, String)>,
    /// Leave the built-in mapping of fields and log sources out
    #[arg(long)]
    plain: bool,
    /// Take new rules in without switching them on; those that are there stay as they are
    #[arg(long)]
    disabled: bool,
    /// Say what would come of it, and store nothing
    #[arg(long)]
    dry_run: bool,
}

fn binding(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.trim_matches('%').to_owned(), value.to_owned()))
}

/// Takes rules in.
pub(crate) async fn import(stores: &Stores, arguments: &Arguments) -> anyhow::Result<Page> {
    let import = take_in(&arguments.path, &options(arguments)?)?;
    if import.rules.is_empty() && !arguments.dry_run {
        bail!("nothing was taken in: {}", import.reasons());
    }
    let mut report = Report::default();
    for refused in &import.refused {
        let what = (&refused.id, &refused.title, refused.file.as_str());
        report.refused(what, &refused.problem);
    }
    let Some(name) = &arguments.org else {
        let rules = import.rules.iter();
        rules.for_each(|one| report.taken("created", one, 1));
        return Ok(report.page(&import, "a dry run beside no organisation"));
    };
    let mut client = stores.postgres().await?;
    let org = organisations::find(&client, name).await?;
    let rules: Vec<&RuleDef> = import.rules.iter().map(|one| &one.rule).collect();
    let done = rule_import::import(&mut client, org, &rules, arguments.dry_run).await?;
    for (one, done) in import.rules.iter().zip(&done) {
        report.done(one, done);
    }
    let state = if arguments.dry_run {
        "a dry run: nothing was stored"
    } else {
        "workers follow within 5 s"
    };
    Ok(report.page(&import, state))
}

/// What came of an import.
#[derive(Default)]
struct Report {
    refused: Vec<Vec<Value>>,
    taken: Vec<Vec<Value>>,
    created: usize,
    updated: usize,
    unchanged: usize,
}

impl Report {
    fn refused(
        &mut self,
        (id, title, file): (&Option<String>, &Option<String>, &str),
        problem: &Problem,
    ) {
        self.refused.push(vec![
            json!("refused"),
            Value::Null,
            json!(id),
            json!(title),
            json!(file),
            json!(problem.to_string()),
        ]);
    }

    fn done(&mut self, one: &Imported, done: &Done) {
        match &done.renewal {
            Renewal::New => self.taken("created", one, done.version),
            Renewal::Changed(_) => self.taken("updated", one, done.version),
            Renewal::Same => self.taken("unchanged", one, done.version),
            Renewal::Refused(problem) => {
                let (id, title) = (Some(one.rule.id.clone()), Some(one.rule.name.clone()));
                self.refused((&id, &title, one.file.as_str()), problem);
            }
        }
    }

    fn taken(&mut self, outcome: &str, one: &Imported, version: i32) {
        match outcome {
            "created" => self.created += 1,
            "updated" => self.updated += 1,
            _ => self.unchanged += 1,
        }
        self.taken.push(vec![
            json!(outcome),
            json!(version),
            json!(one.rule.id),
            json!(one.rule.name),
            json!(one.file),
            json!(one.warnings),
        ]);
    }

    fn page(self, import: &Import, state: &str) -> Page {
        let (created, updated, unchanged) = (self.created, self.updated, self.unchanged);
        let (refused, filters) = (self.refused.len(), import.filters);
        let said = format!(
            "{created} created, {updated} updated, {unchanged} unchanged, {refused} refused, \
             {filters} filters applied; {state}"
        );
        let mut rows = self.refused;
        rows.extend(self.taken);
        Page::Report {
            columns: COLUMNS,
            rows,
            said,
            counts: json!({
                "created": created, "updated": updated, "unchanged": unchanged,
                "refused": refused, "filters": filters,
            }),
        }
    }
}

/// How rules are taken in, with the pipelines' files read and the placeholders gathered.
fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let mut options = Options {
        plain: arguments.plain,
        disabled: arguments.disabled,
        ..Options::default()
    };
    for path in &arguments.pipeline {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let pipeline =
            Pipeline::from_yaml(&text).with_context(|| format!("pipeline {}", path.display()))?;
        options.pipelines.push(pipeline);
    }
    for (name, value) in &arguments.bind {
        let values = options.placeholders.entry(name.clone()).or_default();
        values.push(value.clone());
    }
    Ok(options)
}

/// The rules of a file, a directory or an archive.
fn take_in(path: &Path, options: &Options) -> anyhow::Result<Import> {
    let mut found = Directory::default();
    let shown = path.display();
    let sources = if path.is_dir() {
        found.read(path, 0)?;
        found.sources
    } else {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        unpack(&shown.to_string(), &bytes)?
    };
    if sources.is_empty() {
        bail!("{shown} holds no file that ends in .yml or .yaml");
    }
    let import = Import::new(&sources, options);
    if import.rules.is_empty() && import.refused.is_empty() {
        bail!("{shown} holds no rule and no correlation of Sigma");
    }
    Ok(import)
}

/// The files of a directory that may hold rules.
#[derive(Default)]
struct Directory {
    sources: Vec<Source>,
    bytes: usize,
}

impl Directory {
    fn read(&mut self, path: &Path, depth: usize) -> anyhow::Result<()> {
        if depth > DEPTH_MAX {
            bail!("{} is nested deeper than {DEPTH_MAX}", path.display());
        }
        let entries =
            std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry?.path());
        }
        // So that of two rules with one id it is always the same that stays.
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.read(&path, depth + 1)?;
            } else if matches!(extension, Some("yml" | "yaml")) {
                self.add(&path)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.bytes += bytes.len();
        if self.sources.len() == FILES_MAX || self.bytes > TEXT_BYTES_MAX {
            bail!("there are more than {FILES_MAX} files or {TEXT_BYTES_MAX} bytes of YAML");
        }
        self.sources.push(Source {
            name: path.display().to_string(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        });
        Ok(())
    }
}

/// What an organisation's rules cover, as a table, and as a layer where a file for it is named.
pub(crate) async fn covered(
    client: &impl GenericClient,
    (org, name): (OrgId, &str),
    navigator: Option<&Path>,
) -> anyhow::Result<Page> {
    let rules = present(client, org).await?;
    let coverage = coverage(rules.iter().map(Mapped::from));
    if let Some(path) = navigator {
        let layer = serde_json::to_vec_pretty(&navigator_layer(&coverage, name))?;
        std::fs::write(path, layer).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let Coverage {
        techniques,
        tactics,
        ..
    } = &coverage;
    let rows = tactics.iter().chain(techniques).map(|(id, technique)| {
        vec![
            json!(id),
            json!(technique.enabled),
            json!(technique.disabled),
            json!(technique.severity.map(|severity| severity.as_str())),
        ]
    });
    Ok(Page::Table {
        columns: &["attack", "rules_on", "rules_off", "highest_severity"],
        rows: rows.collect(),
    })
}

/// All present rules. One that this version cannot read does not run, and covers nothing.
async fn present(client: &impl GenericClient, org: OrgId) -> anyhow::Result<Vec<RuleDef>> {
    let sql = "SELECT body FROM rule WHERE org_id = $1 AND until_revision IS NULL";
    let mut rules = Vec::new();
    for row in client.query(sql, &[&org]).await? {
        rules.extend(RuleDef::from_json(&row.try_get(0)?).ok());
    }
    Ok(rules)
}
