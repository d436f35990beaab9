//! Posts rows to the store and says how it ended. Retries only what surely wrote nothing.

use crate::backoff::Backoff;
use crate::error::WorkerError;
use crate::lease::Lease;
use crate::metrics;
use crate::probe::Step;
use crate::resolve::pause;
use crate::store::{InsertName, Rows, Store};
use millrace_runtime::clickhouse::InsertError;

/// How posting rows ended.
#[derive(Debug)]
pub enum Outcome {
    /// The store says it wrote all of them.
    Written,
    /// Anything may have happened.
    InDoubt,
    /// The store refuses them for their content, with this code; nothing was written.
    Refused(u32),
}

/// Refusals that are about the statement or the table, never about one row: parking entries would
/// not help.
const STRUCTURAL: &[u32] = &[
    16, // NO_SUCH_COLUMN_IN_TABLE
    20, // NUMBER_OF_COLUMNS_DOESNT_MATCH
    36, // BAD_ARGUMENTS
    62, // SYNTAX_ERROR
    73, // UNKNOWN_FORMAT
];

/// Posts rows; while the store refuses before execution, waits and posts them again.
///
/// # Errors
/// When the lease ends first, or the store refuses the statement itself.
pub async fn post(
    store: &Store,
    lease: &Lease,
    rows: &Rows,
    name: &InsertName,
) -> Result<Outcome, WorkerError> {
    let table = rows.table.as_str();
    let mut backoff = Backoff::default();
    loop {
        lease.check()?;
        let insert = store.insert(rows.clone(), name);
        let insert = lease.probe.during(Step::Posting, insert);
        let Ok(answer) = lease.within(insert).await else {
            metrics::WRITES.add(&[table, "lease"], 1);
            return Err(WorkerError::LeaseEnds(lease.fence.shard));
        };
        lease.probe.at(Step::Posted);
        match answer {
            Ok(written) if written == rows.rows => {
                metrics::WRITES.add(&[table, "written"], 1);
                return Ok(Outcome::Written);
            }
            Ok(_) => {
                metrics::WRITES.add(&[table, "in_doubt"], 1);
                return Ok(Outcome::InDoubt);
            }
            Err(InsertError::RefusedBefore(why)) => {
                metrics::WRITES.add(&[table, "refused_before"], 1);
                tracing::debug!(table, why, "store refuses, waiting");
                pause(lease, &mut backoff).await?;
            }
            Err(InsertError::Unknown(why)) => {
                metrics::WRITES.add(&[table, "in_doubt"], 1);
                tracing::warn!(
                    table,
                    query = name.query_id,
                    why,
                    "outcome of an insert is unknown"
                );
                return Ok(Outcome::InDoubt);
            }
            Err(InsertError::Refused { code, .. }) => {
                metrics::WRITES.add(&[table, "refused_rows"], 1);
                if STRUCTURAL.contains(&code) {
                    return Err(WorkerError::RefusesAll(code));
                }
                return Ok(Outcome::Refused(code));
            }
        }
    }
}
