use super::*;
use proptest::prelude::*;
use uuid::Uuid;

fn span(id: &str, parent: &str, start: i64, end: i64) -> SpanRow {
    SpanRow {
        id: Uuid::nil(),
        span_id: id.to_owned(),
        parent_span_id: parent.to_owned(),
        name: format!("op {id}"),
        kind: "internal".to_owned(),
        service: "s".to_owned(),
        host: String::new(),
        start,
        duration: u64::try_from(end - start).unwrap(),
        status: "ok".to_owned(),
        attributes: BTreeMap::new(),
        resource: BTreeMap::new(),
        event_times: Vec::new(),
        event_names: Vec::new(),
        event_attributes: Vec::new(),
        link_traces: Vec::new(),
        link_spans: Vec::new(),
        rule_matches: Vec::new(),
        risk_score: 0,
    }
}

fn path(trace: &Trace) -> Vec<(&str, i64, i64)> {
    let segment = |s: &Segment| (s.offset_ns, s.duration_ns);
    let segments = trace.critical_path.iter();
    segments
        .map(|s| (s.span_id.as_str(), segment(s).0, segment(s).1))
        .collect()
}

#[test]
fn the_duration_is_the_wall_clock_and_not_the_sum() {
    // The root ends before a child that outlives it: an asynchronous job.
    let spans = [
        span("a", "", 100, 200),
        span("b", "a", 110, 190),
        span("c", "a", 150, 500),
    ];
    let trace = waterfall(&spans, false).unwrap();
    assert_eq!(
        (trace.duration_ns, trace.start.0, trace.end.0),
        (400, 100, 500)
    );
    assert_eq!(
        (trace.span_count, trace.error_count, trace.orphan_count),
        (3, 0, 0)
    );
    let order: Vec<_> = trace
        .spans
        .iter()
        .map(|n| (n.span_id.as_str(), n.depth))
        .collect();
    assert_eq!(order, [("a", 0), ("b", 1), ("c", 1)]);
}

#[test]
fn the_critical_path_is_what_was_waited_for() {
    let spans = [
        span("a", "", 0, 100),
        span("b", "a", 10, 40),
        span("c", "a", 20, 60),
        span("d", "c", 30, 50),
        span("e", "a", 70, 90),
    ];
    let trace = waterfall(&spans, false).unwrap();
    assert_eq!(
        path(&trace),
        [
            ("a", 0, 10),
            ("b", 10, 10),
            ("c", 20, 10),
            ("d", 30, 20),
            ("c", 50, 10),
            ("a", 60, 10),
            ("e", 70, 20),
            ("a", 90, 10),
        ]
    );
    let node = |id: &str| trace.spans.iter().find(|n| n.span_id == id).unwrap();
    assert_eq!((node("a").self_ns, node("c").self_ns), (30, 20));
    assert!(node("d").critical);
}

#[test]
fn a_missing_parent_makes_an_orphan_at_the_top() {
    let spans = [
        span("a", "", 0, 10),
        span("b", "lost", 5, 30),
        span("c", "b", 6, 7),
    ];
    let trace = waterfall(&spans, false).unwrap();
    assert_eq!((trace.orphan_count, trace.duration_ns), (1, 30));
    let order: Vec<_> = trace
        .spans
        .iter()
        .map(|n| (n.span_id.as_str(), n.depth, n.orphan))
        .collect();
    assert_eq!(order, [("a", 0, false), ("b", 0, true), ("c", 1, false)]);
}

#[test]
fn circles_and_doubled_ids_still_make_a_tree() {
    let spans = [
        span("a", "b", 0, 10),
        span("b", "a", 1, 9),
        span("c", "c", 2, 8),
        span("a", "b", 3, 4),
    ];
    let trace = waterfall(&spans, false).unwrap();
    assert_eq!(trace.spans.len(), 4);
    assert_eq!(trace.spans[0].depth, 0);
    assert!(waterfall(&[], false).is_none());
}

proptest! {
    #[test]
    fn every_span_is_shown_once_and_the_path_never_overlaps(
        raw in prop::collection::vec((0u8..12, 0u8..12, 0i64..1000, 0i64..1000), 1..40)
    ) {
        let mut spans: Vec<_> = raw.iter().map(|(id, parent, start, length)| {
            let parent = if *parent == 0 { String::new() } else { parent.to_string() };
            span(&id.to_string(), &parent, *start, start + length)
        }).collect();
        spans.sort_by_key(|span| span.start);
        let trace = waterfall(&spans, false).unwrap();
        prop_assert_eq!(trace.spans.len(), spans.len());
        let mut upto = 0;
        for segment in &trace.critical_path {
            prop_assert!(segment.offset_ns >= upto && segment.duration_ns > 0);
            upto = segment.offset_ns + segment.duration_ns;
        }
        prop_assert!(upto <= trace.duration_ns);
    }
}
