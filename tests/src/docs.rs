//! The generated documents: made from the tables in the code, and compared with the files.

use std::fmt::Write as _;
use std::path::PathBuf;

/// A document and where it lies.
#[derive(Debug)]
pub struct Document {
    /// Its path in the workspace.
    pub path: &'static str,
    /// What it must say.
    pub text: String,
}

impl Document {
    /// Its whole path.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        millrace_devstack::place::workspace().join(self.path)
    }

    /// Whether the file says what it must.
    #[must_use]
    pub fn fresh(&self) -> bool {
        std::fs::read_to_string(self.file()).is_ok_and(|text| text == self.text)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self) -> std::io::Result<()> {
        let file = self.file();
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, &self.text)
    }
}

/// All generated documents.
#[must_use]
pub fn all() -> Vec<Document> {
    vec![
        Document {
            path: "docs/configuration.md",
            text: millrace_shared::settings::reference(),
        },
        Document {
            path: "docs/metrics.md",
            text: metrics(),
        },
    ]
}

fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\n<!-- Generated from the services' metrics.rs; `make docs` writes it anew. -->\n\n\
         Each service serves them in Prometheus's text format at `/metrics` of its admin port. \
         Label values come from closed sets. Histograms have fixed buckets.\n",
    );
    for (service, declared) in [
        ("ingest-gateway", ingest_gateway::metrics::ALL),
        ("normalizer-worker", normalizer_worker::metrics::ALL),
        ("query-api", query_api::metrics::ALL),
    ] {
        let _ = write!(
            page,
            "\n{}",
            millrace_runtime::metric::reference(service, declared)
        );
    }
    page
}
