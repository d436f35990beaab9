//! One trace as a waterfall: spans in tree order, the wall clock, the errors, and the critical path.
//!
//! Whatever arrives is a tree in the end: a span whose parent is missing is shown at the top and
//! marked as an orphan; of two spans with one id the earlier is the parent; a circle of parents is
//! cut at its earliest span.

use super::{Moment, Shown};
use crate::store::spans::{SpanEvent, SpanRow};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;

/// A trace.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Trace {
    /// Its id.
    pub trace_id: String,
    /// Start of the first span.
    pub start: Moment,
    /// End of the last span.
    pub end: Moment,
    /// Wall clock: last end minus first start, nanoseconds.
    pub duration_ns: i64,
    /// Number of spans.
    pub span_count: usize,
    /// Spans that failed.
    pub error_count: usize,
    /// Spans whose parent did not arrive.
    pub orphan_count: usize,
    /// Greatest depth, the top being 0.
    pub depth: usize,
    /// More spans exist than are shown.
    pub truncated: bool,
    /// The services, in order of first appearance.
    pub services: Vec<String>,
    /// Spans, each after its parent, siblings by start.
    pub spans: Vec<Node>,
    /// What the wall clock was spent on, in time order: every moment of it belongs to the span
    /// that all others waited for.
    pub critical_path: Vec<Segment>,
}

/// A span in the waterfall.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Node {
    /// Its id.
    pub span_id: String,
    /// The id of its parent.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub parent_span_id: String,
    /// Its depth in the tree.
    pub depth: usize,
    /// Its parent did not arrive.
    pub orphan: bool,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The service.
    pub service: String,
    /// The host.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub host: String,
    /// Start.
    pub start: Moment,
    /// Start after that of the trace, nanoseconds.
    pub offset_ns: i64,
    /// Duration, nanoseconds.
    pub duration_ns: u64,
    /// Of that, time in which none of its children ran, nanoseconds.
    pub self_ns: i64,
    /// `ok`, `error` or `unset`.
    pub status: String,
    /// Whether it is on the critical path.
    pub critical: bool,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the resource.
    #[serde(skip_serializing_if = "Shown::nothing")]
    pub resource: BTreeMap<String, String>,
    /// Events in it.
    pub events: Vec<SpanEvent>,
    /// Spans of other traces it links to, as `trace/span`.
    pub links: Vec<String>,
    /// Rules that match.
    pub rule_matches: Vec<String>,
    /// The risk that indicators give it.
    pub risk_score: u8,
}

/// A stretch of the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Segment {
    /// The span.
    pub span_id: String,
    /// Start after that of the trace, nanoseconds.
    pub offset_ns: i64,
    /// Length, nanoseconds.
    pub duration_ns: i64,
}

/// The tree of a trace's spans, by index.
struct Tree {
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
    orphans: Vec<bool>,
}

/// Makes the waterfall of spans ordered by start; `None` of no spans.
#[must_use]
pub fn waterfall(spans: &[SpanRow], truncated: bool) -> Option<Trace> {
    let start = spans.iter().map(|span| span.start).min()?;
    let end = spans.iter().map(SpanRow::end).max()?;
    let tree = Tree::of(spans);
    let path = critical_path(spans, &tree, (start, end));
    let mut critical = vec![false; spans.len()];
    for (span, _, _) in &path {
        if let Some(mark) = critical.get_mut(*span) {
            *mark = true;
        }
    }
    let mut services: Vec<String> = Vec::new();
    for span in spans {
        if !services.contains(&span.service) {
            services.push(span.service.clone());
        }
    }
    let ordered = tree.in_order();
    let node = |&(at, depth): &(usize, usize)| -> Option<Node> {
        let mut node = node(spans.get(at)?, start);
        node.depth = depth;
        node.orphan = tree.orphans.get(at).copied().unwrap_or(false);
        node.critical = critical.get(at).copied().unwrap_or(false);
        node.self_ns = self_time(spans, at, &tree);
        Some(node)
    };
    let segment = |&(span, from, to): &(usize, i64, i64)| -> Option<Segment> {
        Some(Segment {
            span_id: spans.get(span)?.span_id.clone(),
            offset_ns: from - start,
            duration_ns: to - from,
        })
    };
    Some(Trace {
        trace_id: String::new(),
        start: Moment(start),
        end: Moment(end),
        duration_ns: end.saturating_sub(start),
        span_count: spans.len(),
        error_count: spans.iter().filter(|span| span.status == "error").count(),
        orphan_count: tree.orphans.iter().filter(|orphan| **orphan).count(),
        depth: ordered.iter().map(|(_, depth)| *depth).max().unwrap_or(0),
        truncated,
        services,
        spans: ordered.iter().filter_map(node).collect(),
        critical_path: path.iter().filter_map(segment).collect(),
    })
}

impl Tree {
    fn of(spans: &[SpanRow]) -> Tree {
        let mut by_id: HashMap<&str, usize> = HashMap::new();
        for (at, span) in spans.iter().enumerate() {
            by_id.entry(span.span_id.as_str()).or_insert(at);
        }
        let mut parents: Vec<Option<usize>> = Vec::with_capacity(spans.len());
        let mut orphans = Vec::with_capacity(spans.len());
        for (at, span) in spans.iter().enumerate() {
            let parent = by_id.get(span.parent_span_id.as_str()).copied();
            let parent = parent.filter(|_| !span.parent_span_id.is_empty());
            orphans.push(parent.is_none() && !span.parent_span_id.is_empty());
            parents.push(parent.filter(|parent| *parent != at));
        }
        cut_circles(&mut parents);
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for (at, parent) in parents.iter().enumerate() {
            match parent.and_then(|parent| children.get_mut(parent)) {
                Some(siblings) => siblings.push(at),
                None => roots.push(at),
            }
        }
        Tree {
            children,
            roots,
            orphans,
        }
    }

    /// Each span after its parent, with its depth. Spans come ordered by start, so siblings are.
    fn in_order(&self) -> Vec<(usize, usize)> {
        let mut ordered = Vec::with_capacity(self.children.len());
        let mut waiting: Vec<(usize, usize)> = self.roots.iter().rev().map(|at| (*at, 0)).collect();
        while let Some((at, depth)) = waiting.pop() {
            ordered.push((at, depth));
            let children = self.children.get(at).into_iter().flatten();
            waiting.extend(children.rev().map(|child| (*child, depth + 1)));
        }
        ordered
    }
}

/// Cuts every circle of parents at its earliest span, which becomes a root.
fn cut_circles(parents: &mut [Option<usize>]) {
    const UNSEEN: usize = 0;
    let mut seen = vec![UNSEEN; parents.len()];
    for first in 0..parents.len() {
        let walk = first + 1;
        let mut at = first;
        while seen.get(at) == Some(&UNSEEN) {
            if let Some(mark) = seen.get_mut(at) {
                *mark = walk;
            }
            let Some(parent) = parents.get(at).copied().flatten() else {
                break;
            };
            if seen.get(parent) == Some(&walk) {
                cut(parents, parent);
                break;
            }
            at = parent;
        }
    }
}

/// Cuts the circle through a span at its earliest member.
fn cut(parents: &mut [Option<usize>], on_circle: usize) {
    let mut earliest = on_circle;
    let mut at = parents.get(on_circle).copied().flatten();
    while let Some(span) = at.filter(|span| *span != on_circle) {
        earliest = earliest.min(span);
        at = parents.get(span).copied().flatten();
    }
    if let Some(parent) = parents.get_mut(earliest) {
        *parent = None;
    }
}

fn node(span: &SpanRow, start: i64) -> Node {
    let links = span.link_traces.iter().zip(&span.link_spans);
    Node {
        span_id: span.span_id.clone(),
        parent_span_id: span.parent_span_id.clone(),
        depth: 0,
        orphan: false,
        name: span.name.clone(),
        kind: span.kind.clone(),
        service: span.service.clone(),
        host: span.host.clone(),
        start: Moment(span.start),
        offset_ns: span.start - start,
        duration_ns: span.duration,
        self_ns: 0,
        status: span.status.clone(),
        critical: false,
        attributes: span.attributes.clone(),
        resource: span.resource.clone(),
        events: span.events(),
        links: links
            .map(|(trace, span)| format!("{trace}/{span}"))
            .collect(),
        rule_matches: span.rule_matches.clone(),
        risk_score: span.risk_score,
    }
}

/// Time of a span in which none of its children ran.
fn self_time(spans: &[SpanRow], at: usize, tree: &Tree) -> i64 {
    let Some(span) = spans.get(at) else {
        return 0;
    };
    let (mut covered, mut upto) = (0, span.start);
    for child in tree
        .children
        .get(at)
        .into_iter()
        .flatten()
        .filter_map(|at| spans.get(*at))
    {
        let (from, to) = (child.start.max(upto), child.end().min(span.end()));
        if to > from {
            covered += to - from;
            upto = to;
        }
    }
    (span.end() - span.start - covered).max(0)
}

/// Start and end of each span together with everything below it: a child may outlive its parent.
fn extents(spans: &[SpanRow], tree: &Tree) -> Vec<(i64, i64)> {
    let mut extents: Vec<_> = spans.iter().map(|span| (span.start, span.end())).collect();
    for (at, _) in tree.in_order().into_iter().rev() {
        let children = tree.children.get(at).into_iter().flatten();
        let below = children.filter_map(|child| extents.get(*child).copied());
        let whole = below.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        if let (Some(own), Some(below)) = (extents.get_mut(at), whole) {
            *own = (own.0.min(below.0), own.1.max(below.1));
        }
    }
    extents
}

/// From the end of the trace backwards: at every moment the span that ended last among the children
/// of the one waited for, down to the leaves; what no child accounts for is the span's own. (The
/// algorithm of Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice
/// Architectures", USENIX ATC 2022.) Stretches in time order; time in which nothing ran is left out.
fn critical_path(
    spans: &[SpanRow],
    tree: &Tree,
    (start, end): (i64, i64),
) -> Vec<(usize, i64, i64)> {
    let extents = extents(spans, tree);
    let mut path = Vec::new();
    // A span (`None` is above all roots) and the time to be explained by it and what is below it.
    let mut waiting = vec![(None, start, end)];
    while let Some((at, from, to)) = waiting.pop() {
        let children = match at {
            Some(at) => tree.children.get(at),
            None => Some(&tree.roots),
        };
        let mut children: Vec<usize> = children.into_iter().flatten().copied().collect();
        children.sort_by_key(|child| extents.get(*child).map(|extent| extent.1));
        let own = at.and_then(|at: usize| Some((at, spans.get(at)?)));
        let mut keep = |from: i64, to: i64| {
            if let Some((at, span)) = own {
                path.push((at, from.max(span.start), to.min(span.end())));
            }
        };
        let mut now = to;
        for child in children.into_iter().rev() {
            let Some((child_start, child_end)) = extents.get(child) else {
                continue;
            };
            let (child_from, child_to) = ((*child_start).max(from), (*child_end).min(now));
            if child_to > child_from {
                keep(child_to, now);
                waiting.push((Some(child), child_from, child_to));
                now = child_from;
            }
        }
        keep(from, now);
    }
    path.retain(|(_, from, to)| to > from);
    path.sort_by_key(|(_, from, _)| *from);
    path
}

#[cfg(test)]
mod tests;
