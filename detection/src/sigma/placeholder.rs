//! Placeholders: `%name%` in a value with the modifier `expand` stands for whatever the name is
//! bound to. An unbound name refuses the rule, as the specification demands.

use crate::rules::VALUES_MAX;
use crate::rules::wildcard::{Part, parse, write};
use std::collections::BTreeMap;

/// What names stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings<'b> {
    lists: Vec<Bound<'b>>,
    /// Names that stand for any text; all unbound ones where the list is `None`.
    wild: Vec<Option<Vec<String>>>,
}

/// Names with their values, and which of them count.
#[derive(Clone, Debug)]
struct Bound<'b> {
    names: &'b BTreeMap<String, Vec<String>>,
    include: Option<Vec<String>>,
    exclude: Vec<String>,
}

impl Bound<'_> {
    fn get(&self, name: &String) -> Option<&Vec<String>> {
        let counts = !self.exclude.contains(name)
            && self.include.as_ref().is_none_or(|only| only.contains(name));
        self.names.get(name).filter(|_| counts)
    }
}

impl<'b> Bindings<'b> {
    /// Adds names and the values of each, which may hold wildcards: only some of them where such
    /// are listed, and none of those excluded.
    pub(super) fn bind(
        &mut self,
        names: &'b BTreeMap<String, Vec<String>>,
        include: Option<Vec<String>>,
        exclude: Vec<String>,
    ) {
        self.lists.push(Bound {
            names,
            include,
            exclude,
        });
    }

    /// Has the names (all, where none are given) stand for any text unless they are bound.
    pub(super) fn make_wild(&mut self, names: Option<Vec<String>>) {
        self.wild.push(names);
    }

    fn values(&self, name: &str) -> Option<Vec<Vec<Part>>> {
        if let Some(values) = self
            .lists
            .iter()
            .find_map(|list| list.get(&name.to_owned()))
        {
            return Some(values.iter().map(|value| parse(value)).collect());
        }
        let is_wild = self.wild.iter().any(|names| {
            let listed = |names: &Vec<String>| names.iter().any(|wild| wild == name);
            names.as_ref().is_none_or(listed)
        });
        is_wild.then(|| vec![vec![Part::Many]])
    }

    /// All that a value with placeholders stands for.
    ///
    /// # Errors
    /// The placeholder that is not bound.
    pub(super) fn expand(&self, parts: &[Part]) -> Result<Vec<Vec<Part>>, String> {
        let mut expanded: Vec<Vec<Part>> = vec![Vec::new()];
        for part in parts {
            let pieces = match part {
                Part::Text(text) => self.pieces(text)?,
                Part::One | Part::Many => vec![vec![vec![part.clone()]]],
            };
            for choices in pieces {
                if expanded.len().saturating_mul(choices.len()) > VALUES_MAX {
                    return Err(format!("becomes more than {VALUES_MAX} values by expand"));
                }
                let longer = expanded.iter().flat_map(|start| {
                    choices
                        .iter()
                        .map(move |choice| start.iter().chain(choice).cloned().collect())
                });
                expanded = longer.collect();
            }
        }
        // Writing and reading again makes one text of neighbouring ones.
        Ok(expanded.iter().map(|parts| parse(&write(parts))).collect())
    }

    /// The stretches of a text, and for each what it may be. A backslash before a percent sign
    /// takes its meaning away.
    fn pieces(&self, text: &str) -> Result<Vec<Vec<Vec<Part>>>, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '\\']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("\\%") {
                plain.push('%');
                rest = after;
                continue;
            }
            let name = from.strip_prefix('%').and_then(|from| from.split_once('%'));
            let name = name.filter(|(name, _)| is_name(name));
            let Some((name, after)) = name else {
                plain.push_str(from.get(..1).unwrap_or_default());
                rest = from.get(1..).unwrap_or_default();
                continue;
            };
            let values = self
                .values(name)
                .ok_or_else(|| format!("has the placeholder %{name}%, which is not bound"))?;
            if values.is_empty() {
                return Err(format!(
                    "has the placeholder %{name}%, which is bound to nothing"
                ));
            }
            pieces.push(vec![vec![Part::Text(std::mem::take(&mut plain))]]);
            pieces.push(values);
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(vec![vec![Part::Text(plain)]]);
        Ok(pieces)
    }
}

fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
    !name.is_empty() && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_what_they_are_bound_to() {
        let bound = BTreeMap::from([
            (
                "adm".to_owned(),
                vec!["adm_*".to_owned(), "root".to_owned()],
            ),
            ("none".to_owned(), vec![]),
        ]);
        let mut bindings = Bindings::default();
        bindings.bind(&bound, None, Vec::new());
        let expand = |text: &str| {
            let expanded = bindings.expand(&parse(text));
            expanded.map(|all| all.iter().map(|parts| write(parts)).collect::<Vec<_>>())
        };
        assert_eq!(expand("%adm%").unwrap(), ["adm_*", "root"]);
        assert_eq!(expand("a%adm%z").unwrap(), ["aadm_*z", "arootz"]);
        assert_eq!(
            expand(r"\%plain%adm%").unwrap(),
            ["%plainadm_*", "%plainroot"]
        );
        assert_eq!(expand("100% of 50%").unwrap(), ["100% of 50%"]);
        assert_eq!(expand("*%adm%").unwrap(), ["*adm_*", "*root"]);
        assert!(expand("%none%").unwrap_err().contains("nothing"));
        assert!(expand("%other%").unwrap_err().contains("%other%"));
    }

    #[test]
    fn wild_names_stand_for_anything() {
        let mut bindings = Bindings::default();
        bindings.make_wild(Some(vec!["a".to_owned()]));
        assert_eq!(bindings.expand(&parse("%a%")).unwrap(), [vec![Part::Many]]);
        assert!(bindings.expand(&parse("%b%")).is_err());
    }
}
