//! Which positions of a block deserve a detector: shapes of bits, decided for 64 positions at once.
//!
//! A trigger may be wrong, never missing: detectors judge, triggers only save them the work. All
//! shapes are short, so that with the masks of the next block no shape is cut in two.

use crate::class::{Class, ClassSet};
use crate::masks::Masks;

/// A mask with the one of the block after it and the last bit of the one before.
#[derive(Clone, Copy)]
struct Wide {
    this: u64,
    next: u64,
    before: u64,
}

impl Wide {
    const fn new(this: u64, next: u64, previous: u64) -> Wide {
        Wide {
            this,
            next,
            before: previous >> 63,
        }
    }

    /// The bits `by` places further on.
    #[inline(always)]
    const fn ahead(self, by: u32) -> u64 {
        self.this >> by | self.next << (64 - by)
    }

    /// The bits one place before.
    #[inline(always)]
    const fn behind(self) -> u64 {
        self.this << 1 | self.before
    }

    /// Where `length` bits in a row are set; a power of two.
    #[inline(always)]
    const fn runs(self, length: u32) -> u64 {
        let (mut this, mut next) = (self.this, self.next);
        let mut by = 1;
        while by < length {
            this &= this >> by | next << (64 - by);
            next &= next >> by;
            by *= 2;
        }
        this
    }
}

/// The positions for each family of detectors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Triggers {
    /// A mark that is worth a look by itself: `@`, `%`, `=`, `>`, `+` or `(`.
    pub(crate) mark: u64,
    /// A colon that may stand between a name and a value.
    pub(crate) colon: u64,
    /// The first dash of a flag.
    pub(crate) flag: u64,
    /// The start of a run of word bytes that is long enough for a token.
    pub(crate) token: u64,
    /// A `b` (`h`, `u`) that starts a word.
    pub(crate) scheme: u64,
    /// The first of five dashes.
    pub(crate) dashes: u64,
    /// The slash before what may be `home` or `Users`.
    pub(crate) home: u64,
    /// The first mark of a hardware address.
    pub(crate) mac: u64,
    /// The start of digits that may be a card, a social security or telephone number.
    pub(crate) digits: u64,
    /// Two letters and two digits.
    pub(crate) iban: u64,
    /// A dot between digits.
    pub(crate) ipv4: u64,
    /// A colon that may be an IPv6 address's first.
    pub(crate) ipv6: u64,
}

impl Triggers {
    /// The triggers of a block, between the one before and the one after it.
    #[inline(always)]
    pub(crate) fn of(previous: &Masks, this: &Masks, next: &Masks, active: ClassSet) -> Triggers {
        let wide = |mask: fn(&Masks) -> u64| Wide::new(mask(this), mask(next), mask(previous));
        let word = wide(|masks| masks.word);
        let digit = wide(|masks| masks.digit);
        let dash = wide(|masks| masks.dash);
        let colon = wide(|masks| masks.colon);
        let dot = wide(|masks| masks.dot);
        let word_start = this.word & !word.behind();
        let letter = Wide::new(this.word & !this.digit, next.word & !next.digit, 0);
        let two_dashes = dash.this & dash.ahead(1) & !word.behind();
        let mut triggers = Triggers {
            mark: this.mark,
            colon: this.colon & !digit.behind(),
            flag: two_dashes & letter.ahead(2) & !dash.ahead(2),
            token: word.runs(16) & word_start,
            scheme: this.initial & word_start,
            dashes: dash.this
                & !dash.behind()
                & dash.ahead(1)
                & dash.ahead(2)
                & dash.ahead(3)
                & dash.ahead(4),
            home: this.slash & wide(|masks| masks.initial).ahead(1),
            mac: equidistant(colon, 3, 5) | equidistant(dash, 3, 5) | equidistant(dot, 5, 2),
            digits: 0,
            iban: word_start & letter.this & letter.ahead(1) & digit.ahead(2) & digit.ahead(3),
            ipv4: 0,
            ipv6: 0,
        };
        if digit.this != 0 {
            triggers.digits = digits(previous, this, next);
        }
        if active.contains(Class::Ipv4) {
            triggers.ipv4 = dot.this & digit.behind() & digit.ahead(1);
        }
        if active.contains(Class::Ipv6) {
            let near =
                colon.ahead(1) | colon.ahead(2) | colon.ahead(3) | colon.ahead(4) | colon.ahead(5);
            triggers.ipv6 = colon.this & near & !colon.behind();
        }
        triggers
    }

    /// Whether there is none.
    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.mark
            | self.colon
            | self.flag
            | self.token
            | self.scheme
            | self.dashes
            | self.home
            | self.mac
            | self.digits
            | self.iban
            | self.ipv4
            | self.ipv6
            == 0
    }
}

/// Where `count` bits follow each other at a distance.
#[inline(always)]
const fn equidistant(mask: Wide, distance: u32, count: u32) -> u64 {
    let mut found = mask.this;
    let mut index = 1;
    while index < count {
        found &= mask.ahead(distance * index);
        index += 1;
    }
    found
}

/// Where digits start that look like one of the numbers: nine or more in a row; groups of 3-2-4,
/// of 3-3-4, of 4 and at least 3; or a leading zero that belongs to no time or date.
#[inline(always)]
fn digits(previous: &Masks, this: &Masks, next: &Masks) -> u64 {
    let digit = Wide::new(this.digit, next.digit, previous.digit);
    let gap = Wide::new(this.gap, next.gap, previous.gap);
    let colon = Wide::new(this.colon, next.colon, previous.colon);
    let start = digit.this & !digit.behind();
    let three = digit.this & digit.ahead(1) & digit.ahead(2);
    let nine = digit.runs(8) & digit.ahead(8);
    let in_threes = three & gap.ahead(3) & digit.ahead(4) & digit.ahead(5);
    let ssn = in_threes
        & gap.ahead(6)
        & digit.ahead(7)
        & digit.ahead(8)
        & digit.ahead(9)
        & digit.ahead(10);
    let american = in_threes
        & digit.ahead(6)
        & gap.ahead(7)
        & digit.ahead(8)
        & digit.ahead(9)
        & digit.ahead(10);
    let fours =
        three & digit.ahead(3) & gap.ahead(4) & digit.ahead(5) & digit.ahead(6) & digit.ahead(7);
    let dated = behind_date_mark(previous, this);
    let zero = this.zero & digit.ahead(1) & !colon.behind() & !colon.ahead(2) & !dated;
    start & (nine | ssn | american | fours | zero)
}

/// Behind `-`, `.` or `/`: inside a date, a version or a path.
#[inline(always)]
const fn behind_date_mark(previous: &Masks, this: &Masks) -> u64 {
    let marks = this.dash | this.dot | this.slash;
    let before = (previous.dash | previous.dot | previous.slash) >> 63;
    marks << 1 | before
}
