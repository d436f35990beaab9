//! The scrubber: what is scrubbed once is scrubbed, under every strategy and at every path; and the
//! parser of user agents.

use bumpalo::Bump;
use millrace_scrubber::{Class, ClassSet, Pepper, Policy, Scrubbed, Scrubber, Strategy};
use std::sync::LazyLock;
use woothee::parser::Parser;

const PEPPER: &[u8] = b"a pepper of a good length";

static SCRUBBERS: LazyLock<Vec<Scrubber>> = LazyLock::new(|| {
    let everywhere = |strategy| Policy {
        classes: Class::ALL
            .into_iter()
            .map(|class| (class, strategy))
            .collect(),
        ..Policy::default()
    };
    [
        Policy::default(),
        everywhere(Strategy::Redact),
        everywhere(Strategy::Hash),
    ]
    .iter()
    .map(|policy| {
        let pepper = Pepper::new(1, PEPPER).expect("a good pepper");
        Scrubber::new(policy, pepper).expect("a good policy")
    })
    .collect()
});
static AGENTS: LazyLock<Parser> = LazyLock::new(Parser::new);

fn scrubbed(scrubber: &Scrubber, path: &str, text: &str) -> Option<String> {
    let arena = Bump::new();
    let mut classes = ClassSet::EMPTY;
    match scrubber.scrub(&arena, path, text, &mut classes)? {
        Scrubbed::Replaced(text) => {
            assert!(!classes.is_empty(), "replaced, and nothing found");
            Some(text.to_owned())
        }
        Scrubbed::Removed => Some(String::new()),
    }
}

/// Twice is once.
pub fn text(data: &[u8]) {
    let Some(text) = super::text(data) else {
        return;
    };
    for scrubber in SCRUBBERS.iter() {
        if let Some(once) = scrubbed(scrubber, "message", text) {
            let twice = scrubbed(scrubber, "message", &once);
            assert_eq!(twice, None, "scrubbed once, and found again in {once:?}");
        }
    }
}

/// The first line is a path, the rest its value; and the path is a key by itself.
pub fn path(data: &[u8]) {
    let Some(text) = super::text(data) else {
        return;
    };
    let (path, value) = text.split_once('\n').unwrap_or((text, text));
    for scrubber in SCRUBBERS.iter() {
        if let Some(once) = scrubbed(scrubber, path, value) {
            assert_eq!(scrubbed(scrubber, path, &once), None, "{once:?}");
        }
        let (arena, mut classes) = (Bump::new(), ClassSet::EMPTY);
        if let Some(key) = scrubber.scrub_key(&arena, path, &mut classes) {
            assert_eq!(
                scrubber.scrub_key(&arena, key, &mut classes),
                None,
                "{key:?}"
            );
        }
    }
}

/// Any text is a user agent of somebody's.
pub fn user_agent(data: &[u8]) {
    let Some(text) = super::text(data) else {
        return;
    };
    if let Some(agent) = AGENTS.parse(text) {
        assert!(!agent.name.is_empty() && !agent.category.is_empty());
    }
}
