//! Stream entry → events. What cannot be decoded becomes poison, never a panic and never silence.

use crate::work::{Poison, RawEntry};
use bumpalo::Bump;
use millrace_shared::entry::Meta;
use millrace_shared::inflate::inflate;
use millrace_shared::outcome::DeadReason;
use millrace_shared::wire::{Body, BodyError, Reject, Validity};
use millrace_shared::{Event, Resource, Signal};
use std::borrow::Cow;

/// An event as it was sent, known to be of the contract's form.
#[derive(Debug)]
pub(crate) struct DecodedEvent<'e, 'a> {
    pub(crate) event: &'e mut Event<'a>,
    pub(crate) resource: &'e Resource<'a>,
}

/// Reads an entry's description.
pub(crate) fn meta(number: u32, raw: &RawEntry) -> Result<Meta, Poison> {
    Meta::parse(&raw.meta).map_err(|error| Poison {
        entry: number,
        events_at: None,
        events: 0,
        org: None,
        reason: DeadReason::BadEntry,
        detail: error.to_string(),
    })
}

/// Inflates an entry's body.
pub(crate) fn body<'r>(
    number: u32,
    meta: &Meta,
    raw: &'r RawEntry,
) -> Result<Cow<'r, [u8]>, Poison> {
    inflate(meta.encoding(), &raw.body)
        .map_err(|error| whole(number, meta, DeadReason::Damaged, error.to_string()))
}

/// What is found at one index of a body.
pub(crate) enum Found<'e, 'a> {
    /// An accepted event.
    Event(DecodedEvent<'e, 'a>),
    /// An event that was accepted once and cannot be read now.
    Unreadable(u16, Reject),
}

/// Reads the accepted events of a body; those the gateway rejected are passed over.
pub(crate) fn events<'a>(
    signal: Signal,
    meta: &Meta,
    bytes: &'a [u8],
    arena: &'a Bump,
    mut visit: impl FnMut(Found<'_, 'a>),
) -> Result<(), BodyError> {
    // Times were judged when the batch was received; judging them again later would lose events.
    let body = Body {
        signal,
        format: meta.format(),
        validity: Validity::ANY,
        bytes,
    };
    let mut rejected = meta.rejected_at.iter().copied().peekable();
    body.read(arena, |resource, found| {
        let index = match &found {
            Ok(event) => event.index,
            Err((index, _)) => *index,
        };
        while rejected.next_if(|at| *at < index).is_some() {}
        if rejected.peek() == Some(&index) {
            return;
        }
        match found {
            Ok(event) => visit(Found::Event(DecodedEvent { event, resource })),
            Err((index, reject)) => visit(Found::Unreadable(index, reject)),
        }
    })?;
    Ok(())
}

/// Poison that is a whole entry.
pub(crate) fn whole(number: u32, meta: &Meta, reason: DeadReason, detail: String) -> Poison {
    let (entry, events) = (number, meta.accepted);
    Poison {
        entry,
        events_at: None,
        events,
        org: Some(meta.org),
        reason,
        detail,
    }
}
