//! How an organisation's policies have hidden values in what is stored: an indicator is looked for in
//! these forms too, as far as they still tell one value from another.
//!
//! Hides with the scrubber that hid it then. Never brings a hidden value back to light.

use crate::control::scrubber;
use crate::control_rows::OrganisationRow;
use bumpalo::Bump;
use millrace_scrubber::{ClassSet, Scrubbed, Scrubber};
use std::fmt;

/// The path at which observables are scrubbed.
const PATH: &str = "observables";
/// Values of the kinds that policies hide.
const PROBES: [&str; 3] = ["203.0.113.1", "2001:db8::1", "eve@example.com"];

/// The policies and peppers under which values are joinable and not themselves.
#[derive(Default)]
pub(super) struct Hidden {
    scrubbers: Vec<(Scrubber, Secret)>,
}

/// The pepper that a form was made with: who does not know it cannot tell which form something is of.
pub(super) type Secret = [u8; 32];

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.scrubbers.len();
        f.debug_struct("Hidden").field("policies", &count).finish()
    }
}

impl Hidden {
    /// By the policies, with their peppers, that an organisation has had.
    pub(super) fn new(policies: &[OrganisationRow]) -> Self {
        // What cannot be used was replaced by the default when it counted, and was told of then.
        let made = policies.iter();
        let made = made.map(|row| (scrubber(row, &mut |_| ()), row.pepper));
        let hides = |(scrubber, _): &(Scrubber, Secret)| {
            let mut probes = PROBES.iter();
            probes.any(|probe| form(scrubber, probe).is_some())
        };
        Hidden {
            scrubbers: made.filter(hides).collect(),
        }
    }

    /// As what a value may be stored, and by which secret.
    pub(super) fn forms(&self, value: &str) -> impl Iterator<Item = (String, Secret)> {
        let scrubbers = self.scrubbers.iter();
        scrubbers.filter_map(move |(scrubber, secret)| Some((form(scrubber, value)?, *secret)))
    }
}

/// As what the scrubber stores a value; nothing if as itself, or as what many others are stored as.
fn form(scrubber: &Scrubber, value: &str) -> Option<String> {
    let (arena, mut classes) = (Bump::new(), ClassSet::EMPTY);
    match scrubber.scrub(&arena, PATH, value, &mut classes)? {
        // `[EMAIL]` and `e***@example.com` tell nobody apart.
        Scrubbed::Replaced(text) => (!text.contains(['[', '*'])).then(|| text.to_owned()),
        Scrubbed::Removed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_shared::ids::OrgId;
    use serde_json::json;

    #[test]
    fn values_are_known_by_every_form_that_tells_them_apart() {
        let policy = |version: u32, email: &str, ipv4: &str| OrganisationRow {
            org: OrgId::from_u128(1),
            pepper: [u8::try_from(version).unwrap(); 32],
            pepper_version: version,
            pii_policy: json!({"classes": {"email": email, "ipv4": ipv4}}),
            settings: json!({}),
        };
        let policies = [
            policy(1, "hash", "pseudonym"),
            policy(2, "hash", "pseudonym"),
            policy(2, "redact", "mask"),
            policy(2, "mask", "keep"),
        ];
        let hidden = Hidden::new(&policies);
        let forms: Vec<String> = hidden.forms("eve@evil.com").map(|form| form.0).collect();
        assert!(forms[0].starts_with("email:v1:") && forms[1].starts_with("email:v2:"));
        assert_eq!((forms.len(), hidden.forms("8.8.8.8").count()), (2, 2));
        assert_eq!(hidden.forms("evil.com").count(), 0);
        assert_eq!(Hidden::new(&policies[2..]).forms("eve@evil.com").count(), 0);
    }
}
