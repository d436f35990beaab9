//! Applies the init folders: numbered SQL files, once each, recorded with a checksum.
//!
//! A file whose text has changed since is applied again (the files are idempotent) and recorded
//! anew. It holds no DDL of its own: the table of records, too, belongs to `timescale-init`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use sha2::{Digest, Sha256};
use tokio_postgres::NoTls;

use crate::Error;
use crate::error::Doing;

/// The files of both engines.
const FOLDERS: [Folder; 2] = [
    Folder {
        name: "timescale-init",
        store: Store::Postgres,
    },
    Folder {
        name: "clickhouse-init",
        store: Store::Clickhouse,
    },
];
/// A statement that makes tables takes milliseconds; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Only one process migrates a database at a time ("millrace", in hexadecimal digits of its bytes).
const LOCK: i64 = 0x6d69_6c6c_7261_6365;

struct Folder {
    name: &'static str,
    store: Store,
}

#[derive(Clone, Copy)]
enum Store {
    Postgres,
    Clickhouse,
}

impl Store {
    /// As the table of records names it.
    fn name(self) -> &'static str {
        match self {
            Store::Postgres => "timescale",
            Store::Clickhouse => "clickhouse",
        }
    }
}

struct File {
    name: String,
    text: String,
    checksum: String,
    store: Store,
}

impl File {
    fn path(&self) -> String {
        format!("{}-init/{}", self.store.name(), self.name)
    }
}

/// Applies what is not applied yet. Returns the names of the files that were applied now.
pub fn apply(
    clickhouse_url: &str,
    postgres_url: &str,
    workspace: &Path,
) -> Result<Vec<String>, Error> {
    let files = files(workspace)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "cannot start a runtime".to_owned())?;
    // Callers may be in a runtime of their own, in which another cannot run on the same thread.
    std::thread::scope(|scope| {
        let work = scope.spawn(|| runtime.block_on(migrated(&files, clickhouse_url, postgres_url)));
        work.join()
            .unwrap_or_else(|_| Err(Error::State("the migration panicked".to_owned())))
    })
}

fn files(workspace: &Path) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let path = workspace.join(folder.name);
        let Ok(entries) = fs::read_dir(&path) else {
            continue;
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        names.sort();
        for file in names {
            let text =
                fs::read_to_string(path.join(&file)).doing(|| format!("cannot read {file}"))?;
            let checksum = hex::encode(Sha256::digest(&text));
            files.push(File {
                name: file,
                text,
                checksum,
                store: folder.store,
            });
        }
    }
    Ok(files)
}

async fn migrated(
    files: &[File],
    clickhouse_url: &str,
    postgres_url: &str,
) -> Result<Vec<String>, Error> {
    let refused = |file: &str, why: String| Error::Migrate {
        file: file.to_owned(),
        why,
    };
    let connected = tokio_postgres::connect(postgres_url, NoTls).await;
    let (postgres, connection) = connected.map_err(|error| refused("postgres", told(&error)))?;
    tokio::spawn(connection);
    let http = Client::builder().timeout(PATIENCE).build();
    let http = http.map_err(|error| refused("clickhouse", error.to_string()))?;
    let locked = postgres
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await;
    locked.map_err(|error| refused("postgres", told(&error)))?;
    let mut applied = Vec::new();
    for file in files {
        if recorded(&postgres, file).await {
            continue;
        }
        match file.store {
            Store::Postgres => postgres
                .batch_execute(&file.text)
                .await
                .map_err(|error| told(&error)),
            Store::Clickhouse => statements_over_http(&http, clickhouse_url, &file.text).await,
        }
        .map_err(|why| refused(&file.path(), why))?;
        record(&postgres, file)
            .await
            .map_err(|error| refused(&file.path(), told(&error)))?;
        applied.push(file.path());
    }
    Ok(applied)
}

/// False also when there is no table of records yet: the first file makes it.
async fn recorded(postgres: &tokio_postgres::Client, file: &File) -> bool {
    let known = postgres
        .query_opt(
            "SELECT 1 FROM schema_migration WHERE store = $1 AND name = $2 AND sha256 = $3",
            &[&file.store.name(), &file.name, &file.checksum],
        )
        .await;
    matches!(known, Ok(Some(_)))
}

async fn record(
    postgres: &tokio_postgres::Client,
    file: &File,
) -> Result<(), tokio_postgres::Error> {
    let statement = "INSERT INTO schema_migration (store, name, sha256) VALUES ($1, $2, $3) \
        ON CONFLICT (store, name) DO UPDATE SET sha256 = excluded.sha256, applied_at = now()";
    postgres
        .execute(statement, &[&file.store.name(), &file.name, &file.checksum])
        .await
        .map(|_| ())
}

async fn statements_over_http(http: &Client, url: &str, text: &str) -> Result<(), String> {
    let mut url = url::Url::parse(url).map_err(|error| error.to_string())?;
    // The database is made by the first file: no statement may need it to exist.
    url.set_query(None);
    let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
    let _plain = url.set_username("").and_then(|()| url.set_password(None));
    for statement in statements(text) {
        let mut request = http.post(url.clone()).body(statement.clone());
        if !user.is_empty() {
            request = request.basic_auth(&user, password.as_deref());
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            let why = answer.text().await.unwrap_or_default();
            return Err(format!("{}\nin: {statement}", why.trim()));
        }
    }
    Ok(())
}

/// The statements of a file: each ends with `;` at the end of a line.
fn statements(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    for line in text.lines() {
        let code = line.trim_end();
        if code.trim_start().starts_with("--") {
            continue;
        }
        let (part, ends) = code
            .strip_suffix(';')
            .map_or((code, false), |part| (part, true));
        if let Some(last) = statements.last_mut() {
            last.push_str(part);
            last.push('\n');
        }
        if ends {
            statements.push(String::new());
        }
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

/// A PostgreSQL error with the server's own words.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!(
            "{answer} {}",
            answer.detail().or(answer.hint()).unwrap_or_default()
        ),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_end_with_a_semicolon_at_the_end_of_a_line() {
        let text = "-- a; comment;\nCREATE TABLE a (x String DEFAULT ';')\nENGINE = Memory; \n\nSELECT 1;\n-- end\n";
        let found = statements(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("CREATE TABLE a (x String DEFAULT ';')"));
        assert_eq!(found[1].trim(), "SELECT 1");
    }
}
