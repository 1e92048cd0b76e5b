//! One attempt at a state: input processing, the state's own doing, output processing.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use super::map;
use super::parallel;
use super::size::within_limit;
use super::step::Visit;
use super::task;
use crate::choice::timestamp;
use crate::fault::{Fault, NO_CHOICE_MATCHED};
use crate::intrinsic::Expression;
use crate::machine::fields::MAX_SECONDS;
use crate::machine::model::{Body, Choice, Fail, Limit, Pass, ResultRule, State, Text, Wait};
use crate::path::Path;
use crate::template::Template;

/// Answers the output and, for a Choice, the state that comes next.
pub(super) async fn perform<'s>(
    visit: &mut Visit<'_>,
    state: &'s State,
    raw: &Value,
) -> Result<(Value, Option<&'s str>), Fault> {
    let input = select(visit, "InputPath", state.input.as_ref(), raw)?.into_owned();
    let mut next = None;
    let result = match &state.body {
        Body::Task(task) => {
            let answer = task::task(visit, task, &input).await?;
            keep(visit, &task.result, raw, answer)?
        }
        Body::Map(map) => {
            let answer = map::map(visit, map, &input).await?;
            keep(visit, &map.result, raw, answer)?
        }
        Body::Parallel(parallel) => {
            let answer = parallel::parallel(visit, parallel, &input).await?;
            keep(visit, &parallel.result, raw, answer)?
        }
        Body::Pass(pass) => self::pass(visit, pass, raw, input)?,
        Body::Choice(choice) => {
            next = Some(self::choice(visit, choice, &input)?);
            input
        }
        Body::Wait(wait) => {
            let duration = self::wait(visit, wait, &input)?;
            visit.run.pause(visit.place, duration).await;
            input
        }
        Body::Succeed => input,
        Body::Fail(fail) => return Err(self::fail(visit, fail, &input)?),
    };
    let output = select(visit, "OutputPath", state.output.as_ref(), &result)?.into_owned();
    within_limit(&output, &format!("The output of the state '{}'", state.name))?;
    Ok((output, next))
}

/// Applies InputPath or OutputPath; null makes `{}`.
fn select<'v>(
    visit: &Visit<'_>,
    field: &str,
    path: Option<&Expression>,
    value: &'v Value,
) -> Result<Cow<'v, Value>, Fault> {
    match path {
        None => Ok(Cow::Owned(Value::Object(Map::new()))),
        Some(Expression::Path(path)) => match path.find(value, &visit.context) {
            Some(found) => Ok(Cow::Owned(found.clone())),
            None => Err(missing(field, path)),
        },
        Some(many) => {
            many.evaluate(field, value, &visit.context, &|| visit.random()).map(Cow::Owned)
        }
    }
}

fn missing(field: &str, path: &Path) -> Fault {
    Fault::runtime(format!("Invalid path '{}' in {field}: there is no such place.", path.text()))
}

/// Fills a payload template with what a state works on.
pub(super) fn fill(visit: &Visit<'_>, template: &Template, data: &Value) -> Result<Value, Fault> {
    template.fill(data, &visit.context, &|| visit.random())
}

/// Cuts a result by ResultSelector and puts it into the raw input at ResultPath.
fn keep(visit: &Visit<'_>, rule: &ResultRule, raw: &Value, result: Value) -> Result<Value, Fault> {
    let result = match &rule.selector {
        Some(selector) => fill(visit, selector, &result)?,
        None => result,
    };
    put(rule.path.as_ref(), raw, result)
}

fn put(path: Option<&Path>, raw: &Value, result: Value) -> Result<Value, Fault> {
    match path {
        None => Ok(raw.clone()),
        Some(path) => path
            .put(raw.clone(), result)
            .map_err(|sentence| Fault::new("States.ResultPathMatchFailure", sentence)),
    }
}

fn pass(visit: &Visit<'_>, pass: &Pass, raw: &Value, input: Value) -> Result<Value, Fault> {
    let result = match (&pass.fixed, &pass.parameters) {
        (Some(fixed), _) => fixed.clone(),
        (None, Some(parameters)) => fill(visit, parameters, &input)?,
        (None, None) => input,
    };
    put(pass.path.as_ref(), raw, result)
}

fn choice<'s>(visit: &Visit<'_>, choice: &'s Choice, input: &Value) -> Result<&'s str, Fault> {
    for (rule, next) in &choice.rules {
        if rule.holds(input, &visit.context)? {
            return Ok(next);
        }
    }
    choice.default.as_deref().ok_or_else(|| {
        let cause = format!(
            "No rule of the Choice state '{}' matched, and it has no Default.",
            visit.state.name
        );
        Fault::new(NO_CHOICE_MATCHED, cause)
    })
}

fn wait(visit: &Visit<'_>, wait: &Wait, input: &Value) -> Result<Duration, Fault> {
    let until = |time: jiff::Timestamp| {
        // A time in the past is no wait.
        Duration::try_from(time.duration_since(visit.run.shared.clock.now())).unwrap_or_default()
    };
    match wait {
        Wait::Seconds(seconds) => Ok(Duration::from_secs(*seconds)),
        Wait::Timestamp(time) => Ok(until(*time)),
        Wait::SecondsPath(path) => {
            number(visit, "SecondsPath", path, input, 0).map(Duration::from_secs)
        }
        Wait::TimestampPath(path) => {
            let value = path.find(input, &visit.context);
            let value = value.ok_or_else(|| missing("TimestampPath", path))?;
            value.as_str().and_then(timestamp).map(until).ok_or_else(|| {
                Fault::runtime(format!("The TimestampPath '{}' holds no timestamp.", path.text()))
            })
        }
    }
}

fn fail(visit: &Visit<'_>, fail: &Fail, input: &Value) -> Result<Fault, Fault> {
    let text = |field: &str, text: &Option<Text>| match text {
        None => Ok(String::new()),
        Some(Text::Fixed(text)) => Ok(text.clone()),
        Some(Text::From(expression)) => {
            match expression.evaluate(field, input, &visit.context, &|| visit.random())? {
                Value::String(text) => Ok(text),
                _ => Err(Fault::runtime(format!("The {field} must yield a string."))),
            }
        }
    };
    Ok(Fault::new(text("ErrorPath", &fail.error)?, text("CausePath", &fail.cause)?))
}

/// The number of a `…Path` field.
pub(super) fn number(
    visit: &Visit<'_>,
    field: &str,
    path: &Path,
    input: &Value,
    least: u64,
) -> Result<u64, Fault> {
    let value = path.find(input, &visit.context).ok_or_else(|| missing(field, path))?;
    value.as_u64().filter(|number| (least..=MAX_SECONDS).contains(number)).ok_or_else(|| {
        Fault::runtime(format!(
            "The {field} '{}' must hold an integer from {least} to {MAX_SECONDS}.",
            path.text()
        ))
    })
}

/// A number that stands in the machine or in the input; 0 if there is none.
pub(super) fn limit(
    visit: &Visit<'_>,
    field: &str,
    limit: &Limit,
    input: &Value,
    least: u64,
) -> Result<u64, Fault> {
    match limit {
        Limit::None => Ok(0),
        Limit::Fixed(number) => Ok(*number),
        Limit::Path(path) => number(visit, field, path, input, least),
    }
}
