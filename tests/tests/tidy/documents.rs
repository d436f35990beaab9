//! Generated documents are fresh, and those a stranger looks for are there.

use crate::tree::{none, workspace};

#[test]
fn generated_documents_are_fresh() {
    let mut stale = Vec::new();
    for document in millrace_tests::docs::all() {
        if std::env::var_os("MILLRACE_BLESS").is_some() {
            document
                .write()
                .unwrap_or_else(|error| panic!("{}: {error}", document.path));
        }
        if !document.fresh() {
            stale.push(document.path.to_owned());
        }
    }
    none("stale documents (`make docs` writes them anew)", &stale);
}

#[test]
fn the_documents_a_stranger_looks_for_are_there() {
    let expected = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE",
        "Makefile",
        "compose.yaml",
        ".ci/run",
    ];
    let missing = expected
        .iter()
        .filter(|name| !workspace().join(name).is_file());
    let missing: Vec<String> = missing.map(|name| (*name).to_owned()).collect();
    none("missing documents", &missing);
}

#[test]
fn the_changelog_says_behaviour_one_line_a_change() {
    let text = std::fs::read_to_string(workspace().join("CHANGELOG.md")).unwrap_or_default();
    let changes = text
        .lines()
        .filter(|line| line.starts_with("- ") || line.starts_with("* "));
    assert!(changes.count() > 0, "CHANGELOG.md lists no change");
}
