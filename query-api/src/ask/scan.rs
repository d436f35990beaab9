//! The typed question to a table of events: a time range and conditions that all must hold.
//! Columns are enumerated; values stay values.

use super::TimeRange;
use crate::error::Problem;
use crate::store::{Column, List, Map, Table};
use millrace_shared::wire::Vocabulary;

/// The order of rows in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

impl Order {
    /// Reads `asc` or `desc`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "asc" => Some(Order::Ascending),
            "desc" => Some(Order::Descending),
            _ => None,
        }
    }
}

/// One condition on a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The column is one of these.
    OneOf(Column, Vec<String>),
    /// One of the columns is one of these.
    AnyOneOf(Vec<Column>, Vec<String>),
    /// All these words occur in the column, in any case. Words are lower case.
    Words(Column, Vec<String>),
    /// The text occurs in the column, in any case.
    Contains(Column, String),
    /// The map holds this value under this key.
    Attribute(Map, String, String),
    /// The list holds this value.
    Holds(List, String),
    /// One of the lists holds this value.
    AnyHolds(Vec<List>, String),
    /// The column is at least this.
    AtLeast(Column, u64),
    /// The column is at most this.
    AtMost(Column, u64),
    /// One of these texts occurs in some text of the row, as it is written.
    Anywhere(Table, Vec<String>),
    /// The row's id.
    Id(uuid::Uuid),
}

/// A table, a time range, conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// The range of event times.
    pub range: TimeRange,
    /// All must hold.
    pub conditions: Vec<Condition>,
}

impl Scan {
    /// Of a table and a range, without conditions.
    #[must_use]
    pub fn new(table: Table, range: TimeRange) -> Self {
        Scan {
            table,
            range,
            conditions: Vec::new(),
        }
    }

    /// Adds a condition on a column if values were given.
    pub fn one_of(&mut self, column: Column, values: Option<&super::OneOrMany>) {
        let values = values.map(super::OneOrMany::split).unwrap_or_default();
        if !values.is_empty() {
            self.conditions.push(Condition::OneOf(column, values));
        }
    }

    /// The same for the words of a vocabulary.
    ///
    /// # Errors
    /// 400 for a word that is none of it: a misspelt one must not look like an empty answer.
    pub fn one_of_words<V: Vocabulary>(
        &mut self,
        (column, name): (Column, &str),
        values: Option<&super::OneOrMany>,
    ) -> Result<(), Problem> {
        let values = values.map(super::OneOrMany::split).unwrap_or_default();
        let unknown = || {
            let words: Vec<&str> = V::WORDS.iter().map(|word| word.word()).collect();
            Problem::parameter(name, format!("knows only {}", words.join(", ")))
        };
        let words = values.iter().map(|value| {
            let word = V::read(value).ok_or_else(unknown)?;
            Ok(word.word().to_owned())
        });
        let words: Vec<String> = words.collect::<Result<_, _>>()?;
        if !words.is_empty() {
            self.conditions.push(Condition::OneOf(column, words));
        }
        Ok(())
    }

    /// The same for words that are stored as they were sent, in one of the usual spellings.
    pub fn one_of_any_case(&mut self, column: Column, values: Option<&super::OneOrMany>) {
        let values = values.map(super::OneOrMany::split).unwrap_or_default();
        if !values.is_empty() {
            let spellings = values.iter().flat_map(|value| {
                let (lower, upper) = (value.to_lowercase(), value.to_uppercase());
                let capital: String = upper.chars().take(1).chain(lower.chars().skip(1)).collect();
                [value.clone(), lower, upper, capital]
            });
            self.conditions
                .push(Condition::OneOf(column, spellings.collect()));
        }
    }

    /// The same for words that are stored in upper case.
    pub fn one_of_upper(&mut self, column: Column, values: Option<&super::OneOrMany>) {
        let values = values.map(super::OneOrMany::split).unwrap_or_default();
        if !values.is_empty() {
            let upper = values.iter().map(|value| value.to_uppercase()).collect();
            self.conditions.push(Condition::OneOf(column, upper));
        }
    }

    /// What tells one set of filters from another, for cursors.
    #[must_use]
    pub fn filters(&self) -> String {
        format!("{:?}{:?}", self.table, self.conditions)
    }
}

/// The words of a text as the store's index cuts them: runs of letters and digits, and of whatever
/// is not ASCII; in lower case.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let separator = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    let words = text.split(separator).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_the_index_cuts_them() {
        assert_eq!(
            words("GET /api?id=42 Größe"),
            ["get", "api", "id", "42", "größe"]
        );
        assert!(words("-- ;").is_empty());
    }
}
