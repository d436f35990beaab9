//! A campaign: round after round of load and faults on one site, each followed by rest and by all
//! checks. Ends at the first violation, and keeps what leads to it again.

use super::agents::{Counters, Load};
use super::chance::Chance;
use super::checks;
use super::fault::{Kind, Lane, Points, script};
use super::journal::{Journal, Record};
use super::proxy::Rule;
use super::rest;
use super::settings::{self, Settings};
use super::site::{self, Site};
use super::strike::Striker;
use super::tally::Tally;
use super::watch::Watch;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where a run keeps its journals, scripts and counts.
#[must_use]
pub fn directory(seed: u64) -> PathBuf {
    millrace_devstack::place::state()
        .join("chaos")
        .join(format!("seed-{seed}"))
}

/// What the rounds of a run share.
struct Run<'r> {
    settings: &'r Settings,
    site: Site,
    counters: Counters,
    tally: Mutex<Tally>,
    watch: Watch,
    directory: PathBuf,
    /// Requests of earlier rounds that the store refuses, of each organisation: sent, acknowledged.
    poison: Vec<(u64, u64)>,
}

/// Runs a campaign to its end; what it has done and found.
///
/// # Panics
/// When the site does not come up or nothing can be written down.
#[must_use]
pub fn run(settings: &Settings) -> Tally {
    let directory = directory(settings.seed);
    // The same seed again: the old record is of another run.
    let _none = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory for the run");
    let site = Site::start("chaos", settings.kinds.contains(&Kind::Disk));
    site.rules_are_loaded();
    let tally = Tally {
        about: settings.about(),
        seeds: vec![settings.seed],
        ..Tally::default()
    };
    let run = Run {
        settings,
        watch: Watch::of(&site),
        site,
        counters: Counters::default(),
        tally: Mutex::new(tally),
        directory,
        poison: vec![(0, 0); site::ORGS],
    };
    run.rounds()
}

impl Run<'_> {
    fn rounds(mut self) -> Tally {
        let began = Instant::now();
        let mut plan = Plan::of(self.settings);
        let mut last = None;
        for number in 0..self.settings.rounds_max {
            let (kind, ordinal) = plan.next();
            if self.settings.only.is_some_and(|only| only != number) {
                continue;
            }
            if began.elapsed() >= self.settings.duration
                && self.tally_now().kills() >= self.settings.kills
            {
                break;
            }
            eprintln!("round {number}: {} ({:?})", kind.name(), began.elapsed());
            self.round(number, (kind, ordinal));
            last = Some(number);
            self.note(began);
            if !self.tally_now().violations.is_empty() {
                break;
            }
        }
        if let Some(last) = last {
            self.once_more(last);
        }
        self.note(began);
        self.tally.into_inner().expect("no panic inside")
    }

    fn tally_now(&self) -> Tally {
        self.tally.lock().expect("no panic inside").clone()
    }

    fn note(&mut self, began: Instant) {
        let tally = self.tally.get_mut().expect("no panic inside");
        tally.seconds = began.elapsed().as_secs();
        tally.about.insert("load".to_owned(), settings::load());
        tally
            .write(&self.directory.join("tally.json"))
            .expect("the tally is written");
    }

    fn path(&self, what: &str, round: u32) -> PathBuf {
        self.directory.join(format!("{what}-{round}.txt"))
    }

    fn round(&mut self, number: u32, (kind, ordinal): (Kind, u32)) {
        let seed = self.settings.seed;
        let mut chance = Chance::of(seed, &format!("round-{number}"));
        let points = Points {
            gateway: &self.settings.gateway_points,
            worker: &self.settings.worker_points,
        };
        let lanes = script(kind, &mut chance, (ordinal, points));
        let told = format!("seed {seed}, round {number}, {}\n{lanes:#?}\n", kind.name());
        std::fs::write(self.path("script", number), told).expect("the script is written");
        let journal = Journal::begin(self.path("journal", number)).expect("a journal");
        self.strike((number, &journal), &lanes);
        let resolved = self.watch.resolved();
        let mut violations = self.look(number, &journal);
        let tally = self.tally.get_mut().expect("no panic inside");
        Tally::add(&mut tally.rounds, kind.name(), 1);
        for (found, count) in resolved.into_iter().chain(self.watch.resolved()) {
            Tally::add(&mut tally.resolved, &found, count);
        }
        tally.violations.append(&mut violations);
        for violation in &tally.violations {
            eprintln!("VIOLATION {violation}");
        }
    }

    /// Load and faults at the same time; returns when everything lives again.
    fn strike(&self, (round, journal): (u32, &Journal), lanes: &[Lane]) {
        let load = Load {
            site: &self.site,
            counters: &self.counters,
            journal,
            round,
            rate: self.settings.rate,
            stop: AtomicBool::new(false),
            violations: Mutex::default(),
        };
        let striker = Striker {
            site: &self.site,
            tally: &self.tally,
        };
        std::thread::scope(|scope| {
            for number in 0..Load::AGENTS {
                let load = &load;
                scope.spawn(move || load.run(self.settings.seed, number));
            }
            std::thread::scope(|lives| {
                for lane in lanes {
                    let striker = &striker;
                    lives.spawn(move || striker.run(lane));
                }
            });
            for proxy in self.site.proxies() {
                proxy.set(Rule::Pass);
            }
            self.site.all_run();
            load.stop.store(true, Ordering::SeqCst);
        });
        let mut seen = load.violations.into_inner().expect("no panic inside");
        let mut tally = self.tally.lock().expect("no panic inside");
        tally.violations.append(&mut seen);
    }

    /// Waits for rest and checks; a request that its agent gave up may still arrive, so what is
    /// wrong must stay wrong.
    fn look(&mut self, number: u32, journal: &Journal) -> Vec<String> {
        /// Looks before something counts as wrong: the gateway's time for an append lies between
        /// the first and the last.
        const LOOKS: u32 = 10;
        let record = Record::read(journal.path()).expect("the journal");
        for (org, (sent, acknowledged)) in self.poison.iter_mut().enumerate() {
            let more = record.poison(org);
            (*sent, *acknowledged) = (*sent + more.0, *acknowledged + more.1);
        }
        let mut wrong = Vec::new();
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(std::time::Duration::from_secs(3));
            }
            wrong = match self.check(number, &record, look + 1 == LOOKS) {
                Ok(wrong) if wrong.is_empty() => break,
                Ok(wrong) => wrong,
                Err(error) => vec![error],
            };
        }
        wrong
    }

    fn check(&self, number: u32, record: &Record, last: bool) -> Result<Vec<String>, String> {
        rest::reach(&self.site)?;
        let mut findings = checks::round(&self.site, number, record)?;
        findings
            .violations
            .extend(checks::books(&self.site, &self.poison)?);
        if findings.violations.is_empty() || last {
            checks::age_alerts(&self.site)?;
            let (sent, acknowledged) = record.events();
            let mut tally = self.tally.lock().expect("no panic inside");
            let counts = [
                ("requests sent", record.sent.len() as u64),
                ("sent", sent),
                ("acknowledged", acknowledged),
                ("stored", findings.stored),
                ("alerts", findings.alerts),
                (
                    "dead letters",
                    (0..site::ORGS).map(|org| record.poison(org).1).sum(),
                ),
            ];
            for (name, count) in counts {
                Tally::add(&mut tally.events, name, count);
            }
            eprintln!("  {counts:?}");
        }
        Ok(findings.violations)
    }

    /// At the end all rounds are compared again: what came late, or was touched later.
    fn once_more(&mut self, last: u32) {
        let mut violations = Vec::new();
        let mut stored = 0;
        for number in 0..=last {
            let Ok(record) = Record::read(&self.path("journal", number)) else {
                continue;
            };
            match checks::round(&self.site, number, &record) {
                Ok(findings) => {
                    stored += findings.stored;
                    violations.extend(findings.violations);
                }
                Err(error) => violations.push(error),
            }
        }
        eprintln!(
            "at the end: {stored} events stored, {} violations",
            violations.len()
        );
        let tally = self.tally.get_mut().expect("no panic inside");
        for violation in violations {
            if !tally.violations.contains(&violation) {
                tally.violations.push(format!("at the end: {violation}"));
            }
        }
        if !tally.violations.is_empty() {
            let path = self.directory.join("violations.txt");
            std::fs::write(path, tally.violations.join("\n")).expect("the violations are written");
        }
    }
}

/// The kinds of the rounds: all that were chosen, in an order of chance, again and again.
struct Plan {
    kinds: Vec<Kind>,
    left: Vec<Kind>,
    chance: Chance,
    points: u32,
}

impl Plan {
    fn of(settings: &Settings) -> Plan {
        Plan {
            kinds: settings.kinds.clone(),
            left: Vec::new(),
            chance: Chance::of(settings.seed, "plan"),
            points: 0,
        }
    }

    /// The next kind, and the how manieth round of fail points it would be.
    fn next(&mut self) -> (Kind, u32) {
        if self.left.is_empty() {
            self.left = self.kinds.clone();
        }
        let at = self.chance.below(self.left.len() as u64);
        let kind = self.left.swap_remove(usize::try_from(at).unwrap_or(0));
        let ordinal = self.points;
        self.points += u32::from(kind == Kind::Points);
        (kind, ordinal)
    }
}
