//! What every Rust file keeps to: it says what it is for, and its functions fit on a screen.

use crate::tree::{File, none, rust};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

/// Lines of code of a function, without blank lines and comments: one screen.
const FUNCTION_LINES_MAX: usize = 60;
/// Lines of a file. Longer ones have more than one subject.
const FILE_LINES_MAX: usize = 700;

#[test]
fn every_module_says_what_it_is_for() {
    let silent = rust()
        .filter(|file| !file.path.ends_with("/tests.rs"))
        .filter(|file| {
            let first = file
                .text
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default();
            !first.starts_with("//!")
        });
    let silent: Vec<String> = silent.map(|file| file.path.clone()).collect();
    none(
        "files that do not begin with `//!` and what they are for",
        &silent,
    );
}

#[test]
fn functions_fit_on_a_screen() {
    let mut long = Vec::new();
    for file in rust() {
        let tree = match syn::parse_file(&file.text) {
            Ok(tree) => tree,
            Err(error) => panic!("{}: {error}", file.path),
        };
        let mut visitor = Functions {
            file,
            long: &mut long,
        };
        visitor.visit_file(&tree);
    }
    none("functions of more than 60 lines", &long);
}

#[test]
fn files_have_one_subject() {
    let long = rust().map(|file| (file, file.text.lines().count()));
    let long = long.filter(|(_, lines)| *lines > FILE_LINES_MAX);
    let long: Vec<String> = long
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect();
    none("files of more than 700 lines", &long);
}

#[test]
fn no_place_of_one_machine_is_named() {
    // Folders that are the same everywhere say nothing about a machine.
    const COMMON: [&str; 8] = [
        "/", "/home", "/opt", "/root", "/src", "/srv", "/tmp", "/usr/src",
    ];
    let workspace = crate::tree::workspace();
    let mut places = vec![workspace.display().to_string()];
    if let Some(parent) = workspace
        .parent()
        .map(|parent| parent.display().to_string())
    {
        places.push(format!("{parent}/"));
    }
    places.retain(|place| !COMMON.contains(&place.trim_end_matches('/')) && place.len() > 1);
    let mut named = Vec::new();
    for file in crate::tree::files() {
        for (number, line) in (1..).zip(file.text.lines()) {
            if places.iter().any(|place| line.contains(place.as_str())) {
                named.push(format!("{}:{number}", file.path));
            }
        }
    }
    none("lines that name a place of this machine", &named);
}

struct Functions<'f> {
    file: &'f File,
    long: &'f mut Vec<String>,
}

impl Functions<'_> {
    fn look(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.span();
        let lines = span.end().line.saturating_sub(span.start().line + 1);
        let body = self.file.text.lines().skip(span.start().line).take(lines);
        let code = body
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"));
        let count = code.count();
        if count > FUNCTION_LINES_MAX {
            self.long
                .push(format!("{}: {name} has {count}", self.file.path));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        // A test may be a long table.
        let is_test = item.attrs.iter().any(|attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "test")
        });
        if !is_test {
            self.look(&item.sig.ident, &item.block);
        }
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.look(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}
