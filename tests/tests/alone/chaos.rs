//! A short campaign of the fault laboratory: `kill -9` of everything at random moments, the fail
//! points of gateways and workers, damaged rows, a rolling restart. Nothing acknowledged is lost,
//! nothing is doubled, the books balance.
//!
//! The seed is printed; `MILLRACE_TEST_SEED` repeats a run's choices (the machine's part of chance
//! remains).

use millrace_tests::chaos::agents::{Counters, Load};
use millrace_tests::chaos::journal::{Journal, Record};
use millrace_tests::chaos::site::Site;
use millrace_tests::chaos::{self, Kind, Settings, checks, rest, sources};
use millrace_tests::{process, within};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Random kills of a short campaign at least.
const KILLS: u64 = 20;
/// Rounds of fail points that come by all of them.
const SWEEP: usize = 2;

fn seed() -> u64 {
    let given = std::env::var_os("MILLRACE_TEST_SEED").and_then(|seed| seed.into_string().ok());
    let seed = given.and_then(|seed| seed.parse().ok());
    let seed =
        seed.unwrap_or_else(|| u64::from_be_bytes(millrace_shared::secret::random().unwrap()));
    eprintln!("MILLRACE_TEST_SEED={seed}");
    seed
}

#[test]
fn a_short_campaign_loses_nothing_and_doubles_nothing() {
    let _alone = crate::alone();
    let mut settings = Settings::new(seed());
    settings.kinds = vec![Kind::Kills, Kind::Damage, Kind::Rolling];
    settings.kinds.extend([Kind::Points; SWEEP]);
    settings.rounds_max = u32::try_from(settings.kinds.len()).unwrap();
    settings.duration = Duration::MAX;
    let tally = chaos::run(&settings);
    println!("{}", chaos::report::section(&tally));
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(tally.kills() >= KILLS, "{:?}", tally.faults);
    assert_eq!(
        tally.faults.get("rolling restart"),
        Some(&2),
        "{:?}",
        tally.faults
    );
    // A load that proves something.
    assert!(tally.events["acknowledged"] > 2_000, "{:?}", tally.events);
    assert!(tally.events["alerts"] > 0, "{:?}", tally.events);
    // Those that every batch comes by.
    for point in [
        "worker prepared",
        "worker posted",
        "worker written",
        "worker committing",
        "gateway appended",
    ] {
        let struck = tally.faults.get(&format!("point {point}"));
        assert!(struck.is_some(), "{point}: {:?}", tally.faults);
    }
    for found in ["all", "none", "some", "more"] {
        let times = tally.resolved.get(found).copied().unwrap_or(0);
        assert!(times > 0, "{found}: {:?}", tally.resolved);
    }
}

/// Load without faults, until there is something of everything.
fn calm_load(site: &Site, journal: &Journal) {
    let counters = Counters::default();
    let load = Load {
        site,
        counters: &counters,
        journal,
        round: 0,
        rate: 2_000,
        stop: AtomicBool::new(false),
        violations: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for number in 0..Load::AGENTS {
            let load = &load;
            scope.spawn(move || load.run(1, number));
        }
        within(
            Duration::from_secs(120),
            "an attack and some of each signal",
            || {
                let record = Record::read(journal.path()).map_err(|error| error.to_string())?;
                let acknowledged = record
                    .sent
                    .iter()
                    .filter(|r| record.acknowledged.contains(&r.id));
                let mut seen: Vec<String> = acknowledged
                    .map(|r| format!("{} {}", r.signal, r.attack > 0))
                    .collect();
                seen.sort();
                seen.dedup();
                if seen.len() > 5 && record.sent.len() > 40 {
                    Ok(())
                } else {
                    Err(format!("{seen:?}"))
                }
            },
        );
        load.stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(load.violations.into_inner().unwrap(), Vec::<String>::new());
}

#[test]
fn the_laboratory_sees_what_is_wrong() {
    let _alone = crate::alone();
    let site = Site::start("chaos-wrong", false);
    site.rules_are_loaded();
    let path = process::logs().join("wrong-journal.txt");
    let journal = Journal::begin(path).unwrap();
    calm_load(&site, &journal);
    rest::reach(&site).unwrap();
    let record = Record::read(journal.path()).unwrap();
    let look = || checks::round(&site, 0, &record).unwrap().violations;
    let poison: Vec<_> = (0..site.orgs.len()).map(|org| record.poison(org)).collect();
    let balance = || checks::books(&site, &poison).unwrap();
    assert_eq!((look(), balance()), (Vec::new(), Vec::new()));
    let sees = |what: &str| {
        let found = look();
        assert!(
            found.iter().any(|violation| violation.contains(what)),
            "{what}: {found:?}"
        );
    };
    let clickhouse = |sql: &str| sources::clickhouse(&site, sql).unwrap();
    let postgres = |sql: &str| sources::postgres(&site, sql).unwrap();
    // Behind everybody's back, after the audit: nobody repairs it.
    let victim =
        clickhouse("SELECT EventId FROM millrace.logs WHERE ServiceName = 'chaos-0' LIMIT 1");
    let victim = victim.trim();
    clickhouse(&format!(
        "INSERT INTO millrace.logs SELECT * FROM millrace.logs WHERE EventId = '{victim}' SETTINGS insert_deduplicate = 0"
    ));
    sees("1 events stored more than once");
    assert!(
        balance().iter().any(|violation| violation.contains("logs")),
        "the books too"
    );
    clickhouse(&format!(
        "ALTER TABLE millrace.logs DELETE WHERE EventId = '{victim}' SETTINGS mutations_sync = 2"
    ));
    sees("1 events acknowledged and not stored");
    clickhouse(
        "ALTER TABLE millrace.rum_events UPDATE PageUrl = 'x' WHERE ServiceName = 'chaos-0' SETTINGS mutations_sync = 2",
    );
    sees("stored with other contents");
    postgres("UPDATE metric_samples SET value = 4000000000");
    sees("stored and never sent");
    postgres("UPDATE alert SET count = count + 1");
    sees("alerts");
    postgres(
        "INSERT INTO alert (id, org_id, rule_id, rule_version, severity, severity_rank, title, message, alert_type, dedupe_hash, first_seen, last_seen, signal) \
              SELECT gen_random_uuid(), org_id, 'IOC_MATCH', 1, severity, severity_rank, title, message, alert_type, dedupe_hash, first_seen, last_seen, signal FROM alert LIMIT 1",
    );
    sees("an alert nobody gave cause to");
}
