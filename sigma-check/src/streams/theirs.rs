//! The other evaluator with its windows, given what the readings say it has to be given.

use super::readings::{Reading, Readings};
use super::{Case, Fires, Timed};
use crate::events::Fields;
use crate::ours::{comparable, sent};
use rsigma_eval::{
    CorrelationConfig, CorrelationEngine, EvaluationResult, JsonEvent, Pipeline, apply_pipelines,
    parse_pipeline, pipeline::apply_pipelines_to_correlation,
};
use rsigma_parser::{
    ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType,
    FieldAlias, FilterRule, FilterRuleTarget, SigmaCollection, SigmaRule, parse_sigma_yaml,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Words that stand for nothing, as our keys know them.
const NOTHING: [&str; 9] = [
    "",
    "-",
    "unknown",
    "null",
    "none",
    "nil",
    "undefined",
    "n/a",
    "(null)",
];

/// What fires in a case.
///
/// # Errors
/// What of it is refused.
pub(super) fn fires(case: &Case, readings: &Readings) -> Result<Fires, String> {
    let mut collection = parse_sigma_yaml(&case.rules).map_err(|error| error.to_string())?;
    if let Some(error) = collection.errors.first() {
        return Err(error.clone());
    }
    let mut pipelines = case
        .pipelines
        .iter()
        .map(|text| parse_pipeline(text).map_err(|error| error.to_string()))
        .collect::<Result<Vec<Pipeline>, String>>()?;
    pipelines.sort_by_key(|pipeline| pipeline.priority);
    let original = collection.clone();
    let given = Given {
        readings,
        pipelines: &pipelines,
        original: &original,
    };
    given.rewrite(&mut collection)?;
    let config = CorrelationConfig {
        emit_detections: false,
        ..CorrelationConfig::default()
    };
    let mut engine = CorrelationEngine::new(config);
    let added = engine.add_collection(&collection);
    added.map_err(|error| error.to_string())?;
    let told = Told::new(&original, &collection, readings);
    let mut fires = Fires::new();
    for (number, event) in case.events.iter().enumerate() {
        told.event((&mut engine, &mut fires), number, event);
    }
    Ok(fires)
}

/// What the other is given.
struct Given<'g> {
    readings: &'g Readings,
    pipelines: &'g [Pipeline],
    original: &'g SigmaCollection,
}

impl Given<'_> {
    fn rewrite(&self, collection: &mut SigmaCollection) -> Result<(), String> {
        let wrong = |error: rsigma_eval::EvalError| error.to_string();
        for filter in &mut collection.filters {
            self.filter(filter)?;
        }
        for rule in &mut collection.rules {
            apply_pipelines(self.pipelines, rule).map_err(wrong)?;
        }
        let names = names(self.original);
        for correlation in &mut collection.correlations {
            self.window(correlation);
            if self.readings.has(Reading::SilentParts) {
                for reference in &mut correlation.rules {
                    if let Some(id) = names.get(reference) {
                        reference.clone_from(id);
                    }
                }
            }
            if self.readings.has(Reading::GroupMapped) {
                self.map_groups(correlation)?;
                self.map_counted(correlation)?;
            } else {
                apply_pipelines_to_correlation(self.pipelines, correlation).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn filter(&self, filter: &mut FilterRule) -> Result<(), String> {
        if self.readings.has(Reading::FilterTakesAway) {
            let conditions = &mut filter.detection.conditions;
            let is_negation = |one: &ConditionExpr| matches!(one, ConditionExpr::Not(_));
            if !conditions.iter().all(is_negation) {
                for one in conditions {
                    *one = ConditionExpr::Not(Box::new(one.clone()));
                }
            }
        }
        if self.readings.has(Reading::FilterByName)
            && let FilterRuleTarget::Specific(rules) = &mut filter.rules
        {
            let names = names(self.original);
            for rule in rules {
                if let Some(id) = names.get(rule) {
                    rule.clone_from(id);
                }
            }
        }
        if self.readings.has(Reading::FilterMapped) {
            let Some(like) = self.original.rules.first() else {
                return Ok(());
            };
            let mut rule = SigmaRule {
                detection: filter.detection.clone(),
                logsource: filter.logsource.clone().unwrap_or_default(),
                ..like.clone()
            };
            let mapped = apply_pipelines(self.pipelines, &mut rule);
            mapped.map_err(|error| error.to_string())?;
            filter.detection = rule.detection;
        }
        Ok(())
    }

    fn window(&self, correlation: &mut CorrelationRule) {
        if self.readings.has(Reading::OpenEnd) {
            let timespan = &mut correlation.timespan;
            timespan.seconds = timespan.seconds.saturating_sub(1);
        }
        let all = correlation.rules.len() as u64;
        if self.readings.has(Reading::AllOfTemporal)
            && correlation.correlation_type == CorrelationType::Temporal
            && let CorrelationCondition::Threshold { predicates, .. } = &mut correlation.condition
            && *predicates == [(ConditionOperator::Gte, 1)]
        {
            *predicates = vec![(ConditionOperator::Gte, all)];
        }
    }

    /// Fields to group by as aliases, with what they are called in the events of each rule.
    fn map_groups(&self, correlation: &mut CorrelationRule) -> Result<(), String> {
        let mut aliases = Vec::new();
        for name in &correlation.group_by {
            let known = correlation
                .aliases
                .iter()
                .find(|alias| alias.alias == *name);
            let mut alias = FieldAlias {
                alias: name.clone(),
                mapping: known.map(|alias| alias.mapping.clone()).unwrap_or_default(),
            };
            for rule in &self.original.rules {
                let own = [&rule.id, &rule.name];
                let own: Vec<&String> = own.into_iter().flatten().collect();
                let named = own.iter().find_map(|own| alias.mapping.get(*own).cloned());
                let field = self.mapped(rule, named.as_ref().unwrap_or(name))?;
                for own in own {
                    alias.mapping.insert(own.clone(), field.clone());
                }
            }
            aliases.push(alias);
        }
        correlation.aliases = aliases;
        Ok(())
    }

    /// The fields that are counted or added up: one name for all rules is all that the other takes.
    fn map_counted(&self, correlation: &mut CorrelationRule) -> Result<(), String> {
        let first = correlation.rules.first();
        let is_first = |rule: &&SigmaRule| rule.id.as_ref() == first || rule.name.as_ref() == first;
        let rule = self.original.rules.iter().find(is_first);
        if let CorrelationCondition::Threshold { field, .. } = &mut correlation.condition
            && let Some(rule) = rule
        {
            for name in field.iter_mut().flatten() {
                *name = self.mapped(rule, name)?;
            }
        }
        Ok(())
    }

    /// What a field is called in the events of a rule, by the pipelines.
    fn mapped(&self, rule: &SigmaRule, field: &str) -> Result<String, String> {
        let text = format!(
            "title: t\nlogsource: {{product: p}}\ndetection: {{s: {{{field}: x}}, condition: s}}\n"
        );
        let parsed = parse_sigma_yaml(&text).map_err(|error| error.to_string())?;
        let Some(mut probe) = parsed.rules.into_iter().next() else {
            return Ok(field.to_owned());
        };
        probe.logsource = rule.logsource.clone();
        let mapped = apply_pipelines(self.pipelines, &mut probe);
        mapped.map_err(|error| error.to_string())?;
        let mut name = None;
        crate::exceptions::rewrite::each_item(&mut probe, &mut |item| {
            name = name.take().or_else(|| item.field.name.clone());
            false
        });
        Ok(name.unwrap_or_else(|| field.to_owned()))
    }
}

/// The ids of rules and correlations by their names.
fn names(collection: &SigmaCollection) -> BTreeMap<String, String> {
    let rules = collection.rules.iter().map(|one| (&one.name, &one.id));
    let others = collection.correlations.iter();
    let all = rules.chain(others.map(|one| (&one.name, &one.id)));
    let pairs = all.filter_map(|(name, id)| Some((name.clone()?, id.clone()?)));
    pairs.collect()
}

/// What of its answers counts.
struct Told<'t> {
    readings: &'t Readings,
    correlations: BTreeMap<String, CorrelationRule>,
    /// Ids of correlations that are parts of others.
    silent: BTreeSet<String>,
    /// Correlations for which an event that several rules match counts once, with the ids of these.
    counted: Vec<(CorrelationRule, Vec<String>)>,
    /// What the other silences, as it is named.
    silenced: BTreeSet<String>,
    /// Names of rules, by their ids.
    names: BTreeMap<String, String>,
    /// Fields that are grouped by or counted.
    keys: BTreeSet<String>,
}

impl<'t> Told<'t> {
    fn new(original: &SigmaCollection, given: &SigmaCollection, readings: &'t Readings) -> Self {
        let (mut silent, mut counted, mut keys) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let mut silenced = BTreeSet::new();
        let names = names(original);
        let id = |reference: &String| names.get(reference).unwrap_or(reference).clone();
        for one in &given.correlations {
            if !one.generate {
                silent.extend(one.rules.iter().map(id));
                silenced.extend(one.rules.iter().cloned());
            }
            if !is_temporal(one) {
                counted.push((one.clone(), one.rules.iter().map(id).collect()));
            }
            keys.extend(one.group_by.iter().cloned());
            let aliased = one.aliases.iter().flat_map(|alias| alias.mapping.values());
            keys.extend(aliased.cloned());
            if one.correlation_type == CorrelationType::ValueCount {
                keys.extend(fields(one).iter().cloned());
            }
        }
        let correlations = given.correlations.iter();
        let correlations = correlations.filter_map(|one| Some((one.id.clone()?, one.clone())));
        Told {
            readings,
            correlations: correlations.collect(),
            silent,
            counted,
            silenced,
            names: names
                .iter()
                .map(|(name, id)| (id.clone(), name.clone()))
                .collect(),
            keys,
        }
    }

    fn event(
        &self,
        (engine, fires): (&mut CorrelationEngine, &mut Fires),
        number: usize,
        timed: &Timed,
    ) {
        let (_, mut flat) = sent(&comparable(&timed.fields));
        if self.readings.has(Reading::WordsForNothing) {
            let is_word = |value: &Value| {
                let text = value.as_str().map(|text| text.trim().to_lowercase());
                value.is_null() || text.is_some_and(|text| NOTHING.contains(&text.as_str()))
            };
            flat.retain(|name, value| !self.keys.contains(name) || !is_word(value));
        }
        let whole = Value::Object(flat);
        let event = JsonEvent::borrow(&whole);
        let Some(flat) = whole.as_object() else {
            return;
        };
        let mut detections = engine.evaluate(&event);
        if self.readings.has(Reading::EventOnce) {
            for id in self.once(&mut detections, flat) {
                fires.insert((id, number, Vec::new()));
            }
        }
        let results = engine.process_with_detections(&event, detections, timed.second);
        for result in results {
            if let Some((id, group)) = self.counts(&result, flat) {
                fires.insert((id, number, group));
            }
        }
    }

    /// Of rules that are counted together for a group the first; the ids of the others that stand for
    /// themselves as well.
    fn once(&self, detections: &mut Vec<EvaluationResult>, event: &Fields) -> Vec<String> {
        let mut standing = Vec::new();
        for (correlation, together) in &self.counted {
            let mut seen = BTreeSet::new();
            detections.retain(|one| {
                let Some(id) = one
                    .header
                    .rule_id
                    .as_ref()
                    .filter(|id| together.contains(id))
                else {
                    return true;
                };
                let is_first = seen.insert(self.group(correlation, id, event));
                if !is_first && !self.silenced.contains(id) {
                    standing.push(id.clone());
                }
                is_first
            });
        }
        standing
    }

    /// What a correlation groups an event by, as a rule has it.
    fn group(
        &self,
        correlation: &CorrelationRule,
        id: &str,
        event: &Fields,
    ) -> Vec<Option<String>> {
        let name = self.names.get(id).map_or(id, String::as_str);
        let values = correlation.group_by.iter().map(|field| {
            let mut aliases = correlation.aliases.iter();
            let alias = aliases.find(|alias| alias.alias == *field);
            let own = alias.and_then(|alias| {
                let by_name = || alias.mapping.get(name);
                alias.mapping.get(id).or_else(by_name)
            });
            let value = event.get(own.unwrap_or(field))?;
            Some(
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        });
        values.collect()
    }

    /// The rule and the group, if this counts as a firing.
    fn counts(&self, result: &EvaluationResult, event: &Fields) -> Option<(String, Vec<String>)> {
        let id = result.header.rule_id.clone()?;
        let Some(body) = result.as_correlation() else {
            return Some((id, Vec::new()));
        };
        let correlation = self.correlations.get(&id)?;
        if self.readings.has(Reading::SilentParts) && self.silent.contains(&id) {
            return None;
        }
        if self.readings.has(Reading::GroupNeeded)
            && body.group_key.len() < correlation.group_by.len()
        {
            return None;
        }
        if self.readings.has(Reading::ValueNeeded) && !has_value(correlation, event) {
            return None;
        }
        if self.readings.has(Reading::PercentileBounds)
            && correlation.correlation_type == CorrelationType::ValuePercentile
            && !is_within(correlation, body.aggregated_value)
        {
            return None;
        }
        let values = body.group_key.iter().map(|(_, value)| value.clone());
        Some((id, values.collect()))
    }
}

fn is_temporal(correlation: &CorrelationRule) -> bool {
    matches!(
        correlation.correlation_type,
        CorrelationType::Temporal | CorrelationType::TemporalOrdered
    )
}

fn fields(correlation: &CorrelationRule) -> &[String] {
    match &correlation.condition {
        CorrelationCondition::Threshold { field, .. } => field.as_deref().unwrap_or_default(),
        CorrelationCondition::Extended(_) => &[],
    }
}

/// Whether an event has what the correlation counts or adds up.
fn has_value(correlation: &CorrelationRule, event: &Fields) -> bool {
    let is_number = |value: &Value| match value {
        Value::Number(_) => true,
        Value::String(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    };
    let is_counted = correlation.correlation_type == CorrelationType::ValueCount;
    fields(correlation).iter().all(|field| {
        let value = event.get(field).filter(|value| !value.is_null());
        value.is_some_and(|value| is_counted || is_number(value))
    })
}

fn is_within(correlation: &CorrelationRule, measured: f64) -> bool {
    let CorrelationCondition::Threshold { predicates, .. } = &correlation.condition else {
        return false;
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "bounds that are made up are small"
    )]
    let holds = |(operator, bound): &(ConditionOperator, u64)| {
        let bound = *bound as f64;
        // What is interpolated is off by the last bits of a float.
        let measured = (measured * 1e9).round() / 1e9;
        match operator {
            ConditionOperator::Lt => measured < bound,
            ConditionOperator::Lte => measured <= bound,
            ConditionOperator::Gt => measured > bound,
            ConditionOperator::Gte => measured >= bound,
            ConditionOperator::Eq => (measured - bound).abs() < f64::EPSILON,
            ConditionOperator::Neq => (measured - bound).abs() >= f64::EPSILON,
        }
    };
    predicates.iter().all(holds)
}
