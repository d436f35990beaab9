//! Taking the fields of one event from the reader, each with its checks.
//!
//! `null` counts as absent everywhere. Nested objects become dotted keys; arrays stay JSON text.

use super::Validity;
use super::reject::{Reject, RejectCode};
use crate::event::{Event, Field, Role, Value};
use crate::json::{JsonError, Kind, Reader};
use crate::limits::{ATTRIBUTES_MAX, DEPTH_MAX, FIELD_BYTES_MAX, KEY_BYTES_MAX};
use crate::rewrite;
use crate::signal::Signal;
use crate::time;
use bumpalo::Bump;
use std::collections::HashSet;

/// Why the parsing of an event stopped.
pub(super) enum Stop {
    /// The event breaks the contract; its neighbours may be fine.
    Bad(Reject),
    /// The text is not JSON.
    Broken(JsonError),
}

impl From<JsonError> for Stop {
    fn from(error: JsonError) -> Self {
        Stop::Broken(error)
    }
}

/// A rejection, ready to be returned.
#[cold]
pub(super) fn bad<T>(
    code: RejectCode,
    field: &'static str,
    detail: impl Into<std::borrow::Cow<'static, str>>,
) -> Result<T, Stop> {
    Err(Stop::Bad(Reject::new(code, field, detail)))
}

/// The event being filled and what fills it.
pub(super) struct Fields<'a, 'e> {
    reader: &'e mut Reader<'a>,
    arena: &'a Bump,
    validity: Validity,
    event: &'e mut Event<'a>,
    /// One bit per role: which core fields were there.
    seen: u64,
}

const _: () = assert!(Role::COUNT <= 64);

impl<'a, 'e> Fields<'a, 'e> {
    pub(super) fn new(
        reader: &'e mut Reader<'a>,
        arena: &'a Bump,
        validity: Validity,
        event: &'e mut Event<'a>,
    ) -> Self {
        Fields {
            reader,
            arena,
            validity,
            event,
            seen: 0,
        }
    }

    pub(super) fn signal(&self) -> Signal {
        self.event.signal
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.seen & (1 << role.index()) != 0
    }

    /// Enters an object, which may be the event itself.
    pub(super) fn begin(&mut self, field: &'static str) -> Result<(), Stop> {
        if self.reader.kind() != Kind::Object {
            self.reader.skip(DEPTH_MAX)?;
            return bad(RejectCode::NotAnObject, field, "must be an object");
        }
        Ok(self.reader.begin_object()?)
    }

    /// Enters an array; false when it is `null`.
    pub(super) fn begin_array(&mut self, field: &'static str) -> Result<bool, Stop> {
        match self.reader.kind() {
            Kind::Array => self.reader.begin_array()?,
            Kind::Null => {
                self.reader.null()?;
                return Ok(false);
            }
            Kind::Object | Kind::String | Kind::Number | Kind::Bool | Kind::Other => {
                return bad(RejectCode::WrongType, field, "must be an array");
            }
        }
        Ok(true)
    }

    pub(super) fn item(&mut self, first: &mut bool) -> Result<bool, Stop> {
        Ok(self.reader.next_item(first)?)
    }

    pub(super) fn key(&mut self, first: &mut bool) -> Result<Option<&'a str>, Stop> {
        let Some(key) = self.reader.next_key(first)? else {
            return Ok(None);
        };
        match key.text(self.arena) {
            Ok(key) => Ok(Some(key)),
            Err(_) => bad(
                RejectCode::BadString,
                "",
                "a key has a lone surrogate escape",
            ),
        }
    }

    /// Takes `null`, if that is what comes.
    pub(super) fn null(&mut self) -> Result<bool, Stop> {
        if self.reader.kind() != Kind::Null {
            return Ok(false);
        }
        self.reader.null()?;
        Ok(true)
    }

    fn once(&mut self, role: Role) -> Result<(), Stop> {
        if self.has(role) {
            return bad(RejectCode::DuplicateKey, role.path(), "occurs twice");
        }
        self.seen |= 1 << role.index();
        Ok(())
    }

    /// The text of a string value; `None` when it is `null`.
    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<&'a str>, Stop> {
        match self.reader.kind() {
            Kind::String => {}
            Kind::Null => {
                self.reader.null()?;
                return Ok(None);
            }
            Kind::Object | Kind::Array | Kind::Number | Kind::Bool | Kind::Other => {
                return bad(RejectCode::WrongType, name, "must be a string");
            }
        }
        let text = self.reader.string()?;
        match text.text(self.arena) {
            Ok(text) if text.len() > FIELD_BYTES_MAX => bad(
                RejectCode::TooLong,
                name,
                format!("is longer than {FIELD_BYTES_MAX} bytes"),
            ),
            Ok(text) => Ok(Some(text)),
            Err(_) => bad(RejectCode::BadString, name, "has a lone surrogate escape"),
        }
    }

    /// A core string of at most `bytes_max` bytes.
    pub(super) fn text(&mut self, role: Role, bytes_max: usize) -> Result<(), Stop> {
        let Some(text) = self.string(role.path())? else {
            return Ok(());
        };
        self.once(role)?;
        if text.len() > bytes_max {
            let detail = format!("is longer than {bytes_max} bytes");
            return bad(RejectCode::TooLong, role.path(), detail);
        }
        self.event.push(role, Value::Text(text));
        Ok(())
    }

    /// A core string of 1 to `chars_max` characters.
    pub(super) fn name(&mut self, role: Role, chars_max: usize) -> Result<(), Stop> {
        let Some(text) = self.string(role.path())? else {
            return Ok(());
        };
        self.once(role)?;
        if text.trim_ascii().is_empty() {
            return bad(RejectCode::Empty, role.path(), "must not be empty");
        }
        if text.len() > chars_max && text.chars().count() > chars_max {
            let detail = format!("is longer than {chars_max} characters");
            return bad(RejectCode::TooLong, role.path(), detail);
        }
        self.event.push(role, Value::Text(text));
        Ok(())
    }

    /// A core string that must be one of the words `known` accepts.
    pub(super) fn word(&mut self, role: Role, known: fn(&str) -> bool) -> Result<(), Stop> {
        let Some(text) = self.string(role.path())? else {
            return Ok(());
        };
        self.once(role)?;
        if !known(text) {
            return bad(
                RejectCode::UnknownWord,
                role.path(),
                "is not one of the words allowed",
            );
        }
        self.event.push(role, Value::Text(text));
        Ok(())
    }

    /// A core string of exactly `digits` hexadecimal digits, not all of them zero.
    pub(super) fn hex_id(&mut self, role: Role, sub: u16, digits: usize) -> Result<(), Stop> {
        let Some(text) = self.string(role.path())? else {
            return Ok(());
        };
        if sub == 0 {
            self.once(role)?;
        }
        let well_formed = text.len() == digits
            && text.bytes().all(|b| b.is_ascii_hexdigit())
            && text.bytes().any(|b| b != b'0');
        if !well_formed {
            let detail = format!("must be {digits} hexadecimal digits, not all zero");
            return bad(RejectCode::BadId, role.path(), detail);
        }
        self.event.fields.push(Field {
            name: role.path(),
            value: Value::Text(text),
            role,
            sub,
        });
        Ok(())
    }

    /// Whether the numbered element that is being read has a field of this role.
    pub(super) fn has_element(&self, role: Role, sub: u16) -> bool {
        let of_element = self.event.fields.iter().rev();
        of_element
            .take_while(|field| field.sub == sub)
            .any(|field| field.role == role)
    }

    /// A string that belongs to a numbered element.
    pub(super) fn element(&mut self, role: Role, sub: u16, bytes_max: usize) -> Result<(), Stop> {
        let Some(text) = self.string(role.path())? else {
            return Ok(());
        };
        if self.has_element(role, sub) {
            return bad(RejectCode::DuplicateKey, role.path(), "occurs twice");
        }
        if text.len() > bytes_max {
            let detail = format!("is longer than {bytes_max} bytes");
            return bad(RejectCode::TooLong, role.path(), detail);
        }
        self.event.fields.push(Field {
            name: role.path(),
            value: Value::Text(text),
            role,
            sub,
        });
        Ok(())
    }

    /// A point in time within the validity, in nanoseconds; `None` when it is `null`.
    pub(super) fn time(&mut self, name: &'static str) -> Result<Option<i64>, Stop> {
        let ns = match self.reader.kind() {
            Kind::Null => {
                self.reader.null()?;
                return Ok(None);
            }
            Kind::Number => time::parse_number(self.reader.number()?),
            Kind::String => self.string(name)?.and_then(time::parse_timestamp),
            Kind::Object | Kind::Array | Kind::Bool | Kind::Other => {
                return bad(RejectCode::WrongType, name, "must be a time");
            }
        };
        match ns {
            None => bad(
                RejectCode::BadTimestamp,
                name,
                "is neither ISO 8601 nor a Unix time",
            ),
            Some(ns) if ns > self.validity.latest => bad(
                RejectCode::TimestampInFuture,
                name,
                "is more than 24 hours in the future",
            ),
            Some(ns) if ns < self.validity.oldest => bad(
                RejectCode::TimestampTooOld,
                name,
                "is older than the retention",
            ),
            Some(ns) => Ok(Some(ns)),
        }
    }

    /// The event's own timestamp.
    pub(super) fn timestamp(&mut self) -> Result<(), Stop> {
        if self.event.timestamp.is_some() {
            return bad(RejectCode::DuplicateKey, "timestamp", "occurs twice");
        }
        self.event.timestamp = self.time("timestamp")?;
        Ok(())
    }

    /// A time that is a core field.
    pub(super) fn time_field(&mut self, role: Role) -> Result<(), Stop> {
        let Some(ns) = self.time(role.path())? else {
            return Ok(());
        };
        self.once(role)?;
        self.event.push(role, Value::Int(ns));
        Ok(())
    }

    /// A finite number; `None` when it is `null`.
    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<f64>, Stop> {
        match self.reader.kind() {
            Kind::Number => {}
            Kind::Null => {
                self.reader.null()?;
                return Ok(None);
            }
            Kind::Object | Kind::Array | Kind::String | Kind::Bool | Kind::Other => {
                return bad(RejectCode::WrongType, name, "must be a number");
            }
        }
        match self.reader.number()?.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            Ok(_) | Err(_) => bad(RejectCode::NotFinite, name, "is not a finite number"),
        }
    }

    /// A number that is a core field, under a name of its own.
    pub(super) fn number_field(&mut self, role: Role, name: &'static str) -> Result<(), Stop> {
        let Some(number) = self.number(name)? else {
            return Ok(());
        };
        self.event.fields.push(Field {
            name,
            value: Value::Float(number),
            role,
            sub: 0,
        });
        Ok(())
    }

    /// An object of attributes, flattened into fields of `role`.
    pub(super) fn attributes(&mut self, role: Role, sub: u16) -> Result<(), Stop> {
        if self.null()? {
            return Ok(());
        }
        self.begin("attributes")?;
        self.object(role, sub, "", 1)
    }

    /// One attribute under a known key, whatever its value is.
    pub(super) fn attribute(&mut self, role: Role, sub: u16, key: &'a str) -> Result<(), Stop> {
        self.value(role, sub, key, 1)
    }

    fn object(&mut self, role: Role, sub: u16, prefix: &'a str, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return bad(
                RejectCode::TooDeep,
                "attributes",
                "nest more than 32 levels",
            );
        }
        let mut first = true;
        while let Some(key) = self.key(&mut first)? {
            let key = if prefix.is_empty() {
                key
            } else {
                self.join(prefix, key)
            };
            self.value(role, sub, key, depth)?;
        }
        Ok(())
    }

    fn join(&self, prefix: &str, key: &str) -> &'a str {
        let capacity = prefix.len() + 1 + key.len();
        let mut joined = bumpalo::collections::String::with_capacity_in(capacity, self.arena);
        joined.push_str(prefix);
        joined.push('.');
        joined.push_str(key);
        joined.into_bump_str()
    }

    fn value(&mut self, role: Role, sub: u16, key: &'a str, depth: usize) -> Result<(), Stop> {
        if key.len() > KEY_BYTES_MAX || key.is_empty() {
            return bad(
                RejectCode::KeyTooLong,
                "attributes",
                "have a key not of 1 to 256 bytes",
            );
        }
        let value = match self.reader.kind() {
            Kind::String => Value::Text(self.string("attributes")?.unwrap_or("")),
            Kind::Number => number_value(self.reader.number()?)?,
            Kind::Bool => Value::Bool(self.reader.boolean()?),
            Kind::Null => {
                self.reader.null()?;
                Value::Null
            }
            Kind::Array => self.array()?,
            Kind::Object => {
                self.reader.begin_object()?;
                return self.object(role, sub, key, depth + 1);
            }
            Kind::Other => {
                self.reader.skip(DEPTH_MAX)?;
                Value::Null
            }
        };
        self.event.fields.push(Field {
            name: key,
            value,
            role,
            sub,
        });
        Ok(())
    }

    fn array(&mut self) -> Result<Value<'a>, Stop> {
        let start = self.reader.position();
        match self.reader.skip(DEPTH_MAX) {
            Ok(text) if text.len() > FIELD_BYTES_MAX => bad(
                RejectCode::TooLong,
                "attributes",
                "hold an array of more than 65536 bytes",
            ),
            Ok(text) if text.contains('\\') => match rewrite::strings(text, self.arena, |_| None) {
                Ok(text) => Ok(Value::Json(text)),
                Err(_) => bad(
                    RejectCode::BadString,
                    "attributes",
                    "hold a lone surrogate escape",
                ),
            },
            Ok(text) => Ok(Value::Json(text)),
            Err(error) if error.what == "nested too deeply" => {
                self.reader.seek(start);
                bad(
                    RejectCode::TooDeep,
                    "attributes",
                    "nest more than 32 levels",
                )
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Metric labels: an object of strings.
    pub(super) fn labels(&mut self) -> Result<(), Stop> {
        if self.null()? {
            return Ok(());
        }
        self.begin("labels")?;
        let mut first = true;
        while let Some(key) = self.key(&mut first)? {
            if key.len() > KEY_BYTES_MAX || key.is_empty() {
                return bad(
                    RejectCode::KeyTooLong,
                    "labels",
                    "have a key not of 1 to 256 bytes",
                );
            }
            if let Some(text) = self.string("labels")? {
                let value = Value::Text(text);
                self.event.fields.push(Field {
                    name: key,
                    value,
                    role: Role::Label,
                    sub: 0,
                });
            }
        }
        Ok(())
    }

    /// Checks that hold for the event as a whole: the number of attributes, and that no key of
    /// theirs occurs twice.
    pub(super) fn finish(&self) -> Result<(), Stop> {
        let keyed = || {
            self.event
                .fields
                .iter()
                .filter(|field| field.role.is_keyed())
        };
        let mut sieve = Sieve::default();
        let (mut count, mut suspicious) = (0usize, false);
        for field in keyed() {
            count += 1;
            suspicious |= sieve.saw(field.name);
        }
        if count > ATTRIBUTES_MAX {
            return bad(RejectCode::TooMany, "attributes", "are more than 256");
        }
        let mut keys = HashSet::new();
        let duplicate =
            suspicious && !keyed().all(|field| keys.insert((field.role, field.sub, field.name)));
        if duplicate {
            return bad(RejectCode::DuplicateKey, "attributes", "hold a key twice");
        }
        Ok(())
    }

    /// A field that must be there.
    pub(super) fn require(&self, role: Role) -> Result<(), Stop> {
        if self.has(role) {
            Ok(())
        } else {
            bad(RejectCode::MissingField, role.path(), "is required")
        }
    }

    pub(super) fn event(&mut self) -> &mut Event<'a> {
        self.event
    }
}

/// Tells in a few instructions a key whether it may have been seen before; never misses one.
#[derive(Default)]
struct Sieve {
    bits: [u64; 4],
}

impl Sieve {
    #[inline]
    fn saw(&mut self, key: &str) -> bool {
        let bytes = key.as_bytes();
        let word = |chunk: Option<&[u8; 8]>| chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk));
        let ends = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), last) => word(Some(first)) ^ word(last).rotate_left(29),
            (None, _) => bytes.iter().fold(0, |sum, b| (sum << 8) | u64::from(*b)),
        };
        // Multiplicative hashing (Knuth): the upper bits of the product are well mixed.
        let hash = (ends ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        let Some(bits) = self.bits.get_mut((hash >> 6) as usize) else {
            return true;
        };
        let bit = 1 << (hash & 63);
        let seen = *bits & bit != 0;
        *bits |= bit;
        seen
    }
}

/// A JSON number as a value: whole where it fits, else floating.
fn number_value<'a>(text: &str) -> Result<Value<'a>, Stop> {
    if let Ok(int) = text.parse::<i64>() {
        return Ok(Value::Int(int));
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Value::Float(float)),
        Ok(_) | Err(_) => bad(
            RejectCode::NotFinite,
            "attributes",
            "hold a number out of range",
        ),
    }
}
