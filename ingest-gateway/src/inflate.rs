//! Decompression of a verified body under the running cap of `shared::inflate`.

use crate::error::Problem;
use crate::verify::Verified;
use millrace_shared::inflate::{InflateError, inflate};
use millrace_shared::outcome::Refusal;
use std::borrow::Cow;

/// A verified body and its plain bytes.
pub(crate) struct Inflated<'h> {
    pub(crate) verified: Verified<'h>,
    /// `None` when the body came uncompressed.
    inflated: Option<Vec<u8>>,
}

impl Inflated<'_> {
    /// The plain bytes.
    pub(crate) fn plain(&self) -> &[u8] {
        self.inflated.as_deref().unwrap_or(&self.verified.body)
    }
}

impl<'h> Verified<'h> {
    /// Inflates the body.
    ///
    /// # Errors
    /// 400 when it is damaged, 413 when it grows too much.
    pub(crate) fn inflate(self) -> Result<Inflated<'h>, Problem> {
        let inflated = match inflate(self.head.encoding, &self.body) {
            Ok(Cow::Borrowed(_)) => None,
            Ok(Cow::Owned(bytes)) => Some(bytes),
            Err(error) => {
                let refusal = match error {
                    InflateError::Damaged => Refusal::Damaged,
                    InflateError::TooLarge | InflateError::Ratio => Refusal::TooLarge,
                };
                return Err(Problem::new(refusal, error.to_string()));
            }
        };
        Ok(Inflated {
            verified: self,
            inflated,
        })
    }
}
