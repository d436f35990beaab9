//! Rest: everything that was appended is committed and audited. Only then are things compared.

use super::site::Site;
use super::sources;

/// Waits for rest.
///
/// # Errors
/// Says what is still open when it does not come.
pub fn reach(site: &Site) -> Result<(), String> {
    /// Leases end, a backlog is written, everything is audited.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(900);
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        match open(site) {
            Ok(None) => return Ok(()),
            Ok(Some(open)) | Err(open) if std::time::Instant::now() > end => {
                return Err(format!("no rest within {PATIENCE:?}: {open}"));
            }
            Ok(Some(_)) | Err(_) => std::thread::sleep(std::time::Duration::from_millis(100)),
        }
    }
}

/// What is not done yet.
fn open(site: &Site) -> Result<Option<String>, String> {
    let sql = "SELECT count(*) FROM batch WHERE state IN ('PREPARED', 'COMMITTED')";
    let batches = sources::number(site, sql)?;
    // Streams first: what is appended between the two questions is not overlooked.
    let heads = sources::heads(site)?;
    let committed = sources::committed(site)?;
    let behind = heads
        .iter()
        .zip(&committed)
        .filter(|(head, place)| head > place);
    let behind = behind.count();
    let open = batches > 0 || behind > 0;
    Ok(open.then(|| format!("{batches} batches open, {behind} shards behind")))
}
