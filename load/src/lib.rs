//! Signed, open-loop load: generated signals or replayed lines.
