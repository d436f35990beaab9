//! What a command answers, as aligned text for people or as JSON for programs. Decides nothing.

use serde_json::{Map, Value};
use std::io::Write as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Spaces between two columns.
const GAP: usize = 2;

/// The answer of a command.
pub(crate) enum Page {
    /// Sentences, and the same as a JSON value.
    Said(String, Value),
    /// Rows under a heading.
    Table {
        /// Names of the columns; also the members of the JSON objects.
        columns: &'static [&'static str],
        /// The rows, each with a value per column.
        rows: Vec<Vec<Value>>,
    },
    /// The same with a sentence below, which in JSON is members beside the rows.
    Report {
        /// Names of the columns.
        columns: &'static [&'static str],
        /// The rows.
        rows: Vec<Vec<Value>>,
        /// The sentence.
        said: String,
        /// What the sentence says, as an object.
        counts: Value,
    },
}

impl Page {
    /// Writes it to standard output.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut text = if json {
            serde_json::to_string_pretty(&self.json())?
        } else {
            self.text()
        };
        text.truncate(text.trim_end().len());
        match writeln!(std::io::stdout().lock(), "{text}") {
            // Whoever read has seen enough, as `| head` does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    fn json(&self) -> Value {
        match self {
            Page::Said(_, value) => value.clone(),
            Page::Table { columns, rows } => objects(columns, rows),
            Page::Report {
                columns,
                rows,
                counts,
                ..
            } => {
                let mut all = counts.as_object().cloned().unwrap_or_default();
                all.insert("results".to_owned(), objects(columns, rows));
                Value::Object(all)
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Page::Said(text, _) => text.clone(),
            Page::Table { rows, .. } if rows.is_empty() => "none".to_owned(),
            Page::Table { columns, rows } => table(columns, rows),
            Page::Report { rows, said, .. } if rows.is_empty() => said.clone(),
            Page::Report {
                columns,
                rows,
                said,
                ..
            } => format!("{}\n{said}", table(columns, rows)),
        }
    }
}

fn objects(columns: &[&str], rows: &[Vec<Value>]) -> Value {
    let object = |row: &Vec<Value>| {
        let members = columns.iter().zip(row);
        let members = members.map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Object(members.collect::<Map<_, _>>())
    };
    rows.iter().map(object).collect()
}

/// Rows under a heading, as aligned text.
pub(crate) fn table(columns: &[&str], rows: &[Vec<Value>]) -> String {
    let heading = columns.iter().map(|name| name.to_uppercase()).collect();
    let cells = rows.iter().map(|row| row.iter().map(cell).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heading).chain(cells).collect();
    aligned(&lines)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let padded = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}{:GAP$}", "", width = *width));
        padded.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A time as RFC 3339, or null.
pub(crate) fn time(at: Option<OffsetDateTime>) -> Value {
    at.and_then(|at| at.format(&Rfc3339).ok())
        .map_or(Value::Null, Value::String)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_for_people_and_objects_for_programs() {
        let page = Page::Table {
            columns: &["id", "signals", "left"],
            rows: vec![
                vec![json!("k1"), json!(["logs", "rum"]), json!(7)],
                vec![json!("longer"), json!([]), Value::Null],
            ],
        };
        assert_eq!(
            page.text(),
            "ID      SIGNALS   LEFT\nk1      logs,rum  7\nlonger            -\n"
        );
        assert_eq!(
            page.json()[0],
            json!({"id": "k1", "signals": ["logs", "rum"], "left": 7})
        );
    }
}
