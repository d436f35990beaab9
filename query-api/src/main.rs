//! The query API's process.

use std::process::ExitCode;

/// Answers of many small texts are made and freed on every thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace_runtime::boot::main("query-api", |boot| query_api::main(&boot))
}
