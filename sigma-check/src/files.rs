//! Rules, events and log lines of directories.

use crate::events::Fields;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Bytes of a line; longer ones are no event here.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// The texts of the rules in directories.
///
/// # Errors
/// What cannot be read.
pub fn rules(directories: &[String]) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for directory in directories {
        for path in found(Path::new(directory), &["yml", "yaml"])? {
            texts.push(read(&path)?);
        }
    }
    Ok(texts)
}

/// The events in directories: JSON documents, one or several a file, and lines of logs. Of the
/// events of Windows as JSON, with what is within `System` and `EventData` outside too, under the
/// names that rules have for it.
///
/// # Errors
/// What cannot be read.
pub fn events(directories: &[String]) -> Result<Vec<Fields>, String> {
    let mut events = Vec::new();
    for directory in directories {
        for path in found(Path::new(directory), &["json", "jsonl", "ndjson"])? {
            let text = read(&path)?;
            for document in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
                let wrong = |error| format!("{}: {error}", path.display());
                match document.map_err(wrong)? {
                    Value::Object(event) => events.push(unfolded(event)),
                    Value::Array(list) => events
                        .extend(list.into_iter().filter_map(|one| {
                            one.as_object().map(|event| unfolded(event.clone()))
                        })),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                }
            }
        }
        for path in found(Path::new(directory), &["log"])? {
            let lines = std::fs::read(&path).map_err(|error| error.to_string())?;
            let lines = String::from_utf8_lossy(&lines).into_owned();
            let lines = lines.lines().filter(|line| line.len() <= LINE_BYTES_MAX);
            let lines = lines.filter_map(|line| json!({"message": line}).as_object().cloned());
            events.extend(lines);
        }
    }
    Ok(events)
}

fn unfolded(mut event: Fields) -> Fields {
    let Some(Value::Object(inner)) = event.remove("Event") else {
        return event;
    };
    for (name, value) in &inner {
        match value {
            Value::Object(members) if name != "#attributes" => {
                for (member, value) in members {
                    let attributes = value.get("#attributes").and_then(Value::as_object);
                    for (attribute, value) in attributes.into_iter().flatten() {
                        event.insert(format!("{member}_{attribute}"), value.clone());
                    }
                    if attributes.is_none() {
                        event.insert(member.clone(), value.clone());
                    }
                }
            }
            Value::Object(_) => {}
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                event.insert(name.clone(), value.clone());
            }
        }
    }
    event.insert("Event".to_owned(), Value::Object(inner));
    event
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn found(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(wrong)? {
        paths.push(entry.map_err(wrong)?.path());
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let extension = path.extension().and_then(|own| own.to_str());
        if path.is_dir() {
            files.extend(found(&path, extensions)?);
        } else if extension.is_some_and(|own| extensions.contains(&own)) {
            files.push(path);
        }
    }
    Ok(files)
}
