//! The direction of dependencies: shared ← scrubber ← detection, runtime ← services ← tests ← benches.

use crate::tree::{none, rust, workspace};

/// Each crate with those of ours that it may use. Services never use one another, and what crosses
/// a process boundary lives in `shared` alone.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("shared", &[]),
    ("scrubber", &["shared"]),
    ("detection", &["shared", "scrubber"]),
    ("runtime", &["shared"]),
    // What services and the operator's tool do alike with the control tables of indicators.
    ("feeds", &["shared", "detection", "runtime"]),
    ("ingest-gateway", &["shared", "runtime"]),
    (
        "normalizer-worker",
        &["shared", "scrubber", "detection", "runtime", "feeds"],
    ),
    (
        "query-api",
        &["shared", "scrubber", "detection", "runtime", "feeds"],
    ),
    (
        "admin",
        &["shared", "scrubber", "detection", "runtime", "feeds"],
    ),
    ("load", &["shared", "runtime"]),
    ("devstack", &[]),
    // Stands by itself: it says what the others do, and uses none of it.
    ("model", &[]),
    ("fuzz", ALL),
    ("tests", ALL),
    // Benchmarks start the pipeline with the harness of the tests.
    ("benches", ALL_AND_TESTS),
];
const ALL: &[&str] = ALL_AND_TESTS.split_at(ALL_AND_TESTS.len() - 1).0;
const ALL_AND_TESTS: &[&str] = &[
    "shared",
    "scrubber",
    "detection",
    "runtime",
    "feeds",
    "ingest-gateway",
    "normalizer-worker",
    "query-api",
    "load",
    "devstack",
    "tests",
];
/// What `shared` must not have: no server, no client of a store, no runtime.
const NOT_IN_SHARED: [&str; 9] = [
    "actix-web",
    "tokio",
    "redis",
    "clickhouse",
    "tokio-postgres",
    "deadpool-postgres",
    "reqwest",
    "metrics",
    "tracing",
];

fn manifest(folder: &str) -> toml::Table {
    let path = workspace().join(folder).join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dependencies(folder: &str, kind: &str) -> Vec<String> {
    let manifest = manifest(folder);
    let table = manifest.get(kind).and_then(toml::Value::as_table);
    table
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn dependencies_point_one_way() {
    let ours = |name: &str| -> Option<&'static str> {
        let folder = name.strip_prefix("millrace-").unwrap_or(name);
        MAY_USE
            .iter()
            .map(|(known, _)| *known)
            .find(|known| *known == folder)
    };
    let mut wrong = Vec::new();
    for (folder, allowed) in MAY_USE {
        for name in dependencies(folder, "dependencies") {
            if let Some(used) = ours(&name).filter(|used| !allowed.contains(used)) {
                wrong.push(format!("{folder} uses {used}"));
            }
        }
    }
    none("dependencies that point the wrong way", &wrong);
}

#[test]
fn every_member_has_its_place_in_the_direction() {
    let root = manifest("");
    let members = root["workspace"]["members"].as_array().expect("members");
    let unknown = members.iter().filter_map(toml::Value::as_str);
    let unknown = unknown.filter(|member| !MAY_USE.iter().any(|(known, _)| known == member));
    let unknown: Vec<String> = unknown.map(str::to_owned).collect();
    none("crates that are not in the table of this test", &unknown);
}

#[test]
fn shared_has_no_server_and_no_client() {
    let found = dependencies("shared", "dependencies");
    let found: Vec<String> = found
        .into_iter()
        .filter(|name| NOT_IN_SHARED.contains(&name.as_str()))
        .collect();
    none("dependencies that `shared` must not have", &found);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let without = MAY_USE.iter().filter(|(folder, _)| {
        manifest(folder)
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            != Some(&toml::Value::Boolean(true))
    });
    let without: Vec<String> = without.map(|(folder, _)| (*folder).to_owned()).collect();
    none("crates without `lints.workspace = true`", &without);
    let unsafe_code = rust().filter(|file| file.text.contains(concat!("allow(unsafe", "_code)")));
    let unsafe_code: Vec<String> = unsafe_code.map(|file| file.path.clone()).collect();
    none("files that allow unsafe code", &unsafe_code);
}
