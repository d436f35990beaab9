//! The stores, and the only home of SQL. An executor takes nothing but a [`Bound`](crate::principal::Bound)
//! query; statements are static text with bound parameters, identifiers are enumerated.
//!
//! ```text
//! sql, columns            the statement under construction: static text, enumerated names, parameters
//! events, spans, …        what is asked of ClickHouse
//! clickhouse              limits, cancellation, rows
//! pg, tokens, alerts, …   what is asked of PostgreSQL
//! streams                 what is read from and appended to Redis
//! ```

mod columns;
mod sql;
mod clickhouse;
pub mod events;
pub mod history;
pub mod spans;
pub mod rum;
pub mod soc;
mod pg;
pub mod tokens;
pub mod series;
pub mod samples;
pub mod alerts;
pub mod channels;
pub mod notifications;
pub mod rules;
pub mod rule_import;
pub mod hunts;
pub mod pipelines;
pub mod indicators;
pub mod feeds;
pub mod allow_lists;
pub mod privacy;
pub mod usage;
pub mod ledger;
pub mod dead_letters;
mod streams;

pub use clickhouse::{BinaryQuery, Clickhouse, ClickhouseQuery, Limits, Piece};
pub use columns::{Column, List, Map, Table};
pub use pg::{FromRow, Pg, PgQuery};
pub use sql::Sql;
pub use streams::{Appended, Received, Streams};
