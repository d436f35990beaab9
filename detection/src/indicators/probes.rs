//! The values of an event's observables on their way through the index.
//!
//! An index of millions is in no cache: a look-up waits for memory most of its time. Values go through
//! it several at a time, step by step, and a step that reads memory does little else, so that a core has
//! as many reads under way as it can.

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
    /// Half of the value's fingerprint; of networks, the address if it has 32 bits.
    pub(super) tag: u64,
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
    /// To this slot of the table, or to those behind it; of networks, that of the narrowest.
    pub(super) slot: usize,
    /// The narrowest network.
    pub(super) network: u32,
    /// The tag in the slot, 0 for nothing.
    pub(super) tag: u64,
}

impl Lead {
    /// It leads nowhere.
    pub(super) const NONE: Lead = Lead {
        slot: usize::MAX,
        network: 0,
        tag: 0,
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
    /// longest first.
    #[inline]
    pub(super) fn suffixes(self, name: &str) -> impl Iterator<Item = usize> {
        // Of two labels, of three labels, and so on.
        let mut starts = [0; SUFFIXES_MAX];
        let mut count = 0;
        let mut labels = 0;
        let whole = std::iter::once(None);
        let dots = memchr::memrchr_iter(b'.', name.as_bytes());
        for dot in dots.map(Some).chain(whole).take(SUFFIXES_MAX + 1) {
            labels += 1;
            let is_known = labels >= 2 && self.0 >> labels & 1 != 0;
            if let Some(start) = starts.get_mut(count) {
                *start = dot.map_or(0, |dot| dot + 1);
                count += usize::from(is_known);
            }
        }
        starts.into_iter().take(count).rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes<'n>(known: &[&str], name: &'n str) -> Vec<&'n str> {
        let mut depths = Depths::default();
        known.iter().for_each(|name| depths.add(name));
        depths.suffixes(name).map(|from| &name[from..]).collect()
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
