//! One line per hop of an event's path, on one core.

use bumpalo::Bump;
use millrace_benches::{batch, hop};
use millrace_shared::Signal;
use millrace_shared::inflate::pack;
use millrace_shared::secret::Secret;
use millrace_shared::signature::{parse_body_signature, sign_body};
use millrace_shared::wire::{Body, BodyFormat, Validity};

fn main() -> anyhow::Result<()> {
    let now_s = 1_790_000_000;
    let body = batch::standard(now_s);
    let (events, bytes) = (batch::EVENTS, body.len());
    let secret = Secret::generate()?;
    let header = sign_body(&secret, &body);
    hop("gateway: verify signature", events, bytes, || {
        parse_body_signature(&header)
            .is_some_and(|claim| claim.holds(std::slice::from_ref(&secret), &body))
    });
    let validity = Validity::at(Signal::Logs, now_s * 1_000_000_000);
    let read = Body {
        signal: Signal::Logs,
        format: BodyFormat::Json,
        validity,
        bytes: &body,
    };
    hop("gateway: parse and validate", events, bytes, || {
        read.read(&Bump::new(), |_, _| ())
            .map(|counts| counts.accepted)
    });
    hop("gateway: pack", events, bytes, || pack(&body).len());
    Ok(())
}
