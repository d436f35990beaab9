//! Indicator feeds: how they fare, how far they are trusted, where they are fetched from, and their
//! end.

use crate::indicators::{format, whose};
use crate::output::{Page, time};
use crate::stores::Stores;
use crate::trail::WHO;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use deadpool_postgres::{Client, GenericClient};
use millrace_detection::indicators::parse::Format;
use millrace_feeds::{Access, Credential, FeedSettings, end_feed, is_name, put_feed};
use millrace_shared::ids::OrgId;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What can be done to feeds.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// List them
    List,
    /// Make one, or change what it is
    Set(Set),
    /// End one, with all its indicators
    Remove {
        /// Its name
        name: String,
        /// Of this organisation (name or id); everybody's when not given
        #[arg(long)]
        org: Option<String>,
    },
}

/// What a feed is to be.
#[derive(Args)]
pub(crate) struct Set {
    /// Its name
    name: String,
    /// Of this organisation (name or id); everybody's when not given
    #[arg(long)]
    org: Option<String>,
    /// How far it is trusted, 0 to 100
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i16).range(0..=100))]
    trust: i16,
    /// Days after it was last seen or came at which an indicator without an end of its own ceases
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=3650))]
    expire_days: Option<i32>,
    /// Where the workers fetch it from
    #[arg(long)]
    url: Option<String>,
    /// csv, plain, hosts, stix, misp or misp-feed; told by the content when not given
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Seconds between two fetches
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(i32).range(300..=604_800))]
    every: i32,
    /// What its server asks for
    #[command(flatten)]
    access: Asked,
}

/// A credential; what was said before is kept when none is given.
#[derive(Args)]
pub(crate) struct Asked {
    /// Send the secret as this header
    #[arg(long, value_name = "NAME", requires = "secret_file")]
    header: Option<String>,
    /// Send the secret as a bearer token
    #[arg(long, requires = "secret_file", conflicts_with = "header")]
    bearer: bool,
    /// Send the secret as the password of this user
    #[arg(long, value_name = "USER", requires = "secret_file", conflicts_with_all = ["header", "bearer"])]
    basic: Option<String>,
    /// The file that holds the secret (- for standard input); it is sealed and never shown
    #[arg(long, requires = "url")]
    secret_file: Option<PathBuf>,
    /// Send no credential any more
    #[arg(long, conflicts_with_all = ["header", "bearer", "basic", "secret_file"])]
    no_credential: bool,
}

impl Asked {
    /// The credential that is given, with its secret read.
    fn credential(&self) -> anyhow::Result<Option<Credential>> {
        let Some(file) = &self.secret_file else {
            return Ok(None);
        };
        let secret = if file.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(file)
        };
        let secret = secret.with_context(|| format!("cannot read {}", file.display()))?;
        let secret = secret.trim_end_matches(['\n', '\r']).to_owned();
        let credential = match (&self.header, self.bearer, &self.basic) {
            (Some(name), ..) => Credential::Header {
                name: name.clone(),
                value: secret,
            },
            (None, true, _) => Credential::Bearer { token: secret },
            (None, false, Some(user)) => Credential::Basic {
                user: user.clone(),
                password: secret,
            },
            (None, false, None) => {
                bail!("say how the secret is sent: --header, --bearer or --basic")
            }
        };
        match credential.fault() {
            Some((member, why)) => bail!("the credential has a {member} that {why}"),
            None => Ok(Some(credential)),
        }
    }

    /// What the server of a feed is told from now on.
    fn access(
        &self,
        stores: &Stores,
        feed: (Option<OrgId>, &str),
        url: &str,
    ) -> anyhow::Result<Access> {
        if self.no_credential {
            return Ok(Access::Open);
        }
        let Some(credential) = self.credential()? else {
            return Ok(Access::Kept);
        };
        let sealed = credential.seal(&stores.master_key()?, feed, url);
        Ok(Access::Sealed(
            sealed.context("the credential cannot be sealed")?,
        ))
    }
}

/// Carries an action out.
pub(crate) async fn run(
    stores: &Stores,
    client: &mut Client,
    action: Action,
) -> anyhow::Result<Page> {
    match action {
        Action::List => list(client).await,
        Action::Set(set) => put(stores, client, set).await,
        Action::Remove { name, org } => {
            let tx = client.transaction().await?;
            let org = whose(&tx, org.as_deref()).await?;
            let Some(ended) = end_feed(&tx, org, &name).await? else {
                bail!("there is no such feed");
            };
            tx.commit().await?;
            let value = json!({ "feed": name, "ended": ended });
            Ok(Page::Said(
                format!("feed {name} ended with {ended} indicators"),
                value,
            ))
        }
    }
}

async fn put(stores: &Stores, client: &mut Client, set: Set) -> anyhow::Result<Page> {
    if !is_name(&set.name) {
        bail!("a name is up to 100 letters and digits, with `.`, `_` and `-` between them");
    }
    let tx = client.transaction().await?;
    let org = whose(&tx, set.org.as_deref()).await?;
    let url = set.url.unwrap_or_default();
    let settings = FeedSettings {
        trust: set.trust,
        expire_days: set.expire_days,
        access: set.access.access(stores, (org, &set.name), &url)?,
        url,
        format: set.format,
        every_s: set.every,
    };
    let replaced = put_feed(&tx, (org, &set.name), &settings, WHO).await?;
    tx.commit().await?;
    let what = if replaced { "changed" } else { "made" };
    let value = json!({ "feed": set.name, "outcome": what });
    Ok(Page::Said(format!("feed {} {what}", set.name), value))
}

async fn list(client: &impl GenericClient) -> anyhow::Result<Page> {
    let sql = "SELECT f.name, o.name, f.trust, f.indicators, f.refused, f.loaded_at, f.url, f.next_at, \
                      f.failures, f.failure, coalesce(h.hits, 0), f.credential ->> 'kind' \
                 FROM indicator_feed AS f LEFT JOIN organisation AS o ON o.id = f.org_id \
                 LEFT JOIN (SELECT feed_id, sum(hits)::int8 AS hits FROM indicator_feed_hit \
                             GROUP BY feed_id) AS h ON h.feed_id = f.id \
                WHERE f.deleted_at IS NULL ORDER BY o.name NULLS FIRST, f.name";
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for row in client.query(sql, &[]).await? {
        rows.push(vec![
            json!(row.try_get::<_, String>(0)?),
            json!(row.try_get::<_, Option<String>>(1)?),
            json!(row.try_get::<_, i16>(2)?),
            json!(row.try_get::<_, i64>(3)?),
            json!(row.try_get::<_, i64>(4)?),
            time(row.try_get(5)?),
            json!(row.try_get::<_, String>(6)?),
            time(row.try_get(7)?),
            json!(row.try_get::<_, i32>(8)?),
            json!(row.try_get::<_, String>(9)?),
            json!(row.try_get::<_, i64>(10)?),
            json!(row.try_get::<_, Option<String>>(11)?),
        ]);
    }
    let columns = &[
        "feed",
        "org",
        "trust",
        "indicators",
        "refused",
        "loaded_at",
        "url",
        "next_at",
        "failures",
        "failure",
        "hits",
        "credential",
    ];
    Ok(Page::Table { columns, rows })
}
