//! Locks that keep two workers from changing one window, one alert or one chain at a time.
//!
//! They are PostgreSQL's advisory locks, held to the end of the transaction and taken in ascending
//! order. What is locked is hashed onto few stripes: PostgreSQL's table of locks is of fixed size,
//! and a batch may touch tens of thousands of groups.

use crate::error::WorkerError;
use crate::work::{AlertDraft, Output};
use deadpool_postgres::Transaction;
use millrace_shared::ids::OrgId;
use std::collections::BTreeSet;

/// The class of our locks among those of everybody who uses the database.
const CLASS: i32 = 7_770_002;
/// Stripes: with 20 shards committing at once still below a thousandth of what collides often, and
/// at most 20 × 64 locks in PostgreSQL's table of 6,400.
const STRIPES: u64 = 64;

/// Takes the locks of everything that the output may change together with others.
///
/// # Errors
/// When PostgreSQL does not grant them in time.
pub(crate) async fn take(tx: &Transaction<'_>, output: &Output) -> Result<(), WorkerError> {
    take_stripes(tx, stripes(output)).await
}

/// Takes the locks of groups and of the alerts that they may raise: (organisation, rule, group,
/// dedupe key).
///
/// # Errors
/// When PostgreSQL does not grant them in time.
pub(super) async fn take_groups(
    tx: &Transaction<'_>,
    groups: impl Iterator<Item = (OrgId, &str, [u8; 16], [u8; 16])>,
) -> Result<(), WorkerError> {
    let mut stripes = BTreeSet::new();
    for (org, rule, group, dedupe) in groups {
        stripes.insert(stripe(b'a', org, rule.as_bytes(), &dedupe));
        stripes.insert(stripe(b'w', org, rule.as_bytes(), &group));
    }
    take_stripes(tx, stripes).await
}

async fn take_stripes(tx: &Transaction<'_>, stripes: BTreeSet<i32>) -> Result<(), WorkerError> {
    let stripes: Vec<i32> = stripes.into_iter().collect();
    if stripes.is_empty() {
        return Ok(());
    }
    let sql = "SELECT pg_advisory_xact_lock($1, stripe) \
                 FROM (SELECT unnest($2::int4[]) AS stripe OFFSET 0) AS ordered";
    let statement = tx.prepare_cached(sql).await?;
    tx.query(&statement, &[&CLASS, &stripes]).await?;
    Ok(())
}

fn stripes(output: &Output) -> BTreeSet<i32> {
    let mut stripes = BTreeSet::new();
    let mut alert = |draft: &AlertDraft| {
        stripes.insert(stripe(
            b'a',
            draft.org,
            draft.rule.as_bytes(),
            &draft.dedupe,
        ));
    };
    output.alerts.iter().for_each(&mut alert);
    output.hits.iter().for_each(|hits| alert(&hits.alert));
    for hits in &output.hits {
        stripes.insert(stripe(
            b'w',
            hits.alert.org,
            hits.alert.rule.as_bytes(),
            &hits.group,
        ));
    }
    for (org, _, _) in &output.audit_rows {
        stripes.insert(stripe(b's', *org, &[], &[]));
    }
    stripes
}

/// FNV-1a: every worker must come to the same stripe, whatever it was built with.
fn stripe(kind: u8, org: OrgId, rule: &[u8], key: &[u8]) -> i32 {
    let bytes = [kind]
        .into_iter()
        .chain(*org.as_bytes())
        .chain(rule.iter().copied())
        .chain(key.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // FNV mixes upwards only: the final steps of MurmurHash3 bring all bits to bear on the rest.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    i32::try_from((mixed >> 32) % STRIPES).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripes_are_spread_and_stay_few() {
        let stripes: BTreeSet<i32> = (0..10_000u32)
            .map(|n| stripe(b'w', OrgId::from_u128(1), b"rule", &n.to_be_bytes()))
            .collect();
        assert_eq!(stripes.len() as u64, STRIPES);
        assert_eq!(
            stripe(b'w', OrgId::from_u128(1), b"rule", b"group"),
            stripe(b'w', OrgId::from_u128(1), b"rule", b"group")
        );
    }
}
