//! Short texts that may stand anywhere in much text, found by vector instructions where the machine
//! has them (Teddy, by G. Langdale, as in the crate `aho-corasick`).

use aho_corasick::Span;
use aho_corasick::packed::{Config, MatchKind, Searcher};

/// Texts of one searcher: more stand in one another's way.
const TEXTS_MAX: usize = 64;
/// Searchers, each of which reads everything: more take longer than grams.
const SEARCHERS_MAX: usize = 4;
/// Bytes of the shortest text, by which those that begin alike are compared together.
const HEAD: usize = 3;

/// Short texts in lower case.
#[derive(Debug, Default)]
pub(super) struct Packed(Vec<Group>);

/// Texts that one searcher looks for.
#[derive(Debug)]
struct Group {
    searcher: Searcher,
    /// By the text that was found: the numbers of all that begin alike.
    alike: Vec<Vec<u32>>,
}

impl Packed {
    /// Puts numbered texts together, each of [`HEAD`] bytes or more; `None` where the machine cannot,
    /// or they are too many.
    pub(super) fn new(texts: &[(u32, &[u8])]) -> Option<Packed> {
        // The shortest apart: a searcher looks at so many bytes as its shortest text has.
        let is_shortest = |(_, text): &(u32, &[u8])| text.len() == HEAD;
        let (shortest, longer): (Vec<_>, Vec<_>) = texts.iter().copied().partition(is_shortest);
        let groups = shortest.chunks(TEXTS_MAX).chain(longer.chunks(TEXTS_MAX));
        let groups: Option<Vec<Group>> = groups.map(Group::new).collect();
        groups
            .filter(|groups| groups.len() <= SEARCHERS_MAX)
            .map(Packed)
    }

    /// Hands over the texts that may stand in a value in lower case, and where they would begin.
    pub(super) fn each(&self, value: &[u8], found: &mut impl FnMut(u32, usize)) {
        for Group { searcher, alike } in &self.0 {
            let mut rest = Span::from(0..value.len());
            while let Some(one) = searcher.find_in(value, rest) {
                for number in alike.get(one.pattern().as_usize()).into_iter().flatten() {
                    found(*number, one.start());
                }
                rest.start = one.start() + 1;
            }
        }
    }
}

impl Group {
    fn new(texts: &[(u32, &[u8])]) -> Option<Group> {
        let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
        let mut alike = Vec::with_capacity(texts.len());
        for (_, text) in texts {
            builder.add(text);
            let is_alike = |(_, other): &&(u32, &[u8])| other.get(..HEAD) == text.get(..HEAD);
            alike.push(
                texts
                    .iter()
                    .filter(is_alike)
                    .map(|(number, _)| *number)
                    .collect(),
            );
        }
        let searcher = builder.build()?;
        Some(Group { searcher, alike })
    }
}
