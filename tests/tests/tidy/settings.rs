//! The engines run with the same settings under compose as under devstack: what the tests prove
//! holds for both.

use crate::tree::workspace;
use serde_yaml_ng::Value;
use std::collections::BTreeMap;

/// What must differ: where things lie and listen, and what a container's log line looks like.
const OF_THE_PLACE: [&str; 9] = [
    "--port",
    "--bind",
    "--dir",
    "--requirepass",
    "listen_addresses",
    "port",
    "unix_socket_directories",
    "log_line_prefix",
    "huge_pages",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn command(service: &str) -> Vec<String> {
    let compose: Value =
        serde_yaml_ng::from_str(&read("compose.yaml")).expect("compose.yaml is YAML");
    let words = compose["services"][service]["command"]
        .as_sequence()
        .expect("a command")
        .clone();
    words
        .iter()
        .map(|word| word.as_str().expect("text").to_owned())
        .collect()
}

fn without_place(settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
    settings
        .into_iter()
        .filter(|(name, _)| !OF_THE_PLACE.contains(&name.as_str()))
        .collect()
}

/// `--name value` pairs.
fn redis_options(words: &[String]) -> BTreeMap<String, String> {
    let pairs = words.iter().zip(words.iter().skip(1));
    let pairs = pairs.filter(|(name, _)| name.starts_with("--"));
    without_place(
        pairs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

#[test]
fn redis_runs_with_the_same_settings_under_compose_and_devstack() {
    let source = read("devstack/src/launch.rs");
    let body = source
        .split_once("\nfn redis(")
        .expect("fn redis")
        .1
        .split_once("\n}")
        .expect("its end")
        .0;
    let words: Vec<String> = body
        .split('"')
        .enumerate()
        .filter(|(at, _)| at % 2 == 1)
        .map(|(_, word)| word.to_owned())
        .collect();
    let devstack = redis_options(&words);
    assert_eq!(redis_options(&command("redis")), devstack);
    // The promise of a 2xx rests on these two.
    assert_eq!(
        devstack.get("--appendfsync").map(String::as_str),
        Some("always")
    );
    assert_eq!(
        devstack.get("--maxmemory-policy").map(String::as_str),
        Some("noeviction")
    );
}

#[test]
fn postgresql_runs_with_the_same_settings_under_compose_and_devstack() {
    let source = read("devstack/src/launch.rs");
    let body = source
        .split_once("\nfn postgres_config(")
        .expect("fn postgres_config")
        .1;
    let lines = body
        .split_once("\"\n")
        .expect("the end of its text")
        .0
        .lines();
    let pairs = lines.filter_map(|line| line.split_once(" = "));
    let plain = |text: &str| text.trim().trim_matches('\'').to_owned();
    let devstack = without_place(
        pairs
            .map(|(name, value)| (plain(name), plain(value)))
            .collect(),
    );
    let words = command("timescaledb");
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    let compose = without_place(
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    );
    assert_eq!(compose, devstack);
    assert_eq!(
        devstack.get("synchronous_commit").map(String::as_str),
        Some("on")
    );
}
