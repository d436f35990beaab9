//! The schema that this program was built for: the files of the two init folders, by name.
//!
//! A service compares them with what is recorded in the control database and refuses to start when
//! either side knows a file that the other does not. A test compares the lists with the folders.

/// The advisory lock of PostgreSQL that every taker of a control revision holds until its transaction
/// ends, so that revisions become visible in order; the functions of `timescale-init` take it too.
pub const REVISION_LOCK: i64 = 7_770_001;

/// Files of `clickhouse-init/`, in order.
pub const CLICKHOUSE: &[&str] = &[
    "000_database.sql",
    "010_logs.sql",
    "020_spans.sql",
    "030_rum_events.sql",
    "040_audit_events.sql",
];

/// Files of `timescale-init/`, in order.
pub const TIMESCALE: &[&str] = &[
    "000_migrations.sql",
    "010_control.sql",
    "020_ledger.sql",
    "030_detection.sql",
    "040_metrics.sql",
    "050_rollups.sql",
    "060_workers.sql",
    "070_lost.sql",
    "075_fairness.sql",
    "080_dead_letters.sql",
    "085_pipelines.sql",
    "090_notifications.sql",
    "095_windows.sql",
    "100_indicator_feeds.sql",
    "105_privacy.sql",
    "110_retro_hunt.sql",
    "120_builtin_rules.sql",
    "130_feed_credentials.sql",
    "140_hidden_finds.sql",
];

/// What is wrong with the recorded files (store, name), if anything.
#[must_use]
pub fn mismatch(recorded: &[(String, String)]) -> Option<String> {
    let known = |store: &str| {
        if store == "clickhouse" {
            CLICKHOUSE
        } else {
            TIMESCALE
        }
    };
    let newer = recorded
        .iter()
        .find(|(store, name)| !known(store).contains(&name.as_str()));
    if let Some((store, name)) = newer {
        return Some(format!(
            "{store}-init/{name} is applied and unknown to this program: start a newer one"
        ));
    }
    let applied = |store: &str, name: &str| recorded.iter().any(|(s, n)| s == store && n == name);
    ["clickhouse", "timescale"]
        .into_iter()
        .flat_map(|store| known(store).iter().map(move |name| (store, *name)))
        .find(|(store, name)| !applied(store, name))
        .map(|(store, name)| format!("{store}-init/{name} is not applied: run `devstack migrate`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_the_folders() {
        for (folder, known) in [
            ("clickhouse-init", CLICKHOUSE),
            ("timescale-init", TIMESCALE),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("..")
                .join(folder);
            let files = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            let names = files.map(|name| name.into_string().unwrap());
            let mut names: Vec<_> = names.filter(|name| name.ends_with(".sql")).collect();
            names.sort();
            assert_eq!(names, known, "{folder}");
        }
    }

    /// The cluster's tables are the same but for their engines.
    #[test]
    fn the_cluster_variant_has_the_same_columns() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../clickhouse-init");
        let columns = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            let (_, rest) = text.split_once(" (\n").unwrap();
            rest.split_once("ENGINE = ").unwrap().0.to_owned()
        };
        for name in CLICKHOUSE.iter().skip(1) {
            assert_eq!(
                columns(root.join(name)),
                columns(root.join("cluster").join(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn an_older_and_a_newer_schema_are_both_told() {
        let all = |store: &str, known: &[&str]| {
            let pair = |name: &&str| (store.to_owned(), (*name).to_owned());
            known.iter().map(pair).collect::<Vec<_>>()
        };
        let whole = [all("clickhouse", CLICKHOUSE), all("timescale", TIMESCALE)].concat();
        assert_eq!(mismatch(&whole), None);
        assert!(
            mismatch(&whole[1..])
                .unwrap()
                .contains("000_database.sql is not applied")
        );
        let newer = [whole, all("timescale", &["999_later.sql"])].concat();
        assert!(
            mismatch(&newer)
                .unwrap()
                .contains("999_later.sql is applied and unknown")
        );
    }
}
