//! The lane against a worker that is simulated: it takes entries in order, so many bytes a turn.

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
const TURN_MS: u64 = 500;
const BATCH: u64 = 100_000;
/// Bytes that the worker takes in a turn.
const PACE: u64 = 10 * BATCH;

impl Lane {
    /// What the gateway does for each request.
    fn ask(&mut self, org: OrgId, weight: u32, bytes: u64) -> Result<(), Duration> {
        self.is_open(org, bytes)?;
        self.admit(org, weight, bytes);
        Ok(())
    }
}

/// A shard of a stream with its worker.
struct World {
    lane: Lane,
    now_ms: u64,
    seq: u64,
    stream: VecDeque<(StreamId, u64)>,
    cursor: StreamId,
}

/// What became of an organisation's requests.
#[derive(Debug, Default)]
struct Seen {
    admitted: u64,
    refused: u64,
}

impl World {
    fn new() -> World {
        World {
            lane: Lane::default(),
            now_ms: 1_000_000,
            seq: 0,
            stream: VecDeque::new(),
            cursor: StreamId::ZERO,
        }
    }

    fn send(&mut self, org: OrgId, batches: u64, seen: &mut Seen) {
        for _ in 0..batches {
            if self.lane.ask(org, 1, BATCH).is_err() {
                seen.refused += 1;
                continue;
            }
            seen.admitted += 1;
            self.seq += 1;
            let id = StreamId {
                ms: self.now_ms,
                seq: self.seq,
            };
            let size = Size {
                wire: BATCH,
                held: BATCH / 4,
            };
            self.lane.appended(0, id, org, size);
            self.stream.push_back((id, BATCH));
        }
    }

    /// Half a second, in which the worker takes so many bytes.
    fn turn(&mut self, mut bytes: u64) {
        self.now_ms += TURN_MS;
        while bytes > 0 {
            let Some((id, size)) = self.stream.pop_front() else {
                break;
            };
            self.cursor = id;
            bytes = bytes.saturating_sub(size);
        }
        let shard = ShardId {
            signal: millrace_shared::Signal::Logs,
            shard: 0,
        };
        self.lane
            .turn(&[(shard, self.cursor)], self.now_ms, Some(PATIENCE));
    }

    fn oldest(&self) -> Duration {
        let oldest = self.stream.front().map_or(self.now_ms, |(id, _)| id.ms);
        Duration::from_millis(self.now_ms - oldest)
    }
}

fn org(number: u128) -> OrgId {
    OrgId::from_u128(number)
}

#[test]
fn nobody_is_held_back_while_the_workers_keep_up() {
    let (mut world, mut seen) = (World::new(), Seen::default());
    for turn in 0..400u64 {
        // Now and then four times as much as the worker takes, for a second.
        let burst = if turn % 40 < 2 { 4 } else { 0 };
        world.send(org(1), 10 * burst + 5, &mut seen);
        world.turn(PACE);
    }
    assert_eq!(seen.refused, 0);
}

#[test]
fn an_overload_waits_no_longer_than_it_may_and_the_workers_are_never_idle() {
    for times in [2, 5, 20] {
        let (mut world, mut seen) = (World::new(), Seen::default());
        let mut longest = Duration::ZERO;
        for turn in 0..600u64 {
            world.send(org(1), 10 * times, &mut seen);
            assert!(turn < 4 || world.stream.len() >= 10, "idle in turn {turn}");
            world.turn(PACE);
            if turn > 200 {
                longest = longest.max(world.oldest());
            }
        }
        // What came before the overload could be told is half the patience, so many times.
        let bound = PATIENCE * u32::try_from(times).unwrap().max(4);
        assert!(longest < bound, "{times}: {longest:?}");
        assert!(
            seen.refused > 600 * 10 * (times - 1) / 2,
            "{times}: {seen:?}"
        );
        assert!(seen.admitted >= 600 * 10 * 9 / 10, "{times}: {seen:?}");
    }
}

#[test]
fn a_modest_organisation_is_never_refused_because_of_a_greedy_one() {
    let (mut world, mut greedy, mut modest) = (World::new(), Seen::default(), Seen::default());
    for _ in 0..600 {
        world.send(org(1), 100, &mut greedy);
        world.send(org(2), 2, &mut modest);
        world.turn(PACE);
    }
    assert!(greedy.refused > 30_000, "{greedy:?}");
    assert_eq!(modest.refused, 0, "{modest:?}");
}

#[test]
fn weights_decide_what_each_gets_of_a_pace_that_is_too_small_for_all() {
    let (mut world, mut seen) = (World::new(), [0u64; 2]);
    for turn in 0..600 {
        for (at, weight) in [1u32, 3].into_iter().enumerate() {
            for _ in 0..40 {
                let org = org(at as u128 + 1);
                let admitted = world.lane.ask(org, weight, BATCH).is_ok();
                if admitted {
                    world.seq += 1;
                    let id = StreamId {
                        ms: world.now_ms,
                        seq: world.seq,
                    };
                    let size = Size {
                        wire: BATCH,
                        held: BATCH,
                    };
                    world.lane.appended(0, id, org, size);
                    world.stream.push_back((id, BATCH));
                    if world.lane.is_paced() && turn > 100 {
                        seen[at] += 1;
                    }
                }
            }
        }
        world.turn(PACE);
    }
    let ratio = float(seen[1]) / float(seen[0]);
    assert!((2.7..3.3).contains(&ratio), "{seen:?}");
}

#[test]
fn an_outage_may_fill_the_streams_and_what_comes_after_it_is_taken_at_once() {
    let (mut world, mut seen) = (World::new(), Seen::default());
    for _ in 0..20 {
        world.send(org(1), 1, &mut seen);
        world.turn(PACE);
    }
    for _ in 0..1_800 {
        world.send(org(1), 1, &mut seen);
        world.turn(0);
    }
    assert!(world.oldest() >= Duration::from_secs(890));
    for _ in 0..600 {
        world.send(org(1), 1, &mut seen);
        world.turn(PACE);
    }
    assert_eq!(seen.refused, 0);
    assert!(world.oldest() < Duration::from_secs(1));
}

#[test]
fn a_shard_that_is_stuck_does_not_hold_back_the_others() {
    let mut lane = Lane::default();
    let shard = |shard| ShardId {
        signal: millrace_shared::Signal::Logs,
        shard,
    };
    let size = Size {
        wire: BATCH,
        held: BATCH,
    };
    let (mut now_ms, mut last) = (1_000_000, StreamId::ZERO);
    for _ in 0..300 {
        for number in 0..4 {
            assert!(lane.ask(org(1), 1, BATCH).is_ok());
            last = StreamId {
                ms: now_ms,
                seq: last.seq + 1,
            };
            lane.appended(number, last, org(1), size);
        }
        now_ms += TURN_MS;
        let cursors: Vec<_> = (1..4).map(|number| (shard(number), last)).collect();
        lane.turn(&cursors, now_ms, Some(PATIENCE));
    }
    assert_eq!(lane.held().get(&org(1)), Some(&(300 * BATCH)));
    assert_eq!(lane.waiting().collect::<Vec<_>>(), [0]);
}

#[test]
fn one_more_organisation_than_can_be_told_apart_is_measured_with_the_rest() {
    let mut lane = Lane::default();
    for number in 1..=ASKERS_MAX as u128 * 2 {
        assert!(lane.ask(org(number), 1, 1).is_ok());
    }
    assert_eq!(lane.askers.len(), ASKERS_MAX + 1);
}
