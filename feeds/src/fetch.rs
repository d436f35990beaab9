//! The feeds that are due: each is claimed by one worker, asked for, read and stored. What fails
//! leaves the feed's last good state as it is, says why, and is tried again later.

use crate::credential::Credential;
use crate::source::{self, Got, Known, REQUEST_TIME, Version};
use crate::{Changes, FeedError, Load, Mode, load};
use deadpool_postgres::Pool;
use millrace_detection::indicators::Feed;
use millrace_detection::indicators::parse::Format;
use millrace_runtime::outgoing::Outgoing;
use millrace_shared::ids::OrgId;
use millrace_shared::secret::MasterKey;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Time for all of a fetch, and then the claim is somebody else's.
const FETCH_TIME: Duration = Duration::from_secs(900);
const LEASE_S: i32 = 1_200;
const _: () = assert!(FETCH_TIME.as_secs() > REQUEST_TIME.as_secs());
const _: () = assert!(LEASE_S as u64 > FETCH_TIME.as_secs() + REQUEST_TIME.as_secs());
/// The first pause after a failure; it doubles with every further one, up to the feed's own pace.
const AGAIN_S: i32 = 60;
/// Characters of a failure that are kept.
const FAILURE_CHARS_MAX: usize = 500;

/// Fetches feeds.
#[derive(Clone)]
pub struct Fetcher {
    pool: Pool,
    outgoing: Outgoing,
    master: MasterKey,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

/// What came of a feed that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It holds something else now.
    Changed(Changes),
    /// It holds what it held.
    Same,
    /// It could not be had; why stands in its row.
    Failed(String),
    /// Somebody else has it by now, or it is gone.
    NotHeld,
}

impl Fetched {
    /// As a label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Fetched::Changed(_) => "changed",
            Fetched::Same => "same",
            Fetched::Failed(_) => "failed",
            Fetched::NotHeld => "not_held",
        }
    }
}

/// A feed that is due, and held.
struct Due {
    id: i64,
    org: Option<OrgId>,
    name: String,
    known: Known,
    /// What the server asks for; empty without.
    sealed: Vec<u8>,
    lease: Uuid,
}

impl Fetcher {
    /// With the tables of this pool, requests by this client, and the key that seals credentials.
    #[must_use]
    pub const fn new(pool: Pool, outgoing: Outgoing, master: MasterKey) -> Self {
        Fetcher {
            pool,
            outgoing,
            master,
        }
    }

    /// Fetches the feed that is due for longest, if one is: its name, and what came of it.
    ///
    /// # Errors
    /// When PostgreSQL is not available; a feed that was claimed is then free again after a while.
    pub async fn next(&self) -> Result<Option<(String, Fetched)>, FeedError> {
        let Some(mut due) = self.claim().await? else {
            return Ok(None);
        };
        let feed = Arc::new(Feed {
            id: due.id,
            name: due.name.clone(),
            trust: 0,
        });
        let got = match due.open(&self.master) {
            Ok(()) => {
                let got = source::get(&self.outgoing, &due.known, &feed);
                let got = tokio::time::timeout(FETCH_TIME, got).await;
                got.unwrap_or_else(|_| Err("it took too long".to_owned()))
            }
            Err(why) => Err(why.to_owned()),
        };
        let fetched = match got {
            Ok(Got::Same(version)) => self.settle(&due, &version, Fetched::Same).await?,
            Ok(Got::New {
                parsed,
                sha256,
                version,
            }) => {
                let content = Load {
                    org: due.org,
                    name: &due.name,
                    trust: None,
                    source: &due.known.url,
                    sha256: &sha256,
                    indicators: &parsed.indicators,
                    refused: parsed.refused,
                    mode: Mode::Replace,
                    lease: Some(due.lease),
                    who: "",
                };
                self.store(&due, &content, &version).await?
            }
            Err(why) => self.fail(&due, why).await?,
        };
        Ok(Some((due.name, fetched)))
    }

    async fn claim(&self) -> Result<Option<Due>, FeedError> {
        let sql = "UPDATE indicator_feed SET lease = $1, leased_until = now() + make_interval(secs => $2) \
                    WHERE id = (SELECT id FROM indicator_feed \
                        WHERE url <> '' AND deleted_at IS NULL AND next_at <= now() \
                          AND (lease IS NULL OR leased_until < now()) \
                        ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
                   RETURNING id, org_id, name, url, format, etag, last_modified, sha256, \
                             credential_sealed";
        let lease = Uuid::now_v7();
        let client = self.pool.get().await?;
        let row = client
            .query_opt(sql, &[&lease, &f64::from(LEASE_S)])
            .await?;
        row.map(|row| due(&row, lease)).transpose()
    }

    async fn store(
        &self,
        due: &Due,
        content: &Load<'_>,
        version: &Version,
    ) -> Result<Fetched, FeedError> {
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let changes = match load(&tx, content).await {
            Ok(changes) => changes,
            Err(FeedError::NotHeld) => return Ok(Fetched::NotHeld),
            // What PostgreSQL refuses for its content it refuses again: that is the feed's fault.
            Err(FeedError::Postgres(error)) if refused(&error) => {
                drop(tx);
                drop(client);
                let why = "it holds what cannot be stored".to_owned();
                return self.fail(due, why).await;
            }
            Err(error) => return Err(error),
        };
        let params = settled(due, version);
        tx.execute(SETTLE, &params.each()).await?;
        tx.commit().await?;
        Ok(Fetched::Changed(changes))
    }

    async fn settle(
        &self,
        due: &Due,
        version: &Version,
        fetched: Fetched,
    ) -> Result<Fetched, FeedError> {
        let client = self.pool.get().await?;
        let params = settled(due, version);
        match client.execute(SETTLE, &params.each()).await? {
            0 => Ok(Fetched::NotHeld),
            _ => Ok(fetched),
        }
    }

    async fn fail(&self, due: &Due, why: String) -> Result<Fetched, FeedError> {
        let sql = "UPDATE indicator_feed \
                      SET failures = failures + 1, failure = $3, checked_at = now(), lease = NULL, \
                          next_at = now() + make_interval(secs => \
                              least(every_s, $4::double precision * power(2, least(failures, 20)))) \
                    WHERE id = $1 AND lease = $2";
        let told: String = why.chars().take(FAILURE_CHARS_MAX).collect();
        let told = told.replace('\0', " ");
        let client = self.pool.get().await?;
        let params: [&(dyn ToSql + Sync); 4] = [&due.id, &due.lease, &told, &f64::from(AGAIN_S)];
        match client.execute(sql, &params).await? {
            0 => Ok(Fetched::NotHeld),
            _ => Ok(Fetched::Failed(why)),
        }
    }
}

impl Due {
    /// Opens the credential, where there is one: a server that asks for one is not asked without.
    fn open(&mut self, master: &MasterKey) -> Result<(), &'static str> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        let (feed, at) = ((self.org, self.name.as_str()), self.known.url.as_str());
        let credential = Credential::open(master, feed, (at, &self.sealed));
        let header = credential.ok().and_then(|credential| credential.header());
        self.known.credential = header;
        match self.known.credential {
            Some(_) => Ok(()),
            None => Err("its credential cannot be opened with this master key"),
        }
    }
}

/// Classes of SQLSTATE that are about what was given: data exception, limit exceeded.
fn refused(error: &tokio_postgres::Error) -> bool {
    let class = error.code().and_then(|state| state.code().get(..2));
    class.is_some_and(|class| ["22", "54"].contains(&class))
}

const SETTLE: &str = "UPDATE indicator_feed \
       SET etag = $3, last_modified = $4, failures = 0, failure = '', checked_at = now(), lease = NULL, \
           next_at = now() + make_interval(secs => every_s) \
     WHERE id = $1 AND lease = $2";

struct Settled<'s>(i64, Uuid, &'s str, &'s str);

fn settled<'s>(due: &Due, version: &'s Version) -> Settled<'s> {
    Settled(due.id, due.lease, &version.etag, &version.last_modified)
}

impl Settled<'_> {
    fn each(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.0, &self.1, &self.2, &self.3]
    }
}

fn due(row: &Row, lease: Uuid) -> Result<Due, FeedError> {
    let format: &str = row.try_get("format")?;
    Ok(Due {
        id: row.try_get("id")?,
        org: row.try_get("org_id")?,
        name: row.try_get("name")?,
        known: Known {
            url: row.try_get("url")?,
            format: Format::parse(format),
            version: Version {
                etag: row.try_get("etag")?,
                last_modified: row.try_get("last_modified")?,
            },
            sha256: row.try_get("sha256")?,
            credential: None,
        },
        sealed: row.try_get("credential_sealed")?,
        lease,
    })
}
