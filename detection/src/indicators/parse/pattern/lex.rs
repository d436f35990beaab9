//! Patterns of STIX, to tokens (STIX 2.1, section 9).

use std::borrow::Cow;
use std::fmt;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A keyword, a type or the name of a property.
    Word(&'t str),
    /// A string, without its quotes.
    Text(Cow<'t, str>),
    /// A number, as it was written.
    Number(&'t str),
    /// `=`, `!=`, `<` and the like.
    Operator(&'t str),
    /// One of `[ ] ( ) , : . *`.
    Mark(char),
}

impl Token<'_> {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(found) if *found == word)
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(text) | Token::Number(text) | Token::Operator(text) => {
                write!(f, "`{}`", super::super::short(text))
            }
            Token::Text(text) => write!(f, "'{}'", super::super::short(text)),
            Token::Mark(mark) => write!(f, "`{mark}`"),
        }
    }
}

/// Longer ones first.
const OPERATORS: [&str; 9] = ["!=", "<>", "<=", ">=", "==", "=", "<", ">", "≠"];

/// All tokens of a pattern.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = token(first, rest)?;
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn token(first: char, rest: &str) -> Result<(Token<'_>, &str), String> {
    let after = || rest.get(first.len_utf8()..).unwrap_or_default();
    if first == '\'' {
        return string(after());
    }
    if let Some(operator) = OPERATORS
        .iter()
        .find(|operator| rest.starts_with(**operator))
    {
        let (operator, after) = rest.split_at_checked(operator.len()).unwrap_or((rest, ""));
        return Ok((Token::Operator(operator), after));
    }
    if "[](),:.*".contains(first) {
        return Ok((Token::Mark(first), after()));
    }
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let numeric = first.is_ascii_digit() || first == '-' || first == '+';
    let inside = |c: char| in_word(c) || (numeric && (c == '.' || c == '+'));
    let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    // t'…', h'…' and b'…' are constants of other types: times, hexadecimal and base64.
    if let ("t" | "h" | "b", Some(quoted)) = (word, after.strip_prefix('\'')) {
        return string(quoted);
    }
    match (word.is_empty(), numeric) {
        (true, _) => Err(format!("{first:?} means nothing in a pattern")),
        (false, true) => Ok((Token::Number(word), after)),
        (false, false) => Ok((Token::Word(word), after)),
    }
}

/// The string whose opening quote was read; `\'` and `\\` stand for what is behind the backslash.
fn string(text: &str) -> Result<(Token<'_>, &str), String> {
    let mut whole: Cow<'_, str> = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let end = rest
            .find(['\'', '\\'])
            .ok_or("a string that is not closed")?;
        let (inside, after) = rest
            .split_at_checked(end)
            .ok_or("a string that is not closed")?;
        if whole.is_empty() {
            whole = Cow::Borrowed(inside);
        } else {
            whole.to_mut().push_str(inside);
        }
        if let Some(after) = after.strip_prefix('\'') {
            return Ok((Token::Text(whole), after));
        }
        let escaped = after.get(1..).unwrap_or_default();
        let first = escaped
            .chars()
            .next()
            .ok_or("a string that is not closed")?;
        whole.to_mut().push(first);
        rest = escaped.get(first.len_utf8()..).unwrap_or_default();
    }
}
