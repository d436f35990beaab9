//! Two values of one event, compared with each other. Nothing is copied.

use super::condition::{Order, Place, written};
use super::literal::fold;
use millrace_shared::Value;

/// How one value stands to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// They are equal.
    Equal,
    /// The first contains, starts with or ends with the second.
    Text(Place),
    /// Their order as numbers.
    Number(Order),
}

impl Relation {
    /// Whether it holds between two values.
    pub(super) fn holds(self, one: &Value<'_>, other: &Value<'_>, any_case: bool) -> bool {
        if let Relation::Number(order) = self {
            let numbers = number(one).zip(number(other));
            return numbers.is_some_and(|(one, other)| order.holds(&one, &other));
        }
        let (mut first, mut second) = ([0; 32], [0; 32]);
        let texts = written(one, &mut first).zip(written(other, &mut second));
        texts.is_some_and(|(one, other)| match self {
            Relation::Equal => is_start(one, other, any_case) == Some(true),
            Relation::Text(Place::Start) => is_start(one, other, any_case).is_some(),
            Relation::Text(Place::End) => is_end(one, other, any_case),
            Relation::Text(Place::Anywhere) => {
                other.is_empty()
                    || one.char_indices().any(|(at, _)| {
                        let rest = one.get(at..).unwrap_or_default();
                        is_start(rest, other, any_case).is_some()
                    })
            }
            Relation::Number(_) => false,
        })
    }
}

/// A value as a number, if it is one or reads as one.
pub(super) fn number(value: &Value<'_>) -> Option<f64> {
    let of_text = |text: &str| text.trim().parse::<f64>().ok();
    value
        .as_number()
        .or_else(|| value.as_text().and_then(of_text))
}

fn same(one: char, other: char, any_case: bool) -> bool {
    one == other || (any_case && fold(one) == fold(other))
}

/// Whether a text starts with another, and then whether that is all of it.
fn is_start(text: &str, start: &str, any_case: bool) -> Option<bool> {
    let mut letters = text.chars();
    for wanted in start.chars() {
        if !same(letters.next()?, wanted, any_case) {
            return None;
        }
    }
    Some(letters.as_str().is_empty())
}

fn is_end(text: &str, end: &str, any_case: bool) -> bool {
    let mut letters = text.chars();
    end.chars().rev().all(|wanted| {
        letters
            .next_back()
            .is_some_and(|letter| same(letter, wanted, any_case))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_of_two_values() {
        let holds = |relation: Relation, one: &str, other: &str, any_case| {
            relation.holds(&Value::Text(one), &Value::Text(other), any_case)
        };
        assert!(holds(Relation::Equal, "Äb", "äB", true));
        assert!(!holds(Relation::Equal, "Äb", "äB", false));
        assert!(!holds(Relation::Equal, "ab", "a", true));
        assert!(holds(Relation::Text(Place::Start), "ABC", "ab", true));
        assert!(holds(Relation::Text(Place::End), "ABC", "bc", true));
        assert!(holds(Relation::Text(Place::Anywhere), "xABCx", "b", true));
        assert!(!holds(Relation::Text(Place::Anywhere), "x", "xx", true));
        assert!(holds(Relation::Number(Order::Gt), "10", "9", false));
        assert!(Relation::Equal.holds(&Value::Int(5), &Value::Text("5"), false));
        assert!(!Relation::Equal.holds(&Value::Null, &Value::Null, false));
    }
}
