//! A case as it stands in its file, run on this engine and compared with what it expects.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::{Engine, FastClock, Identity, LoadError, Machine, Outcome};
use serde::Deserialize;
use serde_json::Value;

use crate::script::Scripted;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    /// What its cases are about, for readers.
    #[serde(rename = "about")]
    _about: String,
    cases: Vec<Case>,
}

/// One state machine, and how it must end.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Name of the case, of its machine and of its execution.
    pub name: String,
    /// The section that says so: `ASL` is states-language.net, `DG` the developer guide of AWS.
    pub spec: String,
    definition: Value,
    input: Value,
    /// What the functions do, call by call; the last step is repeated. Others echo.
    #[serde(default)]
    functions: BTreeMap<String, Vec<Value>>,
    /// Objects in S3 by `bucket/key`; text as it is, anything else as JSON.
    #[serde(default)]
    pub objects: BTreeMap<String, Value>,
    /// What the specification says.
    pub expect: Expect,
    /// Words by which this engine refuses the machine: because it is invalid, or because it uses
    /// what this engine does not support. Then `expect` is for the engines that do.
    #[serde(default)]
    pub refused: Option<String>,
}

/// The end of an execution. `"<any>"` in it stands for any value.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    #[serde(default, deserialize_with = "present")]
    pub output: Option<Value>,
    /// True if the output may have more fields.
    #[serde(default)]
    subset: bool,
    /// Error name; empty for an error without one.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub cause: Option<String>,
    /// FAILED is what an error means otherwise.
    #[serde(default)]
    pub status: Option<String>,
    /// True if no machine can be made of the definition.
    #[serde(default)]
    invalid: bool,
    /// How often functions are called.
    #[serde(default)]
    pub calls: BTreeMap<String, usize>,
    /// Waits and delays before retries, in their order.
    #[serde(default)]
    pub delays_seconds: Option<Vec<f64>>,
}

/// Tells an output of null from no output.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Every topic by its file's name.
pub fn topics() -> BTreeMap<String, Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let topic: Topic =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        found.insert(path.file_stem().unwrap().to_string_lossy().into_owned(), topic.cases);
    }
    found
}

impl Case {
    /// Everything that went otherwise than expected, in words.
    pub async fn complaints(&self) -> Vec<String> {
        let loaded = Machine::load(&self.definition.to_string(), &BTreeMap::new());
        let found = match (loaded, &self.refused) {
            (Err(error), Some(words)) => refusal(&error, words),
            (Err(error), None) => vec![error.to_string()],
            (Ok(_), Some(words)) => {
                vec![format!("it loads, instead of being refused by {words:?}")]
            }
            (Ok(_), None) if self.expect.invalid => vec!["an invalid case needs `refused`".into()],
            (Ok(machine), None) => self.run(machine).await,
        };
        found.into_iter().map(|it| format!("{} ({}): {it}", self.name, self.spec)).collect()
    }

    async fn run(&self, machine: Machine) -> Vec<String> {
        let clock = Arc::new(FastClock::new());
        let services = Arc::new(Scripted::new(&self.functions, &self.objects, &clock));
        let identity = Identity { state_machine: self.name.clone(), ..Identity::default() };
        let engine =
            Engine::builder(Arc::new(machine), Arc::clone(&services) as _, Arc::clone(&clock) as _)
                .identity(identity)
                .build()
                .unwrap();
        let outcome = engine.start(self.name.as_str(), self.input.clone()).wait().await;
        let mut found = self.end(&outcome);
        for (name, expected) in &self.expect.calls {
            let made = services.calls(name);
            if made != *expected {
                found.push(format!("{made} calls of {name}, not {expected}"));
            }
        }
        if let Some(expected) = &self.expect.delays_seconds {
            let slept: Vec<f64> = clock.sleeps().iter().map(|it| it.as_secs_f64()).collect();
            if slept != *expected {
                found.push(format!("delays of {slept:?}, not {expected:?}"));
            }
        }
        found
    }

    fn end(&self, outcome: &Outcome) -> Vec<String> {
        let expect = &self.expect;
        let status = serde_json::to_value(outcome.status).unwrap();
        let wanted = match (&expect.error, &expect.status) {
            (None, _) => "SUCCEEDED",
            (Some(_), None) => "FAILED",
            (Some(_), Some(status)) => status,
        };
        let mut found = Vec::new();
        if status != wanted {
            found.push(format!("status {status}, not {wanted}"));
        }
        let error = outcome.error.clone();
        let (given, wanted) = (outcome.output.as_ref(), expect.output.as_ref());
        let same = match (given, wanted) {
            (Some(given), Some(wanted)) => fits(wanted, given, expect.subset),
            (given, wanted) => given.is_none() && wanted.is_none(),
        };
        if !same {
            let cause = &outcome.cause;
            found.push(format!("output {given:?} ({error:?}: {cause:?}), not {wanted:?}"));
        }
        if error != expect.error {
            found.push(format!("error {error:?} ({:?}), not {:?}", outcome.cause, expect.error));
        }
        if expect.cause.is_some() && outcome.cause != expect.cause {
            found.push(format!("cause {:?}, not {:?}", outcome.cause, expect.cause));
        }
        found
    }
}

fn refusal(error: &LoadError, words: &str) -> Vec<String> {
    let sentence = error.to_string();
    if sentence.contains(words) { Vec::new() } else { vec![format!("{sentence} lacks {words:?}")] }
}

/// True if `given` is what is wanted.
fn fits(wanted: &Value, given: &Value, subset: bool) -> bool {
    match (wanted, given) {
        (Value::String(any), _) if any == "<any>" => true,
        (Value::Array(wanted), Value::Array(given)) => {
            wanted.len() == given.len()
                && wanted.iter().zip(given).all(|(wanted, given)| fits(wanted, given, subset))
        }
        (Value::Object(wanted), Value::Object(given)) => {
            (subset || wanted.len() == given.len())
                && wanted.iter().all(|(key, wanted)| {
                    given.get(key).is_some_and(|given| fits(wanted, given, subset))
                })
        }
        // 1 and 1.0 are the same number in JSON.
        (Value::Number(wanted), Value::Number(given)) => wanted.as_f64() == given.as_f64(),
        (wanted, given) => wanted == given,
    }
}
