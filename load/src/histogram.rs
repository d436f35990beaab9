//! Latencies in a fixed number of counters: exact to better than 1 %, however many there are.

use std::time::Duration;

/// Steps within each power of two.
const STEPS: usize = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Powers of two of microseconds: the last holds everything above 19 hours.
const POWERS: usize = 30;

/// A histogram of durations from a microsecond to hours.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; STEPS * POWERS],
            total: 0,
            largest: 0,
        }
    }
}

/// The counter of a value: values below `STEPS` have one each; above, each power of two has as
/// many, so a counter's width is below 1/`STEPS` of its value.
fn slot(micros: u64) -> usize {
    let Some(power) = micros.checked_ilog2().filter(|power| *power >= STEP_BITS) else {
        return usize::try_from(micros).unwrap_or(0);
    };
    let shift = power - STEP_BITS;
    let step = (micros >> shift) - STEPS as u64;
    let slot = (u64::from(shift) + 1) * STEPS as u64 + step;
    usize::try_from(slot)
        .unwrap_or(usize::MAX)
        .min(STEPS * POWERS - 1)
}

/// The largest value of a counter.
fn ceiling(slot: usize) -> u64 {
    if slot < STEPS {
        return slot as u64;
    }
    let shift = (slot / STEPS - 1) as u64;
    let step = (slot % STEPS) as u64 + STEPS as u64;
    ((step + 1) << shift) - 1
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(slot(micros)) {
            *count += 1;
        }
        self.total += 1;
        self.largest = self.largest.max(micros);
    }

    /// Adds everything that another one counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.largest = self.largest.max(other.largest);
    }

    /// How many durations there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// The duration that this share of all (0 to 1) does not exceed, in milliseconds; 0 when there
    /// is none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among fewer than 2^52 durations"
    )]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (share.clamp(0.0, 1.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return ceiling(slot).min(self.largest) as f64 / 1e3;
            }
        }
        self.largest as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_of_a_known_series() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.add(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = histogram.quantile_ms(share);
            assert!((found - ms).abs() / ms < 0.01, "{share}: {found}");
        }
        assert!((histogram.quantile_ms(1.0) - 1000.0).abs() < 1e-9);
        assert_eq!(Histogram::default().quantile_ms(0.5), 0.0);
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_counter(micros in 0u64..1 << 36) {
            let slot = slot(micros);
            prop_assert!(micros <= ceiling(slot));
            prop_assert!(slot == 0 || micros > ceiling(slot - 1));
        }
    }
}
