//! The faults, and the script of a round: which fault strikes whom and when. A script follows from
//! the seed, the kind and the number of its round alone.

use super::chance::Chance;
use super::proxy::Rule;
use super::site::{INSERT_TIMEOUT, LEASE};
use millrace_devstack::Engine;
use std::fmt;
use std::time::Duration;

/// What can be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// A gateway or a worker, by its name.
    Member(&'static str),
    /// An engine.
    Engine(Engine),
}

/// A connection between two parts of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// From the agents to a gateway.
    Front(&'static str),
    /// From a member to an engine.
    Store(&'static str, Engine),
}

/// A fault, with everything that there is to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and started again after a while.
    Kill(Victim, Duration),
    /// `kill -9` of a worker, whose place a stranger of another name takes: he has to wait for the
    /// leases to end.
    Replace(&'static str),
    /// `kill -9`, and the time until it works again is measured; for a worker until another has
    /// its shards.
    Measure(Victim),
    /// Started so that it kills itself when it comes by a fail point for the n-th time.
    Point(&'static str, &'static str, u32),
    /// Stopped (SIGSTOP) and let go on (SIGCONT) after a while.
    Pause(Victim, Duration),
    /// A connection misbehaves for a while.
    Link(Link, Rule, Duration),
    /// An engine is ended in good order and started again.
    Restart(Engine),
    /// Gateways and workers are ended in good order and started again, one after another.
    Roll,
    /// Redis rewrites its append-only file and is killed in the middle of it.
    Rewrite,
    /// The disk of Redis is full for a while.
    Disk(Duration),
    /// All workers are killed with rows of theirs in doubt; before they come back the rows are
    /// damaged behind the system's back, as the number says. Some come back with a fail point.
    Damage(u64, Option<&'static str>),
}

impl Fault {
    /// The name under which faults of a kind are counted.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Fault::Kill(victim, _) | Fault::Measure(victim) => format!("kill {victim}"),
            Fault::Replace(_) => "kill worker".to_owned(),
            Fault::Point(name, point, _) => format!("point {} {point}", kind(name)),
            Fault::Pause(victim, _) => format!("pause {victim}"),
            Fault::Link(link, rule, _) => format!("link {link} {}", word(rule)),
            Fault::Restart(engine) => format!("restart {engine}"),
            Fault::Roll => "rolling restart".to_owned(),
            Fault::Rewrite => "kill redis".to_owned(),
            Fault::Disk(_) => "disk full redis".to_owned(),
            Fault::Damage(..) => "damage".to_owned(),
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Member(name) => f.write_str(kind(name)),
            Victim::Engine(engine) => write!(f, "{engine}"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Front(name) => write!(f, "agent-{}", kind(name)),
            Link::Store(name, engine) => write!(f, "{}-{engine}", kind(name)),
        }
    }
}

/// `worker` of `worker-1`.
fn kind(name: &str) -> &str {
    name.split_once('-').map_or(name, |(kind, _)| kind)
}

fn word(rule: &Rule) -> &'static str {
    match rule {
        Rule::Pass => "pass",
        Rule::Refuse => "refuse",
        Rule::LoseAnswer(_) => "lose answer",
        Rule::ResetAfter(_) => "reset",
        Rule::Delay(_) => "delay",
        Rule::Throttle(_) => "throttle",
    }
}

/// Faults that strike one after another; `after` is the pause before each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// The faults.
    pub faults: Vec<(Duration, Fault)>,
}

/// What kind of faults a round is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every process and engine is killed at moments of its own.
    Kills,
    /// One thing at a time is killed, and the recovery is measured.
    Single,
    /// Fail points of gateways and workers.
    Points,
    /// Processes and engines are stopped and go on: past the lease, past the insert time-out.
    Pauses,
    /// Connections misbehave.
    Links,
    /// Answers are lost after a commit, an insert, an append.
    Answers,
    /// Engines are restarted in good order.
    Restarts,
    /// Two things are killed at the same moment.
    Pairs,
    /// Everything is killed at the same moment, and connections misbehave.
    Everything,
    /// Gateways and workers are restarted one after another.
    Rolling,
    /// Rows are damaged between a worker's end and its return.
    Damage,
    /// The disk of Redis runs full.
    Disk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Kills,
        Kind::Single,
        Kind::Points,
        Kind::Pauses,
        Kind::Links,
        Kind::Answers,
        Kind::Restarts,
        Kind::Pairs,
        Kind::Everything,
        Kind::Rolling,
        Kind::Damage,
        Kind::Disk,
    ];

    /// Its name in a selection.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Kills => "kills",
            Kind::Single => "single",
            Kind::Points => "points",
            Kind::Pauses => "pauses",
            Kind::Links => "links",
            Kind::Answers => "answers",
            Kind::Restarts => "restarts",
            Kind::Pairs => "pairs",
            Kind::Everything => "everything",
            Kind::Rolling => "rolling",
            Kind::Damage => "damage",
            Kind::Disk => "disk",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Gateways and workers.
const MEMBERS: [&str; 4] = ["gateway-1", "gateway-2", "worker-1", "worker-2"];
const WORKERS: [&str; 2] = ["worker-1", "worker-2"];

/// Points that a worker comes by only when rows are damaged: drilled together with the damage.
pub const DAMAGED: [&str; 2] = ["deleting", "deleted"];
/// A point that a worker comes by only when entries are lost from the streams, which breaks what
/// the laboratory checks. The worker's own tests prove it.
pub const LOST: &str = "giving_up";

/// What a gateway may die at; what a worker may. Names of fail points.
#[derive(Clone, Copy, Debug)]
pub struct Points<'p> {
    /// Of gateways.
    pub gateway: &'p [&'static str],
    /// Of workers.
    pub worker: &'p [&'static str],
}

/// The script of a round.
#[must_use]
pub fn script(kind: Kind, chance: &mut Chance, (number, points): (u32, Points<'_>)) -> Vec<Lane> {
    match kind {
        Kind::Kills => kills(chance),
        Kind::Single => single(chance),
        Kind::Points => fail_points(chance, (number, points)),
        Kind::Pauses => pauses(chance),
        Kind::Links => links(chance),
        Kind::Answers => answers(chance),
        Kind::Restarts => {
            let faults = Engine::ALL.map(|engine| (moment(chance), Fault::Restart(engine)));
            vec![Lane {
                faults: faults.into(),
            }]
        }
        Kind::Pairs => pairs(chance),
        Kind::Everything => everything(chance),
        Kind::Rolling => vec![Lane {
            faults: vec![(moment(chance), Fault::Roll), (moment(chance), Fault::Roll)],
        }],
        Kind::Damage => vec![Lane {
            faults: [Some(DAMAGED[0]), None, Some(DAMAGED[1])]
                .map(|point| (moment(chance), Fault::Damage(chance.below(u64::MAX), point)))
                .into(),
        }],
        Kind::Disk => {
            let full = Duration::from_millis(chance.between(500, 3000));
            vec![Lane {
                faults: vec![(moment(chance), Fault::Disk(full))],
            }]
        }
    }
}

/// A moment in the middle of the work.
fn moment(chance: &mut Chance) -> Duration {
    Duration::from_millis(chance.between(50, 2000))
}

fn down(chance: &mut Chance) -> Duration {
    // Mostly at once; now and then long enough that the others notice.
    let most = if chance.one_in(4) { 2500 } else { 150 };
    Duration::from_millis(chance.below(most))
}

fn kills(chance: &mut Chance) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for name in MEMBERS {
        let mut lane = Lane::default();
        for _ in 0..10 {
            let fault = if WORKERS.contains(&name) && chance.one_in(6) {
                Fault::Replace(name)
            } else {
                Fault::Kill(Victim::Member(name), down(chance))
            };
            lane.faults.push((moment(chance), fault));
        }
        lanes.push(lane);
    }
    let mut engines = Lane::default();
    for _ in 0..6 {
        let engine = chance.pick(&Engine::ALL);
        let fault = match engine {
            Engine::Redis if chance.one_in(3) => Fault::Rewrite,
            Engine::Redis | Engine::Clickhouse | Engine::Postgres => {
                Fault::Kill(Victim::Engine(engine), down(chance))
            }
        };
        engines.faults.push((moment(chance), fault));
    }
    lanes.push(engines);
    lanes
}

fn single(chance: &mut Chance) -> Vec<Lane> {
    let members = MEMBERS.map(Victim::Member);
    let engines = Engine::ALL.map(Victim::Engine);
    let mut victims = [members.as_slice(), &engines].concat();
    let mut lane = Lane::default();
    while !victims.is_empty() {
        let at = usize::try_from(chance.below(victims.len() as u64)).unwrap_or(0);
        lane.faults
            .push((moment(chance), Fault::Measure(victims.swap_remove(at))));
    }
    vec![lane]
}

/// Points that are not come by all the time.
const RARE: [&str; 6] = [
    "taken",
    "recovering",
    "resolving",
    "bisecting",
    "bisected",
    "recalled",
];

/// The points in turn, so that all are reached as often as each other; both gateways and both
/// workers at once.
fn fail_points(chance: &mut Chance, (number, points): (u32, Points<'_>)) -> Vec<Lane> {
    /// Points of a lane in one round.
    const AT_ONCE: usize = 6;
    let mut lanes = Vec::new();
    for (place, name) in MEMBERS.into_iter().enumerate() {
        let points = if WORKERS.contains(&name) {
            points.worker
        } else {
            points.gateway
        };
        let elsewhere = |point: &&str| *point == LOST || DAMAGED.contains(point);
        let points: Vec<&'static str> = points
            .iter()
            .copied()
            .filter(|point| !elsewhere(point))
            .collect();
        let first = (number as usize * 2 + place % 2) * AT_ONCE;
        let mut lane = Lane::default();
        for at in first..first + AT_ONCE {
            let Some(point) = points.get(at % points.len().max(1)) else {
                continue;
            };
            // The rare ones at once.
            let most = if RARE.contains(point) { 2 } else { 4 };
            let nth = u32::try_from(chance.between(1, most)).unwrap_or(1);
            lane.faults
                .push((moment(chance) / 4, Fault::Point(name, point, nth)));
        }
        lanes.push(lane);
    }
    lanes
}

fn pauses(chance: &mut Chance) -> Vec<Lane> {
    let mut lane = |victims: &[Victim], least: Duration| {
        let faults = (0..2).map(|_| {
            let more = Duration::from_millis(chance.below(3000));
            (
                moment(chance),
                Fault::Pause(chance.pick(victims), least + more),
            )
        });
        Lane {
            faults: faults.collect(),
        }
    };
    let workers = WORKERS.map(Victim::Member);
    let gateways = [Victim::Member("gateway-1"), Victim::Member("gateway-2")];
    vec![
        lane(&workers, LEASE),
        lane(&gateways, Duration::from_secs(1)),
        lane(&[Victim::Engine(Engine::Clickhouse)], INSERT_TIMEOUT),
        lane(&[Victim::Engine(Engine::Redis)], Duration::from_secs(1)),
    ]
}

/// Every connection there is.
fn all_links() -> Vec<Link> {
    let mut links = Vec::new();
    for name in MEMBERS {
        if !WORKERS.contains(&name) {
            links.push(Link::Front(name));
        }
        for engine in Engine::ALL {
            if WORKERS.contains(&name) || engine != Engine::Clickhouse {
                links.push(Link::Store(name, engine));
            }
        }
    }
    links
}

fn links(chance: &mut Chance) -> Vec<Lane> {
    let all = all_links();
    let lane = |chance: &mut Chance| {
        let faults = (0..6).map(|_| {
            let rule = match chance.below(5) {
                0 => Rule::Refuse,
                1 => Rule::LoseAnswer(""),
                2 => Rule::ResetAfter(chance.below(20_000)),
                3 => Rule::Delay(Duration::from_millis(chance.below(1500))),
                _ => Rule::Throttle(chance.between(2_000, 60_000)),
            };
            let time = Duration::from_millis(chance.between(200, 2500));
            (
                moment(chance) / 4,
                Fault::Link(chance.pick(&all), rule, time),
            )
        });
        Lane {
            faults: faults.collect(),
        }
    };
    (0..3).map(|_| lane(chance)).collect()
}

fn answers(chance: &mut Chance) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for name in MEMBERS {
        let mut lane = Lane::default();
        for _ in 0..5 {
            let (link, after) = match (WORKERS.contains(&name), chance.below(3)) {
                (false, 0) => (Link::Front(name), "POST"),
                (false, _) => (Link::Store(name, Engine::Redis), "EVALSHA"),
                (true, 0) => (Link::Store(name, Engine::Clickhouse), "INSERT"),
                (true, 1) => (Link::Store(name, Engine::Clickhouse), "SELECT"),
                (true, _) => (Link::Store(name, Engine::Postgres), "COMMIT"),
            };
            let time = Duration::from_millis(chance.between(300, 2500));
            lane.faults.push((
                moment(chance) / 2,
                Fault::Link(link, Rule::LoseAnswer(after), time),
            ));
        }
        lanes.push(lane);
    }
    // Slow past the time-out of an insert, which is then in doubt and may still be written.
    let worker = chance.pick(&WORKERS);
    let (late, time) = (
        INSERT_TIMEOUT + Duration::from_secs(1),
        Duration::from_secs(6),
    );
    let slow = Fault::Link(
        Link::Store(worker, Engine::Clickhouse),
        Rule::Delay(late),
        time,
    );
    lanes.push(Lane {
        faults: vec![(moment(chance), slow)],
    });
    lanes
}

fn pairs(chance: &mut Chance) -> Vec<Lane> {
    let members = MEMBERS.map(Victim::Member);
    let engines = Engine::ALL.map(Victim::Engine);
    let victims = [members.as_slice(), &engines].concat();
    let (mut left, mut right) = (Lane::default(), Lane::default());
    for _ in 0..5 {
        let first = chance.pick(&victims);
        let others: Vec<Victim> = victims
            .iter()
            .copied()
            .filter(|other| *other != first)
            .collect();
        let second = chance.pick(&others);
        let after = moment(chance) + Duration::from_secs(1);
        left.faults.push((after, Fault::Kill(first, down(chance))));
        right
            .faults
            .push((after, Fault::Kill(second, down(chance))));
    }
    vec![left, right]
}

fn everything(chance: &mut Chance) -> Vec<Lane> {
    let mut lanes = links(chance);
    let after = [moment(chance), moment(chance) + Duration::from_secs(3)];
    let members = MEMBERS.map(Victim::Member);
    let engines = Engine::ALL.map(Victim::Engine);
    for victim in [members.as_slice(), &engines].concat() {
        let faults = after.map(|after| (after, Fault::Kill(victim, down(chance))));
        lanes.push(Lane {
            faults: faults.into(),
        });
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: Points<'static> = Points {
        gateway: &["a", "b"],
        worker: &["c", "d", "e"],
    };

    #[test]
    fn a_script_follows_from_the_seed() {
        for kind in Kind::ALL {
            let write = |seed| script(kind, &mut Chance::of(seed, "round-1"), (1, POINTS));
            assert_eq!(write(1), write(1), "{kind:?}");
            assert_eq!(Kind::named(kind.name()), Some(kind));
            assert!(!write(1).is_empty());
        }
    }

    #[test]
    fn rounds_go_through_all_fail_points() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..3 {
            for lane in fail_points(&mut Chance::of(1, "points"), (number, POINTS)) {
                seen.extend(lane.faults.iter().map(|(_, fault)| fault.label()));
            }
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
    }
}
