//! Every statement has a home: tables are made by the two init folders alone, and rows are read and
//! written by named store modules.

use crate::tree::{File, none, rust};
use syn::visit::Visit;

/// Modules that speak SQL, by the beginning of their path.
const HOMES: &[&str] = &[
    // The operator's tool is a thin layer over the control tables.
    "admin/src/",
    // Applies the init folders and records it; its tests prove the ClickHouse front.
    "devstack/src/migrate.rs",
    "devstack/tests/",
    // Whether a store answers.
    "runtime/src/pg.rs",
    "runtime/src/clickhouse",
    // The content of feeds, which several services and the operator's tool write.
    "feeds/src/",
    // Keys, the installation, the state of a batch.
    "ingest-gateway/src/store/",
    // Leases and the ledger; what is committed with a batch; what is asked of the stores about it.
    "normalizer-worker/src/lease.rs",
    "normalizer-worker/src/ledger.rs",
    "normalizer-worker/src/commit/",
    "normalizer-worker/src/hunt/record.rs",
    "normalizer-worker/src/hunt/past.rs",
    // The outbox: what waits, what became of it, and what is told because nothing happened.
    "normalizer-worker/src/notify/queue.rs",
    "normalizer-worker/src/notify/escalate.rs",
    "normalizer-worker/src/audit.rs",
    "normalizer-worker/src/store.rs",
    "normalizer-worker/src/control_loader.rs",
    // What organisations are offered by a newer program.
    "normalizer-worker/src/builtin_rules.rs",
    "normalizer-worker/src/gauges.rs",
    "normalizer-worker/src/housekeeping.rs",
    "query-api/src/store/",
    // Tests and benchmarks ask the stores past the services.
    "runtime/tests/",
    "feeds/tests/",
    "normalizer-worker/tests/",
    "ingest-gateway/tests/",
    "query-api/tests/",
    "tests/",
    "benches/",
];
/// What a statement that makes or changes tables begins with.
const DEFINING: [&str; 4] = ["CREATE ", "ALTER ", "DROP ", "TRUNCATE "];
/// What any other statement begins with, and a word that it has besides.
const WORKING: [(&str, &str); 6] = [
    ("SELECT ", " FROM "),
    ("SELECT ", "("),
    ("INSERT INTO ", ""),
    ("UPDATE ", " SET "),
    ("DELETE FROM ", ""),
    ("WITH ", " AS ("),
];

#[test]
fn tables_are_made_by_the_init_folders_alone() {
    let makes =
        |text: &str| DEFINING.iter().any(|word| text.starts_with(word)) && text.contains(' ');
    // Tests make and break tables of their own; a mutation of rows and a password make no table.
    let allowed = |file: &File, text: &str| {
        file.path.contains("/tests/")
            || file.path.starts_with("tests/")
            || text.starts_with("ALTER ROLE ")
            || text.contains(" DELETE ")
    };
    let found = statements(|file, text| makes(text) && !allowed(file, text));
    none(
        "statements that make or change tables, outside the init folders",
        &found,
    );
}

#[test]
fn rows_are_read_and_written_by_named_modules() {
    let works = |text: &str| {
        WORKING
            .iter()
            .any(|(begin, besides)| text.starts_with(begin) && text.contains(besides))
    };
    let at_home = |file: &File| HOMES.iter().any(|home| file.path.starts_with(home));
    let found = statements(|file, text| works(text) && !at_home(file));
    none(
        "statements outside their homes (see HOMES in this test)",
        &found,
    );
}

/// Texts in the code for which `wrong` holds, with their places.
fn statements(wrong: impl Fn(&File, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in rust() {
        let Ok(tree) = syn::parse_file(&file.text) else {
            continue;
        };
        let mut texts = Texts::default();
        texts.visit_file(&tree);
        for (line, text) in texts.found {
            if wrong(file, &text) {
                let begin: String = text.chars().take(50).collect();
                found.push(format!("{}:{line}: {begin}", file.path));
            }
        }
    }
    found
}

#[derive(Default)]
struct Texts {
    found: Vec<(usize, String)>,
}

impl<'ast> Visit<'ast> for Texts {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.found.push((
            text.span().start().line,
            text.value().trim_start().to_owned(),
        ));
    }

    fn visit_attribute(&mut self, _doc: &'ast syn::Attribute) {}

    /// Texts inside macros (`format!`) are tokens, not literals of the tree.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        literals(item.tokens.clone(), &mut self.found);
    }

    /// What a module's own tests ask a store is not the module's business.
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            syn::visit::visit_item_mod(self, item);
        }
    }
}

fn literals(tokens: proc_macro2::TokenStream, found: &mut Vec<(usize, String)>) {
    for token in tokens {
        match token {
            proc_macro2::TokenTree::Group(group) => literals(group.stream(), found),
            proc_macro2::TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push((
                        literal.span().start().line,
                        text.value().trim_start().to_owned(),
                    ));
                }
            }
            proc_macro2::TokenTree::Ident(_) | proc_macro2::TokenTree::Punct(_) => {}
        }
    }
}
