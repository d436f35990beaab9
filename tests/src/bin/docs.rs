//! Writes the generated documents anew (`make docs`).

fn main() -> anyhow::Result<()> {
    for document in millrace_tests::docs::all() {
        document.write()?;
    }
    Ok(())
}
