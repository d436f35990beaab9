//! Rules: listed, imported, tried against their own test cases, switched on and off. Every change is
//! a new version under a new control revision; old versions stay for the batches that used them.

use crate::output::{Page, time};
use crate::stores::Stores;
use crate::{backtest, organisations, revision, sigma};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use deadpool_postgres::{GenericClient, Transaction};
use millrace_detection::builtin;
use millrace_detection::rules::trial::run_tests;
use millrace_detection::rules::{BusinessHours, OrgSettings, RuleDef, RuleSet, check_new_id};
use millrace_shared::ids::OrgId;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Changed by; stands in the record.
pub(crate) const CHANGED_BY: &str = "millrace-admin";

/// What can be done to rules.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List an organisation's rules as they are now
    List {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Take rules from a JSON file (one rule or an array); those with a known id get a new version
    Import {
        /// The file
        file: PathBuf,
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Take Sigma rules from a YAML file, a directory, or a zip, tar or tar.gz. Those with a known id
    /// get a new version if they say something new; files with `transformations` are processing
    /// pipelines
    ImportSigma(sigma::Arguments),
    /// Show what an organisation's rules cover of ATT&CK, or write it as a Navigator layer
    Coverage {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
        /// File for the layer
        #[arg(long)]
        navigator: Option<PathBuf>,
    },
    /// Put a rule to stored history: what it would have selected, and the alerts it would have
    /// raised. Asks the query API, with a token that is made for it and gone afterwards
    Backtest(backtest::Arguments),
    /// Compile the rules of a file and run their own test cases; stores nothing
    Test {
        /// The file
        file: PathBuf,
    },
    /// List the built-in rules that an organisation was offered: as they were offered, changed, or removed
    Builtin {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Take a built-in rule as this program has it, in place of a changed, older or removed one
    Restore {
        /// Id of the rule
        id: String,
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Switch a rule on
    Enable {
        /// Id of the rule
        id: String,
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Switch a rule off
    Disable {
        /// Id of the rule
        id: String,
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    match action {
        Action::List { org } => {
            let client = stores.postgres().await?;
            let org = organisations::find(&client, &org).await?;
            list(&client, org).await
        }
        Action::Test { file } => test(&read(&file)?),
        Action::Import { file, org } => {
            let rules = read(&file)?;
            test(&rules)?;
            let mut client = stores.postgres().await?;
            let tx = client.transaction().await?;
            let org = organisations::find(&tx, &org).await?;
            let revision = revision::take(&tx).await?;
            let mut rows = Vec::new();
            for rule in &rules {
                check_id(&tx, org, &rule.id).await?;
                let version = put(&tx, org, rule, (revision, false)).await?;
                rows.push(vec![json!(rule.id), json!(version)]);
            }
            tx.commit().await?;
            Ok(Page::Table {
                columns: &["id", "version"],
                rows,
            })
        }
        Action::Backtest(arguments) => backtest::run(stores, &arguments).await,
        Action::ImportSigma(arguments) => sigma::import(stores, &arguments).await,
        Action::Coverage { org, navigator } => {
            let client = stores.postgres().await?;
            let found = organisations::find(&client, &org).await?;
            sigma::covered(&client, (found, &org), navigator.as_deref()).await
        }
        Action::Builtin { org } => {
            let client = stores.postgres().await?;
            let org = organisations::find(&client, &org).await?;
            offered(&client, org).await
        }
        Action::Restore { id, org } => restore(stores, &org, &id).await,
        Action::Enable { id, org } => switch(stores, &org, &id, true).await,
        Action::Disable { id, org } => switch(stores, &org, &id, false).await,
    }
}

/// Refuses to make a rule of an id that has a meaning of its own; one that is there may be changed.
async fn check_id(tx: &Transaction<'_>, org: OrgId, id: &str) -> anyhow::Result<()> {
    let sql = "SELECT 1 FROM rule WHERE org_id = $1 AND id = $2 AND until_revision IS NULL";
    if tx.query_opt(sql, &[&org, &id]).await?.is_none() {
        check_new_id(id).with_context(|| format!("rule {id:?}"))?;
    }
    Ok(())
}

async fn list(client: &impl GenericClient, org: OrgId) -> anyhow::Result<Page> {
    let sql = "SELECT id, version, enabled, builtin, body->>'severity', body->>'name', changed_by, \
                      changed_at \
                 FROM rule WHERE org_id = $1 AND until_revision IS NULL ORDER BY id";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org]).await? {
        rows.push(vec![
            json!(row.try_get::<_, String>(0)?),
            json!(row.try_get::<_, i32>(1)?),
            json!(row.try_get::<_, bool>(2)?),
            json!(row.try_get::<_, bool>(3)?),
            json!(row.try_get::<_, Option<String>>(4)?),
            json!(row.try_get::<_, Option<String>>(5)?),
            json!(row.try_get::<_, String>(6)?),
            time(row.try_get(7)?),
        ]);
    }
    let columns = &[
        "id",
        "version",
        "enabled",
        "builtin",
        "severity",
        "name",
        "changed_by",
        "changed_at",
    ];
    Ok(Page::Table { columns, rows })
}

fn read(file: &Path) -> anyhow::Result<Vec<RuleDef>> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let value: Value = serde_json::from_slice(&text).context("not JSON")?;
    let items = match value {
        Value::Array(items) => items,
        one @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => vec![one],
    };
    let rule = |(at, item)| {
        serde_json::from_value(item).with_context(|| format!("rule {at} of {}", file.display()))
    };
    items.into_iter().enumerate().map(rule).collect()
}

/// A test case depends on no organisation: any key will do, and the default hours.
pub(crate) fn any_settings() -> OrgSettings {
    OrgSettings {
        hash_key: [0; 32],
        hours: BusinessHours::default(),
    }
}

/// Compiles rules and runs their own test cases; fails when one fails.
fn test(rules: &[RuleDef]) -> anyhow::Result<Page> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for rule in rules {
        let settings = any_settings();
        let (_, errors) = RuleSet::compile([Arc::new(rule.clone())], settings);
        if let Some(error) = errors.into_iter().next() {
            return Err(error.into());
        }
        let outcomes = run_tests(rule, settings)?;
        let wrong = outcomes.iter().filter(|outcome| !outcome.passed);
        failed.extend(wrong.map(|outcome| format!("{}: {}", rule.id, outcome.name)));
        rows.push(vec![json!(rule.id), json!(outcomes.len())]);
    }
    if !failed.is_empty() {
        bail!(
            "test cases that came out differently:\n  {}",
            failed.join("\n  ")
        );
    }
    Ok(Page::Table {
        columns: &["id", "cases_passed"],
        rows,
    })
}

async fn switch(stores: &Stores, org: &str, id: &str, on: bool) -> anyhow::Result<Page> {
    let mut client = stores.postgres().await?;
    let tx = client.transaction().await?;
    let org = organisations::find(&tx, org).await?;
    let sql = "SELECT body, enabled, builtin FROM rule \
                WHERE org_id = $1 AND id = $2 AND until_revision IS NULL FOR UPDATE";
    let row = tx.query_opt(sql, &[&org, &id]).await?;
    let row =
        row.with_context(|| format!("no rule {id:?}: `millrace-admin rules list` shows them"))?;
    let body: Value = row.try_get(0)?;
    let state = if on { "on" } else { "off" };
    if row.try_get::<_, bool>(1)? == on {
        bail!("rule {id:?} is {state} already");
    }
    let revision = revision::take(&tx).await?;
    // What it says stays to the letter: a built-in rule that is switched is not a changed one.
    let document = (id, body, on);
    let version = put_document(&tx, org, document, (revision, row.try_get(2)?)).await?;
    tx.commit().await?;
    let text = format!("rule {id} is {state} (version {version}); workers follow within 5 s");
    Ok(Page::Said(
        text,
        json!({ "id": id, "version": version, "enabled": on }),
    ))
}

/// Stores a rule as the newest version of its id, from a revision on.
pub(crate) async fn put(
    tx: &Transaction<'_>,
    org: OrgId,
    rule: &RuleDef,
    from: (i64, bool),
) -> anyhow::Result<i32> {
    let document = (rule.id.as_str(), serde_json::to_value(rule)?, rule.enabled);
    put_document(tx, org, document, from).await
}

async fn put_document(
    tx: &Transaction<'_>,
    org: OrgId,
    (id, mut body, enabled): (&str, Value, bool),
    (revision, builtin): (i64, bool),
) -> anyhow::Result<i32> {
    let close = "UPDATE rule SET until_revision = $3 \
                  WHERE org_id = $1 AND id = $2 AND until_revision IS NULL";
    tx.execute(close, &[&org, &id, &revision]).await?;
    let latest = "SELECT coalesce(max(version), 0) FROM rule WHERE org_id = $1 AND id = $2";
    let latest: i32 = tx.query_one(latest, &[&org, &id]).await?.try_get(0)?;
    let version = latest + 1;
    if let Some(members) = body.as_object_mut() {
        members.insert("version".to_owned(), version.into());
        members.insert("enabled".to_owned(), enabled.into());
    }
    let insert = "INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    tx.execute(
        insert,
        &[
            &org,
            &id,
            &version,
            &enabled,
            &builtin,
            &body,
            &revision,
            &CHANGED_BY,
        ],
    )
    .await
    .with_context(|| format!("rule {id:?} cannot be stored"))?;
    Ok(version)
}

/// Offers an organisation the built-in rules: it is given those that it was not offered before.
pub(crate) async fn offer_builtin(tx: &Transaction<'_>, org: OrgId) -> anyhow::Result<()> {
    let sql = "SELECT FROM offer_builtin_rules($1, $2, $3)";
    let documents = builtin::documents()?;
    tx.execute(sql, &[&documents, &CHANGED_BY, &org]).await?;
    Ok(())
}

/// The built-in rules that an organisation was offered, and what became of them.
async fn offered(client: &impl GenericClient, org: OrgId) -> anyhow::Result<Page> {
    let sql = "SELECT b.id, b.version, b.offered_at, r.version, r.enabled, \
                      CASE WHEN r.id IS NULL THEN 'removed' \
                           WHEN r.builtin AND r.body - 'version' - 'enabled' = b.body THEN 'as_offered' \
                           ELSE 'changed' END \
                 FROM builtin_rule AS b \
                 LEFT JOIN rule AS r ON r.org_id = b.org_id AND r.id = b.id AND r.until_revision IS NULL \
                WHERE b.org_id = $1 ORDER BY b.id";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org]).await? {
        rows.push(vec![
            json!(row.try_get::<_, String>(0)?),
            json!(row.try_get::<_, i32>(1)?),
            time(row.try_get(2)?),
            json!(row.try_get::<_, Option<i32>>(3)?),
            json!(row.try_get::<_, Option<bool>>(4)?),
            json!(row.try_get::<_, String>(5)?),
        ]);
    }
    let columns = &["id", "offered", "offered_at", "version", "enabled", "state"];
    Ok(Page::Table { columns, rows })
}

/// Makes a rule what this program has built in, whatever it was; it is switched on.
async fn restore(stores: &Stores, org: &str, id: &str) -> anyhow::Result<Page> {
    let known = builtin::rules()?.into_iter().find(|rule| rule.id == id);
    let rule = known.with_context(|| format!("no built-in rule {id:?}"))?;
    let mut client = stores.postgres().await?;
    let tx = client.transaction().await?;
    let org = organisations::find(&tx, org).await?;
    let revision = revision::take(&tx).await?;
    let version = put(&tx, org, &rule, (revision, true)).await?;
    let sql = "INSERT INTO builtin_rule (org_id, id, version, body) \
               VALUES ($1, $2, $3, $4::jsonb - 'version' - 'enabled') \
               ON CONFLICT (org_id, id) DO UPDATE \
               SET version = excluded.version, body = excluded.body, offered_at = now()";
    let offered = i32::try_from(rule.version)?;
    tx.execute(sql, &[&org, &id, &offered, &rule.to_json()])
        .await?;
    tx.commit().await?;
    let text =
        format!("rule {id} is the built-in one (version {version}); workers follow within 5 s");
    Ok(Page::Said(text, json!({ "id": id, "version": version })))
}
