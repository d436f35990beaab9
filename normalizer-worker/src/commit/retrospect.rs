//! What a retro-hunt has found, as alerts: each observable once for its organisation, however often and
//! by whichever hunt it is found, and past a limit counted in one.
//!
//! Joins nothing to the alerts of rules, and sends nothing. The caller holds the hunt's row, so that no
//! other worker raises for it.

use super::plan::{BURST_MAX, Join, Open, Raise, signed};
use super::raise::{join, nanos, raise};
use crate::error::WorkerError;
use crate::metrics;
use crate::work::{AlertDraft, SAMPLES_MAX};
use deadpool_postgres::Transaction;
use millrace_shared::Signal;
use millrace_shared::wire::Severity;
use std::collections::BTreeMap;
use uuid::Uuid;

/// An alert of events that were stored before what it tells of them was known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Retrospect {
    /// Its id: the same whenever the same is found.
    pub(crate) id: Uuid,
    /// What it says.
    pub(crate) draft: AlertDraft,
}

/// The hunt that has found something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hunter {
    /// Its id.
    pub(crate) hunt: Uuid,
    /// The id of the alert in which is counted what is past the limit.
    pub(crate) further: Uuid,
    /// How many alerts it has raised before.
    pub(crate) raised: usize,
    /// The signal of the events.
    pub(crate) signal: Signal,
}

/// What there is of the alerts already: nothing of one that another hunt has raised.
type Known = BTreeMap<Uuid, Option<Open>>;

/// Raises what was found, each once: what the hunt has raised before is counted up, what another hunt
/// has raised stays as it is. How many were raised.
///
/// # Errors
/// When PostgreSQL does not take them.
pub(crate) async fn raise_in_retrospect(
    tx: &Transaction<'_>,
    hunter: &Hunter,
    found: Vec<Retrospect>,
) -> Result<u64, WorkerError> {
    if found.is_empty() {
        return Ok(0);
    }
    let known = raised_before(tx, hunter, &found).await?;
    let (joins, raises) = sorted(hunter, found, &known);
    if !joins.is_empty() {
        join(tx, &joins).await?;
    }
    if raises.is_empty() {
        return Ok(0);
    }
    let raised = raise(tx, (hunter.signal, Some(hunter.hunt)), &raises).await?;
    for one in &raises {
        metrics::ALERTS.add(&["raised", one.draft.severity.as_str()], 1);
    }
    Ok(raised.len() as u64)
}

async fn raised_before(
    tx: &Transaction<'_>,
    hunter: &Hunter,
    found: &[Retrospect],
) -> Result<Known, WorkerError> {
    let mut ids: Vec<Uuid> = found.iter().map(|one| one.id).collect();
    ids.push(hunter.further);
    let sql = "SELECT id, first_seen, last_seen, severity, retro_hunt IS NOT DISTINCT FROM $2 \
                 FROM alert WHERE id = ANY($1) ORDER BY id FOR UPDATE";
    let mut known = Known::new();
    for row in tx.query(sql, &[&ids, &hunter.hunt]).await? {
        let open = Open {
            id: row.try_get(0)?,
            first_seen: nanos(row.try_get(1)?),
            last_seen: nanos(row.try_get(2)?),
            severity: Severity::parse(row.try_get(3)?).unwrap_or(Severity::Info),
        };
        let is_ours: bool = row.try_get(4)?;
        known.insert(open.id, is_ours.then_some(open));
    }
    Ok(known)
}

/// What is joined to alerts that are there, and what is raised.
fn sorted(hunter: &Hunter, found: Vec<Retrospect>, known: &Known) -> (Vec<Join>, Vec<Raise>) {
    let (mut joins, mut raises, mut further) = (Vec::new(), Vec::new(), None);
    let mut left = BURST_MAX.saturating_sub(hunter.raised);
    for Retrospect { id, draft } in found {
        match known.get(&id) {
            Some(Some(open)) => joins.push(joined(open, draft)),
            Some(None) => {}
            None if left > 0 => {
                left -= 1;
                raises.push(new(id, draft));
            }
            None => further = Some(with(further, unnamed(draft))),
        }
    }
    let others = further.map(|draft| counted_with_others(hunter, draft));
    match (others, known.get(&hunter.further)) {
        (Some(draft), Some(Some(open))) => joins.push(joined(open, draft)),
        (Some(draft), None) => raises.push(new(hunter.further, draft)),
        (Some(_), Some(None)) | (None, _) => {}
    }
    (joins, raises)
}

fn new(id: Uuid, draft: AlertDraft) -> Raise {
    Raise {
        id,
        draft,
        suppressed: 0,
    }
}

fn joined(open: &Open, draft: AlertDraft) -> Join {
    Join {
        before: open.severity,
        // A further page of the same search is no repetition that was suppressed.
        firings: 0,
        count: signed(draft.count),
        event_ids: draft.event_ids,
        risk_score: draft.risk_score,
        open: Open {
            severity: open.severity.max(draft.severity),
            first_seen: open.first_seen.min(draft.first_seen),
            last_seen: open.last_seen.max(draft.last_seen),
            ..open.clone()
        },
    }
}

/// What is counted with others: which events had what was hidden is told to nobody then.
fn unnamed(mut draft: AlertDraft) -> AlertDraft {
    if draft.hidden.take().is_some() {
        draft.event_ids.clear();
    }
    draft
}

/// Two finds as one.
fn with(before: Option<AlertDraft>, draft: AlertDraft) -> AlertDraft {
    let Some(mut all) = before else {
        return draft;
    };
    all.count = all.count.saturating_add(draft.count);
    all.severity = all.severity.max(draft.severity);
    all.first_seen = all.first_seen.min(draft.first_seen);
    all.last_seen = all.last_seen.max(draft.last_seen);
    all.risk_score = all.risk_score.max(draft.risk_score);
    let left = SAMPLES_MAX.saturating_sub(all.event_ids.len());
    all.event_ids.extend(draft.event_ids.into_iter().take(left));
    all
}

/// What finds past the limit say.
fn counted_with_others(hunter: &Hunter, draft: AlertDraft) -> AlertDraft {
    AlertDraft {
        title: format!("{}: further finds", draft.title),
        message: format!("The hunt raised {BURST_MAX} alerts; what else it found is counted here."),
        group: "{}".to_owned(),
        observables: Vec::new(),
        dedupe: hunter.further.into_bytes(),
        ..draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::ids::{EventId, OrgId};

    fn hunter(raised: usize) -> Hunter {
        Hunter {
            hunt: Uuid::from_u128(1),
            further: Uuid::from_u128(2),
            raised,
            signal: Signal::Logs,
        }
    }

    fn found(id: u128, count: u64) -> Retrospect {
        let draft = AlertDraft {
            org: OrgId::from_u128(1),
            rule: "R".to_owned(),
            version: 1,
            severity: Severity::Low,
            title: "T".to_owned(),
            message: String::new(),
            kind: String::new(),
            attack: Vec::new(),
            group: "{}".to_owned(),
            dedupe: [1; 16],
            dedupe_window_s: u32::MAX,
            first_seen: 10,
            last_seen: 10,
            count,
            event_ids: Vec::new(),
            observables: Vec::new(),
            risk_score: 5,
            hidden: None,
        };
        let id = Uuid::from_u128(id);
        Retrospect { id, draft }
    }

    fn open(id: u128) -> (Uuid, Option<Open>) {
        let id = Uuid::from_u128(id);
        let (first_seen, last_seen, severity) = (5, 20, Severity::Low);
        let open = Open {
            id,
            severity,
            first_seen,
            last_seen,
        };
        (id, Some(open))
    }

    #[test]
    fn what_it_raised_is_counted_up_and_what_another_raised_stays() {
        let known = Known::from([open(10), (Uuid::from_u128(11), None)]);
        let all = vec![found(10, 3), found(11, 4), found(12, 5)];
        let (joins, raises) = sorted(&hunter(0), all, &known);
        let joined: Vec<_> = joins
            .iter()
            .map(|join| (join.open.id, join.count, join.firings))
            .collect();
        assert_eq!(joined, [(Uuid::from_u128(10), 3, 0)]);
        assert_eq!((joins[0].open.first_seen, joins[0].open.last_seen), (5, 20));
        let raised: Vec<_> = raises.iter().map(|one| (one.id, one.draft.count)).collect();
        assert_eq!(raised, [(Uuid::from_u128(12), 5)]);
    }

    #[test]
    fn past_the_limit_no_event_of_what_was_hidden_is_named() {
        let with_event = |id: u128, hidden: Option<&str>| {
            let mut one = found(id, 1);
            one.draft.event_ids = vec![EventId(Uuid::from_u128(id))];
            one.draft.hidden = hidden.map(str::to_owned);
            one
        };
        let all = vec![with_event(100, None), with_event(101, Some("email:v1:ab"))];
        let (_, raises) = sorted(&hunter(BURST_MAX), all, &Known::new());
        let further = &raises[0].draft;
        assert_eq!((further.count, further.hidden.as_deref()), (2, None));
        assert_eq!(further.event_ids, [EventId(Uuid::from_u128(100))]);
    }

    #[test]
    fn past_the_limit_all_is_counted_in_one() {
        let all: Vec<Retrospect> = (100..110).map(|id| found(id, 2)).collect();
        let (joins, raises) = sorted(&hunter(BURST_MAX - 3), all.clone(), &Known::new());
        assert_eq!((joins.len(), raises.len()), (0, 4));
        let last = &raises[3];
        assert_eq!((last.id, last.draft.count), (Uuid::from_u128(2), 14));
        let (joins, raises) = sorted(&hunter(BURST_MAX + 1), all, &Known::from([open(2)]));
        assert_eq!((joins.len(), raises.len()), (1, 0));
        assert_eq!(joins[0].count, 20);
    }
}
