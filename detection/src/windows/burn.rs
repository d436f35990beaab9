//! How fast an error budget burns: shares of bad events over a long and a short window at once, for
//! several pairs of windows (Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts").
//!
//! An objective of 99.9 % leaves a budget of 0.1 %. It burns at 14.4 times the pace that would just use
//! it up when 1.44 % of all events are bad. A pair fires when that is exceeded over both of its
//! windows: the long one says that it matters, the short one that it still goes on.
//!
//! Time is cut into steps, of a twentieth of the short window of a pair. A window ends with the step of a
//! hit and reaches back over whole steps, so it may reach back a step further, and it is the same in
//! whatever order hits come. Steps of a pair are whole numbers of those of the pair before: what only
//! longer windows still need is kept in their steps.

use super::meter::Pile;
use millrace_shared::limits::NS_PER_SECOND;

/// Pairs of windows.
pub const BURNS_MAX: usize = 4;
/// The longest window: three days, as the slowest of the usual pairs has.
pub const BURN_SECONDS_MAX: u32 = 3 * 24 * 3600;
/// The shortest window.
pub const BURN_SECONDS_MIN: u32 = 60;
/// How many times as long the long window of a pair may be as its short one: with
/// [`STEPS`] it bounds what is kept of a pair to some 500 steps, and those of an hour of lateness.
pub const BURN_LONG_MAX: u32 = 24;
/// Steps of a short window.
const STEPS: i64 = 20;
/// Thousandths of a percent in all.
const WHOLE: u128 = 100_000;
/// Thousandths in one.
const THOUSANDTHS: u128 = 1_000;

/// A pair of windows, and the pace that it tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BurnRate {
    /// The pace, in thousandths of what would just use up the budget.
    pub factor_thousandths: u32,
    /// Seconds of the long window.
    pub long_s: u32,
    /// Seconds of the short window.
    pub short_s: u32,
}

/// Pairs of windows over one budget, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    rates: [BurnRate; BURNS_MAX],
    count: u8,
    /// Thousandths of a percent that may be bad.
    budget: u32,
}

/// A pair with its step, nanoseconds.
#[derive(Clone, Copy)]
struct Pair {
    rate: BurnRate,
    step: i64,
}

impl Pair {
    /// Steps of a window of so many seconds.
    fn steps(&self, seconds: u32) -> i64 {
        let length = i64::from(seconds) * NS_PER_SECOND;
        // Rounded up.
        (length + self.step - 1).div_euclid(self.step)
    }

    /// How far back a window that ends now reaches at most.
    fn reach(&self) -> i64 {
        (self.steps(self.rate.long_s) + 1).saturating_mul(self.step)
    }

    fn place(&self, at_ns: i64) -> i64 {
        at_ns.div_euclid(self.step)
    }
}

/// What is in a window.
#[derive(Clone, Copy, Default)]
struct Sum {
    all: u64,
    bad: u64,
    from: usize,
}

impl Sum {
    fn add(&mut self, pile: &Pile) {
        self.all = self.all.saturating_add(pile.hits);
        self.bad = self.bad.saturating_add(pile.selected);
    }

    /// Lets go of what lies before the last so many steps.
    fn slide(&mut self, piles: &[Pile], pair: &Pair, (last, steps): (i64, i64)) {
        while let Some(old) = piles.get(self.from)
            && pair.place(old.at_ns) <= last.saturating_sub(steps)
        {
            self.all = self.all.saturating_sub(old.hits);
            self.bad = self.bad.saturating_sub(old.selected);
            self.from += 1;
        }
    }
}

/// A window that burns: its first and last pile, and the bad events in it.
pub(super) type Burning = (usize, usize, u64);

impl Burn {
    /// Of a budget in thousandths of a percent and these pairs, each of windows no shorter than those
    /// of the one before; `None` for none, for more than [`BURNS_MAX`], and for others.
    #[must_use]
    pub fn new(budget: u32, list: &[BurnRate]) -> Option<Burn> {
        let mut rates = [BurnRate::default(); BURNS_MAX];
        rates.get_mut(..list.len())?.copy_from_slice(list);
        let count = u8::try_from(list.len()).ok().filter(|count| *count > 0)?;
        let is_fit = |rate: &BurnRate| {
            (BURN_SECONDS_MIN..=BURN_SECONDS_MAX).contains(&rate.short_s)
                && (rate.short_s..=BURN_SECONDS_MAX).contains(&rate.long_s)
                && rate.long_s / rate.short_s <= BURN_LONG_MAX
        };
        let grows = list.windows(2).all(|two| match two {
            [one, next] => one.long_s <= next.long_s && one.short_s <= next.short_s,
            _ => true,
        });
        (list.iter().all(is_fit) && grows).then_some(Burn {
            rates,
            count,
            budget,
        })
    }

    fn pairs(&self) -> impl Iterator<Item = Pair> {
        let mut before = 1;
        let rates = self.rates.into_iter().take(usize::from(self.count));
        rates.map(move |rate| {
            let step = i64::from(rate.short_s) * NS_PER_SECOND / STEPS;
            // Whole steps of the pair before.
            let step = (step / before).max(1) * before;
            before = step;
            Pair { rate, step }
        })
    }

    /// The step of the shortest windows, nanoseconds: hits of one step are one pile.
    pub(super) fn step(&self) -> i64 {
        self.pairs().next().map_or(1, |pair| pair.step)
    }

    /// How much longer than its longest window a hit may matter: windows are of whole steps.
    pub(super) fn memory_ns(&self) -> i64 {
        let longest = self.pairs().map(|pair| pair.step).max();
        // Its beginning, its end, and the rounding of its length.
        longest.unwrap_or(0).saturating_mul(3)
    }

    /// Whether a share of bad events uses up the budget faster than a pair lets it.
    fn is_over(&self, rate: &BurnRate, sum: &Sum) -> bool {
        let allowed = u128::from(rate.factor_thousandths) * u128::from(self.budget);
        u128::from(sum.bad) * WHOLE * THOUSANDTHS > u128::from(sum.all).saturating_mul(allowed)
    }

    /// The windows that end with a hit from `since_ns` on, burn, and hold at least so many bad events;
    /// by their beginning. Piles are sorted.
    pub(super) fn burning(&self, piles: &[Pile], threshold: u32, since_ns: i64) -> Vec<Burning> {
        let mut burning = Vec::new();
        for pair in self.pairs() {
            let (mut long, mut short) = (Sum::default(), Sum::default());
            for (to, pile) in piles.iter().enumerate() {
                let last = pair.place(pile.at_ns);
                long.add(pile);
                short.add(pile);
                long.slide(piles, &pair, (last, pair.steps(pair.rate.long_s)));
                short.slide(piles, &pair, (last, pair.steps(pair.rate.short_s)));
                let next = piles.get(to + 1).map(|next| pair.place(next.at_ns));
                if next == Some(last) || last < pair.place(since_ns) {
                    continue;
                }
                let is_over = |sum: &Sum| self.is_over(&pair.rate, sum);
                if long.bad >= u64::from(threshold.max(1)) && is_over(&long) && is_over(&short) {
                    burning.push((long.from, to, long.bad));
                }
            }
        }
        burning.sort_unstable();
        burning
    }

    /// Whether two neighbours are one as far as windows go that may still change, those that end no
    /// further back than the lateness.
    pub(super) fn is_one(&self, (before, next): (i64, i64), now: (i64, i64)) -> bool {
        let (newest_ns, lateness_ns) = now;
        let age = newest_ns.saturating_sub(next);
        let needs = |pair: &Pair| {
            // A step of lateness more: the end of a window lies within its step.
            age <= lateness_ns
                .saturating_add(pair.reach())
                .saturating_add(pair.step)
        };
        let pairs = self.pairs();
        let pair = pairs.fold(None, |found: Option<Pair>, pair| match found {
            Some(found) if needs(&found) => Some(found),
            Some(_) | None => Some(pair),
        });
        pair.is_some_and(|pair| pair.place(before) == pair.place(next))
    }
}
