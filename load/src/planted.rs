//! What is planted in generated events on purpose: personal data that must never be found again,
//! and indicators that must be.
//!
//! Every piece of personal data is made from the number of its event, so that a test can name each
//! planted value and look for it where it must not be.

use std::fmt::Write as _;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Personal {
    /// An e-mail address.
    Email,
    /// A payment card number that passes the Luhn check.
    Card,
    /// A US social security number from a valid range.
    Ssn,
    /// A phone number in international form.
    Phone,
    /// A bearer token.
    Bearer,
}

impl Personal {
    /// All kinds, in the order in which they are planted.
    pub const ALL: [Personal; 5] = [
        Personal::Email,
        Personal::Card,
        Personal::Ssn,
        Personal::Phone,
        Personal::Bearer,
    ];

    /// The kind planted in the event with that number.
    #[must_use]
    pub const fn of(seq: u64) -> Personal {
        match seq % 5 {
            0 => Personal::Email,
            1 => Personal::Card,
            2 => Personal::Ssn,
            3 => Personal::Phone,
            _ => Personal::Bearer,
        }
    }

    /// The value planted in the event with that number.
    #[must_use]
    pub fn value(self, seq: u64) -> String {
        let mut text = String::with_capacity(48);
        let _ = match self {
            Personal::Email => write!(text, "kim.planted{seq}@mail.example.com"),
            Personal::Card => {
                text = card(seq);
                Ok(())
            }
            Personal::Ssn => {
                let (area, group, serial) = (100 + seq % 500, 1 + seq % 99, 1 + seq % 9_999);
                write!(text, "{area:03}-{group:02}-{serial:04}")
            }
            Personal::Phone => write!(text, "+1 415-555-{:04}", seq % 10_000),
            Personal::Bearer => write!(
                text,
                "Bearer planted{:020x}",
                seq.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ),
        };
        text
    }
}

/// A sixteen-digit number of a Visa test range with its Luhn digit.
fn card(seq: u64) -> String {
    let head = format!("411111{:09}", seq % 1_000_000_000);
    let sum: u32 = head
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte - b'0');
            match (at % 2, digit * 2) {
                (0, double) if double > 9 => double - 9,
                (0, double) => double,
                _ => digit,
            }
        })
        .sum();
    format!("{head}{}", (10 - sum % 10) % 10)
}

/// An indicator of compromise that generated events mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indicator {
    /// Its type, as an indicator file names it.
    pub kind: &'static str,
    /// The value.
    pub value: &'static str,
    /// Confidence, 0 to 100.
    pub confidence: u8,
    /// Severity.
    pub severity: &'static str,
    /// The name of the threat.
    pub threat: &'static str,
}

/// The planted indicators. Names under `example.com`, `.net` and `.org` belong to nobody (RFC
/// 2606); the digest is that of the text `millrace planted indicator`.
pub const INDICATORS: [Indicator; 3] = [
    Indicator {
        kind: "domain",
        value: "c2.planted-indicator.example.net",
        confidence: 90,
        severity: "critical",
        threat: "Planted command and control",
    },
    Indicator {
        kind: "sha256",
        value: "d347825783cec72a2d9639621719d71ee708439b83d6b596ea1c1657de898a77",
        confidence: 80,
        severity: "high",
        threat: "Planted dropper",
    },
    Indicator {
        kind: "url",
        value: "http://payload.planted-indicator.example.org/stage2.bin",
        confidence: 75,
        severity: "high",
        threat: "Planted payload",
    },
];

/// The indicator that the event with that number mentions, when it mentions one.
#[must_use]
pub fn indicator(seq: u64) -> Indicator {
    let [domain, digest, url] = INDICATORS;
    match seq % 3 {
        0 => domain,
        1 => digest,
        _ => url,
    }
}

/// The planted indicators as an indicator file (CSV with a header).
#[must_use]
pub fn indicator_csv() -> String {
    let mut csv = String::from("value,type,confidence,severity,threat\n");
    for indicator in INDICATORS {
        let Indicator {
            kind,
            value,
            confidence,
            severity,
            threat,
        } = indicator;
        let _ = writeln!(csv, "{value},{kind},{confidence},{severity},{threat}");
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_pass_the_luhn_check_and_values_differ_by_event() {
        assert_eq!(card(111_111_111), "4111111111111111");
        for seq in 0..1000 {
            let sum: u32 = card(seq)
                .bytes()
                .rev()
                .enumerate()
                .map(|(at, byte)| {
                    let digit = u32::from(byte - b'0') * if at % 2 == 1 { 2 } else { 1 };
                    digit / 10 + digit % 10
                })
                .sum();
            assert_eq!(sum % 10, 0, "{}", card(seq));
        }
        for kind in Personal::ALL {
            assert_ne!(kind.value(1), kind.value(2));
        }
    }
}
