//! One world with both engines around it, and what is left of an execution on each.
//!
//! What differs by nature is levelled: times, random names, ciphertext.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use domain::events::Start;
use dray::local::{Local, Spark};
use engine::{EventType, Injections, Outcome};
use integration::{Execution, Faults, Jobs, MiniStack, World, states};
use regex::Regex;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Fields whose values no two executions share.
const OWN: [&str; 3] = ["nonce", "remote_mtime_seconds", "sealed_sha256"];

/// What is left of an execution.
#[derive(Debug, Serialize)]
pub(super) struct Left {
    pub(super) status: String,
    output: Value,
    pub(super) error: Option<String>,
    cause: Option<String>,
    /// The execution's states, in the order in which it entered them.
    pub(super) entered: Vec<String>,
    /// Each child's end and its Tasks in order; the children themselves run side by side.
    children: Vec<(String, Vec<String>)>,
    /// What is in the bucket.
    pub(super) objects: BTreeMap<String, Value>,
    /// What is at the target, opened, by its hash.
    pub(super) delivered: BTreeMap<String, String>,
    /// What the third party was told.
    pub(super) reports: Vec<Value>,
    /// What went to the event bus: source, type, detail.
    pub(super) events: Vec<Value>,
}

/// An execution to come.
pub(super) struct Case<'a> {
    /// Its name.
    name: &'a str,
    input: Value,
    /// What our engine does in the place of the functions' faults.
    injections: Injections,
    /// What our engine lets count large members, if not threads.
    spark: Option<Spark>,
}

impl<'a> Case<'a> {
    pub(super) fn new(name: &'a str, input: Value) -> Self {
        Self { name, input, injections: Injections::new(), spark: None }
    }

    pub(super) fn injected(self, injections: Injections) -> Self {
        Self { injections, ..self }
    }

    pub(super) fn spark(self, spark: Spark) -> Self {
        Self { spark: Some(spark), ..self }
    }
}

/// Both engines around one world.
pub(super) struct Both {
    world: World,
    stack: MiniStack,
}

impl Both {
    /// With faults, and what our engine rehearses to the same effect.
    pub(super) async fn of(world: World, faults: &Faults, jobs: &Jobs) -> Self {
        let stack = MiniStack::start(&world, faults, jobs).await;
        Self { world, stack }
    }

    /// Runs the executions on MiniStack, then, at a target that is empty again, on our engine. Fails
    /// with every difference, one a line.
    pub(super) async fn run(&mut self, cases: Vec<Case<'_>>) -> Vec<Left> {
        let mut told = 0;
        let mut there = Vec::new();
        for case in &cases {
            let execution = self.stack.run(case.name, &case.input);
            let objects = self.stack.objects();
            there.push(self.left(self::there(execution), objects, &mut told));
        }
        for path in self.world.target.paths() {
            std::fs::remove_file(path).expect("a delivered file");
        }
        let mut here = Vec::new();
        let mut seen = 0;
        for case in cases {
            let outcome = self.here(case).await;
            let bucket = self.world.state.join("s3/drayage");
            let events = events(&bucket.join("events"), &mut seen);
            let ended = Left { events, ..self::here(&outcome) };
            here.push(self.left(ended, documents(&bucket), &mut told));
        }
        let mut differences = Vec::new();
        compare("", &json!(there), &json!(here), &mut differences);
        assert!(differences.is_empty(), "there | here\n{}", differences.join("\n"));
        here
    }

    async fn here(&self, case: Case<'_>) -> Arc<Outcome> {
        let mut options = self.world.options();
        (options.injections, options.spark) = (case.injections, case.spark);
        let local = Local::start(options).await.expect("the embedded world");
        local.put_profile(&self.world.profile()).await.expect("a profile");
        let start: Start = serde_json::from_value(case.input).expect("a start");
        let outcome = local.execute(case.name, &start).await.expect("an execution");
        local.stop().await;
        outcome
    }

    /// Adds what the world shows, reports from those on that were told of before.
    fn left(
        &self,
        ended: Left,
        objects: BTreeMap<String, Option<String>>,
        told: &mut usize,
    ) -> Left {
        let all = self.world.api.reports();
        let mut reports: Vec<Value> = all.iter().skip(*told).cloned().map(level).collect();
        *told = all.len();
        reports.sort_by_key(Value::to_string);
        let objects = objects
            .into_iter()
            .filter(|(key, _)| !is_own(key))
            .map(|(key, text)| (level_text(&key), text.map_or(Value::Null, |text| document(&text))))
            .collect();
        let opened = self.world.opened().into_iter();
        let delivered = opened.map(|(name, bytes)| (name, hex::encode(Sha256::digest(bytes))));
        Left { objects, delivered: delivered.collect(), reports, ..ended }
    }
}

/// Every place where two documents differ.
fn compare(at: &str, there: &Value, here: &Value, differences: &mut Vec<String>) {
    match (there, here) {
        (Value::Object(there), Value::Object(here)) => {
            let names: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
            for name in names {
                let get = |fields: &Map<String, Value>| fields.get(name).cloned();
                let nothing = || json!("(nothing)");
                let (there, here) = (get(there), get(here));
                let (there, here) = (there.unwrap_or_else(nothing), here.unwrap_or_else(nothing));
                compare(&format!("{at}/{name}"), &there, &here, differences);
            }
        }
        (Value::Array(there), Value::Array(here)) if there.len() == here.len() => {
            for (index, (there, here)) in there.iter().zip(here).enumerate() {
                compare(&format!("{at}/{index}"), there, here, differences);
            }
        }
        _ if there == here => {}
        _ => differences.push(format!("{at}: {there} | {here}")),
    }
}

/// What only one of the two writes, by agreement: the profile as it was put there, job files, our
/// engine's histories and events, and the results of Maps, which MiniStack does not write.
fn is_own(key: &str) -> bool {
    key.starts_with("events/")
        || key.starts_with("jobs/")
        || key.starts_with("partners/")
        || key.contains("/maps/")
        || key.ends_with("/history.json")
        || key.ends_with("/children.json")
}

fn there(execution: Execution) -> Left {
    let children = execution.children.into_iter().map(|child| (child.status, child.entered));
    let mut children: Vec<_> = children.collect();
    children.sort();
    Left {
        status: execution.status,
        output: level(execution.output.unwrap_or_default()),
        error: execution.error,
        cause: execution.cause.map(|cause| level_text(&cause)),
        entered: execution.entered,
        children,
        events: execution.events.into_iter().map(level).collect(),
        ..Left::nothing()
    }
}

fn here(outcome: &Outcome) -> Left {
    let name = |outcome: &Outcome| {
        serde_json::to_value(outcome.status).expect("JSON").as_str().expect("a word").to_owned()
    };
    let tasks = |child: &Outcome| {
        let entered = child.history.iter().filter(|event| {
            matches!(event.event_type, EventType::TaskStateEntered | EventType::MapStateEntered)
        });
        entered.filter_map(|event| event.state()).map(str::to_owned).collect()
    };
    let mut children: Vec<(String, Vec<String>)> =
        outcome.children.iter().map(|child| (name(child), tasks(child))).collect();
    children.sort();
    Left {
        status: name(outcome),
        output: level(outcome.output.clone().unwrap_or_default()),
        error: outcome.error.clone(),
        cause: outcome.cause.as_deref().map(level_text),
        entered: states(outcome),
        children,
        ..Left::nothing()
    }
}

impl Left {
    fn nothing() -> Self {
        Self {
            status: String::new(),
            output: Value::Null,
            error: None,
            cause: None,
            entered: Vec::new(),
            children: Vec::new(),
            objects: BTreeMap::new(),
            delivered: BTreeMap::new(),
            reports: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// What our engine put on the bus since those that were seen, as a rule of the bus would hand it on.
fn events(folder: &Path, seen: &mut usize) -> Vec<Value> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("an event").path()).collect();
    // Their names sort by time.
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read(file).expect("an event");
        let request: Value = serde_json::from_slice(&text).expect("a request");
        let entry = &request["Entries"][0];
        let detail = entry["Detail"].as_str().expect("text");
        let detail: Value = serde_json::from_str(detail).expect("JSON");
        let (source, kind) = (&entry["Source"], &entry["DetailType"]);
        let event = json!({"source": source, "type": kind, "detail": detail});
        level(event)
    };
    let new = files.iter().skip(*seen).map(read).collect();
    *seen = files.len();
    new
}

/// Every file below the folder, by its path, as text.
fn documents(folder: &Path) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder of the bucket") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let key = path.strip_prefix(folder).expect("below").display().to_string();
            found.insert(key, String::from_utf8(std::fs::read(&path).expect("a file")).ok());
        }
    }
    found
}

/// A document without what no two executions share; of a page, that it is there.
fn document(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| json!("a page"), level)
}

fn level(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            if let Some(Value::Object(sealed)) = fields.get_mut("sealed") {
                // Of a ciphertext, which no session key makes twice.
                drop(sealed.remove("sha256"));
            }
            let fields = fields.into_iter().map(|(name, value)| {
                let own = OWN.contains(&name.as_str());
                (name, if own { json!("own") } else { level(value) })
            });
            fields.collect()
        }
        Value::Array(items) => items.into_iter().map(level).collect(),
        Value::String(text) => level_text(&text).into(),
        other => other,
    }
}

/// A text without times, random names and the region.
fn level_text(text: &str) -> String {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").expect("an expression")
    });
    static PLAN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b[0-9a-f]{8}(-\d{6}|\.json)").expect("an expression"));
    static SEAL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(sealed/[0-9a-f]{32})-[0-9a-f]{32}").expect("an expression"));
    // A job's id, in its answer and in the path of its log.
    static JOB: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"/\S+/driver\.log|\b01[0-9a-f]{30}\b").expect("an expression")
    });
    let text = text.replace("arn:aws:states:us-east-1:", "arn:aws:states:local:");
    let text = TIME.replace_all(&text, "TIME");
    let text = SEAL.replace_all(&text, "$1-SEAL");
    let text = JOB.replace_all(&text, "JOB");
    PLAN.replace_all(&text, "PLAN$1").into_owned()
}
