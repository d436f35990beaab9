//! Named places at which a worker can be stopped from outside, to prove that every one of them is
//! safe. Off in production, where a step costs one comparison.

use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::Notify;

/// A place in the life of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Entries are read and cut; the ledger does not know of them.
    Read,
    /// The batch is in the ledger; nothing is written.
    Prepared,
    /// The rows are in ClickHouse; the answer has been read.
    Written,
    /// Inside the commit transaction, everything but the commit itself done.
    Committing,
    /// Committed; not audited.
    Committed,
    /// Audited; the stream not trimmed.
    Audited,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Step; 6] = [
        Step::Read,
        Step::Prepared,
        Step::Written,
        Step::Committing,
        Step::Committed,
        Step::Audited,
    ];

    const fn name(self) -> &'static str {
        match self {
            Step::Read => "read",
            Step::Prepared => "prepared",
            Step::Written => "written",
            Step::Committing => "committing",
            Step::Committed => "committed",
            Step::Audited => "audited",
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Step::ALL.into_iter().find(|step| step.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Step::ALL.iter().map(|step| step.name()).collect();
            format!("is none of {}", names.join(", "))
        })
    }
}

/// What happens at the steps.
#[derive(Clone, Debug, Default)]
pub enum Probe {
    /// Nothing.
    #[default]
    Off,
    /// The process ends at once, as if killed.
    Abort(Step),
    /// Whoever comes there says so and waits to be let on.
    Pause(Arc<Pause>),
}

/// A step at which everybody waits.
#[derive(Debug)]
pub struct Pause {
    step: Step,
    reached: Notify,
    go_on: Notify,
}

impl Pause {
    /// At that step.
    #[must_use]
    pub fn at(step: Step) -> Arc<Self> {
        Arc::new(Pause {
            step,
            reached: Notify::new(),
            go_on: Notify::new(),
        })
    }

    /// Returns when somebody waits at the step.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets the one who waits go on.
    pub fn go_on(&self) {
        self.go_on.notify_one();
    }
}

impl Probe {
    /// Called on the way through a step.
    pub async fn at(&self, here: Step) {
        match self {
            Probe::Off => {}
            Probe::Abort(step) if *step == here => std::process::abort(),
            Probe::Pause(pause) if pause.step == here => {
                pause.reached.notify_one();
                pause.go_on.notified().await;
            }
            Probe::Abort(_) | Probe::Pause(_) => {}
        }
    }
}
