//! The two evaluators find the same: on the corners of the language, gone through by hand, and on
//! rules made up by seed. Every exception is needed, and no rule is refused but those named here.

use millrace_sigma_check::compare::{Comparison, compare};
use millrace_sigma_check::dice::Dice;
use millrace_sigma_check::events::{by_chance, of_rules};
use millrace_sigma_check::{made, record};

/// Events made for each corner.
const EVENTS_OF_A_CORNER: usize = 45;
/// Rules that are made up, and events that no rule was asked about.
const MADE: u64 = 600;
const BY_CHANCE: usize = 600;
/// Differences that are told.
const TOLD_MAX: usize = 40;

/// Corners that one of the two refuses, in their order, with what it says.
const REFUSED_BY_US: &[(&str, &str)] = &[
    // A placeholder has no meaning but what it is bound to; the other takes it for a field.
    ("corner: expand", "is not bound"),
    // As bytes, this is no text that could be stored.
    ("corner: wide alone", "the character zero"),
];
const REFUSED_BY_OTHER: &[(&str, &str)] = &[
    // "Single item values are not allowed to have the all modifier": to us it means nothing then.
    ("corner: all of one", "more than one value"),
    // Modifiers can be chained: the order of a part of a date.
    ("corner: hour in order", "conflicting modifiers"),
];

fn refused_as_named(refused: &[String], named: &[(&str, &str)]) {
    assert_eq!(refused.len(), named.len(), "{refused:#?}");
    for (title, reason) in named {
        let start = format!("{title}: ");
        let mut said = refused.iter();
        assert!(
            said.any(|said| said.starts_with(&start) && said.contains(reason)),
            "{title}: {reason}: {refused:#?}"
        );
    }
}

fn without_differences(comparison: &Comparison) {
    let told = comparison.told(TOLD_MAX);
    println!("{told}");
    assert!(comparison.differences.is_empty(), "{told}");
    assert_eq!(comparison.no_events.0, 0, "{told}");
}

#[test]
fn the_corners_of_the_language() {
    let (texts, mut events) = record::checked_in().unwrap();
    events.extend(of_rules(&texts, EVENTS_OF_A_CORNER, &mut Dice(8)));
    events.extend(by_chance(BY_CHANCE, &mut Dice(9)));
    let comparison = compare(&texts, &events).unwrap();
    without_differences(&comparison);
    refused_as_named(&comparison.refused_by_us, REFUSED_BY_US);
    refused_as_named(&comparison.refused_by_other, REFUSED_BY_OTHER);
    assert_eq!(
        comparison.unneeded(),
        [""; 0],
        "exceptions that nothing needs"
    );
    let never: Vec<&String> = comparison.rules.difference(&comparison.matched).collect();
    assert_eq!(never, [""; 0], "corners that no event matches");
    assert!(comparison.rules.len() >= 100 && comparison.matches > 10_000);
}

#[test]
fn rules_made_up_by_seed() {
    let texts: Vec<String> = (0..MADE).map(made::rule).collect();
    let mut events = of_rules(&texts, 3, &mut Dice(10));
    events.extend(by_chance(BY_CHANCE, &mut Dice(11)));
    let comparison = compare(&texts, &events).unwrap();
    let first = comparison.differences.first();
    let number = first.and_then(|one| one.id.strip_prefix("made-")?.parse().ok());
    println!("{}", number.map(made::rule).unwrap_or_default());
    without_differences(&comparison);
    assert_eq!(comparison.rules.len(), 600);
    assert!(comparison.matched.len() > 450 && comparison.matches > 10_000);
}

/// The tests of the engine itself hold it to this file; `make sigma-record` writes it anew.
#[test]
fn what_is_written_down_is_what_is_said() {
    assert!(
        record::document().unwrap() == record::RECORDED,
        "recorded.json is not up to date"
    );
}
