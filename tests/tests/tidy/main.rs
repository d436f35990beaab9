//! The style guide as a test: what can be checked of it is checked here. Needs no engines.

mod tree;
mod code;
mod crates;
mod sql;
mod settings;
mod documents;
