//! What rules look for in every field of an event: in each of its values, those within lists and
//! objects too. It never looks at names, nor at what the scrubber found.

use super::compile::EVERY_SLOT;
use super::condition::written;
use super::elements::any_scalar;
use super::index::{Asked, Values};
use super::recent::Recent;
use super::texts::{Stand, Texts, Wanted};
use millrace_shared::{Event, Field, Role, Value};

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

    /// Hands over the candidates of an event, perhaps several times; the number is the matcher's, and
    /// the buffer is overwritten.
    pub(super) fn each(
        &self,
        event: &Event<'_>,
        matcher: u64,
        (recent, buffer): (&mut Recent, &mut Vec<u8>),
        candidates: &mut impl FnMut(&[u32]),
    ) {
        for field in sent(event) {
            any_scalar(&field.value, &mut |value| {
                match value {
                    Value::Text(text) | Value::Json(text) => {
                        recent.each(
                            (matcher, EVERY_SLOT),
                            text.as_bytes(),
                            candidates,
                            |found| {
                                self.of_text(text, buffer, found);
                            },
                        );
                    }
                    Value::Int(_) | Value::Float(_) => self.of_number(value, candidates),
                    Value::Bool(true) => self.of_text("true", buffer, candidates),
                    Value::Bool(false) => self.of_text("false", buffer, candidates),
                    Value::Null => {}
                }
                false
            });
        }
    }

    fn of_text(&self, text: &str, buffer: &mut Vec<u8>, mut candidates: &mut dyn FnMut(&[u32])) {
        if let Some(edges) = &self.edges {
            edges.each_anew(&Value::Text(text), &mut candidates);
        }
        if !self.not_ascii.is_empty() && !text.is_ascii() {
            candidates(&self.not_ascii);
        }
        buffer.clear();
        buffer.extend_from_slice(text.as_bytes());
        buffer.make_ascii_lowercase();
        self.anywhere.each(buffer, &mut candidates);
    }

    fn of_number(&self, value: &Value<'_>, candidates: &mut impl FnMut(&[u32])) {
        if let Some(edges) = &self.edges {
            edges.each_anew(value, candidates);
        }
        let mut digits = [0; 32];
        if self.anywhere.are_in_numbers()
            && let Some(text) = written(value, &mut digits)
        {
            self.anywhere.each(text.as_bytes(), candidates);
        }
    }
}
