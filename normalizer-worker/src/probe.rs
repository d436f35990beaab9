//! The worker's fail points: a place before and after every step of the delivery protocol. What
//! happens at them is `millrace_runtime::probe`'s concern.

use millrace_runtime::probe::Place;

/// A place in the life of a shard or of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The lease is taken in the ledger; nothing has been done under it.
    Taken,
    /// A prepared batch was found; nothing has been done about it.
    Recovering,
    /// Entries are read and cut; the ledger does not know of them.
    Read,
    /// They are rows; the ledger does not know of them.
    Drafted,
    /// The batch is in the ledger; nothing is written.
    Prepared,
    /// An insert is under way and not answered.
    Posting,
    /// ClickHouse has answered one insert; nobody has looked at the answer.
    Posted,
    /// The rows are in ClickHouse, and known to be.
    Written,
    /// What became of an insert is not known, and about to be counted.
    Resolving,
    /// Rows that should not be there are about to be deleted.
    Deleting,
    /// They are deleted; nothing is written in their place.
    Deleted,
    /// Parts of a refused batch are about to be tried by themselves.
    Bisecting,
    /// The parts at fault are known; what was written to find them is deleted.
    Bisected,
    /// Before the commit transaction.
    Landing,
    /// Inside the commit transaction, with the ledger's row changed and nothing else.
    Fenced,
    /// Inside the commit transaction, everything but the commit itself done.
    Committing,
    /// Committed; not audited.
    Committed,
    /// Rows of committed batches are about to be counted.
    Auditing,
    /// They are counted, and found or put right; the ledger does not know.
    Counted,
    /// Audited; the stream not trimmed.
    Audited,
    /// The stream is trimmed; its consumer group not moved.
    Trimmed,
    /// A batch whose entries are lost is about to be given up.
    GivingUp,
}

impl Place for Step {
    const ALL: &'static [Step] = &[
        Step::Taken,
        Step::Recovering,
        Step::Read,
        Step::Drafted,
        Step::Prepared,
        Step::Posting,
        Step::Posted,
        Step::Written,
        Step::Resolving,
        Step::Deleting,
        Step::Deleted,
        Step::Bisecting,
        Step::Bisected,
        Step::Landing,
        Step::Fenced,
        Step::Committing,
        Step::Committed,
        Step::Auditing,
        Step::Counted,
        Step::Audited,
        Step::Trimmed,
        Step::GivingUp,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Taken => "taken",
            Step::Recovering => "recovering",
            Step::Read => "read",
            Step::Drafted => "drafted",
            Step::Prepared => "prepared",
            Step::Posting => "posting",
            Step::Posted => "posted",
            Step::Written => "written",
            Step::Resolving => "resolving",
            Step::Deleting => "deleting",
            Step::Deleted => "deleted",
            Step::Bisecting => "bisecting",
            Step::Bisected => "bisected",
            Step::Landing => "landing",
            Step::Fenced => "fenced",
            Step::Committing => "committing",
            Step::Committed => "committed",
            Step::Auditing => "auditing",
            Step::Counted => "counted",
            Step::Audited => "audited",
            Step::Trimmed => "trimmed",
            Step::GivingUp => "giving_up",
        }
    }
}
