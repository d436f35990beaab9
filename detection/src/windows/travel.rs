//! Journeys that nobody makes: two successive sightings of a group so far apart that it must have
//! travelled faster than a limit. Distances are great circles on a sphere (haversine).

use super::{Firing, Hit, LATENESS_NS_MAX, WindowSpec};
use millrace_shared::limits::NS_PER_SECOND;

/// Sightings kept of one group, the newest ones: among them late ones find their place.
pub const PLACES_MAX: usize = 64;
/// Mean radius of the earth (IUGG), kilometres.
const EARTH_KM: f64 = 6_371.008_8;
/// Kilometres to the other side of the earth: nowhere is further.
pub const FARTHEST_KM: u32 = 20_016;
/// The slowest speed limit: slower, and every train is suspicious.
pub const SPEED_KMH_MIN: u32 = 100;
/// Places are kept to a ten-millionth of a degree, a centimetre.
const SCALE: f64 = 1e7;
const HOUR_S: f64 = 3_600.0;

/// What is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Travel {
    /// Faster than this.
    pub speed_kmh: u32,
    /// Over more than this: addresses are placed to the nearest town, or to the nearest country.
    pub distance_km: u32,
}

impl Travel {
    /// The time after which somebody may be anywhere at this speed, nanoseconds.
    #[must_use]
    pub fn length_ns(speed_kmh: u32) -> i64 {
        let seconds = i64::from(FARTHEST_KM) * 3_600 / i64::from(speed_kmh.max(1)) + 1;
        seconds * NS_PER_SECOND
    }
}

/// A place as the value of a hit; `None` for none on earth, and for where both are zero, which is
/// what databases answer when they do not know.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "180 degrees in ten-millionths fit"
)]
pub fn place(latitude: f64, longitude: f64) -> Option<u64> {
    let is_known = latitude.abs() > f64::EPSILON || longitude.abs() > f64::EPSILON;
    let is_place = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    let part = |degrees: f64| u64::from(((degrees * SCALE).round() as i32).cast_unsigned());
    (is_known && is_place).then(|| part(latitude) << 32 | part(longitude))
}

fn degrees(place: u64) -> (f64, f64) {
    let part = |bits: u64| {
        let part = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
        f64::from(part.cast_signed()) / SCALE
    };
    (part(place >> 32), part(place))
}

/// Kilometres between two places.
#[must_use]
pub fn distance_km(one: u64, other: u64) -> f64 {
    let ((lat, lon), (lat2, lon2)) = (degrees(one), degrees(other));
    let (lat, lat2) = (lat.to_radians(), lat2.to_radians());
    let (dlat, dlon) = (lat2 - lat, (lon2 - lon).to_radians());
    let chord = (dlat / 2.0).sin().powi(2) + lat.cos() * lat2.cos() * (dlon / 2.0).sin().powi(2);
    2.0 * EARTH_KM * chord.clamp(0.0, 1.0).sqrt().asin()
}

/// A sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at_ns: i64,
    pub(super) event: u128,
    pub(super) place: u64,
    pub(super) reported: bool,
}

impl Travel {
    /// Whether nobody gets from one sighting to a later one.
    fn is_impossible(self, from: &Place, to: &Place) -> bool {
        if from.place == to.place {
            return false;
        }
        let distance = distance_km(from.place, to.place);
        #[expect(clippy::cast_precision_loss, reason = "of days in nanoseconds")]
        let seconds = to.at_ns.saturating_sub(from.at_ns) as f64 / NS_PER_SECOND as f64;
        distance > f64::from(self.distance_km)
            && distance * HOUR_S > f64::from(self.speed_kmh) * seconds
    }
}

/// Sightings, sorted by time and event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(pub(super) Vec<Place>);

impl Places {
    /// Takes in hits that are in time, and reports the journeys to and from them.
    pub(super) fn apply(
        &mut self,
        travel: Travel,
        spec: &WindowSpec,
        hits: impl Iterator<Item = Hit>,
        newest_ns: i64,
    ) -> Vec<Firing> {
        let known: Vec<Place> = std::mem::take(&mut self.0);
        let mut new: Vec<Place> = hits
            .map(|hit| Place {
                at_ns: hit.at_ns,
                event: hit.event,
                place: hit.value,
                reported: false,
            })
            .collect();
        let key = |place: &Place| (place.at_ns, place.event);
        new.retain(|place| known.binary_search_by_key(&key(place), key).is_err());
        let mut all: Vec<(Place, bool)> = known.into_iter().map(|place| (place, false)).collect();
        all.extend(new.into_iter().map(|place| (place, true)));
        all.sort_by_key(|(place, _)| key(place));
        all.dedup_by_key(|(place, _)| key(place));
        let mut firings = Vec::new();
        for at in 1..all.len() {
            let Some([(from, is_from_new), (to, is_to_new)]) = all.get_mut(at - 1..=at) else {
                continue;
            };
            if !(*is_from_new || *is_to_new) || !travel.is_impossible(from, to) {
                continue;
            }
            let ends = [(from.at_ns, from.event), (to.at_ns, to.event)];
            let mut firing = Firing::of_events(&ends, 2);
            firing.events.clear();
            firing.added = 0;
            for end in [from, to] {
                if !std::mem::replace(&mut end.reported, true) {
                    firing.added += 1;
                    firing.events.push(end.event);
                }
            }
            firing.add_to(&mut firings);
        }
        let oldest = newest_ns.saturating_sub(spec.length_ns.saturating_add(LATENESS_NS_MAX));
        self.0 = all.into_iter().map(|(place, _)| place).collect();
        self.0.retain(|place| place.at_ns > oldest);
        let too_many = self.0.len().saturating_sub(PLACES_MAX);
        self.0.drain(..too_many);
        firings
    }
}
