//! Importing: files in, rules out, and for everything else the reason.

use super::condition::{Expression, parse};
use super::correlate::{self, Base, Known};
use super::correlation::Correlation;
use super::detection::{Detection, Reader};
use super::document::{Filter, Filtered, LogSource, Meta, SigmaRule};
use super::pipeline::{self, Pipeline, Subject};
use super::placeholder::Bindings;
use super::selection::{any_of, every, not, of_condition, of_detection};
use super::sort::{Placed, sort};
use super::unmapped::kept_to_its_fields;
use super::{attack, builtin};
use crate::rules::{MissingGroup, Problem, RuleDef, RuleSeverity, Selection, WindowDef};
use millrace_shared::Signal;
use millrace_shared::wire::Severity;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of a rule that its alerts show.
const SHOWN_MAX: usize = 4;
/// Refused documents that [`Import::reasons`] names.
const REASONS_NAMED: usize = 10;

/// A file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// How rules are taken in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pipelines that are applied before those that are built in.
    pub pipelines: Vec<Pipeline>,
    /// Leaves the built-in mapping of fields and log sources out.
    pub plain: bool,
    /// What placeholders stand for.
    pub placeholders: BTreeMap<String, Vec<String>>,
    /// Takes rules in without switching them on.
    pub disabled: bool,
}

/// A rule that was taken in.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The rule.
    pub rule: RuleDef,
    /// The file it stands in.
    pub file: String,
    /// What is odd about it and does no harm.
    pub warnings: Vec<String>,
}

/// A document that was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file it stands in.
    pub file: String,
    /// Its title, as far as it has one.
    pub title: Option<String>,
    /// Its id, as far as it has one.
    pub id: Option<String>,
    /// Why.
    pub problem: Problem,
}

/// What came of an import.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The rules, in the order of the files.
    pub rules: Vec<Imported>,
    /// What was refused.
    pub refused: Vec<Refused>,
    /// How many filters were applied to at least one rule.
    pub filters: usize,
}

impl Import {
    /// Takes in the rules of files.
    #[must_use]
    pub fn new(sources: &[Source], options: &Options) -> Import {
        let mut sorted = sort(sources);
        let mut import = Import {
            refused: std::mem::take(&mut sorted.refused),
            ..Import::default()
        };
        let mut pipelines = options.pipelines.clone();
        pipelines.append(&mut sorted.pipelines);
        if !options.plain {
            pipelines.extend(builtin::pipelines().iter().cloned());
        }
        pipeline::sort(&mut pipelines);
        let compiler = Compiler {
            pipelines: &pipelines,
            options,
        };
        let cuts = sorted.filters.iter();
        let cuts = cuts.map(|filter| (filter, compiler.filter(&filter.document), false));
        let mut filters: Cuts<'_> = cuts.collect();
        let mut bases = Vec::new();
        for rule in &sorted.rules {
            let meta = &rule.document.meta;
            match compiler.rule(&rule.document, &mut filters) {
                Ok((def, warnings)) => {
                    bases.push(Base {
                        id: meta.id.clone(),
                        name: meta.name.clone(),
                        logsource: rule.document.logsource.clone(),
                        rule: def.clone(),
                    });
                    import.rules.push(Imported {
                        rule: def,
                        file: rule.file.clone(),
                        warnings,
                    });
                }
                Err(problem) => import.refuse(&rule.file, Some(meta), problem),
            }
        }
        import.correlate(&sorted.correlations, &bases, &compiler);
        import.filtered(filters);
        import.without_doubles()
    }

    /// Why documents were refused, in words: the first of them, and how many more.
    #[must_use]
    pub fn reasons(&self) -> String {
        let each = self.refused.iter().take(REASONS_NAMED).map(|refused| {
            let title = refused.title.as_deref().unwrap_or("no title");
            format!("{} ({title}): {}", refused.file, refused.problem)
        });
        let each: Vec<String> = each.collect();
        match self.refused.len().saturating_sub(each.len()) {
            0 => each.join("; "),
            more => format!(
                "{}; and {more} more, which a dry run names",
                each.join("; ")
            ),
        }
    }

    /// Counts the filters that took something away, and refuses those that did not.
    fn filtered(&mut self, filters: Cuts<'_>) {
        for (filter, compiled, applied) in filters {
            self.filters += usize::from(applied);
            let meta = &filter.document.inner.meta;
            match compiled {
                Err(problem) => self.refuse(&filter.file, Some(meta), problem),
                Ok(_) if !applied => {
                    let what = "names no rule of this import and its log source";
                    self.refuse(&filter.file, Some(meta), Problem::new("filter.rules", what));
                }
                Ok(_) => {}
            }
        }
    }

    fn refuse(&mut self, file: &str, meta: Option<&Meta>, problem: Problem) {
        self.refused.push(Refused {
            file: file.to_owned(),
            title: meta.map(|meta| meta.title.clone()),
            id: meta.and_then(|meta| meta.id.clone()),
            problem,
        });
    }

    /// Adds the correlations. What they refer to stands for itself no longer, unless one of them
    /// says so; not even when the correlation is refused, for it was never meant to.
    fn correlate(
        &mut self,
        correlations: &[Placed<Correlation>],
        bases: &[Base],
        compiler: &Compiler<'_>,
    ) {
        let all: Vec<&Correlation> = correlations.iter().map(|one| &one.document).collect();
        let known = Known {
            bases,
            correlations: &all,
        };
        let mut names = Referred::default();
        let mut made = Vec::new();
        for one in correlations {
            let correlation = &one.document;
            let compiled = compiler.correlation(correlation, known);
            // Of those that are part of one of its parts, that one says whether they stand.
            let referred = if correlation.generate {
                correlation.rules.clone()
            } else {
                correlate::referred(correlation, known)
            };
            names.add(correlation, compiled.is_ok(), referred);
            match compiled {
                Ok(rule) => made.push((one, rule)),
                Err(problem) => self.refuse(&one.file, Some(&correlation.meta), problem),
            }
        }
        let rules = std::mem::take(&mut self.rules);
        for (base, one) in bases.iter().zip(rules) {
            match names.fate([&base.id, &base.name]) {
                Fate::Stands => self.rules.push(one),
                Fate::IsPart => {}
                Fate::IsPartOfNothing => {
                    let what = "is only for a correlation that is refused";
                    self.refused.push(Refused {
                        file: one.file,
                        title: Some(one.rule.name),
                        id: Some(one.rule.id),
                        problem: Problem::new("correlation", what),
                    });
                }
            }
        }
        for (one, rule) in made {
            let meta = &one.document.meta;
            if names.fate([&meta.id, &meta.name]) == Fate::Stands {
                self.rules.push(Imported {
                    rule,
                    file: one.file.clone(),
                    warnings: Vec::new(),
                });
            }
        }
    }

    /// Of several rules with one id the first stays.
    fn without_doubles(mut self) -> Import {
        let mut ids = BTreeSet::new();
        let rules = std::mem::take(&mut self.rules);
        for imported in rules {
            if ids.insert(imported.rule.id.clone()) {
                self.rules.push(imported);
            } else {
                let problem = Problem::new("id", "is that of another rule of this import");
                self.refused.push(Refused {
                    file: imported.file,
                    title: Some(imported.rule.name),
                    id: Some(imported.rule.id),
                    problem,
                });
            }
        }
        self
    }
}

/// The ids and names that correlations refer to.
#[derive(Default)]
struct Referred {
    by_taken: BTreeSet<String>,
    by_refused: BTreeSet<String>,
    generated: BTreeSet<String>,
}

/// What becomes of a rule that correlations may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stands for itself.
    Stands,
    /// It is part of a correlation that was taken in, and nothing else.
    IsPart,
    /// It would be part of correlations that were refused.
    IsPartOfNothing,
}

impl Referred {
    fn add(&mut self, correlation: &Correlation, taken: bool, names: Vec<String>) {
        let set = match (correlation.generate, taken) {
            (true, _) => &mut self.generated,
            (false, true) => &mut self.by_taken,
            (false, false) => &mut self.by_refused,
        };
        set.extend(names);
    }

    fn fate(&self, own: [&Option<String>; 2]) -> Fate {
        let is_in = |set: &BTreeSet<String>| {
            let mut own = own.into_iter().flatten();
            own.any(|name| set.contains(name))
        };
        if is_in(&self.generated) {
            Fate::Stands
        } else if is_in(&self.by_taken) {
            Fate::IsPart
        } else if is_in(&self.by_refused) {
            Fate::IsPartOfNothing
        } else {
            Fate::Stands
        }
    }
}

/// What is taken away from rules, and how.
struct Cut {
    selection: Selection,
    warning: Option<String>,
}

type Cuts<'f> = Vec<(&'f Placed<Filter>, Result<Cut, Problem>, bool)>;

struct Compiler<'o> {
    pipelines: &'o [Pipeline],
    options: &'o Options,
}

impl Compiler<'_> {
    fn rule(
        &self,
        rule: &SigmaRule,
        filters: &mut Cuts<'_>,
    ) -> Result<(RuleDef, Vec<String>), Problem> {
        let (subject, mut warnings) = self.subject(rule)?;
        let mut selection = whole(rule, &subject)?;
        if !self.options.plain {
            let (kept, warning) = kept_to_its_fields(selection, &rule.logsource)?;
            selection = kept;
            warnings.extend(warning);
        }
        for (filter, cut, applied) in filters {
            if let Ok(cut) = cut
                && filter.document.is_about(rule)
            {
                *applied = true;
                selection = every(vec![selection, cut.selection.clone()]);
                warnings.extend(cut.warning.clone());
            }
        }
        let def = self.def(&subject, &rule.logsource, selection);
        Ok((stored(&def)?, warnings))
    }

    /// What a filter adds to the rules it is about.
    fn filter(&self, filter: &Filter) -> Result<Cut, Problem> {
        let (subject, _) = self.subject(&filter.inner)?;
        let names: Vec<&str> = subject
            .detections
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let conditions = filter.inner.conditions.iter();
        let conditions = conditions.map(|condition| parse(condition, &names));
        let conditions = conditions.collect::<Result<Vec<_>, Problem>>()?;
        let is_negation = |one: &Expression| matches!(one, Expression::Not(_));
        let selected = any_of(
            conditions
                .iter()
                .map(|one| of_condition(one, &detected(&subject)))
                .collect(),
        );
        if conditions.iter().all(is_negation) {
            let what = "is a negation, so it is what has to hold besides the rule";
            return Ok(Cut {
                selection: selected,
                warning: Some(format!(
                    "the condition of the filter {:?} {what}",
                    filter.inner.meta.title
                )),
            });
        }
        Ok(Cut {
            selection: not(selected),
            warning: None,
        })
    }

    /// A rule after its modifiers and pipelines.
    fn subject(&self, rule: &SigmaRule) -> Result<(Subject, Vec<String>), Problem> {
        if let Some(taxonomy) = rule.meta.taxonomy.as_deref()
            && taxonomy != "sigma"
            && self.options.pipelines.is_empty()
        {
            let what =
                format!("is {taxonomy:?}; only the default taxonomy is known without a pipeline");
            return Err(Problem::new("taxonomy", what));
        }
        let mut subject = Subject::new(rule.meta.clone(), rule.logsource.clone());
        let mut bindings = Bindings::default();
        bindings.bind(&self.options.placeholders, None, Vec::new());
        pipeline::bind(self.pipelines, &subject, &mut bindings);
        let mut reader = Reader {
            bindings,
            warnings: Vec::new(),
        };
        for (name, value) in &rule.detections {
            let detection = reader.read(value, &format!("detection.{name}"))?;
            subject.detections.push((name.clone(), detection));
        }
        subject.fields = rule
            .meta
            .fields
            .iter()
            .map(|field| (field.clone(), vec![field.clone()]))
            .collect();
        pipeline::apply(self.pipelines, &mut subject)?;
        Ok((subject, reader.warnings))
    }

    fn correlation(&self, correlation: &Correlation, known: Known<'_>) -> Result<RuleDef, Problem> {
        let mapped = |logsource: &LogSource, field: &str| {
            let mut subject = Subject::new(correlation.meta.clone(), logsource.clone());
            subject.is_correlation = true;
            subject
                .fields
                .insert(field.to_owned(), vec![field.to_owned()]);
            pipeline::apply(self.pipelines, &mut subject)?;
            Ok(subject.field(field))
        };
        let (selection, window) = correlate::window(correlation, known, &mapped)?;
        let subject = Subject::new(correlation.meta.clone(), LogSource::default());
        let mut def = self.def(&subject, &LogSource::default(), selection);
        def.window = Some(WindowDef::Correlation(window));
        def.scope = correlate::scope(correlation, known);
        stored(&def)
    }

    fn def(&self, subject: &Subject, logsource: &LogSource, selection: Selection) -> RuleDef {
        let meta = &subject.meta;
        let mut origin = meta.origin.clone();
        if let Some(members) = origin.as_object_mut() {
            members.insert("logsource".to_owned(), logsource.name().into());
        }
        RuleDef {
            id: id(meta),
            name: clipped(&meta.title),
            version: 1,
            severity: RuleSeverity::Fixed(severity(meta.level.as_deref())),
            message: message(subject),
            enabled: !self.options.disabled,
            scope: scope(logsource),
            attack: attack::ids(&meta.tags),
            selection,
            window: None,
            group_by: Vec::new(),
            missing_group: MissingGroup::Skip,
            dedupe: None,
            exceptions: Vec::new(),
            mute: Vec::new(),
            tests: Vec::new(),
            origin: Some(origin),
        }
    }
}

/// The rule as it will be read again: its document is what is stored, so it is what has to be sound.
fn stored(def: &RuleDef) -> Result<RuleDef, Problem> {
    let document = def.to_json();
    if has_zero(&document) {
        let what = "holds the character zero, which the store does not keep";
        return Err(Problem::new("rule", what));
    }
    RuleDef::from_json(&document)
}

fn has_zero(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains('\0'),
        Json::Array(list) => list.iter().any(has_zero),
        Json::Object(map) => {
            let mut members = map.iter();
            members.any(|(name, value)| name.contains('\0') || has_zero(value))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

impl Filter {
    fn is_about(&self, rule: &SigmaRule) -> bool {
        let meta = &rule.meta;
        let is_named = match &self.rules {
            Filtered::Any => true,
            Filtered::These(names) => names.iter().any(|name| {
                [&meta.id, &meta.name]
                    .into_iter()
                    .flatten()
                    .any(|own| own == name)
            }),
        };
        is_named && self.inner.logsource.includes(&rule.logsource)
    }
}

/// The selections of search identifiers.
fn detected(subject: &Subject) -> impl Fn(&str) -> Selection {
    |name| {
        let detection = subject.detections.iter().find(|(known, _)| known == name);
        detection.map_or(Selection::Any(Vec::new()), |(_, detection)| {
            of_detection(detection)
        })
    }
}

/// The selection of a rule: what pipelines added, and its own condition.
fn whole(rule: &SigmaRule, subject: &Subject) -> Result<Selection, Problem> {
    let names: Vec<&str> = rule
        .detections
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let of_rule = detected(subject);
    let conditions = rule.conditions.iter().map(|condition| {
        let expression = parse(condition, &names)?;
        Ok(of_condition(&expression, &of_rule))
    });
    let mut all: Vec<Selection> = subject.added.iter().map(of_added).collect();
    all.push(any_of(conditions.collect::<Result<_, Problem>>()?));
    Ok(every(all))
}

fn of_added((detection, negated): &(Detection, bool)) -> Selection {
    let selection = of_detection(detection);
    if *negated { not(selection) } else { selection }
}

/// The rule's id: its own, else its name, else what its title makes.
fn id(meta: &Meta) -> String {
    let own = meta
        .id
        .as_ref()
        .or(meta.name.as_ref())
        .unwrap_or(&meta.title);
    let fits =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ':');
    let letters = own.chars().map(|letter| {
        let letter = letter.to_ascii_lowercase();
        if fits(letter) { letter } else { '-' }
    });
    letters.take(100).collect()
}

fn clipped(title: &str) -> String {
    title.chars().take(200).collect()
}

fn severity(level: Option<&str>) -> Severity {
    match level {
        Some("informational") => Severity::Info,
        Some("medium") => Severity::Medium,
        Some("high") => Severity::High,
        Some("critical") => Severity::Critical,
        // A rule without a level says nothing of urgency.
        Some(_) | None => Severity::Low,
    }
}

/// The title, and the fields that the rule wants to be seen.
fn message(subject: &Subject) -> String {
    let mut message: String = subject.meta.title.replace('{', "{{").replace('}', "}}");
    let shown = subject.meta.fields.iter().take(SHOWN_MAX);
    for (at, name) in shown.enumerate() {
        let path = subject.field(name).join(crate::rules::path::OR);
        if path.contains(['{', '}']) {
            continue;
        }
        message.push_str(if at == 0 { ": " } else { ", " });
        message.push_str(&format!("{name}={{{path}}}"));
    }
    if message.chars().count() > 2_000 {
        return subject.meta.title.replace('{', "{{").replace('}', "}}");
    }
    message
}

/// The signals that events of a log source arrive as.
fn scope(logsource: &LogSource) -> Vec<Signal> {
    let product = logsource.product.as_deref().unwrap_or_default();
    let service = logsource.service.as_deref().unwrap_or_default();
    if product == "millrace" {
        return Signal::from_name(service).map_or_else(|| Signal::ALL.to_vec(), |one| vec![one]);
    }
    let is_cloud = [
        "aws",
        "azure",
        "gcp",
        "github",
        "bitbucket",
        "okta",
        "onelogin",
        "m365",
        "cisco",
    ]
    .contains(&product);
    if is_cloud || service.contains("audit") {
        vec![Signal::Logs, Signal::Audit]
    } else {
        vec![Signal::Logs]
    }
}
