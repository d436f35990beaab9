//! What the gateway asks the control database, and all the SQL it speaks. It only reads, but for the
//! record of what Redis lost.

mod key;
mod place;
mod lost;

pub(crate) use key::{KeyRecord, key};
pub(crate) use lost::{LostBatch, note_lost};
pub(crate) use place::{Fate, Place, fate, place};

use millrace_runtime::pg::{PgError, Pool};

/// Shards per signal, as the installation was made.
pub(crate) async fn shards(pool: &Pool) -> Result<Option<u16>, PgError> {
    let client = pool.get().await?;
    let row = client
        .query_opt("SELECT shards FROM installation", &[])
        .await?;
    let shards: Option<i16> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(shards
        .and_then(|shards| u16::try_from(shards).ok())
        .filter(|shards| *shards > 0))
}
