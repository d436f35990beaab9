//! What becomes of the firings of a batch: counted up at an open alert of the same rule and dedupe
//! hash that is near enough in time, or raised; and when a rule raises too many, all further ones are
//! counted in one. Pure: the store is somebody else's.

use crate::work::{AlertDraft, SAMPLES_MAX};
use millrace_detection::alert::Span;
use millrace_shared::ids::{EventId, LedgerId, OrgId, ShardId};
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Severity;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Alerts of one rule that are raised within [`BURST_S`], or its dedupe window where that is longer:
/// more than anybody looks through one by one. What would be more is counted in one alert.
pub(super) const BURST_MAX: usize = 200;
/// The default dedupe window, seconds.
pub(super) const BURST_S: u32 = 15 * 60;
/// The dedupe hash of the alert in which a rule's further matches are counted: no keyed hash is it
/// but once in 2^128.
pub(super) const OVERFLOW: [u8; 16] = *b"millrace-further";

/// A rule of an organisation.
pub(super) type RuleKey = (OrgId, String);
/// What repeats of an alert have in common.
pub(super) type Key = (OrgId, String, [u8; 16]);

/// The key of a draft.
pub(super) fn key(draft: &AlertDraft) -> Key {
    (draft.org, draft.rule.clone(), draft.dedupe)
}

/// An open alert as far as joining to it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) id: Uuid,
    pub(super) severity: Severity,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
}

impl Open {
    /// Whether a firing belongs to it: less than the window lies between them, whichever is first.
    fn takes(&self, draft: &AlertDraft) -> bool {
        let window = i64::from(draft.dedupe_window_s).saturating_mul(NS_PER_SECOND);
        let known = Span::new(self.first_seen, self.last_seen);
        known.takes(Span::new(draft.first_seen, draft.last_seen), window)
    }
}

/// What is added to an alert that was open before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Join {
    /// As it is afterwards.
    pub(super) open: Open,
    /// Its severity before.
    pub(super) before: Severity,
    pub(super) firings: i64,
    pub(super) count: i64,
    pub(super) event_ids: Vec<EventId>,
    pub(super) risk_score: u8,
}

/// A new alert with the firings joined to it already.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raise {
    pub(super) id: Uuid,
    pub(super) draft: AlertDraft,
    pub(super) suppressed: i64,
}

/// What becomes of the firings of one batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) joins: Vec<Join>,
    pub(super) raises: Vec<Raise>,
}

/// What was there before.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Open alerts, the newest of each key.
    pub(super) open: BTreeMap<Key, Open>,
    /// Alerts that rules have raised lately.
    pub(super) raised: BTreeMap<RuleKey, usize>,
}

impl Known {
    /// Whether every draft joins an open alert, so that none can be raised.
    pub(super) fn takes_all(&self, drafts: &[AlertDraft]) -> bool {
        drafts.iter().all(|draft| {
            let open = self.open.get(&key(draft));
            open.is_some_and(|open| open.takes(draft))
        })
    }
}

/// The drafts of one key, in the order of time.
fn by_key(drafts: Vec<AlertDraft>) -> BTreeMap<Key, Vec<AlertDraft>> {
    let mut by_key: BTreeMap<Key, Vec<AlertDraft>> = BTreeMap::new();
    for draft in drafts {
        by_key.entry(key(&draft)).or_default().push(draft);
    }
    for drafts in by_key.values_mut() {
        drafts.sort_by_key(|draft| draft.first_seen);
    }
    by_key
}

/// Decides for every firing, in order: joined to an alert open before, to one raised just now,
/// raised, or, past the limit of its rule, counted with the others past it.
pub(super) fn plan(place: (ShardId, LedgerId), drafts: Vec<AlertDraft>, known: &Known) -> Plan {
    let (mut plan, mut further) = (Plan::default(), Vec::new());
    let mut left: BTreeMap<RuleKey, usize> = BTreeMap::new();
    for (key, drafts) in by_key(drafts) {
        let rule = (key.0, key.1.clone());
        let raised = known.raised.get(&rule).copied().unwrap_or(0);
        let left = left.entry(rule).or_insert(BURST_MAX.saturating_sub(raised));
        further.extend(plan.place(place, &key, (drafts, left), known));
    }
    let mut left = usize::MAX;
    for (key, drafts) in by_key(further.into_iter().map(counted_with_others).collect()) {
        plan.place(place, &key, (drafts, &mut left), known);
    }
    plan
}

/// What a firing past the limit says.
fn counted_with_others(draft: AlertDraft) -> AlertDraft {
    AlertDraft {
        title: format!("{}: further alerts", draft.title),
        message: format!(
            "The rule raised {BURST_MAX} alerts in a short time; its further matches are counted here."
        ),
        group: "{}".to_owned(),
        observables: Vec::new(),
        dedupe: OVERFLOW,
        // While it is open it counts all of them, whenever they happened: otherwise a rule with a short
        // window would raise one of these for every batch.
        dedupe_window_s: u32::MAX,
        ..draft
    }
}

impl Plan {
    /// Finds the place of the drafts of one key; those that there is none for, because no more alerts
    /// may be raised, are given back.
    fn place(
        &mut self,
        place: (ShardId, LedgerId),
        key: &Key,
        (drafts, left): (Vec<AlertDraft>, &mut usize),
        known: &Known,
    ) -> Vec<AlertDraft> {
        let mut join = known.open.get(key).map(Join::to);
        let (mut raised, mut further): (Vec<Raise>, Vec<AlertDraft>) = (Vec::new(), Vec::new());
        for draft in drafts {
            if let Some(join) = join.as_mut().filter(|join| join.open.takes(&draft)) {
                join.add(&draft);
            } else if let Some(last) = raised.last_mut().filter(|last| last.takes(&draft)) {
                last.add(&draft);
            } else if *left > 0 {
                *left -= 1;
                raised.push(Raise {
                    id: alert_id(place, key, raised.len()),
                    draft,
                    suppressed: 0,
                });
            } else {
                further.push(draft);
            }
        }
        self.joins.extend(join.filter(|join| join.firings > 0));
        self.raises.append(&mut raised);
        further
    }
}

impl Join {
    fn to(open: &Open) -> Self {
        Join {
            open: open.clone(),
            before: open.severity,
            firings: 0,
            count: 0,
            event_ids: Vec::new(),
            risk_score: 0,
        }
    }

    /// Whether the alert is graver than it was.
    pub(super) fn rises(&self) -> bool {
        self.open.severity > self.before
    }

    fn add(&mut self, draft: &AlertDraft) {
        self.firings += 1;
        self.count = self.count.saturating_add(signed(draft.count));
        self.open.severity = self.open.severity.max(draft.severity);
        self.open.first_seen = self.open.first_seen.min(draft.first_seen);
        self.open.last_seen = self.open.last_seen.max(draft.last_seen);
        self.risk_score = self.risk_score.max(draft.risk_score);
        add_samples(&mut self.event_ids, &draft.event_ids);
    }
}

impl Raise {
    fn takes(&self, draft: &AlertDraft) -> bool {
        Open {
            id: self.id,
            severity: self.draft.severity,
            first_seen: self.draft.first_seen,
            last_seen: self.draft.last_seen,
        }
        .takes(draft)
    }

    fn add(&mut self, draft: &AlertDraft) {
        self.suppressed += 1;
        self.draft.count = self.draft.count.saturating_add(draft.count);
        self.draft.severity = self.draft.severity.max(draft.severity);
        self.draft.first_seen = self.draft.first_seen.min(draft.first_seen);
        self.draft.last_seen = self.draft.last_seen.max(draft.last_seen);
        self.draft.risk_score = self.draft.risk_score.max(draft.risk_score);
        add_samples(&mut self.draft.event_ids, &draft.event_ids);
    }
}

fn add_samples(to: &mut Vec<EventId>, from: &[EventId]) {
    for id in from {
        if to.len() < SAMPLES_MAX && !to.contains(id) {
            to.push(*id);
        }
    }
}

/// The same alert of the same batch has the same id, however often the batch is worked on.
fn alert_id((shard, ledger): (ShardId, LedgerId), key: &Key, ordinal: usize) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"millrace-alert");
    hash.update(key.0.as_bytes());
    hash.update((key.1.len() as u64).to_be_bytes());
    hash.update(key.1.as_bytes());
    hash.update(key.2);
    hash.update([shard.signal.number()]);
    hash.update(ledger.0.to_be_bytes());
    hash.update((ordinal as u64).to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(digest) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// A count as PostgreSQL keeps it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::Signal;
    use millrace_shared::ids::StreamId;

    const SHARD: ShardId = ShardId {
        signal: Signal::Audit,
        shard: 1,
    };
    const PLACE: (ShardId, LedgerId) = (SHARD, LedgerId(1));
    const MINUTE: i64 = 60 * NS_PER_SECOND;

    fn draft(dedupe: u8, at: i64) -> AlertDraft {
        let entry = StreamId {
            ms: 1,
            seq: at.unsigned_abs(),
        };
        AlertDraft {
            org: Uuid::from_u128(1),
            rule: "r".to_owned(),
            version: 1,
            severity: Severity::High,
            title: String::new(),
            message: String::new(),
            kind: String::new(),
            attack: Vec::new(),
            group: "{}".to_owned(),
            dedupe: [dedupe; 16],
            dedupe_window_s: 600,
            first_seen: at,
            last_seen: at,
            count: 5,
            event_ids: vec![EventId::new(SHARD, entry, 0)],
            observables: Vec::new(),
            risk_score: 10,
            hidden: None,
        }
    }

    fn known(dedupe: [u8; 16], last_seen: i64) -> Known {
        let open = Open {
            id: Uuid::from_u128(7),
            severity: Severity::Medium,
            first_seen: 0,
            last_seen,
        };
        let key = (Uuid::from_u128(1), "r".to_owned(), dedupe);
        Known {
            open: BTreeMap::from([(key, open)]),
            raised: BTreeMap::new(),
        }
    }

    #[test]
    fn a_repeat_within_the_window_is_counted_and_not_raised() {
        let drafts = vec![draft(1, 9 * MINUTE), draft(1, 15 * MINUTE)];
        let plan = plan(PLACE, drafts, &known([1; 16], 0));
        assert!(plan.raises.is_empty());
        let joins: Vec<_> = plan
            .joins
            .iter()
            .map(|join| (join.open.id, join.firings, join.count, join.open.last_seen))
            .collect();
        assert_eq!(joins, [(Uuid::from_u128(7), 2, 10, 15 * MINUTE)]);
    }

    #[test]
    fn a_repeat_after_the_window_or_of_another_group_is_an_alert_of_its_own() {
        let drafts = vec![
            draft(1, 11 * MINUTE),
            draft(2, MINUTE),
            draft(1, 12 * MINUTE),
        ];
        let plan = plan(PLACE, drafts, &known([1; 16], 0));
        assert!(plan.joins.is_empty());
        let raised: Vec<_> = plan
            .raises
            .iter()
            .map(|raise| (raise.draft.dedupe[0], raise.draft.count, raise.suppressed))
            .collect();
        assert_eq!(raised, [(1, 10, 1), (2, 5, 0)]);
    }

    #[test]
    fn ids_depend_on_the_batch_and_the_group_only() {
        let ids = |ledger: u64, at: i64| -> Vec<Uuid> {
            let drafts = vec![draft(1, at), draft(2, at)];
            let plan = plan((SHARD, LedgerId(ledger)), drafts, &Known::default());
            plan.raises.iter().map(|raise| raise.id).collect()
        };
        assert_eq!(ids(1, 0), ids(1, 5));
        assert_ne!(ids(1, 0)[0], ids(1, 0)[1]);
        assert_ne!(ids(1, 0)[0], ids(2, 0)[0]);
    }

    #[test]
    fn samples_stay_few_and_distinct() {
        let drafts: Vec<_> = (0..50).map(|n| draft(1, n)).chain([draft(1, 0)]).collect();
        let plan = plan(PLACE, drafts, &Known::default());
        assert_eq!(plan.raises[0].draft.event_ids.len(), SAMPLES_MAX);
        assert_eq!(plan.raises[0].draft.count, 255);
    }

    #[test]
    fn an_alert_is_as_grave_as_the_gravest_of_its_firings() {
        let graver = AlertDraft {
            severity: Severity::Critical,
            ..draft(1, MINUTE)
        };
        let raised = plan(PLACE, vec![draft(1, 0), graver.clone()], &Known::default());
        assert_eq!(raised.raises[0].draft.severity, Severity::Critical);
        let joined = plan(PLACE, vec![graver], &known([1; 16], 0));
        assert!(joined.joins[0].rises());
        let joined = plan(
            PLACE,
            vec![AlertDraft {
                severity: Severity::Low,
                ..draft(1, 0)
            }],
            &known([1; 16], 0),
        );
        assert_eq!(joined.joins[0].open.severity, Severity::Medium);
        assert!(!joined.joins[0].rises());
    }

    fn storm(groups: u32) -> Vec<AlertDraft> {
        let one = |n: u32| AlertDraft {
            dedupe: u128::from(n).to_be_bytes(),
            ..draft(0, i64::from(n))
        };
        (0..groups).map(one).collect()
    }

    #[test]
    fn a_rule_that_raises_too_many_counts_the_rest_in_one() {
        let plan = plan(PLACE, storm(10_000), &Known::default());
        assert_eq!(plan.raises.len(), BURST_MAX + 1);
        let count: u64 = plan.raises.iter().map(|raise| raise.draft.count).sum();
        assert_eq!(count, 50_000, "every match is counted once");
        let last = plan.raises.last().unwrap();
        assert_eq!(last.draft.dedupe, OVERFLOW);
        assert_eq!(last.suppressed, 10_000 - 200 - 1);
    }

    #[test]
    fn what_was_raised_before_counts_and_the_rest_is_joined() {
        let mut known = known(OVERFLOW, 0);
        let rule = (Uuid::from_u128(1), "r".to_owned());
        known.raised.insert(rule, BURST_MAX - 3);
        let plan = plan(PLACE, storm(10), &known);
        assert_eq!(plan.raises.len(), 3);
        let joins: Vec<_> = plan
            .joins
            .iter()
            .map(|join| (join.open.id, join.firings, join.count))
            .collect();
        assert_eq!(joins, [(Uuid::from_u128(7), 7, 35)]);
    }

    #[test]
    fn only_what_joins_needs_no_count_of_what_was_raised() {
        let known = known([1; 16], 0);
        assert!(known.takes_all(&[draft(1, MINUTE), draft(1, 10 * MINUTE)]));
        assert!(!known.takes_all(&[draft(1, MINUTE), draft(2, MINUTE)]));
        // Its alert is open, and too old.
        assert!(!known.takes_all(&[draft(1, 11 * MINUTE)]));
    }

    #[test]
    fn what_is_past_the_limit_is_counted_in_one_however_far_apart() {
        let mut known = known(OVERFLOW, 0);
        let rule = (Uuid::from_u128(1), "r".to_owned());
        known.raised.insert(rule, BURST_MAX);
        let drafts = vec![draft(1, 100 * MINUTE), draft(2, 100_000 * MINUTE)];
        let plan = plan(PLACE, drafts, &known);
        assert!(plan.raises.is_empty());
        let counts: Vec<_> = plan.joins.iter().map(|join| join.count).collect();
        assert_eq!(counts, [10]);
    }
}
