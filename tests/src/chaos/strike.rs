//! Faults as they strike. Everything that is ended here is started again, and every proxy set back,
//! whatever else happens at the same time.

use super::damage;
use super::disk;
use super::fault::{Fault, Lane, Link, Victim};
use super::proxy::{Proxy, Rule};
use super::recovery;
use super::site::{POISON_OFTEN, POISON_RARELY, Site};
use super::sources;
use super::tally::Tally;
use crate::installation::Part;
use millrace_devstack::Engine;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A fail point that is not reached within this is not on the way of this load.
const POINT_PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked whether something has happened.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Long enough for an answer to be lost.
pub(super) const LOSING: Duration = Duration::from_millis(1200);
/// From the order to rewrite the append-only file to the kill.
const REWRITING: Duration = Duration::from_millis(15);

/// Who strikes, and where it is written down.
pub struct Striker<'s> {
    /// Whom.
    pub site: &'s Site,
    /// What was done.
    pub tally: &'s Mutex<Tally>,
}

impl Striker<'_> {
    /// Lets the faults of a lane strike, one after another.
    pub fn run(&self, lane: &Lane) {
        for (after, fault) in &lane.faults {
            // Time is what chance decides here: there is no condition to await.
            std::thread::sleep(*after);
            match self.strike(fault) {
                Ok(true) => self.count(&fault.label(), 1),
                Ok(false) => self.count(&format!("{} (not reached)", fault.label()), 1),
                Err(violation) => self.violation(format!("{fault:?}: {violation}")),
            }
        }
    }

    pub(super) fn count(&self, label: &str, times: u64) {
        let mut tally = self.tally.lock().expect("no panic inside");
        Tally::add(&mut tally.faults, label, times);
    }

    fn violation(&self, what: String) {
        self.tally
            .lock()
            .expect("no panic inside")
            .violations
            .push(what);
    }

    pub(super) fn recovered(&self, what: &str, took: Duration) {
        let mut tally = self.tally.lock().expect("no panic inside");
        let times = tally.recoveries.entry(what.to_owned()).or_default();
        times.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    /// Whether it struck; an error is something that must not be.
    fn strike(&self, fault: &Fault) -> Result<bool, String> {
        match *fault {
            Fault::Kill(victim, down) => {
                self.kill(victim);
                std::thread::sleep(down);
                self.revive(victim);
            }
            Fault::Replace(name) => self.replace(name),
            Fault::Measure(victim) => return recovery::measure(self, victim),
            Fault::Point(name, point, nth) => return self.point(name, (point, nth)),
            Fault::Pause(victim, time) => self.pause(victim, time),
            Fault::Link(link, rule, time) => self.link(link, rule, time),
            Fault::Restart(engine) => return self.restart(engine).map(|()| true),
            Fault::Roll => return self.roll().map(|()| true),
            Fault::Rewrite => {
                let _told: Result<String, _> = sources::redis(self.site, &["BGREWRITEAOF"]);
                std::thread::sleep(REWRITING);
                self.kill(Victim::Engine(Engine::Redis));
                self.revive(Victim::Engine(Engine::Redis));
            }
            Fault::Disk(time) => return disk::fill(self, time),
            Fault::Damage(seed, point) => return damage::drill(self, seed, point),
        }
        Ok(true)
    }

    pub(super) fn kill(&self, victim: Victim) {
        match victim {
            Victim::Member(name) => self.site.member(name).kill(),
            Victim::Engine(engine) => {
                // What cannot be killed is down already.
                let _down = self.site.stack().kill(engine);
            }
        }
    }

    pub(super) fn revive(&self, victim: Victim) {
        match victim {
            Victim::Member(name) => self.site.member(name).start(&[]),
            Victim::Engine(engine) => self.site.resume(engine),
        }
    }

    /// A stranger's name is used once; at the next start the worker has its own again.
    fn replace(&self, name: &'static str) {
        let mut member = self.site.member(name);
        member.kill();
        let stranger = format!("stranger-{}", uuid::Uuid::new_v4().simple());
        member.start(&[("MILLRACE_WORKER_NAME", stranger)]);
    }

    fn point(&self, name: &'static str, (point, nth): (&str, u32)) -> Result<bool, String> {
        // Answers are lost first where a point is come by only after that.
        match point {
            "recovering" | "resolving" => {
                self.link(
                    Link::Store(name, Engine::Clickhouse),
                    Rule::LoseAnswer("INSERT"),
                    LOSING,
                );
            }
            "bisecting" | "bisected" => self.site.poison.store(POISON_OFTEN, Ordering::SeqCst),
            "recalled" => self.lose_answers_of_gateways(),
            _ => {}
        }
        let mut member = self.site.member(name);
        member.kill();
        member.start(&[("MILLRACE_FAIL_POINT", format!("{point}:{nth}"))]);
        let end = Instant::now() + POINT_PATIENCE;
        let mut reached = member.aborted();
        while reached == Ok(false) && Instant::now() < end {
            std::thread::sleep(LOOK_AGAIN);
            reached = member.aborted();
        }
        self.site.poison.store(POISON_RARELY, Ordering::SeqCst);
        member.kill();
        member.start(&[]);
        reached
    }

    fn lose_answers_of_gateways(&self) {
        std::thread::scope(|scope| {
            for name in ["gateway-1", "gateway-2"] {
                scope.spawn(move || self.link(Link::Front(name), Rule::LoseAnswer("POST"), LOSING));
            }
        });
    }

    fn pause(&self, victim: Victim, time: Duration) {
        match victim {
            Victim::Member(name) => {
                // Held, so that nobody starts or kills what is stopped.
                let mut member = self.site.member(name);
                member.start(&[]);
                member.signal("STOP");
                std::thread::sleep(time);
                member.signal("CONT");
            }
            Victim::Engine(engine) => {
                let Some(id) = self.site.stack().pid(engine) else {
                    return;
                };
                signal(id, "STOP");
                std::thread::sleep(time);
                signal(id, "CONT");
            }
        }
    }

    fn proxy(&self, link: Link) -> Option<&Proxy> {
        match link {
            Link::Front(name) => self.site.around(name).front.as_ref(),
            Link::Store(name, engine) => self.site.around(name).to(engine),
        }
    }

    fn link(&self, link: Link, rule: Rule, time: Duration) {
        if let Some(proxy) = self.proxy(link) {
            proxy.set(rule);
            std::thread::sleep(time);
            proxy.set(Rule::Pass);
            // Half of what was slow would stay so: what is in the proxy is lost with the rule.
            proxy.cut();
        }
    }

    fn restart(&self, engine: Engine) -> Result<(), String> {
        let stack = self.site.stack();
        stack.halt(engine).map_err(|error| error.to_string())?;
        self.site.resume(engine);
        Ok(())
    }

    /// Each is ended in good order and ready again before the next.
    fn roll(&self) -> Result<(), String> {
        let http = crate::Http::new();
        for name in Site::NAMES {
            let mut member = self.site.member(name);
            if member.part == Part::Query {
                continue;
            }
            let wrong = member.terminate();
            member.start(&[]);
            let ready = recovery::within(recovery::PATIENCE, || member.ready(&http));
            drop(member);
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            if !ready {
                return Err(format!("{name} is not ready again"));
            }
        }
        Ok(())
    }
}

fn signal(id: i32, name: &str) {
    let mut command = std::process::Command::new("kill");
    command.args(["-s", name, &id.to_string()]);
    // It may have ended.
    let _ended = command.stderr(std::process::Stdio::null()).status();
}
