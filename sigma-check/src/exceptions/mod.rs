//! Where the other evaluator is known to read otherwise than Sigma 2.1 says, or where the
//! specification leaves it open. Each exception is what the other would have to be given, in its
//! own terms, to say what we say: a difference that does not go away by that is a difference.
//!
//! ```text
//! rewrite   the rule said in other words
//! texts     the same for encodings and letters
//! adjust    the event given in another form
//! ```

pub(crate) mod rewrite;
mod texts;
mod adjust;

use crate::events::Fields;
use crate::theirs::says;
use rsigma_parser::SigmaRule;

/// A known reason for differences.
pub struct Exception {
    /// What it is called.
    pub name: &'static str,
    /// What the specification says, or leaves open, and what the two do.
    pub why: &'static str,
    rule: Option<Rewrite>,
    event: Option<Adjust>,
}

/// Says the rule in other words; whether that changed it.
type Rewrite = fn(&mut SigmaRule) -> bool;
/// The event to ask about instead.
type Adjust = fn(&SigmaRule, &Fields) -> Fields;

const fn by_rule(name: &'static str, why: &'static str, rule: Rewrite) -> Exception {
    Exception {
        name,
        why,
        rule: Some(rule),
        event: None,
    }
}

const fn by_event(name: &'static str, why: &'static str, event: Adjust) -> Exception {
    Exception {
        name,
        why,
        rule: None,
        event: Some(event),
    }
}

/// All of them.
pub static EXCEPTIONS: &[Exception] = &[
    by_rule(
        "keywords-all",
        "keywords, also those of '|all', are searched for across the entire event; the other wants \
         values that are equal to them, and all of them equal to the same value",
        rewrite::keywords_of_maps,
    ),
    by_rule(
        "keyword-numbers",
        "a number among keywords is searched for like any other; the other never finds it",
        rewrite::numbers_among_keywords,
    ),
    by_event(
        "keywords-in-numbers",
        "keywords are searched for across the entire event; the other leaves numbers, true and \
         false out",
        adjust::numbers_as_texts,
    ),
    by_rule(
        "wildcards-at-edges",
        "with startswith and endswith a value may have wildcards; the other then looks at the \
         other end",
        rewrite::wildcards_at_edges,
    ),
    by_rule(
        "line-breaks",
        "a wildcard stands for any character; to the other a line break is none",
        rewrite::wildcards_of_any_character,
    ),
    by_rule(
        "windash",
        "all five characters are exchanged, where they introduce an option, as in pySigma; the \
         other exchanges hyphens only, wherever they stand, and takes wildcards for characters",
        texts::windash,
    ),
    by_rule(
        "base64offset",
        "what is looked for is the static part in the middle, and anywhere only if contains says \
         so, as in pySigma; the other leaves the last letter in, which depends on what follows",
        texts::base64offset,
    ),
    by_rule(
        "numbers",
        "values are strings: 5 is not '5.0'; the other compares the text as a number",
        rewrite::numbers_as_texts,
    ),
    by_event(
        "spelling-of-numbers",
        "a number of an event has no spelling of its own: to us '5.0' equals 5; the other compares \
         with how it writes it",
        adjust::numbers_as_spelled,
    ),
    by_rule(
        "truth-values",
        "values are strings: true is 'true'; to the other it is '1' and 'yes' too",
        rewrite::truth_values_as_texts,
    ),
    Exception {
        name: "exists",
        why: "exists verifies the presence of a field, not its value, be it empty or null; to the \
              other a null is not there",
        rule: Some(rewrite::presence),
        event: Some(adjust::presence),
    },
    by_rule(
        "hidden-identifiers",
        "1 of and all of a pattern are as with them, which leaves out what begins with an \
         underscore, and have * at arbitrary positions; the other takes the former in, and \
         understands one *",
        rewrite::patterns_of_identifiers,
    ),
    Exception {
        name: "fieldref",
        why: "open: to us a field of several values is related to another when one of its values is, \
              a number is what it is written like, and a null is equal to nothing; the other compares \
              lists as wholes, null with null, and with cased a number with no text",
        rule: Some(rewrite::relations),
        event: Some(adjust::related_fields),
    },
    by_event(
        "times",
        "open: the other reads fewer spellings of a time",
        adjust::times,
    ),
    by_event(
        "addresses",
        "open: to us ::ffff:10.0.0.1 is 10.0.0.1, and blanks around an address mean nothing",
        adjust::addresses,
    ),
    by_event(
        "blanks",
        "open: to us blanks around a number mean nothing where order is asked for",
        adjust::blanks_around_numbers,
    ),
    by_event(
        "empty-lists",
        "open: to us a list without a value is null, as a field that is not there is",
        adjust::empty_lists,
    ),
    Exception {
        name: "letters",
        why: "open: we compare letters of either case one by one, and letters of ASCII with \
              themselves alone; the other lowers whole texts (İ becomes two letters, a final Σ \
              another one), and texts with wildcards by the rules of expressions",
        rule: Some(texts::letters_of_rule),
        event: Some(texts::letters_of_event),
    },
    by_rule(
        "expressions",
        "the flavour is PCRE, whose \\d, \\w, \\s and \\b are of ASCII; those of the other are not",
        texts::ascii_classes,
    ),
];

/// Which exceptions it takes for the other to say of this rule and event what we say: one alone if
/// one is enough, else as few as that. `None` when all together do not do it.
pub(crate) fn explain(rule: &SigmaRule, event: &Fields, ours: bool) -> Option<Vec<usize>> {
    let concerned: Vec<usize> = (0..EXCEPTIONS.len())
        .filter(|number| changes(*number, rule, event))
        .collect();
    let agrees = |numbers: &[usize]| given(numbers, rule, event) == Ok(ours);
    let alone = concerned.iter().find(|number| agrees(&[**number]));
    if let Some(alone) = alone {
        return Some(vec![*alone]);
    }
    if !agrees(&concerned) {
        return None;
    }
    let mut needed = concerned.clone();
    for number in concerned {
        let without: Vec<usize> = needed
            .iter()
            .copied()
            .filter(|one| *one != number)
            .collect();
        if agrees(&without) {
            needed = without;
        }
    }
    Some(needed)
}

fn changes(number: usize, rule: &SigmaRule, event: &Fields) -> bool {
    let Some(exception) = EXCEPTIONS.get(number) else {
        return false;
    };
    let of_rule = exception
        .rule
        .is_some_and(|rewrite| rewrite(&mut rule.clone()));
    let of_event = exception.event.map(|adjust| adjust(rule, event));
    of_rule || of_event.is_some_and(|other| other != *event)
}

/// What the other says when given rule and event as these exceptions want them.
fn given(numbers: &[usize], rule: &SigmaRule, event: &Fields) -> Result<bool, String> {
    let (mut changed, mut adjusted) = (rule.clone(), event.clone());
    for exception in numbers.iter().filter_map(|number| EXCEPTIONS.get(*number)) {
        if let Some(rewrite) = exception.rule {
            rewrite(&mut changed);
        }
        if let Some(adjust) = exception.event {
            adjusted = adjust(rule, &adjusted);
        }
    }
    says(&changed, &adjusted)
}
