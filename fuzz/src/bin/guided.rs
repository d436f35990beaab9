//! One target under libFuzzer: `guided --target=NAME <libFuzzer's own arguments>`. `make fuzz` builds
//! and calls it with the instrumentation that libFuzzer needs.

#![no_main]

use millrace_fuzz::{TARGETS, Target, find};
use std::sync::LazyLock;

/// libFuzzer leaves arguments that begin with two dashes to us.
static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let named =
        std::env::args().find_map(|argument| argument.strip_prefix("--target=").and_then(find));
    let Some(target) = named else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("give --target= one of {}", names.join(", "));
        std::process::exit(2);
    };
    target
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
