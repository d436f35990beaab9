//! Stored observables → what of them is an indicator, with the index and the score that live events
//! have. Pure: no clock, no client.

use super::hidden::{Hidden, Secret};
use super::past::PastRow;
use crate::commit::Retrospect;
use crate::control::Organisation;
use crate::control_loader::Snapshot;
use crate::work::{AlertDraft, SAMPLES_MAX};
use hashbrown::HashMap;
use millrace_detection::FieldAt;
use millrace_detection::indicators::{IndexBuilder, Indicator, IndicatorIndex, IndicatorMatch};
use millrace_detection::observables::{Kind, Observable, guess};
use millrace_scrubber::Class;
use millrace_shared::ids::{EventId, OrgId};
use millrace_shared::limits::NS_PER_SECOND;
use millrace_shared::wire::Severity;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// The rule that alerts of hunts are said to be of; there is no rule of that name.
const RULE: &str = "RETRO_HUNT";
const TITLE: &str = "Indicator found in history";
const DAY_NS: i64 = 24 * 3600 * NS_PER_SECOND;

/// Indicators to be looked for, as they come one by one.
#[derive(Debug, Default)]
pub(super) struct Sought {
    index: IndexBuilder,
    /// What was an indicator of the same value before → what is now.
    older: HashMap<u64, u64>,
    /// As what values are stored where a policy hid them.
    forms: HashMap<String, Form>,
}

/// What a form stands for, and by which secret it does.
#[derive(Clone, Debug)]
struct Form {
    kind: Kind,
    value: String,
    secret: Secret,
}

impl Sought {
    /// Adds one, with the ids that it had before.
    pub(super) fn add(&mut self, indicator: &Indicator, before: &[i64], hidden: &Hidden) {
        for id in before {
            self.older.insert(id.unsigned_abs(), indicator.id);
        }
        for (stored, secret) in hidden.forms(&indicator.value) {
            let form = Form {
                kind: indicator.kind,
                value: indicator.value.clone(),
                secret,
            };
            self.forms.insert(stored, form);
        }
        self.index.add(indicator);
    }

    /// Ready to be looked through: for an organisation, as of a time.
    pub(super) fn lens(self, (org, now_ns): (OrgId, i64), snapshot: Arc<Snapshot>) -> Lens {
        Lens {
            org,
            now_ns,
            snapshot,
            index: self.index.finish(),
            older: self.older,
            forms: self.forms,
        }
    }
}

/// Indicators that are looked for in the history of one organisation.
pub(super) struct Lens {
    org: OrgId,
    now_ns: i64,
    snapshot: Arc<Snapshot>,
    index: IndicatorIndex,
    older: HashMap<u64, u64>,
    forms: HashMap<String, Form>,
}

/// An observable of a row: what it is, as what it is stored, and by which secret where that is not itself.
struct Seen<'r> {
    kind: Kind,
    value: String,
    stored: &'r str,
    secret: Option<Secret>,
}

impl Lens {
    /// Whether anything can be found with it.
    pub(super) fn is_of_use(&self) -> bool {
        !self.index.is_empty()
    }

    /// What is found in rows, each observable once.
    pub(super) fn look(&self, rows: &[PastRow]) -> Vec<Retrospect> {
        let mut found: HashMap<Uuid, AlertDraft> = HashMap::new();
        let mut matches = Vec::new();
        for row in rows {
            let seen: Vec<Seen<'_>> = self.seen(row).collect();
            let observables: Vec<Observable<'_>> = seen
                .iter()
                .map(|one| Observable::new(one.kind, &one.value, FieldAt::NONE))
                .collect();
            matches.clear();
            let asking = self.organisation().asking(self.now_ns);
            self.index.matches(&asking, &observables, &mut matches);
            for one in &matches {
                let seen = seen.get(usize::from(one.observable));
                if let Some(seen) = seen.filter(|_| !self.was_judged(row, *one)) {
                    self.add(&mut found, row, (seen, *one));
                }
            }
        }
        let found = found.into_iter();
        let mut found: Vec<Retrospect> =
            found.map(|(id, draft)| Retrospect { id, draft }).collect();
        found.sort_by_key(|one| one.id);
        found
    }

    fn organisation(&self) -> &Organisation {
        self.snapshot.control.organisation(self.org)
    }

    /// A row's observables, as far as they can be what is looked for.
    fn seen<'r>(&self, row: &'r PastRow) -> impl Iterator<Item = Seen<'r>> {
        row.observables.iter().filter_map(|stored| {
            let form = self.forms.get(stored.as_str());
            let form = form.filter(|form| may_be_hidden(row, form.kind));
            let (kind, value) = match form {
                Some(known) => (known.kind, known.value.clone()),
                // What stands in for an address looks like one, and is none that was there.
                None => guess(stored).filter(|(kind, _)| !is_stand_in(row, *kind))?,
            };
            Some(Seen {
                kind,
                value,
                stored: stored.as_str(),
                secret: form.map(|form| form.secret),
            })
        })
    }

    /// Whether the indicator was known when the event came, whatever was said of it then.
    fn was_judged(&self, row: &PastRow, one: IndicatorMatch) -> bool {
        let Some(id) = self.index.known(one).map(|known| known.id) else {
            return false;
        };
        let mut matched = row.matched.iter();
        matched.any(|before| *before == id || self.older.get(before) == Some(&id))
    }

    fn add(
        &self,
        found: &mut HashMap<Uuid, AlertDraft>,
        row: &PastRow,
        (seen, one): (&Seen<'_>, IndicatorMatch),
    ) {
        let key = digest(self.org, seen);
        let id = uuid::Builder::from_custom_bytes(key).into_uuid();
        let Some(draft) = found.get_mut(&id) else {
            found.insert(id, self.draft(key, row, (seen, one)));
            return;
        };
        draft.count += 1;
        let at = seen.happened(row);
        draft.first_seen = draft.first_seen.min(at);
        draft.last_seen = draft.last_seen.max(at);
        if draft.event_ids.len() < SAMPLES_MAX {
            draft.event_ids.push(EventId(row.id));
        }
    }

    /// What the alert of an observable says: of that, only as what it is stored, and not even that
    /// where a policy hid it.
    fn draft(
        &self,
        dedupe: [u8; 16],
        row: &PastRow,
        (seen, one): (&Seen<'_>, IndicatorMatch),
    ) -> AlertDraft {
        let mode = self.organisation().ioc_mode();
        let verdict = self.index.score(&[one], 1, mode, self.now_ns);
        let (kind, stored) = (seen.kind.as_str(), seen.stored);
        let (is_hidden, at) = (seen.secret.is_some(), seen.happened(row));
        let shown = if is_hidden { "(hidden)" } else { stored };
        let known = self.index.known(one);
        let feed = known.map_or("", |known| known.feed.name.as_str());
        let threat = known.map_or("", |known| known.threat);
        let named = if threat.is_empty() { "" } else { ", " };
        let indicator = known.map(|known| known.id.to_string());
        AlertDraft {
            org: self.org,
            rule: RULE.to_owned(),
            version: 1,
            severity: verdict.severity.max(Severity::Low),
            title: TITLE.to_owned(),
            message: format!(
                "{kind} {shown}{named}{threat}: in events that were stored before feed {feed} named it"
            ),
            kind: RULE.to_owned(),
            attack: Vec::new(),
            group: match is_hidden {
                true => json!({"kind": kind, "indicator": indicator}).to_string(),
                false => {
                    json!({"observable": stored, "kind": kind, "indicator": indicator}).to_string()
                }
            },
            dedupe,
            dedupe_window_s: u32::MAX,
            first_seen: at,
            last_seen: at,
            count: 1,
            event_ids: vec![EventId(row.id)],
            observables: (!is_hidden)
                .then(|| stored.to_owned())
                .into_iter()
                .collect(),
            risk_score: verdict.score,
            hidden: is_hidden.then(|| stored.to_owned()),
        }
    }
}

impl Seen<'_> {
    /// When it was, as far as its alert may say: of what was hidden the day, for the instant would name
    /// the event.
    const fn happened(&self, row: &PastRow) -> i64 {
        match self.secret {
            None => row.at,
            Some(_) => row.at - row.at.rem_euclid(DAY_NS),
        }
    }
}

/// The classes that something of a kind is scrubbed as, if it may be replaced by the like.
const fn classes(kind: Kind) -> &'static [Class] {
    match kind {
        Kind::Ipv4 => &[Class::Ipv4],
        Kind::Ipv6 => &[Class::Ipv6],
        Kind::Cidr => &[Class::Ipv4, Class::Ipv6],
        Kind::Domain
        | Kind::Url
        | Kind::Email
        | Kind::Md5
        | Kind::Sha1
        | Kind::Sha256
        | Kind::Sha512
        | Kind::Cve => &[],
    }
}

fn is_stand_in(row: &PastRow, kind: Kind) -> bool {
    let was_scrubbed = |class: &Class| row.scrubbed.iter().any(|name| name == class.as_str());
    classes(kind).iter().any(was_scrubbed)
}

/// Whether what looks like the form of a value of that kind can be one.
fn may_be_hidden(row: &PastRow, kind: Kind) -> bool {
    classes(kind).is_empty() || is_stand_in(row, kind)
}

/// What an observable's alert is called in an organisation, whichever hunt finds it. Of what was hidden
/// it takes the secret to come to it: else whoever sees the stored forms could try them all.
fn digest(org: OrgId, seen: &Seen<'_>) -> [u8; 16] {
    let mut parts: Vec<&[u8]> = vec![
        b"millrace-retro-hunt",
        org.as_bytes(),
        seen.kind.as_str().as_bytes(),
        seen.stored.as_bytes(),
    ];
    parts.extend(seen.secret.as_ref().map(<[u8; 32]>::as_slice));
    named(&parts)
}

/// The id of the alert in which a hunt counts what is past the limit.
pub(super) fn further(hunt: Uuid) -> Uuid {
    let bytes = named(&[b"millrace-retro-hunt-further", hunt.as_bytes()]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn named(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = from;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Control, Fixed, Kept};
    use crate::control_rows::{ControlRows, OrganisationRow};
    use millrace_detection::indicators::Feed;

    const ORG: OrgId = OrgId::from_u128(5);

    fn policy(policy: serde_json::Value) -> OrganisationRow {
        OrganisationRow {
            org: ORG,
            pepper: [1; 32],
            pepper_version: 1,
            pii_policy: policy,
            settings: json!({}),
        }
    }

    /// Indicators with the ids 1, 2, …, each of which had ten times that before.
    fn lens(indicators: &[(Kind, &str)], hidden: &Hidden) -> Lens {
        let rows = ControlRows {
            organisations: vec![policy(json!({}))],
            ..ControlRows::default()
        };
        let (control, _) = Control::build(&rows, Kept::default(), &Fixed::default());
        let feed = Arc::new(Feed {
            id: 1,
            name: "f".to_owned(),
            trust: 100,
        });
        let mut sought = Sought::default();
        for (id, (kind, value)) in (1_u64..).zip(indicators) {
            let indicator = Indicator {
                id,
                confidence: 90,
                ..Indicator::new(*kind, (*value).to_owned(), Arc::clone(&feed))
            };
            sought.add(&indicator, &[10 * id.cast_signed()], hidden);
        }
        let revision = 1;
        let snapshot = Arc::new(Snapshot { revision, control });
        sought.lens((ORG, 100), snapshot)
    }

    fn row(id: u128, at: i64, observables: &[&str]) -> PastRow {
        PastRow {
            at,
            id: Uuid::from_u128(id),
            observables: observables.iter().map(|text| (*text).to_owned()).collect(),
            matched: Vec::new(),
            scrubbed: Vec::new(),
        }
    }

    fn told(found: &[Retrospect]) -> Vec<(&str, u64, i64, i64)> {
        let drafts = found.iter().map(|one| &one.draft);
        let mut told: Vec<_> = drafts
            .map(|draft| {
                let text = draft.hidden.as_deref();
                let text = text.unwrap_or_else(|| draft.observables[0].as_str());
                (text, draft.count, draft.first_seen, draft.last_seen)
            })
            .collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn what_live_events_would_match_is_found_and_counted() {
        let indicators = [(Kind::Domain, "evil.com"), (Kind::Cidr, "8.8.8.0/24")];
        let lens = lens(&indicators, &Hidden::default());
        let rows = [
            row(1, 10, &["c2.evil.com", "notevil.com"]),
            row(2, 5, &["8.8.8.8", "8.8.9.1"]),
            row(3, 7, &["c2.evil.com"]),
            row(4, 8, &["evil.com.example.org"]),
        ];
        let found = lens.look(&rows);
        assert_eq!(
            told(&found),
            [("8.8.8.8", 1, 5, 5), ("c2.evil.com", 2, 7, 10)]
        );
        let again = lens.look(&rows[2..3]);
        assert!(found.iter().any(|one| one.id == again[0].id));
    }

    #[test]
    fn what_was_matched_when_it_came_is_not_found_again() {
        let indicators = [(Kind::Domain, "evil.com"), (Kind::Domain, "worse.com")];
        let lens = lens(&indicators, &Hidden::default());
        let matched = |id: u128, by: u64| PastRow {
            matched: vec![by],
            ..row(id, 10, &["evil.com"])
        };
        let rows = [matched(1, 1), matched(2, 10), matched(3, 2), matched(4, 20)];
        assert_eq!(told(&lens.look(&rows)), [("evil.com", 2, 10, 10)]);
    }

    #[test]
    fn what_was_hidden_is_found_by_its_form_and_nothing_tells_which_that_is() {
        let policies = [policy(
            json!({"classes": {"email": "hash", "ipv4": "pseudonym"}}),
        )];
        let hidden = Hidden::new(&policies);
        let indicators = [(Kind::Ipv4, "8.8.8.8"), (Kind::Email, "eve@evil.com")];
        let lens = lens(&indicators, &hidden);
        let form = |value: &str| hidden.forms(value).next().unwrap().0;
        let (address, mail) = (form("8.8.8.8"), form("eve@evil.com"));
        let scrubbed = |id: u128, observable: &str| PastRow {
            scrubbed: vec!["ipv4".to_owned(), "email".to_owned()],
            ..row(id, 3 * DAY_NS + 10, &[observable])
        };
        let rows = [
            scrubbed(1, &address),
            scrubbed(2, &mail),
            // A stand-in that happens to be the indicator, and an address that happens to be its stand-in.
            scrubbed(3, "8.8.8.8"),
            row(4, 10, &[&address]),
        ];
        let found = lens.look(&rows);
        let day = 3 * DAY_NS;
        let mut stored = [
            (address.as_str(), 1, day, day),
            (mail.as_str(), 1, day, day),
        ];
        stored.sort_unstable();
        assert_eq!(told(&found), stored);
        let ids: Vec<Uuid> = found.iter().map(|one| one.id).collect();
        for one in found {
            let form = one.draft.hidden.clone().unwrap();
            let guessed = Seen {
                kind: Kind::Email,
                value: String::new(),
                stored: &form,
                secret: None,
            };
            let id = uuid::Builder::from_custom_bytes(digest(ORG, &guessed)).into_uuid();
            assert!(
                !ids.contains(&id),
                "its id can be come to without the secret"
            );
            let draft = AlertDraft {
                hidden: None,
                ..one.draft
            };
            let said = format!("{draft:?}");
            for never in ["eve@", "8.8.8.8", form.as_str()] {
                assert!(!said.contains(never), "{said}");
            }
        }
        assert_eq!(told(&lens.look(&[row(5, 1, &["8.8.8.8"])])).len(), 1);
    }
}
