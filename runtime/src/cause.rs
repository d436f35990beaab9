//! An error with its causes, in one line: libraries say "error performing TLS handshake" and leave
//! to the cause what was wrong with the certificate.

use std::error::Error;

/// What the error says, then what its causes add.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
