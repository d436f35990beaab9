//! What the tests of the engines share.

use millrace_devstack::{Options, Stack};

/// An instance of its own, whatever the environment names, without tables.
pub(crate) fn stack(name: &str) -> Stack {
    let options = Options {
        name: name.to_owned(),
        environment: false,
        schema: None,
        say: |_| {},
        ..Options::default()
    };
    Stack::start(&options).unwrap()
}
