//! A campaign as a section of `docs/reliability.md`. Says only what a tally says.

use super::tally::Tally;
use super::watch::FOUND;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The section.
#[must_use]
pub fn section(tally: &Tally) -> String {
    let mut text = String::new();
    let about = |name: &str| tally.about.get(name).map_or("unknown", String::as_str);
    let (commit, profile) = (about("commit"), about("profile"));
    let _ = writeln!(text, "### Commit {commit}, {profile} build\n");
    let seeds: Vec<String> = tally.seeds.iter().map(ToString::to_string).collect();
    let minutes = tally.seconds / 60;
    let _ = writeln!(
        text,
        "Machine: {}, load average {}. Seeds: {}. {minutes} minutes, {} rounds.\n",
        about("machine"),
        about("load"),
        seeds.join(", "),
        tally.rounds.values().sum::<u64>()
    );
    let event = |name: &str| tally.events.get(name).copied().unwrap_or(0);
    let _ = writeln!(
        text,
        "**{} violations.** {} random kills; {} requests with {} events sent, {} acknowledged, {} \
         stored; {} more refused by the store and dead-lettered; {} alerts, as many as were to be \
         raised.\n",
        tally.violations.len(),
        tally.kills(),
        event("requests sent"),
        event("sent"),
        event("acknowledged"),
        event("stored"),
        event("dead letters"),
        event("alerts")
    );
    for violation in &tally.violations {
        let _ = writeln!(text, "* {violation}");
    }
    text.push_str(&table("rounds of", &tally.rounds));
    text.push_str(&table("fault", &tally.faults));
    let found = FOUND.map(|found| {
        let count = tally.resolved.get(found).copied().unwrap_or(0);
        (found.to_owned(), count)
    });
    text.push_str(&table("rows found by *resolve*", &found.into()));
    text.push_str(&recoveries(&tally.recoveries));
    text
}

fn table(what: &str, counts: &BTreeMap<String, u64>) -> String {
    let mut text = format!("| {what} | times |\n|---|---|\n");
    for (name, count) in counts {
        let _ = writeln!(text, "| {name} | {count} |");
    }
    text.push('\n');
    text
}

fn recoveries(recoveries: &BTreeMap<String, Vec<u64>>) -> String {
    let mut text = "| recovery | measured | median | longest |\n|---|---|---|---|\n".to_owned();
    for (what, times) in recoveries {
        let mut times = times.clone();
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or(0);
        let longest = times.last().copied().unwrap_or(0);
        let _ = writeln!(
            text,
            "| {what} | {} | {median} ms | {longest} ms |",
            times.len()
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_says_what_was_done_and_found() {
        let mut tally = Tally {
            seeds: vec![5, 6],
            ..Tally::default()
        };
        Tally::add(&mut tally.faults, "kill redis", 3);
        tally
            .recoveries
            .insert("gateway".to_owned(), vec![30, 10, 20]);
        tally.violations.push("lost".to_owned());
        let text = section(&tally);
        for said in [
            "Seeds: 5, 6.",
            "| kill redis | 3 |",
            "| gateway | 3 | 20 ms | 30 ms |",
            "**1 violations.** 3 random kills",
            "* lost",
            "| some | 0 |",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
