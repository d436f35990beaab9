//! Networks, by longest prefix. They nest or are disjoint, so the line of addresses falls into
//! stretches with one innermost network each: a look-up is one binary search, the wider networks
//! are found from parent to parent.

/// An address as a number.
pub(super) trait Address: Copy + Ord {
    /// The next address, if there is one.
    fn next(self) -> Option<Self>;
}

impl Address for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Address for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
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

/// All networks of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes<T> {
    networks: Vec<Network<T>>,
    starts: Vec<T>,
    innermost: Vec<u32>,
}

impl<T: Address> Prefixes<T> {
    /// Of networks that nest or are disjoint, without doubles.
    pub(super) fn new(mut networks: Vec<Network<T>>) -> Self {
        networks.sort_unstable_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        let mut built = Prefixes {
            networks: Vec::new(),
            starts: Vec::new(),
            innermost: Vec::new(),
        };
        let mut open: Vec<(u32, T)> = Vec::new();
        for (number, mut network) in (0..NONE).zip(networks) {
            built.close(&mut open, Some(network.first));
            network.parent = open.last().map_or(NONE, |(number, _)| *number);
            built.begin(network.first, number);
            open.push((number, network.last));
            built.networks.push(network);
        }
        built.close(&mut open, None);
        built
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

    fn begin(&mut self, start: T, number: u32) {
        if self.starts.last() == Some(&start) {
            if let Some(last) = self.innermost.last_mut() {
                *last = number;
            }
        } else {
            self.starts.push(start);
            self.innermost.push(number);
        }
    }

    /// The networks that hold the address, the narrowest first.
    pub(super) fn holding(&self, address: T) -> impl Iterator<Item = &Network<T>> {
        let after = self.starts.partition_point(|start| *start <= address);
        let innermost = after
            .checked_sub(1)
            .and_then(|at| self.innermost.get(at))
            .copied();
        let mut number = innermost.unwrap_or(NONE);
        std::iter::from_fn(move || {
            let network = self.networks.get(number as usize)?;
            number = network.parent;
            Some(network)
        })
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.networks.capacity() * size_of::<Network<T>>()
            + self.starts.capacity() * size_of::<T>()
            + self.innermost.capacity() * size_of::<u32>()
    }
}
