//! What an organisation wants done with each class: the policy as it is written and stored.
//!
//! Only data and its validation. It is compiled by [`crate::Scrubber::new`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::class::{CLASSES, Class};

/// Path rules per policy. Each is looked up per field, so that the list stays a page, not a book.
const MAX_PATH_RULES: usize = 256;
/// Extra key words per policy, for the same reason.
const MAX_KEY_WORDS: usize = 256;
/// The same with those that [`Policy::with_hashed_paths`] may add.
const MAX_WITH_HASHED: usize = MAX_PATH_RULES + HASHED_PATHS.len();
/// Bytes of one path or key word: the longest field name the ingest contract allows.
const MAX_PATH_BYTES: usize = 256;

/// What is written in place of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The class in brackets: `[EMAIL]`.
    Redact,
    /// Enough to recognise it, too little to use it: `a***@example.com`, a card's last four digits.
    Mask,
    /// A keyed hash, `email:` and 24 hex digits. Equal values stay equal and can be searched for
    /// by those who hold the pepper; nobody else can guess them.
    Hash,
    /// Nothing. A field of which nothing is left is removed.
    Remove,
    /// The class is not looked for.
    Keep,
    /// Another address, the same for the same one, and sharing as long a prefix with other
    /// addresses as the original did. Only for addresses. Scrubbing twice changes it twice.
    Pseudonym,
}

/// Strategies that hold for one field, or for every field below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRule {
    /// A whole path (`user.email`), or a prefix that ends in `.*` (`debug.*`). The exact path wins
    /// over prefixes, the longer prefix over the shorter.
    pub path: String,
    /// Strategies that differ here from those of the policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<Class, Strategy>,
    /// Replaces the whole value, whatever it holds; `keep` says that the field is not sensitive
    /// although its name sounds so. Counts as what the value holds, and as [`Class::SensitiveKey`]
    /// only where the name is sensitive by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Strategy>,
}

/// What is scrubbed and how.
///
/// The default redacts every class but addresses: those are what detection matches and people
/// search for, and an organisation switches them on where it must.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Strategies that differ from the default.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<Class, Strategy>,
    /// Strategies for single fields and subtrees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathRule>,
    /// Further field names to treat like `password`: a path's last part, in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitive_keys: Vec<String>,
    /// Field names that sound sensitive and are not: a path's last part, in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plain_keys: Vec<String>,
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Only addresses have prefixes to preserve.
    #[error("pseudonyms are for addresses, not for {0}")]
    NotAnAddress(Class),
    /// A path or key word is empty, too long, or has a `*` anywhere but as a last part of its own.
    #[error("bad path or key word `{0}`")]
    BadPath(String),
    /// Two rules for one path: neither is clearly meant.
    #[error("two rules for the path `{0}`")]
    DoublePath(String),
    /// More rules than are looked up per field.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
    },
    /// Hashes without a key can be guessed.
    #[error("the pepper has fewer than {0} bytes")]
    ShortPepper(usize),
}

/// The strategy of every class, at its bit.
pub(crate) type Strategies = [Strategy; CLASSES];

impl Strategy {
    /// What happens to a class of which the policy does not speak.
    #[must_use]
    pub const fn default_for(class: Class) -> Strategy {
        match class {
            Class::Ipv4 | Class::Ipv6 => Strategy::Keep,
            Class::Email
            | Class::PaymentCard
            | Class::Ssn
            | Class::Phone
            | Class::Iban
            | Class::Jwt
            | Class::Secret
            | Class::Mac
            | Class::UserName
            | Class::SensitiveKey => Strategy::Redact,
        }
    }
}

/// Fields that name a person and are joined on: hashed, not redacted, unless the policy says
/// otherwise, so that "the same user" can still be told.
const HASHED_PATHS: [&str; 2] = ["actor.email", "user_id"];

impl Policy {
    /// The policy with e-mail addresses hashed, not redacted, where they are joined on and it does
    /// not say otherwise.
    #[must_use]
    pub fn with_hashed_paths(mut self) -> Policy {
        for path in HASHED_PATHS {
            if !self.paths.iter().any(|rule| rule.path == path) {
                self.paths.push(PathRule {
                    path: path.to_owned(),
                    classes: [(Class::Email, Strategy::Hash)].into(),
                    value: None,
                });
            }
        }
        self
    }

    /// Checks everything that can be wrong with a policy.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        limit("path rules", self.paths.len(), MAX_WITH_HASHED)?;
        limit("key words", self.sensitive_keys.len(), MAX_KEY_WORDS)?;
        limit("key words", self.plain_keys.len(), MAX_KEY_WORDS)?;
        check_strategies(&self.classes)?;
        for word in self.sensitive_keys.iter().chain(&self.plain_keys) {
            check_path(word, false)?;
        }
        for (index, rule) in self.paths.iter().enumerate() {
            check_path(&rule.path, true)?;
            check_strategies(&rule.classes)?;
            if rule.value == Some(Strategy::Pseudonym) {
                return Err(PolicyError::NotAnAddress(Class::SensitiveKey));
            }
            if self
                .paths
                .iter()
                .take(index)
                .any(|other| other.path == rule.path)
            {
                return Err(PolicyError::DoublePath(rule.path.clone()));
            }
        }
        Ok(())
    }

    /// The strategy of every class where no path rule holds.
    pub fn effective(&self) -> impl Iterator<Item = (Class, Strategy)> {
        Class::ALL.into_iter().zip(self.strategies())
    }

    /// The strategies of fields that no path rule names.
    pub(crate) fn strategies(&self) -> Strategies {
        overlay(Class::ALL.map(Strategy::default_for), &self.classes)
    }
}

/// The strategies with those of a rule laid over them.
pub(crate) fn overlay(mut base: Strategies, over: &BTreeMap<Class, Strategy>) -> Strategies {
    for (class, strategy) in over {
        if let Some(slot) = base.get_mut(usize::from(class.bit())) {
            *slot = *strategy;
        }
    }
    base
}

fn limit(what: &'static str, count: usize, limit: usize) -> Result<(), PolicyError> {
    if count > limit {
        Err(PolicyError::TooMany { what, limit })
    } else {
        Ok(())
    }
}

fn check_strategies(classes: &BTreeMap<Class, Strategy>) -> Result<(), PolicyError> {
    let wrong = classes.iter().find(|(class, strategy)| {
        **strategy == Strategy::Pseudonym && !matches!(class, Class::Ipv4 | Class::Ipv6)
    });
    wrong.map_or(Ok(()), |(class, _)| Err(PolicyError::NotAnAddress(*class)))
}

fn check_path(path: &str, wildcard: bool) -> Result<(), PolicyError> {
    let body = if wildcard {
        path.strip_suffix(".*").unwrap_or(path)
    } else {
        path
    };
    if body.is_empty() || path.len() > MAX_PATH_BYTES || body.contains('*') {
        return Err(PolicyError::BadPath(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Policy {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_policy_survives_its_stored_form() {
        let text = r#"{"classes":{"email":"hash","ipv4":"pseudonym"},
            "paths":[{"path":"user.email","classes":{"email":"keep"}},{"path":"debug.*","value":"remove"}],
            "sensitive_keys":["badge"],"plain_keys":["auth"]}"#;
        let policy = parse(text);
        policy.validate().unwrap();
        assert_eq!(parse(&serde_json::to_string(&policy).unwrap()), policy);
        assert_eq!(parse("{}"), Policy::default());
    }

    #[test]
    fn unknown_words_are_refused() {
        for text in [
            r#"{"class":{}}"#,
            r#"{"classes":{"mail":"hash"}}"#,
            r#"{"classes":{"email":"x"}}"#,
        ] {
            assert!(serde_json::from_str::<Policy>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wrong_policies_are_refused_with_the_reason() {
        let wrong = parse(r#"{"classes":{"email":"pseudonym"}}"#).validate();
        assert_eq!(wrong, Err(PolicyError::NotAnAddress(Class::Email)));
        for path in ["", "*", "a.*.b", "a*", ".*"] {
            let rule = PathRule {
                path: path.into(),
                classes: BTreeMap::new(),
                value: None,
            };
            let policy = Policy {
                paths: vec![rule],
                ..Policy::default()
            };
            assert_eq!(policy.validate(), Err(PolicyError::BadPath(path.into())));
        }
        let twice = parse(r#"{"paths":[{"path":"a"},{"path":"a"}]}"#).validate();
        assert_eq!(twice, Err(PolicyError::DoublePath("a".into())));
    }

    #[test]
    fn who_is_joined_on_is_hashed_unless_the_policy_says_otherwise() {
        let own = r#"{"paths":[{"path":"user_id","classes":{"email":"remove"}}]}"#;
        let completed = parse(own).with_hashed_paths();
        let of = |path: &str| {
            let mut rules = completed.paths.iter();
            rules.find(|rule| rule.path == path).unwrap().classes[&Class::Email]
        };
        assert_eq!(
            (of("actor.email"), of("user_id")),
            (Strategy::Hash, Strategy::Remove)
        );
        assert_eq!(completed.clone().with_hashed_paths(), completed);
    }

    #[test]
    fn addresses_are_kept_unless_asked_for() {
        let kept: Vec<Class> = Class::ALL
            .into_iter()
            .filter(|class| Strategy::default_for(*class) == Strategy::Keep)
            .collect();
        assert_eq!(kept, [Class::Ipv4, Class::Ipv6]);
    }
}
