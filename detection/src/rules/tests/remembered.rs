//! Whatever is remembered of events before, the same rules select the same events as when nothing is,
//! also when the rules change between them.

use super::candidates::{scalar, selection, word};
use super::*;
use millrace_shared::{Event, Resource};

/// Whether each event is evaluated as it is by itself, with the rules of one revision after another
/// and one memory for all.
fn agree(revisions: &[Vec<RuleDef>], events: &[Value], asked: &[(usize, usize)]) -> bool {
    let body = json!({"logs": events, "resource": {"service_name": "shop", "region": "eu"}});
    let (bytes, arena) = (body.to_string(), Bump::new());
    let body = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity: Validity::ANY,
        bytes: bytes.as_bytes(),
    };
    let (mut events, mut of_body) = (Vec::new(), Resource::default());
    body.read(&arena, |resource, event| {
        of_body = resource.clone();
        events.push(event.unwrap().clone());
    })
    .unwrap();
    let found = |set: &RuleSet, event: &Event<'_>, scratch: &mut Scratch| {
        let view = EventView {
            event,
            resource: &of_body,
            timestamp_ns: 0,
            received_ns: 0,
            verdict: Verdict::NONE,
        };
        let mut matches = Vec::new();
        set.evaluate(&view, scratch, &mut matches);
        matches
    };
    let sets = revisions.iter().map(|rules| compiled(rules.clone()));
    let sets: Vec<RuleSet> = sets.collect();
    let tried = revisions.iter().map(|rules| {
        let set = compiled(rules.clone()).exhaustive();
        let events = events.iter();
        events
            .map(|event| found(&set, event, &mut Scratch::default()))
            .collect()
    });
    let tried: Vec<Vec<Vec<RuleMatch>>> = tried.collect();
    let mut kept = Scratch::default();
    asked.iter().all(|(revision, event)| {
        let (revision, event) = (revision % sets.len(), event % events.len());
        found(&sets[revision], &events[event], &mut kept) == tried[revision][event]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_came_before_changes_no_answer(
        revisions in prop::collection::vec(prop::collection::vec(selection(), 1..6), 1..4),
        values in prop::collection::vec((scalar(), scalar(), word(), any::<bool>()), 1..5),
        asked in prop::collection::vec((0..4_usize, 0..5_usize), 1..60),
    ) {
        let revisions: Vec<Vec<RuleDef>> = revisions
            .iter()
            .map(|selections| {
                let numbered = selections.iter().enumerate();
                let rules = numbered.map(|(n, selection)| {
                    rule(json!({"id": format!("r{n}"), "selection": selection}))
                });
                rules.collect()
            })
            .collect();
        let events: Vec<Value> = values
            .iter()
            .map(|(x, y, message, has_x)| {
                let attributes = if *has_x {
                    json!({"z": "Abcdefg7ab", "x": x, "y": y})
                } else {
                    json!({"y": y, "z": x})
                };
                json!({"message": message, "level": "info", "attributes": attributes})
            })
            .collect();
        prop_assert!(agree(&revisions, &events, &asked));
    }
}
