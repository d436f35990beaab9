//! Networks, by longest prefix. They nest or are disjoint, so the line of addresses falls into
//! stretches with one innermost network each: a look-up is one binary search among the stretches of
//! the addresses that begin with the same bits, the wider networks are found from parent to parent.
//! Most addresses are in no network, which 8 KiB tell of those whose first bits no network shares.

/// Bits that the addresses of a block have in common.
const BLOCK_BITS: u32 = 16;
const BLOCKS: usize = 1 << BLOCK_BITS;

/// An address as a number.
pub(super) trait Address: Copy + Ord {
    /// The next address, if there is one.
    fn next(self) -> Option<Self>;
    /// Its first bits.
    fn block(self) -> usize;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn block(self) -> usize {
        (self >> (u32::BITS - BLOCK_BITS)) as usize
    }
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn block(self) -> usize {
        usize::try_from(self >> (u128::BITS - BLOCK_BITS)).unwrap_or(usize::MAX)
    }
}

const NONE: u32 = u32::MAX;

/// One network and the place of its first entry in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network<T> {
    pub(super) first: T,
    pub(super) last: T,
    pub(super) entry: u32,
    parent: u32,
}

impl<T> Network<T> {
    pub(super) const fn new(first: T, last: T, entry: u32) -> Self {
        Network {
            first,
            last,
            entry,
            parent: NONE,
        }
    }
}

/// Where a stretch of addresses begins, and the innermost network there with its entry: who finds the stretch
/// need not read the network.
#[derive(Clone, Copy, Debug)]
struct Stretch<T> {
    start: T,
    network: u32,
    entry: u32,
}

/// All networks of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes<T> {
    networks: Vec<Network<T>>,
    stretches: Vec<Stretch<T>>,
    /// How many stretches begin before each block, and all of them.
    before: Vec<u32>,
    /// The blocks of which a network holds an address: a bit each.
    touched: Vec<u64>,
}

impl<T: Address> Prefixes<T> {
    /// Of networks that nest or are disjoint, without doubles.
    pub(super) fn new(mut networks: Vec<Network<T>>) -> Self {
        networks.sort_unstable_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        let mut built = Prefixes {
            networks: Vec::new(),
            stretches: Vec::new(),
            before: Vec::new(),
            touched: Vec::new(),
        };
        let mut open: Vec<(u32, T)> = Vec::new();
        for (number, mut network) in (0..NONE).zip(networks) {
            built.close(&mut open, Some(network.first));
            network.parent = open.last().map_or(NONE, |(number, _)| *number);
            open.push((number, network.last));
            built.networks.push(network);
            built.begin(network.first, number);
        }
        built.close(&mut open, None);
        if !built.networks.is_empty() {
            built.note_blocks();
        }
        built
    }

    fn note_blocks(&mut self) {
        self.before = vec![0; BLOCKS + 1];
        for stretch in &self.stretches {
            if let Some(count) = self.before.get_mut(stretch.start.block() + 1) {
                *count += 1;
            }
        }
        let mut all = 0;
        for count in &mut self.before {
            all += *count;
            *count = all;
        }
        self.touched = vec![0; BLOCKS / u64::BITS as usize];
        let outermost = self.networks.iter().filter(|one| one.parent == NONE);
        for block in outermost.flat_map(|one| one.first.block()..=one.last.block()) {
            if let Some(bits) = self.touched.get_mut(block / u64::BITS as usize) {
                *bits |= 1 << (block % u64::BITS as usize);
            }
        }
    }

    /// Whether a network may hold the address: none does that holds none which begins like it.
    #[inline]
    pub(super) fn may_hold(&self, address: T) -> bool {
        let block = address.block();
        let bits = self.touched.get(block / u64::BITS as usize).copied();
        bits.is_some_and(|bits| bits >> (block % u64::BITS as usize) & 1 != 0)
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Closes the open networks that end before an address, or all.
    fn close(&mut self, open: &mut Vec<(u32, T)>, before: Option<T>) {
        while let Some((_, last)) = open.last().copied() {
            if before.is_some_and(|before| last >= before) {
                break;
            }
            open.pop();
            if let Some(next) = last.next() {
                self.begin(next, open.last().map_or(NONE, |(number, _)| *number));
            }
        }
    }

    fn begin(&mut self, start: T, network: u32) {
        let entry = self.networks.get(network as usize);
        let stretch = Stretch {
            start,
            network,
            entry: entry.map_or(NONE, |network| network.entry),
        };
        match self.stretches.last_mut() {
            Some(last) if last.start == start => *last = stretch,
            _ => self.stretches.push(stretch),
        }
    }

    /// The narrowest network that holds the address, and its entry. No network is read.
    pub(super) fn innermost(&self, address: T) -> Option<(u32, u32)> {
        let block = address.block();
        let (from, to) = (*self.before.get(block)?, *self.before.get(block + 1)?);
        let within = self.stretches.get(from as usize..to as usize)?;
        let after = from as usize + within.partition_point(|one| one.start <= address);
        let stretch = self.stretches.get(after.checked_sub(1)?)?;
        (stretch.network != NONE).then_some((stretch.network, stretch.entry))
    }

    /// A network and those that hold it, the narrowest first.
    pub(super) fn from(&self, network: u32) -> impl Iterator<Item = &Network<T>> {
        let mut number = network;
        std::iter::from_fn(move || {
            let network = self.networks.get(number as usize)?;
            number = network.parent;
            Some(network)
        })
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.networks.capacity() * size_of::<Network<T>>()
            + self.stretches.capacity() * size_of::<Stretch<T>>()
            + self.before.capacity() * size_of::<u32>()
            + self.touched.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Addresses next to where blocks of sixteen bits and small networks begin and end.
    fn addresses() -> impl Strategy<Value = u32> {
        (
            0..4_u32,
            0..3_u32,
            0..4_u32,
            prop::sample::select(&[0, 1, 254, 255][..]),
        )
            .prop_map(|(a, b, c, d)| (a << 30 | b << 16 | c << 8 | d).wrapping_sub(512))
    }

    fn network(address: u32, bits: u32) -> (u32, u32) {
        let hosts = u32::MAX.checked_shr(bits).unwrap_or(0);
        (address & !hosts, address | hosts)
    }

    proptest! {
        #[test]
        fn the_networks_of_an_address_are_found_narrowest_first(
            networks in prop::collection::btree_set((addresses(), 0..=32_u32), 0..40),
            asked in prop::collection::vec(addresses(), 1..40),
        ) {
            let mut networks: Vec<_> = networks.into_iter().map(|(a, bits)| network(a, bits)).collect();
            networks.sort_unstable();
            networks.dedup();
            let numbered = networks.iter().zip(0..);
            let prefixes = Prefixes::new(numbered.map(|(net, n)| Network::new(net.0, net.1, n)).collect());
            for address in asked {
                let mut expected: Vec<_> = networks.iter().filter(|net| net.0 <= address && address <= net.1).collect();
                expected.sort_unstable_by_key(|net| net.1 - net.0);
                let found = prefixes.innermost(address);
                prop_assert!(found.is_none() || prefixes.may_hold(address));
                prop_assert!(found.is_none_or(|(n, entry)| prefixes.from(n).next().unwrap().entry == entry));
                let found: Vec<_> = found.into_iter().flat_map(|(n, _)| prefixes.from(n)).map(|net| (net.first, net.last)).collect();
                prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
