//! A day of history → pieces of time with about a page of rows each, so that what a page costs does not
//! grow with the rows around it, and a quiet day costs one. Pure.

/// Width of the stretches in which rows are counted beforehand, nanoseconds.
pub(super) const STRETCH_NS: i64 = 3600 * 1_000_000_000;
/// Pieces of a stretch: with more, most would be empty for rows that come in bursts.
const PIECES_MAX: u64 = 100_000;

/// Cuts what lies within a range, by the numbers of stretches and the rows in each, in pieces of about
/// so many rows: from when and until before when.
pub(super) fn pieces(
    counted: &[(i64, u64)],
    (start, end): (i64, i64),
    page: u32,
) -> Vec<(i64, i64)> {
    let page = u64::from(page.max(1));
    let mut pieces: Vec<(i64, i64)> = Vec::new();
    // Rows of the last piece, as long as it may grow.
    let mut open: Option<u64> = None;
    for (number, rows) in counted {
        let from = number.saturating_mul(STRETCH_NS);
        let within = (from.max(start), from.saturating_add(STRETCH_NS).min(end));
        if within.0 >= within.1 {
            continue;
        }
        let together = open.unwrap_or(0).saturating_add(*rows);
        match pieces
            .last_mut()
            .filter(|_| open.is_some() && together <= page)
        {
            Some(last) => {
                last.1 = within.1;
                open = Some(together);
            }
            None if *rows <= page => {
                pieces.push(within);
                open = Some(*rows);
            }
            None => {
                pieces.extend(parts(within, rows.div_ceil(page).min(PIECES_MAX)));
                open = None;
            }
        }
    }
    pieces
}

/// A range in so many parts of the same length, without a gap.
fn parts((from, until): (i64, i64), count: u64) -> impl Iterator<Item = (i64, i64)> {
    let count = i64::try_from(count.max(1)).unwrap_or(i64::MAX);
    let length = ((until - from) / count).saturating_add(1);
    (0..count)
        .map(move |n| {
            let begin = from.saturating_add(length.saturating_mul(n));
            (begin, begin.saturating_add(length).min(until))
        })
        .filter(|(begin, end)| begin < end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: (i64, i64) = (0, 24 * STRETCH_NS);

    #[test]
    fn a_quiet_day_is_one_piece_and_a_busy_hour_many() {
        let hour = |n: i64| n * STRETCH_NS;
        assert_eq!(pieces(&[(1, 3), (5, 4)], DAY, 10), [(hour(1), hour(6))]);
        assert_eq!(
            pieces(&[(1, 8), (5, 4)], DAY, 10),
            [(hour(1), hour(2)), (hour(5), hour(6))]
        );
        let busy = pieces(&[(1, 8), (2, 1000), (3, 1)], DAY, 10);
        assert_eq!(busy.len(), 102);
        assert_eq!((busy[1].0, busy[100].1), (hour(2), hour(3)));
        assert_eq!(pieces(&[], DAY, 10), []);
    }

    proptest! {
        #[test]
        fn all_counted_time_is_in_one_piece(
            counted in prop::collection::btree_map(0_i64..24, 1_u64..200, 0..24),
            (start, length) in (0..STRETCH_NS * 20, 1..STRETCH_NS * 10),
            page in 1_u32..100,
        ) {
            let counted: Vec<(i64, u64)> = counted.into_iter().collect();
            let range = (start, start + length);
            let pieces = pieces(&counted, range, page);
            prop_assert!(pieces.windows(2).all(|two| two[0].1 <= two[1].0));
            prop_assert!(pieces.iter().all(|piece| piece.0 < piece.1 && range.0 <= piece.0 && piece.1 <= range.1));
            for (number, _) in counted {
                let (from, until) = (number * STRETCH_NS, (number + 1) * STRETCH_NS);
                for at in [from, from + STRETCH_NS / 3, until - 1] {
                    let inside = range.0 <= at && at < range.1;
                    let held = pieces.iter().filter(|piece| piece.0 <= at && at < piece.1).count();
                    prop_assert!(!inside || held == 1, "{at} in {pieces:?}");
                }
            }
        }
    }
}
