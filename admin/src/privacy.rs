//! Personal data: an organisation's policy with its revisions, and its peppers. Changes are recorded in
//! the organisation's audit events, as those through the API are. A pepper is never shown.

use crate::organisations::{self, PEPPER_BYTES};
use crate::output::{Page, time};
use crate::revision;
use crate::stores::Stores;
use crate::trail::{self, Deed, WHO};
use anyhow::{Context as _, bail};
use bumpalo::Bump;
use clap::{Args, Subcommand};
use deadpool_postgres::{GenericClient, Transaction};
use millrace_detection::pipelines::trial::shown;
use millrace_detection::rules::trial::read;
use millrace_scrubber::{Pepper, Policy, Scrubber};
use millrace_shared::Signal;
use millrace_shared::ids::OrgId;
use millrace_shared::limits::REASON_CHARS_MAX;
use millrace_shared::secret::random;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Revisions and peppers listed.
const LISTED: i64 = 100;

/// What can be done about personal data.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// What becomes of personal data
    #[command(subcommand)]
    Policy(OfPolicy),
    /// The keys that hashes and pseudonyms are made with
    #[command(subcommand)]
    Peppers(OfPeppers),
}

/// What can be done to a policy.
#[derive(Subcommand)]
pub(crate) enum OfPolicy {
    /// Show it, and what becomes of each class where no path says otherwise
    Show {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// List its revisions, the present one first
    Revisions {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Replace it by the one in a JSON file
    Set(Set),
}

/// A policy as it is to be.
#[derive(Args)]
pub(crate) struct Set {
    /// The file
    file: PathBuf,
    /// Organisation, by name or id
    #[arg(long)]
    org: String,
    /// The revision that it replaces; refused when another came between
    #[arg(long)]
    revision: Option<i64>,
    /// Say what would become of each class, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: a JSON array of sample events, to see what would be stored of them
    #[arg(long, requires = "dry_run", requires = "signal")]
    events: Option<PathBuf>,
    /// The signal of the sample events
    #[arg(long, requires = "events", value_parser = signal)]
    signal: Option<Signal>,
}

/// What can be done to peppers.
#[derive(Subcommand)]
pub(crate) enum OfPeppers {
    /// List their versions, the present one first
    List {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
    },
    /// Make the next; what was hashed with an old one is found by searches as before
    Rotate {
        /// Organisation, by name or id
        #[arg(long)]
        org: String,
        /// Why, as it stands in the audit events
        #[arg(long)]
        reason: String,
    },
}

fn signal(word: &str) -> Result<Signal, String> {
    Signal::from_name(word).ok_or_else(|| "is none of the five signals".to_owned())
}

/// Carries an action out.
pub(crate) async fn run(stores: &Stores, action: Action) -> anyhow::Result<Page> {
    match action {
        Action::Policy(OfPolicy::Show { org }) => {
            let client = stores.postgres().await?;
            let org = organisations::find(&client, &org).await?;
            present(&client, org).await?.page()
        }
        Action::Policy(OfPolicy::Revisions { org }) => {
            let client = stores.postgres().await?;
            let org = organisations::find(&client, &org).await?;
            revisions(&client, org).await
        }
        Action::Policy(OfPolicy::Set(set)) => put(stores, &set).await,
        Action::Peppers(OfPeppers::List { org }) => {
            let client = stores.postgres().await?;
            let org = organisations::find(&client, &org).await?;
            peppers(&client, org).await
        }
        Action::Peppers(OfPeppers::Rotate { org, reason }) => rotate(stores, &org, &reason).await,
    }
}

/// The policy in force.
struct Present {
    revision: i64,
    policy: Value,
    pepper_version: i32,
    changed_by: String,
    changed_at: Value,
}

async fn present(client: &impl GenericClient, org: OrgId) -> anyhow::Result<Present> {
    let sql = "SELECT from_revision, pii_policy, pepper_version, changed_by, changed_at \
                 FROM organisation_version WHERE org_id = $1 AND until_revision IS NULL";
    let row = client.query_one(sql, &[&org]).await?;
    Ok(Present {
        revision: row.try_get(0)?,
        policy: row.try_get(1)?,
        pepper_version: row.try_get(2)?,
        changed_by: row.try_get(3)?,
        changed_at: time(row.try_get(4)?),
    })
}

impl Present {
    /// The strategy of every class. Of one that cannot be read the default is in force.
    fn policy(&self) -> Policy {
        Policy::deserialize(&self.policy).unwrap_or_default()
    }

    fn page(self) -> anyhow::Result<Page> {
        let policy = self.policy();
        let rows = policy.effective();
        let rows = rows.map(|(class, strategy)| vec![json!(class), json!(strategy)]);
        let said = format!(
            "revision {}, pepper version {}: {}",
            self.revision,
            self.pepper_version,
            serde_json::to_string_pretty(&self.policy)?
        );
        Ok(Page::Report {
            columns: &["class", "strategy"],
            rows: rows.collect(),
            said,
            counts: json!({
                "revision": self.revision, "policy": self.policy,
                "pepper_version": self.pepper_version,
                "changed_by": self.changed_by, "changed_at": self.changed_at,
            }),
        })
    }
}

async fn revisions(client: &impl GenericClient, org: OrgId) -> anyhow::Result<Page> {
    let sql = "SELECT from_revision, until_revision, pepper_version, changed_by, changed_at, pii_policy \
                 FROM organisation_version WHERE org_id = $1 ORDER BY from_revision DESC LIMIT $2";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org, &LISTED]).await? {
        rows.push(vec![
            json!(row.try_get::<_, i64>(0)?),
            json!(row.try_get::<_, Option<i64>>(1)?),
            json!(row.try_get::<_, i32>(2)?),
            json!(row.try_get::<_, String>(3)?),
            time(row.try_get(4)?),
            row.try_get(5)?,
        ]);
    }
    let columns = &[
        "revision",
        "until_revision",
        "pepper_version",
        "changed_by",
        "changed_at",
        "policy",
    ];
    Ok(Page::Table { columns, rows })
}

fn json_of(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))
}

async fn put(stores: &Stores, set: &Set) -> anyhow::Result<Page> {
    let document = json_of(&set.file)?;
    if !document.is_object() {
        bail!("policy: must be an object");
    }
    let policy = Policy::deserialize(&document).context("policy")?;
    policy.validate().context("policy")?;
    let mut client = stores.postgres().await?;
    let org = organisations::find(&client, &set.org).await?;
    if set.dry_run {
        let present = present(&client, org).await?;
        as_expected(present.revision, set.revision)?;
        return match (&set.events, set.signal) {
            (Some(events), Some(signal)) => tried(policy, signal, &json_of(events)?),
            (Some(_) | None, _) => Ok(compared(&present, &policy)),
        };
    }
    let tx = client.transaction().await?;
    begin(&tx, org, set.revision).await?;
    let stored = serde_json::to_value(&policy)?;
    let sql = "UPDATE organisation SET pii_policy = $2 WHERE id = $1";
    tx.execute(sql, &[&org, &stored]).await?;
    let deed = Deed {
        event_type: "DATA_PRIVACY",
        action: "privacy.policy.put",
        target: ("organisation", org.to_string()),
        metadata: Map::new(),
    };
    trail::record(stores, &tx, org, &deed).await?;
    let revision = present(&tx, org).await?.revision;
    tx.commit().await?;
    Ok(Page::Said(
        format!("the policy is replaced under revision {revision}; workers follow within 5 s"),
        json!({ "revision": revision }),
    ))
}

/// What begins a change: the lock of revisions, and a name for the record.
async fn begin(tx: &Transaction<'_>, org: OrgId, expected: Option<i64>) -> anyhow::Result<()> {
    revision::hold(tx).await?;
    as_expected(present(tx, org).await?.revision, expected)?;
    // Read by the trigger that keeps the versions.
    tx.execute("SELECT set_config('millrace.who', $1, true)", &[&WHO])
        .await?;
    Ok(())
}

fn as_expected(present: i64, expected: Option<i64>) -> anyhow::Result<()> {
    match expected {
        Some(expected) if expected != present => {
            bail!("the policy is at revision {present}, not {expected}")
        }
        Some(_) | None => Ok(()),
    }
}

/// What would become of each class, beside what becomes of it now.
fn compared(present: &Present, policy: &Policy) -> Page {
    let now = present.policy();
    let each = now.effective().zip(policy.effective());
    let rows = each.map(|((class, before), (_, after))| {
        let change = if before == after { "" } else { "changes" };
        vec![json!(class), json!(before), json!(after), json!(change)]
    });
    let revision = present.revision;
    Page::Report {
        columns: &["class", "now", "then", "change"],
        rows: rows.collect(),
        said: format!("a dry run: nothing was changed, the policy is at revision {revision}"),
        counts: json!({ "dry_run": true, "revision": revision, "policy": policy }),
    }
}

/// What would be stored of sample events. Hashes are made with a pepper of the trial's own.
fn tried(policy: Policy, signal: Signal, events: &Value) -> anyhow::Result<Page> {
    let events = events
        .as_array()
        .context("the sample events are no array")?;
    let pepper = Pepper::new(1, &random::<PEPPER_BYTES>()?)?;
    let scrubber = Scrubber::new(&policy.with_hashed_paths(), pepper)?;
    let (arena, mut all) = (Bump::new(), Vec::new());
    read(signal, events, &arena, |_, event| {
        let changed = scrubber.try_event(event, &arena).into_iter();
        let changed = changed.map(|(name, found)| (name, found.names().collect()));
        let changed: Map<String, Value> = changed.collect();
        all.push(json!({ "event": shown(event), "changed": changed }));
    })?;
    let value = json!({ "dry_run": true, "events": all });
    Ok(Page::Said(serde_json::to_string_pretty(&value)?, value))
}

async fn peppers(client: &impl GenericClient, org: OrgId) -> anyhow::Result<Page> {
    let sql = "SELECT version, made_by, made_at FROM organisation_pepper \
                WHERE org_id = $1 ORDER BY version DESC LIMIT $2";
    let mut rows = Vec::new();
    for row in client.query(sql, &[&org, &LISTED]).await? {
        rows.push(vec![
            json!(row.try_get::<_, i32>(0)?),
            json!(row.try_get::<_, String>(1)?),
            time(row.try_get(2)?),
        ]);
    }
    let columns = &["version", "made_by", "made_at"];
    Ok(Page::Table { columns, rows })
}

async fn rotate(stores: &Stores, org: &str, reason: &str) -> anyhow::Result<Page> {
    let reason = reason.trim();
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        bail!("a reason has 1 to {REASON_CHARS_MAX} characters");
    }
    let mut client = stores.postgres().await?;
    let tx = client.transaction().await?;
    let org = organisations::find(&tx, org).await?;
    begin(&tx, org, None).await?;
    let pepper = random::<PEPPER_BYTES>()?;
    let sql = "UPDATE organisation SET pepper = $2, pepper_version = pepper_version + 1 WHERE id = $1 \
               RETURNING pepper_version";
    let row = tx.query_one(sql, &[&org, &pepper.as_slice()]).await?;
    let version: i32 = row.try_get(0)?;
    let deed = Deed {
        event_type: "DATA_PRIVACY",
        action: "privacy.pepper.rotate",
        target: ("organisation", org.to_string()),
        metadata: Map::from_iter([("reason".to_owned(), reason.into())]),
    };
    trail::record(stores, &tx, org, &deed).await?;
    tx.commit().await?;
    Ok(Page::Said(
        format!("pepper version {version} is in use; workers follow within 5 s"),
        json!({ "version": version }),
    ))
}
