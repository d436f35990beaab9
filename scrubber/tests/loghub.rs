//! Real log lines: all but those with personal data in them stay as they are.

#![expect(
    clippy::disallowed_methods,
    reason = "the place of the samples is a matter of the machine, not of settings"
)]

use std::path::PathBuf;

use bumpalo::Bump;
use millrace_scrubber::{Class, ClassSet, Pepper, Policy, Scrubbed, Scrubber};

/// Where the samples lie, if they are there.
fn samples() -> Option<PathBuf> {
    let near = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var("MILLRACE_SAMPLES_DIR").map_or(near, PathBuf::from);
    Some(root.join("loghub")).filter(|folder| folder.is_dir())
}

/// Whether the line's change is right: these logs hold an e-mail address, in a kernel's version.
fn is_true_positive(line: &str, found: ClassSet) -> bool {
    found == ClassSet::of(Class::Email) && line.contains("@bugs.")
}

#[test]
fn ordinary_lines_stay_as_they_are() {
    let Some(folder) = samples() else {
        println!("skipped: no loghub samples; name their folder in MILLRACE_SAMPLES_DIR");
        return;
    };
    let pepper = Pepper::new(1, b"a pepper of a good length").unwrap();
    let scrubber = Scrubber::new(&Policy::default(), pepper).unwrap();
    let (mut lines, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        for line in String::from_utf8_lossy(&std::fs::read(&path).unwrap()).lines() {
            let arena = Bump::new();
            let mut found = ClassSet::EMPTY;
            lines += 1;
            if let Some(scrubbed) = scrubber.scrub(&arena, "message", line, &mut found)
                && !is_true_positive(line, found)
            {
                let Scrubbed::Replaced(text) = scrubbed else {
                    panic!("removed: {line}")
                };
                wrong.push(format!("{line}\n  → {text}"));
            }
        }
    }
    assert!(lines >= 4_000, "only {lines} lines");
    assert!(
        wrong.len() * 1_000 <= lines,
        "{} of {lines}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!(
        "{lines} lines, {} changed wrongly:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
