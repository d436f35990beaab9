//! Allow-lists: warning lists of MISP, whose entries never match an indicator.

use crate::indicators::{read, whose};
use crate::output::{Page, time};
use crate::trail::WHO;
use anyhow::{Context as _, bail};
use clap::Subcommand;
use deadpool_postgres::{Client, GenericClient};
use millrace_detection::indicators::AllowList;
use millrace_feeds::{is_name, put_list, remove_list};
use serde_json::json;
use std::path::PathBuf;

/// What can be done to allow-lists.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List them
    List,
    /// Make a warning list of MISP (JSON) an allow-list, or replace one
    Import {
        /// The file
        file: PathBuf,
        /// Its name here
        #[arg(long)]
        name: String,
        /// For this organisation only (name or id); for every one when not given
        #[arg(long)]
        org: Option<String>,
    },
    /// Remove one
    Remove {
        /// Its name
        name: String,
        /// Of this organisation (name or id); everybody's when not given
        #[arg(long)]
        org: Option<String>,
    },
}

/// Carries an action out.
pub(crate) async fn run(client: &mut Client, action: Action) -> anyhow::Result<Page> {
    match action {
        Action::List => list(client).await,
        Action::Import { file, name, org } => {
            if !is_name(&name) {
                bail!("a name is up to 100 letters and digits, with `.`, `_` and `-` between them");
            }
            let list = AllowList::from_json(&read(&file)?).context("the file is no allow-list")?;
            let _compiled = list.compile().context("the list cannot be used")?;
            let tx = client.transaction().await?;
            let org = whose(&tx, org.as_deref()).await?;
            let replaced = put_list(&tx, (org, &name), &list, WHO).await?;
            tx.commit().await?;
            let (what, entries) = (if replaced { "replaced" } else { "made" }, list.list.len());
            let value = json!({ "allow_list": name, "outcome": what, "entries": entries });
            Ok(Page::Said(
                format!("allow-list {name} {what}, {entries} entries"),
                value,
            ))
        }
        Action::Remove { name, org } => {
            let tx = client.transaction().await?;
            let org = whose(&tx, org.as_deref()).await?;
            if !remove_list(&tx, org, &name).await? {
                bail!("there is no such allow-list");
            }
            tx.commit().await?;
            let value = json!({ "allow_list": name, "outcome": "removed" });
            Ok(Page::Said(format!("allow-list {name} removed"), value))
        }
    }
}

async fn list(client: &impl GenericClient) -> anyhow::Result<Page> {
    let sql = "SELECT l.name, o.name, l.matching, cardinality(l.entries), l.changed_by, l.changed_at \
                 FROM allow_list AS l LEFT JOIN organisation AS o ON o.id = l.org_id \
                WHERE l.until_revision IS NULL ORDER BY o.name NULLS FIRST, l.name";
    let mut rows = Vec::new();
    for row in client.query(sql, &[]).await? {
        rows.push(vec![
            json!(row.try_get::<_, String>(0)?),
            json!(row.try_get::<_, Option<String>>(1)?),
            json!(row.try_get::<_, String>(2)?),
            json!(row.try_get::<_, i32>(3)?),
            json!(row.try_get::<_, String>(4)?),
            time(row.try_get(5)?),
        ]);
    }
    let columns = &[
        "allow_list",
        "org",
        "type",
        "entries",
        "changed_by",
        "changed_at",
    ];
    Ok(Page::Table { columns, rows })
}
