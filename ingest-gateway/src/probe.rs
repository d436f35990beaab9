//! The gateway's fail points: a place before and after every step of a request that changes
//! something. What happens at them is `millrace_runtime::probe`'s concern.

use millrace_runtime::probe::Place;

/// A place in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Verified and validated; Redis knows nothing of it.
    Validated,
    /// The append is under way and not answered.
    Appending,
    /// The batch is on disk; the agent has no answer.
    Appended,
    /// The batch was there already; the agent has no answer.
    Recalled,
}

impl Place for Step {
    const ALL: &'static [Step] = &[
        Step::Validated,
        Step::Appending,
        Step::Appended,
        Step::Recalled,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Validated => "validated",
            Step::Appending => "appending",
            Step::Appended => "appended",
            Step::Recalled => "recalled",
        }
    }
}
