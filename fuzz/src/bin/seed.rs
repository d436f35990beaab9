//! Writes the seeds of every target into its corpus. What is there already stays.

fn main() -> anyhow::Result<()> {
    for target in millrace_fuzz::TARGETS {
        for seed in (target.seeds)() {
            millrace_fuzz::corpus::add(target.name, &seed)?;
        }
    }
    Ok(())
}
