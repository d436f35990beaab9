//! Agents, the gateway's append, and Redis. Mirrors `ingest-gateway/src/append.rs` and `append.lua`:
//! look, append and remember are one step, and the answer leaves after the fsync.

use crate::rules::Broken;
use crate::steps::{Action, Steps};
use crate::world::{Call, Entry, Request, Stream, World};

/// Calls of one request at a time: a repetition may overtake what it repeats.
const CALLS_MAX: usize = 2;

pub(crate) fn steps(steps: &mut Steps<'_>) {
    let requests = 0..steps.rules.scenario.requests;
    for request in requests {
        let agent_of = steps.world.agents.get(usize::from(request));
        if agent_of.is_some_and(|agent| agent.sends > 0 || !agent.calls.is_empty()) {
            agent(steps, request);
            gateway(steps, request);
        }
    }
    redis(steps);
}

fn agent(steps: &mut Steps<'_>, request: Request) {
    steps.may(Action::AgentSends(request), |world| {
        let agent = world.agents.get_mut(usize::from(request))?;
        let may = !agent.acknowledged && agent.sends > 0 && agent.calls.len() < CALLS_MAX;
        may.then(|| {
            agent.sends -= 1;
            agent.calls.push(Call::Asked);
        })
    });
    let early = steps.rules.without(Broken::AnsweredBeforeFsync);
    steps.may(Action::Answer(request), |world| {
        let on_disk = early || world.stream.is_synced(request);
        take_call(world, request, Call::Appended).filter(|()| on_disk)?;
        world.agents.get_mut(usize::from(request))?.acknowledged = true;
        Some(())
    });
    for call in [Call::Asked, Call::Unknown, Call::Appended] {
        steps.may(Action::CallBreaks(request), |world| {
            take_call(world, request, call)
        });
    }
}

fn gateway(steps: &mut Steps<'_>, request: Request) {
    let forgets = steps.rules.without(Broken::AppendNotRemembered);
    if steps.rules.without(Broken::KeyCheckedOutsideAppend) {
        steps.may(Action::GatewayLooks(request), |world| {
            take_call(world, request, Call::Asked)?;
            let known = world.stream.knows(request);
            add_call(
                world,
                request,
                if known { Call::Appended } else { Call::Unknown },
            )
        });
        steps.may(Action::Append(request), |world| {
            take_call(world, request, Call::Unknown)?;
            append(world, request, false);
            add_call(world, request, Call::Appended)
        });
        return;
    }
    steps.may(Action::Append(request), |world| {
        take_call(world, request, Call::Asked)?;
        if !world.stream.knows(request) {
            append(world, request, forgets);
        }
        add_call(world, request, Call::Appended)
    });
}

fn take_call(world: &mut World, request: Request, call: Call) -> Option<()> {
    let calls = &mut world.agents.get_mut(usize::from(request))?.calls;
    let at = calls.iter().position(|known| *known == call)?;
    calls.remove(at);
    Some(())
}

fn add_call(world: &mut World, request: Request, call: Call) -> Option<()> {
    let agent = world.agents.get_mut(usize::from(request))?;
    agent.calls.push(call);
    Some(())
}

/// Where Redis will not be killed any more, what is fsynced when makes no difference.
fn append(world: &mut World, request: Request, forgets: bool) {
    let synced = world.faults.redis_kills == 0;
    let stream = &mut world.stream;
    stream.last_id += 1;
    stream.entries.push(Entry {
        id: stream.last_id,
        request,
        synced,
    });
    if !forgets && !stream.knows(request) {
        stream.remembered.push((request, synced));
    }
}

fn redis(steps: &mut Steps<'_>) {
    let faults = steps.world.faults;
    if !steps.world.stream.is_all_synced() {
        fsync(steps);
    }
    for back in [false, true].into_iter().filter(|_| faults.redis_kills > 0) {
        steps.may(Action::RedisKilled(back), |world| {
            world.faults.redis_kills = world.faults.redis_kills.checked_sub(1)?;
            world.stream.entries.retain(|entry| entry.synced);
            world.stream.remembered.retain(|(_, synced)| *synced);
            for agent in &mut world.agents {
                agent.calls.retain(|call| *call != Call::Appended);
            }
            if back {
                world.stream.group = 0;
            }
            Some(())
        });
    }
    let entries = 1..=steps.world.stream.entries.len();
    for lost in entries.filter(|_| faults.tail_losses > 0) {
        steps.may(Action::TailLost(lost), |world| lose_tail(world, lost));
    }
}

fn fsync(steps: &mut Steps<'_>) {
    steps.may(Action::Fsync, |world| {
        let stream = &mut world.stream;
        let entries = stream.entries.iter_mut().map(|entry| &mut entry.synced);
        let keys = stream.remembered.iter_mut().map(|(_, synced)| synced);
        entries.chain(keys).for_each(|synced| *synced = true);
        Some(())
    });
}

fn lose_tail(world: &mut World, lost: usize) -> Option<()> {
    world.faults.tail_losses = world.faults.tail_losses.checked_sub(1)?;
    let kept = world.stream.entries.len().checked_sub(lost)?;
    for entry in world.stream.entries.split_off(kept) {
        let request = entry.request;
        world
            .stream
            .remembered
            .retain(|(known, _)| *known != request);
        let mut batches = world.ledger.batches.iter();
        if !batches.any(|batch| batch.entries.contains(&(entry.id, request))) {
            world.ghost.lost_by_redis |= 1 << request;
        }
    }
    Some(())
}

impl Stream {
    fn knows(&self, request: Request) -> bool {
        self.remembered.iter().any(|(known, _)| *known == request)
    }

    fn is_all_synced(&self) -> bool {
        let mut keys = self.remembered.iter();
        self.entries.iter().all(|entry| entry.synced) && keys.all(|(_, synced)| *synced)
    }

    fn is_synced(&self, request: Request) -> bool {
        let mut entries = self.entries.iter().filter(|entry| entry.request == request);
        let mut keys = self
            .remembered
            .iter()
            .filter(|(known, _)| *known == request);
        entries.all(|entry| entry.synced) && keys.all(|(_, synced)| *synced)
    }

    /// Entries after one, as a worker sees them: an answer leaves Redis after the fsync of all that
    /// came before it.
    pub(crate) fn after(&self, id: u8, unsynced: bool) -> Vec<(u8, Request)> {
        let seen = self.entries.iter().filter(|entry| entry.id > id);
        let seen = seen.filter(|entry| entry.synced || unsynced);
        seen.map(|entry| (entry.id, entry.request)).collect()
    }
}
