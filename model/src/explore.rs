//! Visits every state of a model, breadth first, and says which property breaks where, with the
//! shortest way there; then whether from every state there is still a way to where all is done.
//!
//! Knows nothing of what is modelled. States are told apart by a 64-bit hash of them: among a
//! million states the chance that one is passed over is about one in thirty million.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The name of the property that a state with no way to the end breaks.
pub const SETTLES: &str = "settles";

/// What can be searched.
pub trait Model {
    /// Everything there is at one moment.
    type State: Clone + Hash;
    /// One step of somebody.
    type Action: std::fmt::Debug;

    /// Where it begins.
    fn start(&self) -> Self::State;
    /// All that can happen next.
    fn next(&self, state: &Self::State) -> Vec<(Self::Action, Self::State)>;
    /// The first property that the state breaks.
    fn broken_property(&self, state: &Self::State) -> Option<&'static str>;
    /// Whether all is done.
    fn is_settled(&self, state: &Self::State) -> bool;
    /// Whether the step is a misfortune, on which no way to the end may rely.
    fn is_fault(&self, action: &Self::Action, before: &Self::State) -> bool;
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Distinct states seen.
    pub states: usize,
    /// Steps taken.
    pub steps: usize,
    /// States in which all is done.
    pub settled: usize,
    /// Whether nothing was left to visit.
    pub exhausted: bool,
    /// The property that breaks, and the shortest way to where it does.
    pub violation: Option<Violation>,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: &'static str,
    /// The steps that lead there.
    pub way: Vec<String>,
}

/// What is kept of the states visited: how each was reached, and where one can go without a fault.
#[derive(Default)]
struct Seen {
    known: HashMap<u64, u32>,
    /// For each state the one before it, and which of its steps leads here.
    reached: Vec<(u32, u32)>,
    /// Steps that are no faults.
    edges: Vec<(u32, u32)>,
    settled: Vec<u32>,
    steps: usize,
}

impl Seen {
    /// The number of a state, and whether it is new.
    fn number<S: Hash>(&mut self, state: &S, from: (u32, u32)) -> (u32, bool) {
        let mut hash = DefaultHasher::new();
        state.hash(&mut hash);
        let fresh = u32::try_from(self.reached.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(hash.finish()).or_insert(fresh);
        if number == fresh {
            self.reached.push(from);
        }
        (number, number == fresh)
    }

    fn report(&self, exhausted: bool, violation: Option<Violation>) -> Report {
        Report {
            states: self.reached.len(),
            steps: self.steps,
            settled: self.settled.len(),
            exhausted,
            violation,
        }
    }

    /// A state from which no way without faults leads to the end.
    fn stuck(&self) -> Option<u32> {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); self.reached.len()];
        for (from, to) in &self.edges {
            if let Some(list) = before.get_mut(*to as usize) {
                list.push(*from);
            }
        }
        let mut good = vec![false; self.reached.len()];
        let mut todo = self.settled.clone();
        while let Some(state) = todo.pop() {
            match good.get_mut(state as usize) {
                Some(known) if !*known => *known = true,
                Some(_) | None => continue,
            }
            todo.extend(before.get(state as usize).into_iter().flatten());
        }
        let bad = good.iter().position(|good| !good)?;
        u32::try_from(bad).ok()
    }

    /// The steps that lead to a state, made again from the beginning.
    fn way_to<M: Model>(&self, model: &M, state: u32) -> Vec<String> {
        let mut choices = Vec::new();
        let mut at = state;
        while at != 0 {
            let Some((before, choice)) = self.reached.get(at as usize) else {
                break;
            };
            choices.push(*choice as usize);
            at = *before;
        }
        let (mut here, mut way) = (model.start(), Vec::new());
        for choice in choices.into_iter().rev() {
            let Some((action, next)) = model.next(&here).into_iter().nth(choice) else {
                break;
            };
            way.push(format!("{action:?}"));
            here = next;
        }
        way
    }
}

/// Searches until a property breaks, nothing is left, or `most` states were seen.
pub fn explore<M: Model>(model: &M, most: usize) -> Report {
    let (mut seen, mut queue) = (Seen::default(), VecDeque::new());
    let start = model.start();
    seen.number(&start, (0, 0));
    queue.push_back((0, start));
    while let Some((here, state)) = queue.pop_front() {
        if let Some(property) = model.broken_property(&state) {
            let way = seen.way_to(model, here);
            return seen.report(false, Some(Violation { property, way }));
        }
        if model.is_settled(&state) {
            seen.settled.push(here);
        }
        for (choice, (action, next)) in (0..).zip(model.next(&state)) {
            seen.steps += 1;
            let (there, new) = seen.number(&next, (here, choice));
            if !model.is_fault(&action, &state) && there != here {
                seen.edges.push((here, there));
            }
            if new {
                queue.push_back((there, next));
            }
        }
        if seen.reached.len() > most {
            return seen.report(false, None);
        }
    }
    let stuck = seen.stuck().map(|state| Violation {
        property: SETTLES,
        way: seen.way_to(model, state),
    });
    seen.report(true, stuck)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts to ten; may fall into a pit at seven, and jump over eight by luck.
    struct Count {
        pit: bool,
        wrong: u8,
    }

    impl Model for Count {
        type State = u8;
        type Action = &'static str;

        fn start(&self) -> u8 {
            0
        }

        fn next(&self, state: &u8) -> Vec<(&'static str, u8)> {
            match state {
                7 if self.pit => vec![("luck", 9), ("fall", 100)],
                100 => vec![("luck", 10)],
                state if *state < 10 => vec![("count", state + 1)],
                _ => Vec::new(),
            }
        }

        fn broken_property(&self, state: &u8) -> Option<&'static str> {
            (*state == self.wrong).then_some("wrong")
        }

        fn is_settled(&self, state: &u8) -> bool {
            *state == 10
        }

        fn is_fault(&self, action: &&'static str, _before: &u8) -> bool {
            *action == "luck"
        }
    }

    #[test]
    fn a_good_model_is_exhausted() {
        let report = explore(
            &Count {
                pit: false,
                wrong: 200,
            },
            1_000,
        );
        assert_eq!((report.states, report.settled), (11, 1));
        assert!(report.exhausted && report.violation.is_none());
    }

    #[test]
    fn the_shortest_way_to_a_broken_property_is_told() {
        let report = explore(
            &Count {
                pit: true,
                wrong: 9,
            },
            1_000,
        );
        let violation = report.violation.unwrap();
        assert_eq!(violation.property, "wrong");
        assert_eq!(violation.way.len(), 8);
        assert_eq!(violation.way.last().unwrap(), "\"luck\"");
    }

    #[test]
    fn a_way_out_by_luck_alone_is_no_way_out() {
        let report = explore(
            &Count {
                pit: true,
                wrong: 200,
            },
            1_000,
        );
        assert_eq!(report.violation.unwrap().property, SETTLES);
    }

    #[test]
    fn a_search_cut_short_says_so() {
        let report = explore(
            &Count {
                pit: false,
                wrong: 200,
            },
            3,
        );
        assert!(!report.exhausted);
    }
}
