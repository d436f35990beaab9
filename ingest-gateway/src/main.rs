//! The gateway's process.

use std::process::ExitCode;

/// Bodies of a megabyte come and go on every thread: mimalloc returns them without a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millrace_runtime::boot::main("ingest-gateway", |boot| ingest_gateway::main(&boot))
}
