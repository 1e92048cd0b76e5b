//! Reads Task states, and the Retry and Catch rows that Tasks and Maps share.

use serde_json::Value;

use super::fields::{Fields, MAX_SECONDS};
use super::load::{list, result_rule, template};
use super::model::{CatchRow, Limit, Resource, RetryRow, Task};
use super::problem::Problems;
use crate::fault::{ALL, RUNTIME};
use crate::template::Template;

/// AWS accepts delays of less than a year and a day.
const MAX_DELAY_SECONDS: u64 = 31_622_399;

pub(super) fn task(fields: &Fields<'_>, problems: &mut Problems) -> Option<Task> {
    let allowed = [
        "Type",
        "Comment",
        "InputPath",
        "OutputPath",
        "ResultPath",
        "ResultSelector",
        "Parameters",
        "Resource",
        "TimeoutSeconds",
        "TimeoutSecondsPath",
        "Retry",
        "Catch",
        "Next",
        "End",
    ];
    fields.only(&allowed, "a Task state", problems);
    let result = result_rule(fields, problems);
    let timeout = timeout(fields, problems);
    let arn = fields.required_string("Resource", "a Task state", problems)?;
    let resource = match Resource::parse(arn) {
        Ok(resource) => resource,
        Err(sentence) => {
            problems.add(&fields.place("Resource"), sentence);
            return None;
        }
    };
    let parameters = match template(fields, "Parameters", problems) {
        None if resource == Resource::Function => Template::whole(),
        None => {
            problems.add(fields.at(), format!("a Task of `{arn}` needs the field `Parameters`"));
            return None;
        }
        Some(parameters) => {
            check_parameters(resource, arn, fields, &parameters, problems);
            parameters
        }
    };
    Some(Task { resource, arn: arn.into(), parameters, timeout, result })
}

fn timeout(fields: &Fields<'_>, problems: &mut Problems) -> Limit {
    fields.limit("TimeoutSeconds", "TimeoutSecondsPath", 1..=MAX_SECONDS, problems)
}

/// The parameters that each resource takes, and those that it needs.
fn known(resource: Resource) -> (&'static [&'static str], &'static [&'static str]) {
    match resource {
        Resource::LambdaInvoke => (&["FunctionName", "Payload"], &["FunctionName"]),
        Resource::StartJobRunSync => (
            &[
                "ApplicationId",
                "ClientToken",
                "ConfigurationOverrides",
                "ExecutionRoleArn",
                "ExecutionTimeoutMinutes",
                "JobDriver",
                "Mode",
                "Name",
                "RetryPolicy",
                "Tags",
            ],
            &["ApplicationId", "ExecutionRoleArn", "JobDriver"],
        ),
        Resource::PutEvents => (&["Entries"], &["Entries"]),
        Resource::Function => (&[], &[]),
    }
}

/// Notes parameters that a call does not take, and those that it misses.
pub(super) fn only_parameters(
    fields: &Fields<'_>,
    takes: &[&str],
    needs: &[&str],
    owner: &str,
    problems: &mut Problems,
) {
    let Some(Value::Object(map)) = fields.get("Parameters") else { return };
    let at = fields.place("Parameters");
    let plain = |key: &str| key.strip_suffix(".$").unwrap_or(key).to_owned();
    for key in map.keys().filter(|key| !takes.contains(&plain(key).as_str())) {
        let takes = takes.join(", ");
        problems.add(
            &super::problem::child(&at, key),
            format!("this engine supports no parameter `{key}` of `{owner}`; it supports {takes}"),
        );
    }
    for need in needs.iter().filter(|need| !map.keys().any(|key| plain(key) == **need)) {
        problems.add(&at, format!("`{owner}` needs the parameter `{need}`"));
    }
}

fn check_parameters(
    resource: Resource,
    arn: &str,
    fields: &Fields<'_>,
    parameters: &Template,
    problems: &mut Problems,
) {
    if resource == Resource::Function {
        // They are the function's own.
        return;
    }
    let (takes, needs) = known(resource);
    only_parameters(fields, takes, needs, arn, problems);
    let name = parameters.field("FunctionName");
    if resource == Resource::LambdaInvoke && name.is_some_and(|name| name.text().is_none()) {
        problems.add(
            &fields.place("Parameters"),
            "`FunctionName` stands in the machine as a string, so that it is known which \
             functions the machine calls",
        );
    }
}

pub(super) fn retry(fields: &Fields<'_>, problems: &mut Problems) -> Vec<RetryRow> {
    list(fields, "Retry", problems, |row, last, problems| {
        let allowed = [
            "BackoffRate",
            "Comment",
            "ErrorEquals",
            "IntervalSeconds",
            "JitterStrategy",
            "MaxAttempts",
            "MaxDelaySeconds",
        ];
        row.only(&allowed, "a row of Retry", problems);
        let interval = row.integer("IntervalSeconds", 1..=MAX_SECONDS, problems);
        let interval_seconds = interval.unwrap_or(1);
        let attempts = row.integer("MaxAttempts", 0..=MAX_SECONDS, problems);
        let max_delay_seconds = row.integer("MaxDelaySeconds", 1..=MAX_DELAY_SECONDS, problems);
        if max_delay_seconds.is_some_and(|most| most <= interval_seconds) {
            let sentence = "`MaxDelaySeconds` must be greater than `IntervalSeconds`";
            problems.add(&row.place("MaxDelaySeconds"), sentence);
        }
        Some(RetryRow {
            error_equals: error_equals(row, last, problems),
            interval_seconds,
            max_attempts: attempts.and_then(|number| u32::try_from(number).ok()).unwrap_or(3),
            backoff_rate: backoff_rate(row, problems),
            max_delay_seconds,
            full_jitter: full_jitter(row, problems),
        })
    })
}

fn backoff_rate(row: &Fields<'_>, problems: &mut Problems) -> f64 {
    let Some(value) = row.get("BackoffRate") else { return 2.0 };
    match value.as_f64().filter(|rate| *rate >= 1.0) {
        Some(rate) => rate,
        None => {
            let sentence = format!("`BackoffRate` is a number of at least 1.0, this is {value}");
            problems.add(&row.place("BackoffRate"), sentence);
            1.0
        }
    }
}

fn full_jitter(row: &Fields<'_>, problems: &mut Problems) -> bool {
    match row.string("JitterStrategy", problems) {
        Some("FULL") => true,
        None | Some("NONE") => false,
        Some(other) => {
            let sentence = format!("`JitterStrategy` is FULL or NONE, not `{other}`");
            problems.add(&row.place("JitterStrategy"), sentence);
            false
        }
    }
}

pub(super) fn catch(fields: &Fields<'_>, problems: &mut Problems) -> Vec<CatchRow> {
    list(fields, "Catch", problems, |row, last, problems| {
        let allowed = ["Comment", "ErrorEquals", "Next", "ResultPath"];
        row.only(&allowed, "a row of Catch", problems);
        Some(CatchRow {
            error_equals: error_equals(row, last, problems),
            result_path: row.result_path(problems),
            next: row.required_string("Next", "a row of Catch", problems)?.into(),
        })
    })
}

fn error_equals(row: &Fields<'_>, last: bool, problems: &mut Problems) -> Vec<String> {
    let at = row.place("ErrorEquals");
    let names: Option<Vec<String>> = match row.get("ErrorEquals") {
        Some(Value::Array(names)) if !names.is_empty() => {
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    let Some(names) = names else {
        problems.add(&at, "`ErrorEquals` is an array of at least one error name");
        return Vec::new();
    };
    if names.iter().any(|name| name == ALL) && (names.len() > 1 || !last) {
        problems.add(&at, "`States.ALL` stands alone, in the last row");
    }
    if names.iter().any(|name| name == RUNTIME) {
        problems.add(&at, "nothing retries or catches `States.Runtime`: it ends every execution");
    }
    names
}
