//! How much each of several askers may have of something scarce: weighted max-min fairness. A pure
//! function.

/// What one asker asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Demand {
    /// Its weight, more than 0.
    pub(crate) weight: f64,
    /// How much it asks for.
    pub(crate) amount: f64,
}

/// The level to which `capacity` fills: each asker may have its weight times the level. Whoever
/// asks for less than that leaves the rest to the others, so that no capacity lies idle while
/// somebody asks ("water-filling"; Bertsekas and Gallager, Data Networks, 6.5.2). With enough for
/// all it is the whole capacity: one newcomer may have no more than that.
pub(crate) fn level(demands: &mut [Demand], capacity: f64) -> f64 {
    let share = |demand: &Demand| demand.amount / demand.weight;
    demands.sort_by(|a, b| share(a).total_cmp(&share(b)));
    let mut weights: f64 = demands.iter().map(|demand| demand.weight).sum();
    let mut left = capacity;
    for demand in demands.iter() {
        let level = left / weights;
        if share(demand) > level {
            return level.max(0.0);
        }
        left -= demand.amount;
        weights -= demand.weight;
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demands(all: &[(f64, f64)]) -> Vec<Demand> {
        let demand = |(weight, amount): &(f64, f64)| Demand {
            weight: *weight,
            amount: *amount,
        };
        all.iter().map(demand).collect()
    }

    #[test]
    fn the_modest_get_what_they_ask_and_the_greedy_share_the_rest() {
        assert_eq!(
            level(&mut demands(&[(1.0, 10.0), (1.0, 1_000.0)]), 100.0),
            90.0
        );
        assert_eq!(
            level(&mut demands(&[(1.0, 500.0), (3.0, 900.0)]), 100.0),
            25.0
        );
        assert_eq!(
            level(&mut demands(&[(1.0, 30.0), (1.0, 40.0)]), 100.0),
            100.0
        );
        assert_eq!(level(&mut [], 100.0), 100.0);
        assert_eq!(level(&mut demands(&[(1.0, 5.0)]), 0.0), 0.0);
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_there_is_and_none_lies_idle(
            all in prop::collection::vec((1.0f64..10.0, 0.0f64..1_000.0), 1..20),
            capacity in 1.0f64..5_000.0,
        ) {
            let level = level(&mut demands(&all), capacity);
            let given: f64 = all.iter().map(|(weight, amount)| amount.min(weight * level)).sum();
            let asked: f64 = all.iter().map(|(_, amount)| amount).sum();
            if asked > capacity {
                prop_assert!((given - capacity).abs() < 1e-6 * capacity, "{given} of {capacity}");
            } else {
                prop_assert!((given - asked).abs() < 1e-6 * asked.max(1.0), "{given} of {asked}");
            }
        }
    }
}
