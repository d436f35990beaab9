//! One case: what is sent, what the sender does then, and what must come back.

use super::request::Request;

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// Where a message ends.
    Framing,
    /// Octets that HTTP does not have at that place.
    Bytes,
    /// Methods, targets, versions, parameters, content types.
    Targets,
    /// Floods, giants, duplicates.
    Headers,
    /// Keys and signatures.
    Auth,
    /// Compression.
    Packed,
    /// What is no JSON.
    Json,
    /// What is no event.
    Shape,
    /// One more than a limit allows.
    Limits,
    /// Text that means something to somebody else.
    Injection,
    /// The query API.
    Api,
}

/// What the sender does when all is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// Closes its half of the connection and reads.
    Close,
    /// Keeps the connection open and waits, as one who has more to send.
    Wait,
}

/// Which deadline of the contract ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// None: the answer follows from what was sent.
    Prompt,
    /// That of the headers.
    Headers,
    /// That of the body.
    Body,
}

/// One answer that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The statuses that are right.
    pub statuses: Vec<u16>,
    /// The codes that are right, where it is a refusal of the gateway's; none for any.
    pub codes: &'static [&'static str],
    /// The code of the first bad event, where the answer must name one.
    pub event: Option<&'static str>,
}

impl Due {
    /// One of these statuses, with one of these codes (none for any).
    #[must_use]
    pub fn refused(statuses: &[u16], codes: &'static [&'static str]) -> Due {
        Due {
            statuses: statuses.to_vec(),
            codes,
            event: None,
        }
    }

    /// Accepted.
    #[must_use]
    pub fn accepted() -> Due {
        Due::refused(&[202], &[])
    }

    /// Whether a 2xx is right.
    #[must_use]
    pub fn may_succeed(&self) -> bool {
        self.statuses.iter().any(|status| *status < 300)
    }
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Says what is wrong with it.
    pub name: String,
    /// What it is about.
    pub area: Area,
    /// What is sent.
    pub wire: Vec<u8>,
    /// What the sender does then.
    pub then: Then,
    /// What ends it.
    pub pace: Pace,
    /// What must come back, in order; interim answers do not count.
    pub due: Vec<Due>,
    /// Whether closing the connection without an answer is right as well: where it cannot be
    /// known whether a request was meant, or that its sender is still there.
    pub silence: bool,
    /// Whether the method is `HEAD`, whose answers have no body.
    pub headless: bool,
    /// Whether the answer may be a status and nothing else.
    pub bare: bool,
}

impl Case {
    /// A case with one answer due.
    #[must_use]
    pub fn new(area: Area, name: impl Into<String>, wire: Vec<u8>, due: Due) -> Case {
        Case {
            name: name.into(),
            area,
            wire,
            then: Then::Close,
            pace: Pace::Prompt,
            due: vec![due],
            silence: false,
            headless: false,
            bare: false,
        }
    }

    /// A request that is refused with this status and one of these codes.
    #[must_use]
    pub fn refused(
        area: Area,
        name: impl Into<String>,
        request: &Request,
        (status, codes): (u16, &'static [&'static str]),
    ) -> Case {
        Case::new(area, name, request.wire(), Due::refused(&[status], codes))
    }

    /// With further answers due after the first.
    #[must_use]
    pub fn then_due(mut self, due: Due) -> Case {
        self.due.push(due);
        self
    }

    /// Where closing without an answer is right as well.
    #[must_use]
    pub fn or_silence(mut self) -> Case {
        self.silence = true;
        self
    }

    /// Where the sender waits until a deadline ends it.
    #[must_use]
    pub fn waiting(mut self, pace: Pace) -> Case {
        self.then = Then::Wait;
        self.pace = pace;
        self
    }

    /// Whether nothing of it may be accepted.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        !self.due.iter().all(Due::may_succeed) || self.due.is_empty()
    }
}

/// Adds a request that is refused with this status and one of these codes.
pub(super) fn refuse(
    cases: &mut Vec<Case>,
    area: Area,
    name: impl Into<String>,
    request: &Request,
    due: (u16, &'static [&'static str]),
) {
    cases.push(Case::refused(area, name, request, due));
}
