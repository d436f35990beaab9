//! Every target for a moment: its seeds, the inputs that are kept, and mutations of them, the same
//! ones every time. For longer runs, and guided ones, there is `make fuzz`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

use millrace_fuzz::mutate::Dice;
use millrace_fuzz::{TARGETS, Target, corpus};
use std::time::{Duration, Instant};

/// Mutations of each target.
const MUTATIONS: usize = 20_000;
/// A target on a slow machine stops here, however far it came.
const TIME: Duration = Duration::from_secs(3);
/// Bytes of all kept inputs together: a repository is cloned by everybody.
const CORPUS_BYTES_MAX: usize = 1024 * 1024;

fn drive(target: &Target) -> usize {
    let mut inputs = (target.seeds)();
    assert!(!inputs.is_empty(), "{} has no seeds", target.name);
    inputs.extend(corpus::read(target.name).expect("the corpus"));
    inputs.iter().for_each(|input| (target.run)(input));
    let mut dice = Dice::new(0);
    let end = Instant::now() + TIME;
    let mut runs = inputs.len();
    for _ in 0..MUTATIONS {
        if Instant::now() >= end {
            break;
        }
        let input = dice.mutate(&inputs);
        let ran = std::panic::catch_unwind(|| (target.run)(&input));
        if ran.is_err() {
            panic!("{} breaks on {}", target.name, input.escape_ascii());
        }
        runs += 1;
    }
    runs
}

#[test]
fn no_target_breaks() {
    for target in TARGETS {
        let runs = drive(target);
        eprintln!("{}: {runs} inputs", target.name);
    }
}

#[test]
fn the_corpora_are_of_targets_that_there_are_and_small() {
    let mut bytes = 0;
    for entry in std::fs::read_dir(corpus::folder(""))
        .expect("fuzz/corpus")
        .flatten()
    {
        let name = entry.file_name().into_string().expect("a name");
        assert!(millrace_fuzz::find(&name).is_some(), "no target {name}");
        let inputs = corpus::read(&name).expect("a corpus");
        bytes += inputs.iter().map(Vec::len).sum::<usize>();
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes}");
}
