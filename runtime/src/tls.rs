//! TLS to the stores: whose certificates are trusted, decided once for all three clients.
//!
//! Trusted are the system's roots and those of `MILLRACE_TLS_CA_FILE`. A server's certificate is
//! always verified, and so is the name in it; nothing here can turn that off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_shared::settings::{Settings, SettingsError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

const CA_FILE: &str = "MILLRACE_TLS_CA_FILE";

/// What this process trusts: process-wide like the environment it is read from.
static TRUST: RwLock<Option<Arc<Trust>>> = RwLock::new(None);

/// TLS cannot be used at all.
#[derive(Clone, Debug, Error)]
#[error("TLS cannot be used: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// The trusted roots, in the two forms that the clients take.
#[derive(Debug)]
pub(crate) struct Trust {
    /// For PostgreSQL and ClickHouse.
    pub(crate) config: Arc<ClientConfig>,
    /// For Redis, whose client takes certificates as text only.
    pub(crate) pem: String,
}

/// Trusts, from here on, the system's roots and those of `MILLRACE_TLS_CA_FILE`.
///
/// # Errors
/// When the file cannot be read or holds no usable certificate.
pub fn configure(settings: &Settings) -> Result<(), SettingsError> {
    let unusable = |problem: String| SettingsError::Unusable {
        name: CA_FILE,
        problem,
    };
    let path = settings.text(CA_FILE)?;
    let added = if path.is_empty() {
        Vec::new()
    } else {
        let text = std::fs::read(path)
            .map_err(|error| unusable(format!("names a file that cannot be read: {error}")))?;
        certificates(&text).map_err(|problem| unusable(problem.to_owned()))?
    };
    let trust = Trust::new(added).map_err(|error| unusable(error.to_string()))?;
    *TRUST.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(trust));
    Ok(())
}

/// What is trusted: as configured, or else the system's roots.
pub(crate) fn trust() -> Result<Arc<Trust>, TlsError> {
    let configured = TRUST.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(trust) = configured {
        return Ok(trust);
    }
    let system = Arc::new(Trust::new(Vec::new())?);
    let mut trust = TRUST.write().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::clone(trust.get_or_insert(system)))
}

/// The certificates of a PEM file, each of them usable as a root.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = read.map_err(|_| "names a file that is not in PEM form")?;
    if found.is_empty() {
        return Err("names a file without a certificate");
    }
    let mut roots = RootCertStore::empty();
    match found.iter().try_for_each(|one| roots.add(one.clone())) {
        Ok(()) => Ok(found),
        Err(_) => Err("names a file with a certificate that cannot be a root"),
    }
}

impl Trust {
    /// A system without roots is no error: then nothing but `added` is trusted.
    fn new(added: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let system = rustls_native_certs::load_native_certs();
        for error in system.errors {
            tracing::warn!(%error, "some of the system's root certificates cannot be read");
        }
        let (mut roots, mut pem) = (RootCertStore::empty(), String::new());
        for certificate in system.certs.into_iter().chain(added) {
            let text = STANDARD.encode(&certificate);
            // Systems carry roots in forms of long ago; those are left out.
            if roots.add(certificate).is_ok() {
                pem.push_str("-----BEGIN CERTIFICATE-----\n");
                pem.push_str(&text);
                pem.push_str("\n-----END CERTIFICATE-----\n");
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust {
            config: Arc::new(config),
            pem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str) -> String {
        let vars = [(CA_FILE.to_owned(), path.to_owned())];
        let settings = Settings::from_vars(vars).unwrap();
        configure(&settings).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_adds_nothing_to_trust_is_an_error_and_not_a_surprise() {
        assert!(refused("/nowhere/ca.pem").contains("cannot be read"));
        assert!(refused(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).contains("without a"));
        assert_eq!(
            certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Err("names a file with a certificate that cannot be a root")
        );
    }
}
