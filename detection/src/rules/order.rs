//! In which order the conditions of a rule are asked: what costs little first. The order says
//! nothing about the answer.

use super::compile::Node;
use super::condition::{OtherField, Place, Test};

/// About the nanoseconds that one value takes.
const COST_FLAG: u32 = 2;
const COST_EDGE: u32 = 4;
const COST_NUMBER: u32 = 8;
const COST_SET: u32 = 20;
const COST_SEARCH: u32 = 20;
const COST_PATTERN: u32 = 30;
const COST_MANY: u32 = 100;
const COST_NETWORK: u32 = 30;
const COST_MOMENT: u32 = 100;
const COST_REGEX: u32 = 400;
/// What finding the values of a slot takes.
const COST_SLOT: u32 = 10;
/// Values beyond which a list costs no more: it has a table.
const LIST_MAX: usize = 8;

/// Puts the conditions within a selection in order.
pub(super) fn order(node: &mut Node) {
    match node {
        Node::All(list) | Node::Any(list) | Node::None(list) => {
            list.iter_mut().for_each(order);
            list.sort_by_cached_key(cost);
        }
        Node::Gate(..) | Node::Condition { .. } => {}
    }
}

fn cost(node: &Node) -> u32 {
    match node {
        Node::All(list) | Node::Any(list) | Node::None(list) => {
            list.iter().map(cost).fold(0, u32::saturating_add)
        }
        // Whoever asks first pays for all.
        Node::Gate(..) => COST_FLAG,
        Node::Condition { test, .. } => of_test(test).saturating_add(COST_SLOT),
    }
}

fn of_test(test: &Test) -> u32 {
    let each = |count: usize, cost: u32| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        count.saturating_mul(cost)
    };
    match test {
        Test::Exists(_) | Test::Present(_) | Test::Ioc(_) => COST_FLAG,
        Test::Equal { literals, .. } if literals.len() > LIST_MAX => COST_SET,
        Test::Equal { literals, .. } => each(literals.len(), COST_EDGE),
        Test::Text {
            at_once: Some(_), ..
        } => COST_MANY,
        Test::Text { needles, place, .. } => match place {
            Place::Start | Place::End => each(needles.len(), COST_EDGE),
            Place::Anywhere => each(needles.len(), COST_SEARCH),
        },
        Test::Number(..) | Test::Rank(..) => COST_NUMBER,
        Test::Like(patterns) => each(patterns.len(), COST_PATTERN),
        Test::Cidr(networks) => COST_NETWORK.saturating_add(each(networks.len(), 1)),
        Test::Field(OtherField { .. }) => COST_PATTERN,
        Test::Moment(..) | Test::AfterHours(_) => COST_MOMENT,
        Test::Regex(..) => COST_REGEX,
    }
}
