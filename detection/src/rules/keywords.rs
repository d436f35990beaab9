//! What rules look for in every field of an event: in all of its values at once, those within lists
//! and objects too. It never looks at names, nor at what the scrubber found.

use super::condition::written;
use super::elements::any_scalar;
use super::index::{Asked, Values};
use super::texts::{Stand, Texts, Wanted};
use millrace_shared::{Event, Field, Role, Value};

/// Stands behind every value. What rules look for holds it so seldom that it may well be found where
/// two values meet: a rule that is tried in vain.
const BEHIND: u8 = 0;

/// The fields that `*` means: what the scrubber found in an event is none of its own.
pub(super) fn sent<'e, 'a>(event: &'e Event<'a>) -> impl Iterator<Item = &'e Field<'a>> {
    let fields = event.fields.iter();
    fields.filter(|field| field.role != Role::PiiClass)
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

    /// Hands over the candidates of an event, perhaps several times. The buffer is overwritten.
    pub(super) fn each(
        &self,
        event: &Event<'_>,
        buffer: &mut Vec<u8>,
        candidates: &mut impl FnMut(&[u32]),
    ) {
        buffer.clear();
        for field in sent(event) {
            any_scalar(&field.value, &mut |value| {
                self.put(value, buffer);
                if let Some(edges) = &self.edges {
                    edges.each(value, candidates);
                }
                false
            });
        }
        buffer.make_ascii_lowercase();
        if !self.not_ascii.is_empty() && !buffer.is_ascii() {
            candidates(&self.not_ascii);
        }
        self.anywhere.each(buffer, candidates);
    }

    fn put(&self, value: &Value<'_>, buffer: &mut Vec<u8>) {
        let mut digits = [0; 32];
        let text = match value {
            Value::Text(text) | Value::Json(text) => text,
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Int(_) | Value::Float(_) if self.anywhere.are_in_numbers() => {
                written(value, &mut digits).unwrap_or_default()
            }
            Value::Int(_) | Value::Float(_) | Value::Null => return,
        };
        buffer.extend_from_slice(text.as_bytes());
        buffer.push(BEHIND);
    }
}
