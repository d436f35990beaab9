//! Where the pipeline is, and as whom to speak to it.

use crate::error::LoadError;
use millrace_shared::secret::Secret;
use serde::Deserialize;
use std::path::Path;

/// Where `make run` describes what it started.
pub const RUN_JSON: &str = "target/millrace/run.json";

/// A gateway and an ingest key.
#[derive(Clone, Debug)]
pub struct Target {
    /// Address of the gateway, without a slash at its end.
    pub gateway_url: String,
    /// The ingest key's id.
    pub key_id: String,
    /// Its secret.
    pub secret: Secret,
}

/// The members of `run.json` that are read here.
#[derive(Deserialize)]
struct RunJson {
    gateway_url: String,
    key_id: String,
    secret: String,
    other_org: Option<OtherOrg>,
}

#[derive(Deserialize)]
struct OtherOrg {
    key_id: String,
    secret: String,
}

impl Target {
    /// A target from its parts.
    ///
    /// # Errors
    /// When the secret is not of the issued form.
    pub fn new(gateway_url: &str, key_id: &str, secret: &str) -> Result<Self, LoadError> {
        Ok(Target {
            gateway_url: gateway_url.trim_end_matches('/').to_owned(),
            key_id: key_id.to_owned(),
            secret: Secret::parse(secret)?,
        })
    }

    /// The demo organisation of a running pipeline, or its other one.
    ///
    /// # Errors
    /// When the file is absent or of another form.
    pub fn from_run_json(path: &Path, other: bool) -> Result<Self, LoadError> {
        let unusable = |problem: String| LoadError::Target {
            path: path.to_path_buf(),
            problem,
        };
        let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let run: RunJson =
            serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        match (other, run.other_org) {
            (false, _) => Target::new(&run.gateway_url, &run.key_id, &run.secret),
            (true, Some(org)) => Target::new(&run.gateway_url, &org.key_id, &org.secret),
            (true, None) => Err(unusable("it has no member `other_org`".to_owned())),
        }
    }
}
