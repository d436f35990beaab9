//! The condition of a Sigma rule: search identifiers with `and`, `or`, `not`, brackets, `1 of` and
//! `all of`. From the least binding: `or`, `and`, `not`, `x of`, brackets.

use crate::rules::Problem;

/// Bytes of a condition.
const CONDITION_BYTES_MAX: usize = 16 * 1024;
/// Brackets and negations inside of each other.
const DEPTH_MAX: usize = 64;

/// A condition, with the search identifiers that its patterns mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// A search identifier.
    Detection(String),
    /// Every one holds.
    And(Vec<Expression>),
    /// At least one holds.
    Or(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(String),
}

/// Reads a condition over the given search identifiers.
///
/// # Errors
/// What is wrong with it; the place is `detection.condition`.
pub(super) fn parse(condition: &str, identifiers: &[&str]) -> Result<Expression, Problem> {
    let wrong = |what: String| Problem::new("detection.condition", what);
    if condition.len() > CONDITION_BYTES_MAX {
        return Err(wrong(format!("is longer than {CONDITION_BYTES_MAX} bytes")));
    }
    if condition.contains('|') {
        let what = "has an aggregation, which correlation rules have replaced";
        return Err(wrong(what.to_owned()));
    }
    let tokens = tokens(condition);
    let mut parser = Parser {
        rest: &tokens,
        identifiers,
    };
    let expression = parser.or(0).map_err(wrong)?;
    match parser.rest.first() {
        None => Ok(expression),
        Some(token) => Err(wrong(format!("goes on with {}", token.name()))),
    }
}

fn tokens(condition: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = condition;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return tokens;
        };
        let ends = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')');
        let length = match first {
            '(' | ')' => 1,
            _ => rest.find(ends).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(length);
        rest = after;
        tokens.push(match word.to_ascii_lowercase().as_str() {
            "(" => Token::Open,
            ")" => Token::Close,
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            _ => Token::Word(word.to_owned()),
        });
    }
}

impl Token {
    fn name(&self) -> &str {
        match self {
            Token::Open => "an opening bracket",
            Token::Close => "a closing bracket",
            Token::And => "and",
            Token::Or => "or",
            Token::Not => "not",
            Token::Word(word) => word,
        }
    }
}

struct Parser<'t> {
    rest: &'t [Token],
    identifiers: &'t [&'t str],
}

type Parsed = Result<Expression, String>;

impl Parser<'_> {
    fn take(&mut self, token: &Token) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if first == token => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    fn or(&mut self, depth: usize) -> Parsed {
        let mut all = vec![self.and(depth)?];
        while self.take(&Token::Or) {
            all.push(self.and(depth)?);
        }
        Ok(one_or(all, Expression::Or))
    }

    fn and(&mut self, depth: usize) -> Parsed {
        let mut all = vec![self.not(depth)?];
        while self.take(&Token::And) {
            all.push(self.not(depth)?);
        }
        Ok(one_or(all, Expression::And))
    }

    fn not(&mut self, depth: usize) -> Parsed {
        if depth > DEPTH_MAX {
            return Err(format!("is nested deeper than {DEPTH_MAX}"));
        }
        if self.take(&Token::Not) {
            return Ok(Expression::Not(Box::new(self.not(depth + 1)?)));
        }
        if !self.take(&Token::Open) {
            return self.word();
        }
        let inner = self.or(depth + 1)?;
        if self.take(&Token::Close) {
            Ok(inner)
        } else {
            Err("lacks a closing bracket".to_owned())
        }
    }

    /// A search identifier, or so many of several.
    fn word(&mut self) -> Parsed {
        let (word, rest) = match self.rest.split_first() {
            Some((Token::Word(word), rest)) => (word, rest),
            Some((token, _)) => {
                return Err(format!(
                    "has {} where a search identifier belongs",
                    token.name()
                ));
            }
            None => return Err("ends where a search identifier belongs".to_owned()),
        };
        self.rest = rest;
        let is_of =
            |token: &Token| matches!(token, Token::Word(of) if of.eq_ignore_ascii_case("of"));
        if rest.first().is_some_and(is_of) && !self.identifiers.contains(&word.as_str()) {
            self.rest = rest.get(1..).unwrap_or_default();
            return self.so_many(word);
        }
        if self.identifiers.contains(&word.as_str()) {
            Ok(Expression::Detection(word.clone()))
        } else {
            Err(format!(
                "names {word}, which is not a search identifier of the rule"
            ))
        }
    }

    fn so_many(&mut self, quantifier: &str) -> Parsed {
        let group = match quantifier.to_ascii_lowercase().as_str() {
            "1" | "any" => Expression::Or,
            "all" => Expression::And,
            other => {
                return Err(format!(
                    "has {other} of, where only 1 of and all of are defined"
                ));
            }
        };
        let Some((Token::Word(pattern), rest)) = self.rest.split_first() else {
            return Err("lacks what `of` is about".to_owned());
        };
        self.rest = rest;
        let is_meant = |name: &&&str| {
            if pattern.eq_ignore_ascii_case("them") {
                !name.starts_with('_')
            } else {
                (!name.starts_with('_') || pattern.starts_with('_')) && is_like(pattern, name)
            }
        };
        let names = self.identifiers.iter().filter(is_meant);
        let meant: Vec<_> = names
            .map(|name| Expression::Detection((*name).to_owned()))
            .collect();
        if meant.is_empty() {
            return Err(format!(
                "names {pattern}, which no search identifier is like"
            ));
        }
        Ok(one_or(meant, group))
    }
}

fn one_or(mut all: Vec<Expression>, group: fn(Vec<Expression>) -> Expression) -> Expression {
    match all.pop() {
        Some(one) if all.is_empty() => one,
        Some(last) => {
            all.push(last);
            group(all)
        }
        None => group(all),
    }
}

/// Whether a name is as a pattern with `*` says.
pub(super) fn is_like(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 5] = ["a", "b", "sel_1", "sel_2", "_hidden"];

    fn read(condition: &str) -> String {
        match parse(condition, &NAMES) {
            Ok(expression) => show(&expression),
            Err(problem) => format!("error {}", problem.what),
        }
    }

    fn show(expression: &Expression) -> String {
        let list = |sign: &str, all: &[Expression]| {
            let all: Vec<_> = all.iter().map(show).collect();
            format!("({})", all.join(sign))
        };
        match expression {
            Expression::Detection(name) => name.clone(),
            Expression::And(all) => list("&", all),
            Expression::Or(all) => list("|", all),
            Expression::Not(one) => format!("!{}", show(one)),
        }
    }

    #[test]
    fn precedence_is_or_and_not_of_brackets() {
        for (condition, tree) in [
            ("a", "a"),
            ("a or b and not sel_1", "(a|(b&!sel_1))"),
            ("not a or b", "(!a|b)"),
            ("not (a or b)", "!(a|b)"),
            ("not not a", "!!a"),
            ("(a)", "a"),
            ("((a or b)) and sel_1", "((a|b)&sel_1)"),
            ("1 of them", "(a|b|sel_1|sel_2)"),
            ("all of them", "(a&b&sel_1&sel_2)"),
            ("any of sel_*", "(sel_1|sel_2)"),
            (
                "all of sel_* and not 1 of _hid*",
                "((sel_1&sel_2)&!_hidden)",
            ),
            ("1 of *_1 or a", "(sel_1|a)"),
            ("a AND b Or sel_1", "((a&b)|sel_1)"),
            ("a and(b)", "(a&b)"),
            ("_hidden", "_hidden"),
            ("1 of *", "(a|b|sel_1|sel_2)"),
        ] {
            assert_eq!(read(condition), tree, "{condition}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        for (condition, reason) in [
            ("", "ends where"),
            ("a and", "ends where"),
            ("and a", "has and where"),
            ("a b", "goes on with b"),
            ("(a", "lacks a closing"),
            ("a)", "goes on with a closing"),
            ("c", "names c"),
            ("1 of", "lacks what"),
            ("1 of other*", "no search identifier is like"),
            ("2 of them", "2 of"),
            ("a | count() > 5", "aggregation"),
            (&"(".repeat(70), "deeper"),
        ] {
            let read = read(condition);
            assert!(read.contains(reason), "{condition}: {read}");
        }
    }

    /// A truth value by the tree, and by the grammar written down again without brackets' help.
    fn holds(expression: &Expression, truth: &dyn Fn(&str) -> bool) -> bool {
        match expression {
            Expression::Detection(name) => truth(name),
            Expression::And(all) => all.iter().all(|one| holds(one, truth)),
            Expression::Or(all) => all.iter().any(|one| holds(one, truth)),
            Expression::Not(one) => !holds(one, truth),
        }
    }

    fn written(expression: &Expression) -> String {
        let list = |word: &str, all: &[Expression]| {
            let all: Vec<_> = all.iter().map(written).collect();
            format!("({})", all.join(word))
        };
        match expression {
            Expression::Detection(name) => name.clone(),
            Expression::And(all) => list(" and ", all),
            Expression::Or(all) => list(" or ", all),
            Expression::Not(one) => format!("not {}", written(one)),
        }
    }

    fn expressions() -> impl Strategy<Value = Expression> {
        let leaf = prop::sample::select(NAMES.to_vec())
            .prop_map(|name| Expression::Detection(name.to_owned()));
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
                inner.prop_map(|one| Expression::Not(Box::new(one))),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_written_condition_means_what_it_was(expression in expressions(), truths in 0_u32..32) {
            let truth = |name: &str| {
                let at = NAMES.iter().position(|known| *known == name).unwrap();
                truths >> at & 1 == 1
            };
            let read = parse(&written(&expression), &NAMES).unwrap();
            prop_assert_eq!(holds(&read, &truth), holds(&expression, &truth));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[ab1 ()*_ofandrtl]{0,40}") {
            let _ = parse(&text, &NAMES);
        }
    }
}
