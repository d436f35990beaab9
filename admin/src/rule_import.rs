//! Many imported rules at once, each made, renewed or left as it is, under one revision.
//!
//! Everybody who takes a revision, and every worker that looks for one, waits for its lock: it is not
//! held while thousands of rules are compared, unless somebody changed one of them meanwhile.

use crate::revision;
use crate::rules::{CHANGED_BY, any_settings};
use anyhow::bail;
use deadpool_postgres::{Client, Transaction};
use millrace_detection::RuleDef;
use millrace_detection::rules::RULES_MAX;
use millrace_detection::sigma::{Renewal, renew};
use millrace_shared::ids::OrgId;
use serde_json::Value;
use std::collections::HashMap;
use tokio_postgres::types::ToSql;

/// What became of a rule.
pub(crate) struct Done {
    /// Whether it is made, renewed, the same, or refused.
    pub(crate) renewal: Renewal,
    /// The number of the version that runs now; 0 where it is refused.
    pub(crate) version: i32,
}

/// The last version of each id, and the document of those that are present.
const KNOWN: &str = "SELECT id, max(version), (array_agg(body) FILTER (WHERE until_revision IS NULL))[1] \
                       FROM rule WHERE org_id = $1 AND id = ANY($2::text[]) GROUP BY id";
const COUNT: &str = "SELECT count(*) FROM rule WHERE org_id = $1 AND until_revision IS NULL";
const CLOSE: &str = "UPDATE rule SET until_revision = $3 \
                      WHERE org_id = $1 AND id = ANY($2::text[]) AND until_revision IS NULL";
const INSERT: &str = "INSERT INTO rule (org_id, id, version, enabled, builtin, body, from_revision, changed_by) \
     SELECT $1, k.id, k.version, (k.body ->> 'enabled')::boolean, false, k.body, $5, $6 \
       FROM unnest($2::text[], $3::int[], $4::jsonb[]) AS k (id, version, body)";

/// Makes or renews rules, or only compares them with what is there.
///
/// # Errors
/// When the organisation would have too many; then nothing was changed.
pub(crate) async fn import(
    client: &mut Client,
    org: OrgId,
    rules: &[&RuleDef],
    dry_run: bool,
) -> anyhow::Result<Vec<Done>> {
    let tx = client.transaction().await?;
    let before = known(&tx, org, rules).await?;
    let mut done = compare(rules, &before);
    if !dry_run {
        revision::hold(&tx).await?;
        let now = known(&tx, org, rules).await?;
        if now != before {
            done = compare(rules, &now);
        }
    }
    let made = done.iter().filter(|one| one.renewal == Renewal::New);
    let present: i64 = tx.query_one(COUNT, &[&org]).await?.try_get(0)?;
    let after = usize::try_from(present)? + made.count();
    if after > RULES_MAX {
        bail!("the organisation would have {after} rules, more than {RULES_MAX}");
    }
    if !dry_run {
        write(&tx, org, (rules, &done)).await?;
        tx.commit().await?;
    }
    Ok(done)
}

/// By id: the last version, and the present document if there is one.
type Known = HashMap<String, (i32, Option<Value>)>;

async fn known(tx: &Transaction<'_>, org: OrgId, rules: &[&RuleDef]) -> anyhow::Result<Known> {
    let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    let mut known = Known::new();
    for row in tx.query(KNOWN, &[&org, &ids]).await? {
        known.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
    }
    Ok(known)
}

fn compare(rules: &[&RuleDef], known: &Known) -> Vec<Done> {
    let each = rules.iter().map(|rule| {
        let (last, present) = known
            .get(&rule.id)
            .map_or((0, None), |(last, present)| (*last, present.as_ref()));
        let renewal = renew(rule, present, any_settings());
        let version = match renewal {
            Renewal::New | Renewal::Changed(_) => last.saturating_add(1),
            Renewal::Same => last,
            Renewal::Refused(_) => 0,
        };
        Done { renewal, version }
    });
    each.collect()
}

/// Writes the versions that are new. Where there are none, nobody has to hear of anything.
async fn write(
    tx: &Transaction<'_>,
    org: OrgId,
    (rules, done): (&[&RuleDef], &[Done]),
) -> anyhow::Result<()> {
    let (mut ids, mut versions, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for (rule, done) in rules.iter().zip(done) {
        let next = match &done.renewal {
            Renewal::New => *rule,
            Renewal::Changed(renewed) => renewed.as_ref(),
            Renewal::Same | Renewal::Refused(_) => continue,
        };
        let next = RuleDef {
            version: u32::try_from(done.version)?,
            ..next.clone()
        };
        ids.push(rule.id.as_str());
        versions.push(done.version);
        bodies.push(next.to_json());
    }
    if ids.is_empty() {
        return Ok(());
    }
    let revision = revision::take(tx).await?;
    tx.execute(CLOSE, &[&org, &ids, &revision]).await?;
    let params: [&(dyn ToSql + Sync); 6] = [&org, &ids, &versions, &bodies, &revision, &CHANGED_BY];
    tx.execute(INSERT, &params).await?;
    Ok(())
}
