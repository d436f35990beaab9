//! The values of an event's observables on their way through the index.
//!
//! An index of millions is in no cache: a look-up waits for memory most of its time. Values go through
//! it several at a time, step by step, and a step that reads memory does little else, so that a core has
//! as many reads under way as it can.

use super::table::NOWHERE;
use smallvec::SmallVec;

/// Labels of a name that are tried from the longest suffix on; deeper names are tunnels' noise.
const SUFFIXES_MAX: usize = 12;
/// Values that are looked up together: more than a core has reads under way.
pub(super) const TOGETHER: usize = 20;
/// Room for them, and for those of the observable that is one too many.
const ROOM: usize = 32;

const _: () = assert!(TOGETHER + SUFFIXES_MAX <= ROOM && ROOM == u32::BITS as usize);
// The numbers of labels of all suffixes are bits of a mask.
const _: () = assert!(SUFFIXES_MAX + 1 < u16::BITS as usize);

/// A value that is looked up, or an address for which networks are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Where the value is in the table; of networks, the address if it has 32 bits.
    pub(super) position: u64,
    /// Where in its observable the value begins.
    pub(super) from: u32,
    /// The number of its observable.
    pub(super) observable: u16,
    /// Whether networks are asked that hold the observable, rather than the value.
    pub(super) is_network: bool,
}

/// Where a probe leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    /// What tells the value from others.
    pub(super) tag: u64,
    /// To this slot of the table; of networks, that of the narrowest.
    pub(super) number: u32,
    /// The narrowest network.
    pub(super) network: u32,
    /// The tag in the slot, 0 for nothing.
    pub(super) found: u64,
}

impl Lead {
    /// It leads nowhere.
    pub(super) const NONE: Lead = Lead {
        tag: 0,
        number: NOWHERE,
        network: 0,
        found: 0,
    };
}

/// Values that are looked up together, by observable, the most specific first.
pub(super) type Probes = SmallVec<[Probe; ROOM]>;
/// Where each of them leads.
pub(super) type Leads = SmallVec<[Lead; ROOM]>;

/// Which of the probes are wanted, a bit each. Nothing is written and nothing jumps on the answers: what
/// comes after need not wait for them.
#[inline]
pub(super) fn wanted(probes: &[Probe], is_wanted: impl Fn(&Probe) -> bool) -> u32 {
    let answers = probes.iter().map(|probe| u32::from(is_wanted(probe)));
    answers
        .zip(0..u32::BITS)
        .fold(0, |bits, (answer, at)| bits | answer << at)
}

/// The probes with a bit.
pub(super) fn chosen(probes: &[Probe], mut bits: u32) -> impl Iterator<Item = &Probe> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        probes.get(at as usize)
    })
}

/// How many labels names may have to be known: one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Depths(u16);

impl Depths {
    /// Notes that a name is known.
    pub(super) fn add(&mut self, name: &str) {
        let labels = name.bytes().filter(|byte| *byte == b'.').count() + 1;
        if labels <= SUFFIXES_MAX + 1 {
            self.0 |= 1 << labels;
        }
    }

    /// Where the suffixes of a name begin that may be known: of those with at least two labels, the
    /// shortest first.
    #[inline]
    pub(super) fn suffixes(self, name: &str, mut begins: impl FnMut(usize)) {
        let bytes = name.as_bytes();
        let (head, tail) = bytes.split_at(bytes.len().saturating_sub(MASKED_BYTES));
        // None of one label.
        let mut known = self.0 & !0b11;
        let mut is_known = || {
            known >>= 1;
            known & 1 != 0
        };
        let mut dots = dots(tail);
        while dots != 0 {
            let at = dots.ilog2();
            dots ^= 1 << at;
            if is_known() {
                begins(head.len() + at as usize + 1);
            }
        }
        for dot in memchr::memrchr_iter(b'.', head) {
            if is_known() {
                begins(dot + 1);
            }
        }
        if is_known() {
            begins(0);
        }
    }
}

/// Bytes whose dots fit a mask.
const MASKED_BYTES: usize = u64::BITS as usize;

/// Where the dots among so many bytes are, a bit each.
#[inline]
fn dots(bytes: &[u8]) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    const DOTS: u64 = 0x2E2E_2E2E_2E2E_2E2E;
    let of_eight = |bytes: [u8; 8]| {
        let other = u64::from_le_bytes(bytes) ^ DOTS;
        // The top bit of each byte that is a dot, and of no other.
        let marks = !(((other & LOW) + LOW) | other | LOW);
        // They meet in the highest byte, the first in its lowest bit.
        (marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    let (eights, _) = bytes.as_chunks();
    let eights = (0_u32..).step_by(8).zip(eights);
    let mask = eights.fold(0, |mask, (at, eight)| {
        mask | of_eight(*eight).checked_shl(at).unwrap_or(0)
    });
    match bytes.last_chunk() {
        // Those behind the last eight, and some of these again.
        Some(last) => mask | of_eight(*last) << (bytes.len() - 8),
        None => bytes
            .iter()
            .rev()
            .fold(0, |mask, byte| mask << 1 | u64::from(*byte == b'.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn suffixes<'n>(known: &[&str], name: &'n str) -> Vec<&'n str> {
        let mut depths = Depths::default();
        known.iter().for_each(|name| depths.add(name));
        let mut found = Vec::new();
        depths.suffixes(name, |from| found.insert(0, &name[from..]));
        found
    }

    #[test]
    fn suffixes_come_longest_first_and_only_of_depths_that_are_known() {
        assert_eq!(
            suffixes(&["x.y", "x.y.z"], "a.b.c.com"),
            ["b.c.com", "c.com"]
        );
        assert_eq!(
            suffixes(&["x.y", "w.x.y.z"], "a.b.c.com"),
            ["a.b.c.com", "c.com"]
        );
        assert_eq!(suffixes(&["x.y"], "c.com"), ["c.com"]);
        assert!(suffixes(&["x.y"], "com").is_empty());
        assert!(suffixes(&[], "a.com").is_empty());
    }

    proptest! {
        #[test]
        fn suffixes_begin_behind_dots_wherever_these_are(
            depths in prop::collection::vec(1..16_usize, 0..4),
            name in "[a.\u{AE}]{0,8}[a.]{0,150}",
        ) {
            let known: Vec<String> = depths.iter().map(|labels| vec!["x"; *labels].join(".")).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let labels: Vec<&str> = name.split('.').collect();
            let tried = (2..=SUFFIXES_MAX + 1).rev().filter(|count| *count <= labels.len());
            let tried = tried.filter(|count| depths.contains(count));
            let expected: Vec<String> = tried.map(|count| labels[labels.len() - count..].join(".")).collect();
            prop_assert_eq!(suffixes(&known, &name), expected);
        }
    }

    #[test]
    fn of_a_very_deep_name_only_the_labels_next_to_the_registered_one_matter() {
        let all: Vec<String> = (1..=20).map(|labels| vec!["x"; labels].join(".")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let found = suffixes(&all, all[19]);
        assert_eq!(found.len(), SUFFIXES_MAX);
        assert_eq!(found.first(), Some(&all[SUFFIXES_MAX]));
        assert_eq!(found.last(), Some(&all[1]));
    }
}
