//! Every event parsed and checked, with the code that the worker decodes with. Keeps no event:
//! what is appended is the body as it was verified.

use crate::error::{EventError, Problem};
use crate::inflate::Inflated;
use crate::verify::Verified;
use bumpalo::Bump;
use millrace_shared::limits::ERRORS_LISTED_MAX;
use millrace_shared::outcome::Refusal;
use millrace_shared::wire::{Body, BodyError, Counts, Reject, RejectCode, Validity};
use std::cell::Cell;

/// An arena larger than this is given back: one huge body must not hold memory for ever.
const ARENA_KEPT_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    static ARENA: Cell<Option<Bump>> = const { Cell::new(None) };
}

/// A body of which it is known which events are good.
pub(crate) struct Validated<'h> {
    pub(crate) verified: Verified<'h>,
    pub(crate) findings: Findings,
}

/// What was found in a body.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) counts: Counts,
    /// Indexes of the bad events, in order.
    pub(crate) rejected_at: Vec<u16>,
    /// The first of them with their reasons.
    pub(crate) errors: Vec<EventError>,
    /// How often each code occurred.
    pub(crate) codes: Vec<(RejectCode, u64)>,
}

impl Findings {
    fn reject(&mut self, index: u16, reject: &Reject) {
        self.rejected_at.push(index);
        if self.errors.len() < ERRORS_LISTED_MAX {
            self.errors.push(EventError {
                index,
                code: reject.code.as_str().into(),
                reason: reject.reason().into(),
            });
        }
        match self.codes.iter_mut().find(|(code, _)| *code == reject.code) {
            Some((_, count)) => *count += 1,
            None => self.codes.push((reject.code, 1)),
        }
    }
}

impl<'h> Inflated<'h> {
    /// Checks every event against the contract at `now` (nanoseconds).
    ///
    /// # Errors
    /// 400 when the body is not of the contract or holds no good event, 413 when it holds too many.
    pub(crate) fn validate(self, now: i64) -> Result<Validated<'h>, Problem> {
        let head = &self.verified.head;
        let mut findings = Findings::default();
        let arena = ARENA.take().unwrap_or_default();
        let body = Body {
            signal: head.signal,
            format: head.format,
            validity: Validity::at(head.signal, now),
            bytes: self.plain(),
        };
        let read = body.read(&arena, |_, event| {
            if let Err((index, reject)) = event {
                findings.reject(index, &reject);
            }
        });
        keep(arena);
        findings.counts = read.map_err(|error| refuse(&error))?;
        if findings.counts.accepted == 0 {
            let Findings { counts, errors, .. } = findings;
            let detail = "every event in the body is refused; see errors";
            let problem = Problem::new(Refusal::NoValidEvent, detail);
            return Err(problem.with_errors(counts.rejected, errors));
        }
        Ok(Validated {
            verified: self.verified,
            findings,
        })
    }
}

fn keep(mut arena: Bump) {
    arena.reset();
    if arena.allocated_bytes() <= ARENA_KEPT_MAX {
        ARENA.set(Some(arena));
    }
}

fn refuse(error: &BodyError) -> Problem {
    let refusal = match error {
        BodyError::NotUtf8 | BodyError::NotJson(_) => Refusal::NotJson,
        BodyError::WrongShape(_) => Refusal::WrongShape,
        BodyError::NoEvent => Refusal::NoValidEvent,
        BodyError::TooManyEvents { .. } => Refusal::TooManyEvents,
    };
    Problem::new(refusal, error.to_string())
}
