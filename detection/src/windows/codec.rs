//! The bytes of a window's state. They are ours alone: written and read by this crate, kept by the
//! caller. Numbers are LEB128, times are differences.

use super::hits::{Hits, Kept};
use super::meter::{BURN_TAG, Pile, Piles, RATE_TAG, RATIO_TAG, SUM_TAG};
use super::novelty::{Value, Values};
use super::silence::{Gap, Gaps};
use super::spike::{HOUR_NS, Hours, Open};
use super::travel::{Place, Places};
use super::{
    COUNT_TAG, Memory, NEW_VALUE_TAG, SILENCE_TAG, SPIKE_DAYS_MAX, SPIKE_TAG, TRAVEL_TAG,
    WindowState,
};
use thiserror::Error;

/// The first byte. Of states that keep hits: the version of the format in its upper half, what the
/// window is of in the other. Of others: what the window is of, with this added.
const V1: u8 = 0x10;
/// As V1, and after each hit how many more it stands for.
const V2: u8 = 0x20;
const OTHERS: u8 = 0x10;

/// Counters of a ring that are read: one of the longest baseline.
const COUNTERS_MAX: usize = SPIKE_DAYS_MAX as usize * 24 + 2;

/// Bytes that are no state of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed window state")]
pub struct MalformedState;

impl WindowState {
    /// The state as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.len() * 24);
        let first = match &self.memory {
            Memory::Hits(Hits(hits)) if hits.iter().any(|hit| hit.more > 0) => V2 | self.tag,
            Memory::Hits(_) => V1 | self.tag,
            Memory::Piles(_)
            | Memory::Values(_)
            | Memory::Gaps(_)
            | Memory::Hours(_)
            | Memory::Places(_) => OTHERS.saturating_add(self.tag),
        };
        bytes.push(first);
        let Some(newest) = self.newest_ns else {
            return bytes;
        };
        bytes.extend(newest.to_be_bytes());
        let mut writer = Writer {
            bytes: &mut bytes,
            previous: newest,
        };
        match &self.memory {
            Memory::Hits(Hits(hits)) => {
                for hit in hits.iter().rev() {
                    writer.hit(hit, self.tag != COUNT_TAG, first & 0xF0 == V2);
                }
            }
            Memory::Piles(Piles(piles)) => {
                for pile in piles.iter().rev() {
                    writer.pile(pile, self.tag);
                }
            }
            Memory::Values(Values(values)) => values.iter().for_each(|value| writer.value(value)),
            Memory::Gaps(gaps) => writer.gaps(gaps),
            Memory::Hours(hours) => writer.hours(hours),
            Memory::Places(Places(places)) => {
                for place in places.iter().rev() {
                    writer.back(place.at_ns, place.reported);
                    writer.bytes.extend(place.event.to_be_bytes());
                    writer.bytes.extend(place.place.to_be_bytes());
                }
            }
        }
        bytes
    }

    /// The state that was written as these bytes.
    ///
    /// # Errors
    /// [`MalformedState`] for any others.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedState> {
        let mut reader = Reader { bytes, previous: 0 };
        let [first] = reader.array::<1>()?;
        let (version, tag) = match first & 0xF0 {
            V1 | V2 => (first & 0xF0, first & 0x0F),
            _ => (0, first.checked_sub(OTHERS).ok_or(MalformedState)?),
        };
        let newest_ns = if reader.bytes.is_empty() {
            None
        } else {
            Some(i64::from_be_bytes(reader.array()?))
        };
        reader.previous = newest_ns.unwrap_or(0);
        let memory = match (version, tag) {
            (V1 | V2, tag) => Memory::Hits(Hits(
                reader.list(|reader| reader.hit(tag != COUNT_TAG, version == V2))?,
            )),
            (_, SUM_TAG | RATE_TAG | RATIO_TAG | BURN_TAG) => {
                Memory::Piles(Piles(reader.list(|reader| reader.pile(tag))?))
            }
            (_, NEW_VALUE_TAG) => Memory::Values(Values(reader.values()?)),
            (_, SILENCE_TAG) => Memory::Gaps(reader.gaps()?),
            (_, SPIKE_TAG) => Memory::Hours(reader.hours()?),
            (_, TRAVEL_TAG) => Memory::Places(Places(reader.list(Reader::place)?)),
            _ => return Err(MalformedState),
        };
        Ok(WindowState {
            memory,
            newest_ns,
            tag,
        })
    }
}

/// Whether not everything that is counted is selected.
const fn has_base(tag: u8) -> bool {
    tag == RATIO_TAG || tag == BURN_TAG
}

struct Writer<'b> {
    bytes: &'b mut Vec<u8>,
    previous: i64,
}

impl Writer<'_> {
    fn number(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.bytes
                .push(number.to_le_bytes().first().copied().unwrap_or(0) | 0x80);
            number >>= 7;
        }
        self.bytes
            .push(number.to_le_bytes().first().copied().unwrap_or(0));
    }

    /// A time that is not later than the one before, with a flag: differences of a few bytes.
    fn back(&mut self, at_ns: i64, flag: bool) {
        let back = self.previous.abs_diff(at_ns);
        self.number(u128::from(back) << 1 | u128::from(flag));
        self.previous = at_ns;
    }

    fn hit(&mut self, hit: &Kept, has_value: bool, has_more: bool) {
        self.back(hit.at_ns, hit.reported);
        self.bytes.extend(hit.event.to_be_bytes());
        if has_value {
            self.bytes.extend(hit.value.to_be_bytes());
        }
        if has_more {
            self.number(u128::from(hit.more));
        }
    }

    fn pile(&mut self, pile: &Pile, tag: u8) {
        self.back(pile.at_ns, pile.selected > 0);
        self.number(u128::from(pile.hits));
        if pile.selected > 0 {
            if has_base(tag) {
                self.number(u128::from(pile.selected));
            }
            self.number(u128::from(pile.reported));
            self.bytes.extend(pile.event.to_be_bytes());
        }
        if tag == SUM_TAG {
            // The sign last, so that small numbers are short.
            self.number(pile.sum.unsigned_abs() << 1 | u128::from(pile.sum < 0));
        }
    }

    fn value(&mut self, value: &Value) {
        self.bytes.extend(value.hash.to_be_bytes());
        self.bytes.extend(value.last_ns.to_be_bytes());
        self.number(u128::from(value.last_ns.abs_diff(value.first_ns)));
        let before = value.before_ns;
        self.number(before.map_or(0, |before| u128::from(value.first_ns.abs_diff(before))));
    }

    fn gaps(&mut self, gaps: &Gaps) {
        let Some((first, last, event)) = gaps.spoke else {
            return;
        };
        self.bytes.push(u8::from(gaps.reported));
        self.bytes.extend(first.to_be_bytes());
        self.bytes.extend(last.to_be_bytes());
        self.bytes.extend(event.to_be_bytes());
        for gap in &gaps.gaps {
            self.bytes.extend(gap.from_ns.to_be_bytes());
            self.bytes.extend(gap.event.to_be_bytes());
            self.bytes.extend(gap.to_ns.to_be_bytes());
            self.bytes.push(u8::from(gap.reported));
        }
    }

    fn hours(&mut self, hours: &Hours) {
        self.bytes.extend(hours.head.to_be_bytes());
        self.bytes.extend(hours.since.to_be_bytes());
        self.number(hours.counts.len() as u128);
        for count in &hours.counts {
            self.number(u128::from(*count));
        }
        for open in &hours.open {
            self.bytes.extend(open.hour.to_be_bytes());
            self.bytes.extend(open.first_ns.to_be_bytes());
            self.bytes.extend(open.last_ns.to_be_bytes());
            self.bytes.extend(open.first_event.to_be_bytes());
            self.bytes.extend(open.reported.to_be_bytes());
        }
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    previous: i64,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedState> {
        let (array, rest) = self.bytes.split_first_chunk::<N>().ok_or(MalformedState)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn time(&mut self) -> Result<i64, MalformedState> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool, MalformedState> {
        let [flag] = self.array()?;
        Ok(flag != 0)
    }

    fn number(&mut self) -> Result<u128, MalformedState> {
        let mut number = 0;
        for shift in (0..u128::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u128::from(byte & 0x7F);
            if bits.leading_zeros() < shift {
                return Err(MalformedState);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MalformedState)
    }

    fn small<T: TryFrom<u128>>(&mut self) -> Result<T, MalformedState> {
        T::try_from(self.number()?).map_err(|_| MalformedState)
    }

    /// A time as [`Writer::back`] writes it, and the flag.
    fn back(&mut self) -> Result<(i64, bool), MalformedState> {
        let number = self.number()?;
        let back = u64::try_from(number >> 1).map_err(|_| MalformedState)?;
        let at_ns = self.previous.checked_sub_unsigned(back);
        self.previous = at_ns.ok_or(MalformedState)?;
        Ok((self.previous, number & 1 == 1))
    }

    /// Everything up to the end, which was written from the newest back.
    fn list<T>(
        &mut self,
        one: impl Fn(&mut Self) -> Result<T, MalformedState>,
    ) -> Result<Vec<T>, MalformedState> {
        let mut list = Vec::new();
        while !self.bytes.is_empty() {
            list.push(one(self)?);
        }
        list.reverse();
        Ok(list)
    }

    fn hit(&mut self, has_value: bool, has_more: bool) -> Result<Kept, MalformedState> {
        let (at_ns, reported) = self.back()?;
        Ok(Kept {
            at_ns,
            event: u128::from_be_bytes(self.array()?),
            value: if has_value {
                u64::from_be_bytes(self.array()?)
            } else {
                0
            },
            reported,
            more: if has_more { self.small()? } else { 0 },
        })
    }

    fn pile(&mut self, tag: u8) -> Result<Pile, MalformedState> {
        let (at_ns, is_selected) = self.back()?;
        let mut pile = Pile {
            at_ns,
            hits: self.small()?,
            ..Pile::default()
        };
        if is_selected {
            pile.selected = if has_base(tag) {
                self.small()?
            } else {
                pile.hits
            };
            pile.reported = self.small()?;
            pile.event = u128::from_be_bytes(self.array()?);
        }
        // Without a share everything is selected.
        if (is_selected || !has_base(tag)) && pile.selected == 0 {
            return Err(MalformedState);
        }
        if tag == SUM_TAG {
            let number = self.number()?;
            let sum = i128::try_from(number >> 1).map_err(|_| MalformedState)?;
            pile.sum = if number & 1 == 1 { -sum } else { sum };
        }
        Ok(pile)
    }

    fn values(&mut self) -> Result<Vec<Value>, MalformedState> {
        let mut values: Vec<Value> = Vec::new();
        while !self.bytes.is_empty() {
            let hash = u64::from_be_bytes(self.array()?);
            let last_ns = self.time()?;
            let first_ns = last_ns.checked_sub_unsigned(self.small()?);
            let first_ns = first_ns.ok_or(MalformedState)?;
            let before_ns = match self.small::<u64>()? {
                0 => None,
                back => Some(first_ns.checked_sub_unsigned(back).ok_or(MalformedState)?),
            };
            if values.last().is_some_and(|before| before.hash >= hash) {
                return Err(MalformedState);
            }
            values.push(Value {
                hash,
                first_ns,
                last_ns,
                before_ns,
            });
        }
        Ok(values)
    }

    fn gaps(&mut self) -> Result<Gaps, MalformedState> {
        let mut gaps = Gaps::default();
        if self.bytes.is_empty() {
            return Ok(gaps);
        }
        gaps.reported = self.flag()?;
        let (first, last) = (self.time()?, self.time()?);
        gaps.spoke = Some((first, last, u128::from_be_bytes(self.array()?)));
        while !self.bytes.is_empty() {
            gaps.gaps.push(Gap {
                from_ns: self.time()?,
                event: u128::from_be_bytes(self.array()?),
                to_ns: self.time()?,
                reported: self.flag()?,
            });
        }
        Ok(gaps)
    }

    fn hours(&mut self) -> Result<Hours, MalformedState> {
        let mut hours = Hours::default();
        if self.bytes.is_empty() {
            return Ok(hours);
        }
        let range = i64::MIN / HOUR_NS - 1..=i64::MAX / HOUR_NS;
        (hours.head, hours.since) = (self.time()?, self.time()?);
        if !range.contains(&hours.head) || !range.contains(&hours.since) {
            return Err(MalformedState);
        }
        let counters = self.small::<usize>()?;
        if counters > COUNTERS_MAX {
            return Err(MalformedState);
        }
        for _ in 0..counters {
            hours.counts.push(self.small()?);
        }
        while !self.bytes.is_empty() {
            let open = Open {
                hour: self.time()?,
                first_ns: self.time()?,
                last_ns: self.time()?,
                first_event: u128::from_be_bytes(self.array()?),
                reported: u32::from_be_bytes(self.array()?),
            };
            if !range.contains(&open.hour) {
                return Err(MalformedState);
            }
            hours.open.push(open);
        }
        Ok(hours)
    }

    fn place(&mut self) -> Result<Place, MalformedState> {
        let (at_ns, reported) = self.back()?;
        Ok(Place {
            at_ns,
            event: u128::from_be_bytes(self.array()?),
            place: u64::from_be_bytes(self.array()?),
            reported,
        })
    }
}
