//! Files to documents, by their sort. Counts what is there before it is made anything of, so that an
//! import of strangers takes bounded time.

use super::correlation::Correlation;
use super::document::{Document, Filter, SigmaRule, read};
use super::import::{Refused, Source};
use super::pipeline::Pipeline;
use super::yaml;
use crate::rules::{Problem, RULES_MAX};
use serde_yaml_ng::Value as Yaml;

/// Documents of one import: as many as an organisation may have rules.
pub const DOCUMENTS_MAX: usize = RULES_MAX;
/// Correlations among them. Each looks for the rules it refers to.
const CORRELATIONS_MAX: usize = 2_000;
/// Filters among them. Each is tried on every rule.
const FILTERS_MAX: usize = 200;
/// Pipelines among them. Each is applied to every rule.
const PIPELINES_MAX: usize = 50;

/// A document with its file.
pub(super) struct Placed<T> {
    pub(super) file: String,
    pub(super) document: T,
}

/// Documents by their sort.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) rules: Vec<Placed<SigmaRule>>,
    pub(super) filters: Vec<Placed<Filter>>,
    pub(super) correlations: Vec<Placed<Correlation>>,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) refused: Vec<Refused>,
    documents: usize,
}

/// Reads all files.
pub(super) fn sort(sources: &[Source]) -> Sorted {
    let mut sorted = Sorted::default();
    for source in sources {
        if sorted.documents == DOCUMENTS_MAX {
            let what = format!(
                "and those after it are beyond the {DOCUMENTS_MAX} documents of one import"
            );
            sorted.refuse(&source.name, None, Problem::new("file", what));
            break;
        }
        sorted.file(source);
    }
    sorted
}

/// Files with `transformations` are pipelines.
fn is_pipeline(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| line.starts_with("transformations:"))
}

impl Sorted {
    fn refuse(&mut self, file: &str, document: Option<&Yaml>, problem: Problem) {
        let text = |name: &str| document?.get(name).and_then(yaml::scalar);
        self.refused.push(Refused {
            file: file.to_owned(),
            title: text("title"),
            id: text("id"),
            problem,
        });
    }

    fn file(&mut self, source: &Source) {
        let file = &source.name;
        if is_pipeline(&source.text) {
            self.documents += 1;
            match Pipeline::from_yaml(&source.text) {
                Ok(_) if self.pipelines.len() == PIPELINES_MAX => {
                    self.refuse(file, None, beyond(PIPELINES_MAX, "pipelines"));
                }
                Ok(pipeline) => self.pipelines.push(pipeline),
                Err(problem) => self.refuse(file, None, problem),
            }
            return;
        }
        let documents = match yaml::documents(&source.text) {
            Ok(documents) => documents,
            Err(problem) => return self.refuse(file, None, problem),
        };
        for value in documents {
            if self.documents == DOCUMENTS_MAX {
                return self.refuse(file, Some(&value), beyond(DOCUMENTS_MAX, "documents"));
            }
            self.documents += 1;
            if let Err(problem) = self.document(file, &value) {
                self.refuse(file, Some(&value), problem);
            }
        }
    }

    fn document(&mut self, file: &str, value: &Yaml) -> Result<(), Problem> {
        match read(value)? {
            Document::Rule(rule) => self.rules.push(placed(file, *rule)),
            Document::Filter(filter) => {
                if self.filters.len() == FILTERS_MAX {
                    return Err(beyond(FILTERS_MAX, "filters"));
                }
                self.filters.push(placed(file, *filter));
            }
            Document::Correlation(correlation) => {
                if self.correlations.len() == CORRELATIONS_MAX {
                    return Err(beyond(CORRELATIONS_MAX, "correlations"));
                }
                self.correlations.push(placed(file, *correlation));
            }
        }
        Ok(())
    }
}

fn placed<T>(file: &str, document: T) -> Placed<T> {
    Placed {
        file: file.to_owned(),
        document,
    }
}

fn beyond(most: usize, what: &str) -> Problem {
    Problem::new("file", format!("is beyond the {most} {what} of one import"))
}
