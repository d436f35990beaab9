//! Ids that no new rule may have: in the addresses of the API these words stand where ids do, so a rule
//! of that id could be listed and not be shown.

use super::error::Problem;

/// The words, as `GET /api/v1/rules/{id}` and its neighbours take them up.
pub const RESERVED_IDS: [&str; 4] = ["backtest", "coverage", "import", "test"];

/// Whether a rule that is made may have this id. Those that are there keep theirs.
///
/// # Errors
/// For the words above.
pub fn check_new_id(id: &str) -> Result<(), Problem> {
    if RESERVED_IDS.contains(&id) {
        let what = format!(
            "is a word of the API's own, by which a rule could not be shown: {} are reserved",
            RESERVED_IDS.join(", ")
        );
        return Err(Problem::new("id", what));
    }
    Ok(())
}
