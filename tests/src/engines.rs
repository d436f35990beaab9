//! The engines under a test: those of the environment (as `devstack exec` gives them), or an
//! instance of our own.

use millrace_devstack::{Options, Stack};

/// A running set of engines.
#[derive(Debug)]
pub struct Engines {
    stack: Stack,
}

impl Engines {
    /// Those of the environment, where it names them.
    ///
    /// # Panics
    /// When they do not come up.
    #[must_use]
    pub fn of_environment() -> Engines {
        Engines::of(Options {
            name: "tests".to_owned(),
            ..Options::default()
        })
    }

    /// A fresh instance of our own, thrown away at the end.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn own(name: &str) -> Engines {
        Engines::of(Options {
            name: name.to_owned(),
            environment: false,
            ..Options::default()
        })
    }

    /// As the options say.
    ///
    /// # Panics
    /// When they do not come up.
    #[must_use]
    pub fn of(options: Options) -> Engines {
        let stack = Stack::start(&options).unwrap_or_else(|error| panic!("engines: {error}"));
        Engines { stack }
    }

    /// The instance, to be killed and resumed.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }
}
