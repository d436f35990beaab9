//! User agent string → browser, operating system, device type, by a maintained table of patterns.
//!
//! Parsing one costs microseconds and the same few occur again and again, so answers are kept for
//! the length of one batch.

use bumpalo::Bump;
use hashbrown::HashMap;
use std::cell::RefCell;
use woothee::parser::Parser;

/// Distinct user agents remembered in one batch; past it they are parsed each time.
const REMEMBERED_MAX: usize = 4_096;

/// What a user agent string tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent<'a> {
    pub(crate) browser: &'a str,
    pub(crate) os: &'a str,
    pub(crate) device: &'a str,
}

/// Browser, operating system and device type, as they are remembered.
type Words = [Box<str>; 3];

/// The parser and what it has already seen in this batch.
#[derive(Default)]
pub(crate) struct Agents {
    parser: Parser,
    seen: RefCell<HashMap<Box<str>, Option<Words>, foldhash::fast::FixedState>>,
}

impl Agents {
    /// Parses a user agent string; `None` when nothing in it is known.
    pub(crate) fn parse<'a>(&self, text: &str, arena: &'a Bump) -> Option<Agent<'a>> {
        if let Some(words) = self.seen.borrow().get(text) {
            return words.as_ref().map(|words| agent(words, arena));
        }
        let words = self
            .parser
            .parse(text)
            .map(|found| [found.name, found.os, found.category].map(Box::from));
        let found = words.as_ref().map(|words| agent(words, arena));
        let mut seen = self.seen.borrow_mut();
        if seen.len() < REMEMBERED_MAX {
            seen.insert(text.into(), words);
        }
        found
    }
}

fn agent<'a>(words: &Words, arena: &'a Bump) -> Agent<'a> {
    let [browser, os, device] = words.each_ref().map(|word| &*arena.alloc_str(word));
    Agent {
        browser,
        os,
        device,
    }
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Agents(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_browser_is_known_and_noise_is_not() {
        let (agents, arena) = (Agents::default(), Bump::new());
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
        for _ in 0..2 {
            let agent = agents.parse(chrome, &arena).unwrap();
            assert_eq!(
                (agent.browser, agent.os, agent.device),
                ("Chrome", "Windows 10", "pc")
            );
            assert_eq!(agents.parse("zzz", &arena), None);
        }
    }
}
