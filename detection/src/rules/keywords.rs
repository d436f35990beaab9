//! What rules look for in every field of an event: in each of its values, those within lists and
//! objects too. It never looks at names, nor at what the scrubber found.

use super::condition::written;
use super::elements::any_scalar;
use super::index::{Asked, Values};
use super::texts::{Stand, Texts, Wanted};
use millrace_shared::{Event, Field, Role, Value};

/// Stands between texts that are searched together: few keywords hold it.
const END: u8 = 0;

/// Whether `*` means a field: what the scrubber found in an event is none of its own.
#[inline]
pub(super) fn is_sent(field: &Field<'_>) -> bool {
    field.role != Role::PiiClass
}

/// The fields that `*` means.
pub(super) fn sent<'e, 'a>(event: &'e Event<'a>) -> impl Iterator<Item = &'e Field<'a>> {
    event.fields.iter().filter(|field| is_sent(field))
}

/// Candidates by what any field of an event holds.
#[derive(Debug)]
pub(super) struct Keywords {
    anywhere: Texts,
    not_ascii: Box<[u32]>,
    /// What stands at the edges of a value or is all of it.
    edges: Option<Values>,
}

impl Keywords {
    pub(super) fn new(asked: &Asked) -> Keywords {
        let texts = asked.texts.iter();
        let texts = texts.map(|((stand, text), rules)| ((*stand, &**text), rules.clone()));
        let (mut anywhere, edges): (Vec<Wanted<'_>>, Vec<Wanted<'_>>) =
            texts.partition(|((stand, _), _)| *stand == Stand::Anywhere);
        anywhere.sort_unstable();
        let has_edges = !edges.is_empty() || !asked.numbers.is_empty();
        Keywords {
            anywhere: Texts::build_for_much(&anywhere),
            not_ascii: asked.not_ascii.as_slice().into(),
            edges: has_edges.then(|| Values::of_texts(&edges, asked.numbers.clone())),
        }
    }

    /// Hands over the candidates of a text, perhaps several times; the buffer is overwritten.
    pub(super) fn each_of_text(
        &self,
        text: &str,
        buffer: &mut Vec<u8>,
        candidates: &mut impl FnMut(&[u32]),
    ) {
        self.each_of_edges(text, candidates);
        buffer.clear();
        buffer.extend_from_slice(text.as_bytes());
        self.each_together(buffer, candidates);
    }

    /// Hands over those candidates of a value that its edges make, and puts it beside others in
    /// which keywords are looked for together.
    #[inline]
    pub(super) fn put(
        &self,
        value: &Value<'_>,
        together: &mut Vec<u8>,
        candidates: &mut impl FnMut(&[u32]),
    ) {
        match value {
            Value::Text(text) | Value::Json(text) => self.put_text(text, together, candidates),
            Value::Bool(true) => self.put_text("true", together, candidates),
            Value::Bool(false) => self.put_text("false", together, candidates),
            Value::Int(_) | Value::Float(_) => {
                if let Some(edges) = &self.edges {
                    edges.each(value, candidates);
                }
                let mut digits = [0; 32];
                if self.anywhere.are_in_numbers()
                    && let Some(text) = written(value, &mut digits)
                {
                    put(text, together);
                }
            }
            Value::Null => {}
        }
    }

    /// As [`put`](Self::put), of every value that a list or an object holds.
    pub(super) fn put_all(
        &self,
        value: &Value<'_>,
        together: &mut Vec<u8>,
        candidates: &mut impl FnMut(&[u32]),
    ) {
        any_scalar(value, &mut |value| {
            self.put(value, together, candidates);
            false
        });
    }

    #[inline]
    fn put_text(&self, text: &str, together: &mut Vec<u8>, candidates: &mut impl FnMut(&[u32])) {
        self.each_of_edges(text, candidates);
        put(text, together);
    }

    #[inline]
    fn each_of_edges(&self, text: &str, candidates: &mut impl FnMut(&[u32])) {
        if let Some(edges) = &self.edges {
            edges.each(&Value::Text(text), candidates);
        }
        if !self.not_ascii.is_empty() && !text.is_ascii() {
            candidates(&self.not_ascii);
        }
    }

    /// Hands over the candidates of texts that were put together, perhaps several times, and takes
    /// them away. What would stand across the end of a text is found too: a candidate too many.
    pub(super) fn each_together(
        &self,
        together: &mut Vec<u8>,
        candidates: &mut impl FnMut(&[u32]),
    ) {
        together.make_ascii_lowercase();
        self.anywhere.each(together, candidates);
        together.clear();
    }
}

/// Puts a text beside others.
#[inline]
fn put(text: &str, together: &mut Vec<u8>) {
    together.extend_from_slice(text.as_bytes());
    together.push(END);
}
