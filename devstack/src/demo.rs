//! The demonstration's organisations, keys and tokens, made by `millrace-admin`. The only place that
//! knows its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Error;
use crate::error::Doing;
use crate::process::{logged, tail};
use crate::service::Settings;

/// Shards per signal of a small machine.
const SHARDS: &str = "4";

/// What `millrace-admin` works with.
pub(crate) struct Demo<'a> {
    pub(crate) bins: &'a Path,
    pub(crate) settings: &'a Settings,
    pub(crate) directory: &'a Path,
    pub(crate) logs: &'a Path,
}

impl Demo<'_> {
    /// Makes what is missing; what is there stays valid. Returns keys, secrets and tokens.
    pub(crate) fn ensure(&self) -> Result<Value, Error> {
        let out = self.directory.join("demo.json");
        if !out.exists() {
            self.admin(
                "fixing the number of shards",
                &["install", "--shards", SHARDS],
            )?;
        }
        self.admin(
            "making the demo organisations",
            &["seed-demo", "--out", &out.to_string_lossy()],
        )?;
        let text = fs::read(&out).doing(|| format!("cannot read {}", out.display()))?;
        serde_json::from_slice(&text)
            .map_err(std::io::Error::other)
            .doing(|| format!("cannot understand {}", out.display()))
    }

    fn admin(&self, step: &'static str, arguments: &[&str]) -> Result<(), Error> {
        let log: PathBuf = self.logs.join("millrace-admin.log");
        let mut command = Command::new(self.bins.join("millrace-admin"));
        command
            .args(arguments)
            .envs(self.settings)
            .env_remove("MILLRACE_MASTER_KEY");
        logged(&mut command, &log).doing(|| format!("cannot write {}", log.display()))?;
        let status = command
            .status()
            .doing(|| "cannot start millrace-admin".to_owned())?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Install {
            step,
            tail: tail(&log),
            log,
        })
    }
}
