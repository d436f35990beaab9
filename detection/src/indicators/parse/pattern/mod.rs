//! What a pattern of STIX 2.1 says, as values that can be looked up.
//!
//! ```text
//! lex       text → tokens
//! mod       tokens → observations, joined by AND and OR
//! property  object path, operator and constant → the values that it stands for
//! ```
//!
//! An indicator is one value, so a pattern is taken apart, and never such that a half of it would
//! match more than the whole says:
//!
//! * comparisons joined by OR, and observations joined by OR, are indicators each;
//! * observations joined by AND are indicators each too, with a note: every one of them was observed
//!   with the threat, and they come in different events;
//! * comparisons joined by AND within one observation are taken if one of them says enough alone:
//!   a digest names its file whatever else is asked of it; ports and protocols, and the type of an
//!   address, narrow what events do not state, and are left out with a note. Else the pattern is
//!   refused;
//! * what asks for an order or a time (FOLLOWEDBY, WITHIN, REPEATS, START … STOP) is refused.

mod lex;
mod property;

use crate::observables::Kind;
use lex::Token;
use property::Comparison;

/// Bytes of a pattern; the longest lists of digests stay below.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Parentheses within one another.
const DEPTH_MAX: usize = 32;
/// Values of one pattern.
const VALUES_MAX: usize = 2_000;

/// What was taken of a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The values.
    pub(super) values: Vec<(Kind, String)>,
    /// What of it was left out or read otherwise than it says.
    pub(super) notes: Vec<String>,
}

impl Taken {
    fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    fn add(&mut self, other: Taken) {
        for value in other.values {
            if self.values.len() < VALUES_MAX && !self.values.contains(&value) {
                self.values.push(value);
            }
        }
        other.notes.iter().for_each(|note| self.note(note));
    }
}

/// Reads a pattern.
///
/// # Errors
/// Why it cannot be taken.
pub(super) fn read(pattern: &str) -> Result<Taken, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a pattern of more than {PATTERN_BYTES_MAX} bytes"));
    }
    let tokens = lex::tokens(pattern)?;
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
    };
    let taken = reader.observations(0)?;
    if let Some(token) = reader.peek() {
        return Err(format!("{token} where the pattern should end"));
    }
    if taken.values.len() >= VALUES_MAX {
        return Err(format!("a pattern of {VALUES_MAX} values or more"));
    }
    Ok(taken)
}

/// What a part of an observation says.
enum Meaning {
    /// One of these values.
    Values(Taken),
    /// Nothing that events state: it is left out, and why.
    Nothing(&'static str),
    /// More than values can say, and why.
    More(String),
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'t Token<'t>> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    fn takes(&mut self, token: &Token<'_>) -> bool {
        let same = self.peek() == Some(token);
        self.at += usize::from(same);
        same
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let same = self.peek().is_some_and(|token| token.is_word(word));
        self.at += usize::from(same);
        same
    }

    fn must(&mut self, mark: char) -> Result<(), String> {
        match self.next() {
            Some(Token::Mark(found)) if *found == mark => Ok(()),
            Some(token) => Err(format!("{token} where `{mark}` should stand")),
            None => Err(format!("it ends where `{mark}` should stand")),
        }
    }

    /// Observations joined by AND, OR and FOLLOWEDBY. Since each observation is taken alone, the
    /// order in which these bind does not matter.
    fn observations(&mut self, depth: usize) -> Result<Taken, String> {
        let mut taken = self.observation(depth)?;
        loop {
            if self.takes_word("AND") {
                taken.note("observations joined by AND are taken each alone");
            } else if self.takes_word("FOLLOWEDBY") {
                return Err("FOLLOWEDBY asks for observations in their order, which an indicator cannot say".to_owned());
            } else if !self.takes_word("OR") {
                return Ok(taken);
            }
            taken.add(self.observation(depth)?);
        }
    }

    fn observation(&mut self, depth: usize) -> Result<Taken, String> {
        if depth > DEPTH_MAX {
            return Err(format!(
                "more than {DEPTH_MAX} parentheses within one another"
            ));
        }
        let taken = if self.takes(&Token::Mark('(')) {
            let taken = self.observations(depth + 1)?;
            self.must(')')?;
            taken
        } else {
            self.must('[')?;
            let meaning = self.either(depth + 1)?;
            self.must(']')?;
            match meaning {
                Meaning::Values(taken) => taken,
                Meaning::Nothing(what) => {
                    return Err(format!("an observation says no more than {what}"));
                }
                Meaning::More(why) => return Err(why),
            }
        };
        for (word, what) in [
            ("WITHIN", "a span of time"),
            ("REPEATS", "a number of observations"),
            ("START", "a time of observation"),
        ] {
            if self.peek().is_some_and(|token| token.is_word(word)) {
                return Err(format!(
                    "{word} asks for {what}, which an indicator cannot say"
                ));
            }
        }
        Ok(taken)
    }

    /// Comparisons joined by OR: what of them can be said counts, the rest is noted.
    fn either(&mut self, depth: usize) -> Result<Meaning, String> {
        let mut all = vec![self.all(depth)?];
        while self.takes_word("OR") {
            all.push(self.all(depth)?);
        }
        if all.len() == 1 {
            return all.pop().ok_or_else(String::new);
        }
        let (mut taken, mut why) = (Taken::default(), None);
        for meaning in all {
            match meaning {
                Meaning::Values(one) => taken.add(one),
                Meaning::Nothing(what) => {
                    why = why.or(Some(format!("one of several says no more than {what}")))
                }
                Meaning::More(more) => why = why.or(Some(more)),
            }
        }
        match why {
            Some(why) if taken.values.is_empty() => Ok(Meaning::More(why)),
            Some(why) => {
                taken.note(&format!("one of several was left out: {why}"));
                Ok(Meaning::Values(taken))
            }
            None => Ok(Meaning::Values(taken)),
        }
    }

    /// Comparisons joined by AND.
    fn all(&mut self, depth: usize) -> Result<Meaning, String> {
        let mut all = vec![self.comparison(depth)?];
        while self.takes_word("AND") {
            all.push(self.comparison(depth)?);
        }
        match all.len() {
            1 => all.pop().ok_or_else(String::new),
            _ => Ok(joined(all)),
        }
    }

    fn comparison(&mut self, depth: usize) -> Result<Meaning, String> {
        if depth > DEPTH_MAX {
            return Err(format!(
                "more than {DEPTH_MAX} parentheses within one another"
            ));
        }
        if self.takes(&Token::Mark('(')) {
            let meaning = self.either(depth + 1)?;
            self.must(')')?;
            return Ok(meaning);
        }
        if self.takes_word("EXISTS") {
            let path = self.path()?;
            return Ok(Meaning::More(format!("EXISTS {path} asks for no value")));
        }
        let path = self.path()?;
        let denied = self.takes_word("NOT");
        let operator = match self.next() {
            Some(Token::Operator(operator)) => *operator,
            Some(Token::Word(word)) => *word,
            Some(token) => return Err(format!("{token} where an operator should stand")),
            None => return Err("it ends where an operator should stand".to_owned()),
        };
        let values = self.constants()?;
        let comparison = Comparison {
            path: &path,
            denied,
            operator,
            values: &values,
        };
        Ok(comparison.meaning())
    }

    /// An object path: `file:hashes.'SHA-256'`, `network-traffic:dst_ref.value`, `a:b[*].c`.
    fn path(&mut self) -> Result<String, String> {
        let Some(Token::Word(object)) = self.next() else {
            return Err("no type of an object where a comparison should begin".to_owned());
        };
        self.must(':')?;
        let mut path = format!("{object}:");
        loop {
            match self.next() {
                Some(Token::Word(name)) => path.push_str(name),
                Some(Token::Text(name)) => path.push_str(name),
                Some(token) => return Err(format!("{token} where a property should stand")),
                None => return Err("it ends where a property should stand".to_owned()),
            }
            while self.takes(&Token::Mark('[')) {
                // Which one of a list does not matter: all of them are observed.
                let _index = self.next();
                self.must(']')?;
            }
            if !self.takes(&Token::Mark('.')) {
                return Ok(path);
            }
            path.push('.');
        }
    }

    /// A constant, or a set of them.
    fn constants(&mut self) -> Result<Vec<String>, String> {
        if !self.takes(&Token::Mark('(')) {
            return Ok(vec![self.constant()?]);
        }
        let mut values = vec![self.constant()?];
        while self.takes(&Token::Mark(',')) {
            values.push(self.constant()?);
        }
        self.must(')')?;
        Ok(values)
    }

    fn constant(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text.to_string()),
            Some(Token::Number(number)) => Ok((*number).to_owned()),
            Some(Token::Word(word @ ("true" | "false"))) => Ok((*word).to_owned()),
            Some(token) => Err(format!("{token} where a value should stand")),
            None => Err("it ends where a value should stand".to_owned()),
        }
    }
}

/// What comparisons say that must all hold of one observation.
fn joined(all: Vec<Meaning>) -> Meaning {
    let (mut left_out, mut values, mut why) = (Vec::new(), Vec::new(), None);
    for meaning in all {
        match meaning {
            Meaning::Values(taken) => values.push(taken),
            Meaning::Nothing(what) => left_out.push(what),
            Meaning::More(more) => why = why.or(Some(more)),
        }
    }
    let is_digest = |taken: &Taken| {
        taken
            .values
            .iter()
            .all(|(kind, _)| property::is_digest(*kind))
    };
    let is_one = why.is_none() && values.len() == 1;
    let mut taken = Taken::default();
    if !is_one && values.iter().any(is_digest) {
        taken.note("of conditions joined by AND the digests are taken, which name the file alone");
        values
            .into_iter()
            .filter(is_digest)
            .for_each(|one| taken.add(one));
        return Meaning::Values(taken);
    }
    match (why, values.pop()) {
        (Some(why), _) => Meaning::More(why),
        (None, None) => Meaning::Nothing(left_out.first().copied().unwrap_or("nothing")),
        (None, Some(_)) if !values.is_empty() => Meaning::More(
            "AND asks for several values in one observation; each of them alone would match more"
                .to_owned(),
        ),
        (None, Some(one)) => {
            taken.add(one);
            for what in left_out {
                taken.note(&format!("{what} is left out: events seldom state it"));
            }
            Meaning::Values(taken)
        }
    }
}
