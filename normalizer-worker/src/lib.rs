//! Stream entry to event to rows to ledger.
