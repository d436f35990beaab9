//! How long until something that was killed works again, measured while nothing else goes wrong.
//!
//! * a gateway: from its start until it says that it is ready
//! * a worker: from its start until its first commit; and, when it stays away, from the end of its
//!   leases until another has all its shards
//! * an engine: from its return until everything that waited then is committed

use super::fault::Victim;
use super::site::Site;
use super::sources;
use super::strike::{LOOK_AGAIN, Striker};
use crate::http::Http;
use std::time::{Duration, Instant};

/// What has not recovered within this will not.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Kills, waits for the recovery, and writes down how long it took.
///
/// # Errors
/// When there is no recovery.
pub(super) fn measure(striker: &Striker<'_>, victim: Victim) -> Result<bool, String> {
    match victim {
        Victim::Member(name) if name.starts_with("gateway") => gateway(striker, name),
        Victim::Member(name) => worker(striker, name),
        Victim::Engine(_) => store(striker, victim),
    }
    .map(|()| true)
}

/// Whether it became true in time.
pub(super) fn within(patience: Duration, mut look: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !look() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    true
}

fn gateway(striker: &Striker<'_>, name: &'static str) -> Result<(), String> {
    let mut member = striker.site.member(name);
    member.kill();
    let began = Instant::now();
    member.start(&[]);
    let http = Http::new();
    if !within(PATIENCE, || member.ready(&http)) {
        return Err("it is not ready again".to_owned());
    }
    striker.recovered("gateway, start to ready", began.elapsed());
    Ok(())
}

fn worker(striker: &Striker<'_>, name: &'static str) -> Result<(), String> {
    let site = striker.site;
    let mut member = site.member(name);
    member.kill();
    let since = sources::postgres(site, "SELECT clock_timestamp()")?;
    let began = Instant::now();
    member.start(&[]);
    if !within(PATIENCE, || commits(site, name, &since[0][0])) {
        return Err("it commits nothing".to_owned());
    }
    striker.recovered("worker, start to first commit", began.elapsed());
    member.kill();
    let left = |column: &str| {
        let sql = format!("SELECT {column} FROM shard WHERE owner = '{name}'");
        sources::number(site, &sql)
    };
    // Leases of a worker differ by the moment of their renewal: the last counts.
    let wait = "coalesce(ceil(extract(epoch FROM max(lease_until) - clock_timestamp()) * 1000), 0)::bigint";
    let wait = u64::try_from(left(wait)?).unwrap_or(0);
    let ends = Instant::now() + Duration::from_millis(wait);
    let taken = within(PATIENCE, || left("count(*)") == Ok(0));
    member.start(&[]);
    if !taken {
        return Err("its shards are not taken over".to_owned());
    }
    striker.recovered("worker, lease end to take-over", ends.elapsed());
    Ok(())
}

/// Whether a worker has committed something since, under a lease that it has now.
fn commits(site: &Site, name: &str, since: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM shard JOIN batch USING (signal, shard, epoch) \
          WHERE owner = '{name}' AND state <> 'PREPARED' AND committed_at > '{since}'"
    );
    sources::number(site, &sql).is_ok_and(|count| count > 0)
}

fn store(striker: &Striker<'_>, victim: Victim) -> Result<(), String> {
    let site = striker.site;
    striker.kill(victim);
    striker.revive(victim);
    let began = Instant::now();
    let waiting = sources::heads(site)?;
    let caught_up = || {
        let committed = sources::committed(site);
        committed.is_ok_and(|places| {
            places
                .iter()
                .zip(&waiting)
                .all(|(place, head)| place >= head)
        })
    };
    if !within(PATIENCE, caught_up) {
        return Err("what waited is not committed".to_owned());
    }
    striker.recovered(&format!("{victim}, return to caught up"), began.elapsed());
    Ok(())
}
