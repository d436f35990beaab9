//! A statement under construction. It can only be begun with a table and its organisation, and only
//! be continued with static text, enumerated names and bound parameters: there is no way to put a
//! caller's text into it, and no way to leave the organisation out.

use super::{Column, List, Map, Table};
use crate::ask::{Condition, Scan, TimeRange};

/// Events may be dated up to a day ahead of their reception: partitions by reception older than
/// this before the range hold nothing of it.
pub(super) const FUTURE_HOURS: &str = "24";

/// A ClickHouse statement with its parameters.
#[derive(Clone, Debug)]
pub struct Sql {
    text: String,
    params: Vec<(String, String)>,
}

impl Sql {
    /// `SELECT columns FROM table` of the organisation that the executor binds as `org`.
    #[must_use]
    pub fn select(columns: &'static str, table: Table) -> Self {
        Sql::begin(&[columns], table)
    }

    /// A select of the rows of a scan.
    #[must_use]
    pub fn scan(columns: &'static str, scan: &Scan) -> Self {
        Sql::begin(&[columns], scan.table).filtered(scan)
    }

    /// A select of all columns of a table, in the order of its DDL.
    #[must_use]
    pub fn whole(columns: &[&'static [(&'static str, &'static str)]], table: Table) -> Self {
        let mut parts = Vec::new();
        for (name, _) in columns.iter().copied().flatten() {
            parts.push(if parts.is_empty() { "\"" } else { ", \"" });
            parts.extend([*name, "\""]);
        }
        Sql::begin(&parts, table)
    }

    /// `value` and `count` of the rows of a scan, to be grouped by `value`.
    #[must_use]
    pub fn counts(column: Column, scan: &Scan) -> Self {
        Sql::begin(&[column.name(), " AS value, count() AS count"], scan.table).filtered(scan)
    }

    fn begin(columns: &[&'static str], table: Table) -> Self {
        let mut sql = Sql {
            text: String::with_capacity(512),
            params: Vec::new(),
        };
        sql.push("SELECT ");
        for part in columns {
            sql.push(part);
        }
        sql.push(" FROM ")
            .push(table.name())
            .push(" WHERE OrgId = {org:UUID}");
        sql
    }

    fn filtered(mut self, scan: &Scan) -> Self {
        self.within(scan.range);
        for condition in &scan.conditions {
            self.push(" AND ");
            self.condition(condition);
        }
        self
    }

    /// Adds static text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter of a type where it stands.
    pub fn bind(&mut self, kind: &'static str, value: String) -> &mut Self {
        let name = format!("p{}", self.params.len());
        for part in ["{", &name, ":", kind, "}"] {
            self.text.push_str(part);
        }
        self.params.push((name, value));
        self
    }

    /// Adds a parameter under a name that static text refers to.
    pub fn named(&mut self, name: &'static str, value: String) -> &mut Self {
        self.params.push((name.to_owned(), value));
        self
    }

    /// Adds a moment.
    pub fn instant(&mut self, ns: i64) -> &mut Self {
        self.push("fromUnixTimestamp64Nano(")
            .bind("Int64", ns.to_string())
            .push(", 'UTC')")
    }

    /// Adds texts, separated by commas, each a parameter of its own.
    pub fn texts(&mut self, values: &[String]) -> &mut Self {
        for (at, value) in values.iter().enumerate() {
            self.push(if at == 0 { "" } else { ", " })
                .bind("String", value.clone());
        }
        self
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    fn within(&mut self, range: TimeRange) {
        self.push(" AND Timestamp >= ").instant(range.start);
        self.push(" AND Timestamp < ").instant(range.end);
        self.push(" AND ReceivedAt >= ").instant(range.start);
        self.push(" - toIntervalHour(").push(FUTURE_HOURS).push(")");
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::OneOf(column, values) => self.one_of(*column, values),
            Condition::AnyOneOf(columns, values) => {
                self.push("(");
                for (at, column) in columns.iter().enumerate() {
                    self.push(if at == 0 { "" } else { " OR " });
                    self.one_of(*column, values);
                }
                self.push(")");
            }
            Condition::Words(column, words) => {
                self.push("hasAllTokens(").push(column.name()).push(", [");
                self.texts(words).push("])");
            }
            Condition::Contains(column, text) => {
                self.push("positionCaseInsensitiveUTF8(")
                    .push(column.name())
                    .push(", ");
                self.bind("String", text.clone()).push(") > 0");
            }
            Condition::Attribute(map, key, value) => self.attribute(*map, key, value),
            Condition::Holds(list, value) => self.holds(*list, value),
            Condition::AnyHolds(lists, value) => {
                self.push("(");
                for (at, list) in lists.iter().enumerate() {
                    self.push(if at == 0 { "" } else { " OR " });
                    self.holds(*list, value);
                }
                self.push(")");
            }
            Condition::AtLeast(column, least) => {
                self.push(column.name())
                    .push(" >= ")
                    .bind("UInt64", least.to_string());
            }
            Condition::AtMost(column, most) => {
                self.push(column.name())
                    .push(" <= ")
                    .bind("UInt64", most.to_string());
            }
            Condition::Anywhere(table, texts) => {
                self.push("multiSearchAny(toString(tuple(")
                    .push(table.texts())
                    .push(")), [");
                self.texts(texts).push("])");
            }
            Condition::Id(id) => {
                self.push("EventId = ").bind("UUID", id.to_string());
            }
        }
    }

    fn one_of(&mut self, column: Column, values: &[String]) {
        self.push(column.name());
        match values {
            [one] => self.push(" = ").bind("String", one.clone()),
            several => self.push(" IN (").texts(several).push(")"),
        };
    }

    fn attribute(&mut self, map: Map, key: &str, value: &str) {
        self.push("(mapContains(")
            .push(map.name())
            .push(", ")
            .bind("String", key.to_owned());
        self.push(") AND ")
            .push(map.name())
            .push("[")
            .bind("String", key.to_owned());
        self.push("] = ").bind("String", value.to_owned()).push(")");
    }

    fn holds(&mut self, list: List, value: &str) {
        self.push("has(").push(list.name()).push(", ");
        self.bind("String", value.to_owned()).push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_become_text_and_the_organisation_is_always_there() {
        let hostile = "x' OR 1=1 --".to_owned();
        let mut scan = Scan::new(Table::Logs, TimeRange { start: 0, end: 1 });
        scan.conditions = vec![
            Condition::OneOf(Column::Service, vec![hostile.clone(), hostile.clone()]),
            Condition::Words(Column::Body, vec![hostile.clone()]),
            Condition::Contains(Column::Body, hostile.clone()),
            Condition::Attribute(Map::Log, hostile.clone(), hostile.clone()),
            Condition::Holds(List::Observables, hostile.clone()),
            Condition::Anywhere(Table::Logs, vec![hostile.clone(), hostile.clone()]),
        ];
        let sql = Sql::scan("1", &scan);
        assert!(!sql.text().contains("1=1"), "{}", sql.text());
        assert!(
            sql.text().contains("WHERE OrgId = {org:UUID} AND "),
            "{}",
            sql.text()
        );
        assert_eq!(sql.text().matches('{').count(), sql.params().len() + 1);
    }
}
