//! Texts of a byte or two that may stand anywhere: found by their first byte, one look at the value for
//! each such byte.
//!
//! It is for bytes that seldom stand in a value and are no letters; see [`is_rare`].

/// Bytes that texts of a byte or two may begin with, so that they are worth looking for.
const RARE: &[u8] = b"^`~|;{}$@#%!<>&*[]";

/// Whether a byte stands seldom in values, and has one case only.
pub(super) fn is_rare(byte: u8) -> bool {
    RARE.contains(&byte)
}

/// Texts by their first byte.
#[derive(Debug, Default)]
pub(super) struct Tiny(Vec<(u8, Vec<u32>)>);

impl Tiny {
    pub(super) fn new(texts: &[(u32, &[u8])]) -> Tiny {
        let mut tiny: Vec<(u8, Vec<u32>)> = Vec::new();
        for (number, text) in texts {
            let Some(first) = text.first() else {
                continue;
            };
            match tiny.iter_mut().find(|(byte, _)| byte == first) {
                Some((_, numbers)) => numbers.push(*number),
                None => tiny.push((*first, vec![*number])),
            }
        }
        Tiny(tiny)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands over the texts that may stand in a value, and where they would begin.
    #[inline]
    pub(super) fn each(&self, value: &[u8], found: &mut impl FnMut(u32, usize)) {
        for (byte, numbers) in &self.0 {
            for at in memchr::memchr_iter(*byte, value) {
                numbers.iter().for_each(|number| found(*number, at));
            }
        }
    }
}
