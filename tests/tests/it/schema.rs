//! The rows that the worker writes are those of the tables, column by column.

use millrace_shared::rows::tables;
use millrace_tests::stores::clickhouse;
use millrace_tests::{Org, shared};

#[test]
fn every_column_of_every_table_is_written_in_its_place() {
    let installation = &shared().installation;
    for (table, columns) in tables() {
        let described = clickhouse(installation, &format!("DESCRIBE TABLE millrace.{table}"));
        let text = |row: &serde_json::Value, member: &str| {
            row[member].as_str().unwrap_or_default().to_owned()
        };
        let stored: Vec<(String, String)> = described
            .iter()
            .filter(|row| {
                !["MATERIALIZED", "ALIAS", "EPHEMERAL"]
                    .contains(&text(row, "default_type").as_str())
            })
            .map(|row| (text(row, "name"), text(row, "type")))
            .collect();
        let written: Vec<(String, String)> = columns
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
            .collect();
        assert_eq!(written, stored, "table {table}");
    }
}

#[test]
fn everything_applied_is_recorded() {
    let _started = Org::new("schema");
    let postgres = shared().installation.postgres();
    let rows = millrace_tests::wait::block_on(
        postgres.query("SELECT store, name FROM schema_migration", &[]),
    )
    .unwrap();
    let recorded: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (store, folder) in [
        ("clickhouse", "clickhouse-init"),
        ("timescale", "timescale-init"),
    ] {
        let folder = millrace_devstack::place::workspace().join(folder);
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            if name.ends_with(".sql") {
                assert!(
                    recorded.contains(&(store.to_owned(), name.clone())),
                    "{name} is not recorded"
                );
            }
        }
    }
}
