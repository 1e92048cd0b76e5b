//! Every file of `sample-events/` is used: stage samples are the very events of a real execution and
//! each is handed to its function; start samples start executions. A file that nobody here knows
//! fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use domain::events::{
    DiscoverInput, FinishInput, ParcelInput, ParcelRef, PlanInput, QuarantineInput, SizeInput,
    Start,
};
use domain::keys::Phase;
use domain::{Deadline, SecretStore};
use dray::local::{Functions, Local, LocalExecutions};
use engine::{EventType, Injection, Injections, Outcome, Status, When};
use integration::{Sample, World, csv};
use secrets::FolderSecrets;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storage::runs::Run;
use storage::{Condition, Store};

/// The run that all samples are about.
const RUN: &str = "20260301T060000Z-5f3a9c1e";
/// How the samples call what each planning calls otherwise: a list of parcels and its first parcel.
const PLAN: &str = "00c0ffee";
const PARCEL: &str = "00c0ffee-000000";

/// Samples of stages: file, function, state whose event it is.
pub(super) const STAGES: [(&str, &str, &str); 16] = [
    ("discover", "discover", "Discover"),
    ("plan-fetch", "plan", "PlanFetch"),
    ("download", "download", "Download"),
    ("unpack", "unpack", "Unpack"),
    ("plan-inspect", "plan", "PlanInspect"),
    ("inspect", "inspect", "Inspect"),
    ("size", "size", "Size"),
    ("count-large", "count-large", "CountLarge"),
    ("plan-seal", "plan", "PlanSeal"),
    ("report", "report", "Report"),
    ("encrypt", "encrypt", "Encrypt"),
    ("plan-deliver", "plan", "PlanDeliver"),
    ("upload", "upload", "Upload"),
    ("finish", "finish", "Finish"),
    ("quarantine", "quarantine", "QuarantineUnpack"),
    ("quarantine-large", "quarantine", "QuarantineCountLarge"),
];

/// Samples of starts: file, what the execution ends as, what Discover says, members delivered.
const STARTS: [(&str, Status, &str, Option<u64>); 5] = [
    ("start-by-hand", Status::Succeeded, "Ready", Some(3)),
    ("start-scheduler", Status::Succeeded, "Ready", Some(3)),
    ("start-only", Status::Succeeded, "Ready", Some(1)),
    ("start-retry", Status::Succeeded, "Ready", Some(2)),
    ("start-resend", Status::Succeeded, "Ready", Some(1)),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../sample-events")
}

pub(super) fn sample(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A source with one plain file and one zip of two members, one of them above the threshold.
pub(super) fn world(large_above_bytes: u64) -> World {
    let mut world = World::embedded();
    world.partner.profile["records"]["large_above_bytes"] = large_above_bytes.into();
    world.put_all(&files());
    world
}

pub(super) fn files() -> [Sample; 2] {
    [
        Sample::plain("customers.csv", csv(1, 3), 3),
        Sample::zip("orders", &[("lines.csv", 4), ("march/orders.csv", 90)], 2),
    ]
}

/// Runs an execution under a run's id on the world's state folder.
async fn execute(world: &World, run: &str, start: Value, injections: Injections) -> Ended {
    let mut options = world.options();
    options.injections = injections;
    let local = Local::start(options).await.expect("the embedded world");
    local.put_profile(&world.profile()).await.expect("a profile");
    let typed: Start = serde_json::from_value(start.clone()).expect("a start");
    assert_eq!(serde_json::to_value(&typed).expect("JSON"), start, "a start without loss");
    let outcome = local.execute(run, &typed).await.expect("an execution");
    let summary = local.summary("acme", run).await.expect("a readable summary");
    local.stop().await;
    Ended { outcome, delivered: summary.map(|summary| summary.totals.delivered) }
}

struct Ended {
    outcome: Arc<Outcome>,
    delivered: Option<u64>,
}

/// The first event that each Task of an execution was called with, children included.
fn events(outcome: &Outcome) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for outcome in outcome.all() {
        let mut state = None;
        for event in &outcome.history {
            match event.event_type {
                EventType::TaskStateEntered => state = event.state(),
                EventType::TaskScheduled => {
                    let text = event.details["parameters"].as_str().expect("parameters");
                    let all: Value = serde_json::from_str(text).expect("parameters");
                    let payload = all.get("Payload").cloned().unwrap_or(all);
                    found.entry(state.expect("a state").to_owned()).or_insert(payload);
                }
                _ => {}
            }
        }
    }
    found
}

/// Gives a planning the name that it has in the samples.
pub(super) fn settle(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let settled = fields.into_iter().map(|(name, value)| {
                let value = if name == "parcel" { json!(PARCEL) } else { settle(value) };
                (name, value)
            });
            settled.collect()
        }
        Value::String(text) => match text.strip_suffix(".json").and_then(|t| t.rsplit_once('-')) {
            Some((wave, _)) if wave.contains("/waves/") => json!(format!("{wave}-{PLAN}.json")),
            _ => json!(text),
        },
        other => other,
    }
}

/// Whether everything of `part` is in `whole`.
pub(super) fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(name, part)| {
            let absent = Value::Null;
            holds(whole.get(name).unwrap_or(&absent), part)
        }),
        _ => whole == part,
    }
}

fn read_as<T: DeserializeOwned + Serialize>(event: &Value) -> Value {
    let typed: T = serde_json::from_value(event.clone()).expect("an event of its stage");
    serde_json::to_value(typed).expect("JSON")
}

/// The event as the stage reads it and would write it.
fn as_read(function: &str, event: &Value) -> Value {
    match function {
        "discover" => read_as::<DiscoverInput>(event),
        "plan" => read_as::<PlanInput>(event),
        "size" => read_as::<SizeInput>(event),
        "quarantine" => read_as::<QuarantineInput>(event),
        "finish" => read_as::<FinishInput>(event),
        // Spark is started by its parameters.
        "count-large" => event.clone(),
        _ => read_as::<ParcelInput>(event),
    }
}

#[test]
fn every_file_is_known_and_is_read_without_loss() {
    let there = std::fs::read_dir(folder()).expect("sample-events");
    let there: BTreeSet<String> =
        there.map(|entry| entry.expect("a file").file_name().display().to_string()).collect();
    let names = STAGES.iter().map(|(name, ..)| name).chain(STARTS.iter().map(|(name, ..)| name));
    let mut known: BTreeSet<String> = names.map(|name| format!("{name}.json")).collect();
    known.insert("README.md".to_owned());
    assert_eq!(there, known);
    for (name, function, _) in STAGES {
        let event = sample(name);
        assert!(holds(&event, &as_read(function, &event)), "{name} means something else when read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_are_the_events_of_a_real_execution() {
    let mut seen = BTreeMap::new();
    let failing = |name: &str, state: &str| {
        let caught = &sample(name)["error"];
        let text = |field: &str| caught[field].as_str().expect("text").to_owned();
        let (error, cause) = (text("Error"), text("Cause"));
        Injections::new()
            .with(state, Injection::Error { error, cause, times: None, when: When::Before })
    };
    let runs = [
        Injections::new(),
        failing("quarantine", "Unpack"),
        failing("quarantine-large", "CountLarge"),
    ];
    for injections in runs {
        let ended = execute(&world(300), RUN, sample("start-by-hand"), injections).await;
        for (state, event) in events(&ended.outcome) {
            seen.entry(state).or_insert(event);
        }
    }
    for (name, _, state) in STAGES {
        let event = settle(seen.get(state).unwrap_or_else(|| panic!("{state} was called")).clone());
        let text = serde_json::to_string_pretty(&event).expect("JSON");
        assert_eq!(sample(name), event, "{name}.json is not what {state} gets:\n{text}");
    }
}

/// The functions of a laptop over a world, called one by one.
struct Bench {
    local: Local,
    functions: Functions,
}

impl Bench {
    async fn new(world: &World) -> Self {
        let local = Local::start(world.options()).await.expect("the embedded world");
        local.put_profile(&world.profile()).await.expect("a profile");
        let secrets: Arc<dyn SecretStore> = Arc::new(FolderSecrets::new(&world.secrets));
        let executions = LocalExecutions::new(world.state.join("bench")).expect("executions");
        let functions = Functions::new(local.store(), &secrets, &Arc::new(executions));
        Self { local, functions }
    }

    /// Hands samples to their functions and looks at each answer.
    async fn call(&self, steps: &[(&str, Value)]) {
        for (name, expected) in steps {
            let (_, word, _) = STAGES.iter().find(|(file, ..)| file == name).expect("a sample");
            let function = self.functions.get(word).expect("a function");
            let answer = function(sample(name), Deadline::NONE).await;
            let answer = answer.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            if *word == "plan" {
                rename_parcel(self.local.store(), name, &answer).await;
            }
            assert!(holds(&settle(answer.clone()), expected), "{name}: {answer} lacks {expected}");
        }
    }
}

/// Puts the one parcel of a planning where the samples look for it.
pub(super) async fn rename_parcel(store: &Store, name: &str, answer: &Value) {
    let phase = Phase::ALL.into_iter().find(|phase| name.ends_with(phase.word()));
    let (run, phase) = (Run::new(store, "acme", RUN), phase.expect("a phase"));
    let key = answer["key"].as_str().expect("a key");
    let list = store.get::<Vec<ParcelRef>>(key).await.expect("a list");
    let [first] = &list.expect("a list").value[..] else { panic!("{name}: one parcel") };
    let parcel = run.parcel(phase, &first.parcel).await.expect("a parcel");
    let key = run.keys().parcel(phase, PARCEL);
    drop(store.put(&key, &parcel, Condition::Any).await.expect("a parcel"));
}

fn plan(phase: &str, items: u64) -> (String, Value) {
    let root = format!("runs/acme/{RUN}");
    let answer = json!({
        "parcels": 1, "items": items, "bucket": "drayage",
        "key": format!("{root}/waves/{phase}-{PLAN}.json"), "results": format!("{root}/maps/{phase}"),
    });
    (format!("plan-{phase}"), answer)
}

/// The samples of a whole run in order, and what each answer must hold.
pub(super) fn steps() -> Vec<(String, Value)> {
    let bytes: usize = files().iter().map(|file| file.bytes.len()).sum();
    let concurrency = json!({"fetch": 9, "inspect": 4, "seal": 4, "deliver": 9});
    let done = json!({"more": false});
    let step = |name: &str, expected: &Value| (name.to_owned(), expected.clone());
    vec![
        step(
            "discover",
            &json!({"outcome": "Ready", "files": 2, "bytes": bytes, "concurrency": concurrency}),
        ),
        plan("fetch", 2),
        step("download", &done),
        step("unpack", &done),
        plan("inspect", 3),
        step("inspect", &done),
        step("size", &json!({"members": 0, "bytes": 0})),
        plan("seal", 3),
        step("report", &done),
        step("encrypt", &done),
        plan("deliver", 3),
        step("upload", &done),
        step(
            "finish",
            &json!({
                "verdict": "Delivered", "delivered": 3, "failed": 0,
                "summary": format!("runs/acme/{RUN}/summary.json"),
            }),
        ),
    ]
}

/// What lies at the target after a whole run.
pub(super) fn delivered() -> BTreeMap<String, Vec<u8>> {
    let members = files().into_iter().flat_map(|file| file.members);
    members.map(|member| (member.delivered_as, member.bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stage_does_its_work_on_its_sample() {
    let world = world(1 << 30);
    let bench = Bench::new(&world).await;
    let steps = steps();
    let steps: Vec<(&str, Value)> =
        steps.iter().map(|(name, expected)| (name.as_str(), expected.clone())).collect();
    bench.call(&steps).await;
    assert_eq!(world.opened(), delivered());
    assert_eq!(world.api.reports().len(), 3);
    bench.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_does_its_work_on_its_samples() {
    let world = world(300);
    let bench = Bench::new(&world).await;
    let ready = ("discover", json!({"outcome": "Ready"}));
    let (download, done) = (("download", json!({"more": false})), json!({"more": false}));
    bench.call(&[ready.clone(), ("plan-fetch", json!({})), download.clone()]).await;
    bench.call(&[("quarantine", json!({"quarantined": 2}))]).await;
    bench.local.stop().await;
    let world = self::world(300);
    let bench = Bench::new(&world).await;
    bench.call(&[ready, ("plan-fetch", json!({})), download, ("unpack", done.clone())]).await;
    bench.call(&[("plan-inspect", json!({})), ("inspect", done)]).await;
    bench.call(&[("size", json!({"members": 1}))]).await;
    bench.call(&[("quarantine-large", json!({"quarantined": 1}))]).await;
    bench.local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_start_sample_starts_an_execution() {
    for (name, status, outcome, delivered) in STARTS {
        let world = world(300);
        match name {
            // What is retried failed before: the zip, for its large member could not be counted.
            "start-retry" => {
                let injections = Injections::parse(["CountLarge=error:States.TaskFailed:always"]);
                let injections = injections.expect("an injection");
                execute(&world, RUN, sample("start-by-hand"), injections).await;
            }
            // What is sent again was delivered before.
            "start-resend" => {
                execute(&world, RUN, sample("start-by-hand"), Injections::new()).await;
            }
            _ => {}
        }
        let ended = execute(&world, "the-sample", sample(name), Injections::new()).await;
        let said = ended.outcome.output.as_ref().map(|output| &output["discover"]["outcome"]);
        assert_eq!(ended.outcome.status, status, "{name}: {:?}", ended.outcome.cause);
        assert_eq!((said, ended.delivered), (Some(&json!(outcome)), delivered), "{name}");
        if name == "start-scheduler" {
            // The scheduler delivers at least once; the second start has nothing to do.
            let again = execute(&world, "again", sample(name), Injections::new()).await;
            let said = again.outcome.output.as_ref().map(|output| &output["discover"]["outcome"]);
            assert_eq!((said, again.delivered), (Some(&json!("Duplicate")), None));
        }
    }
}
