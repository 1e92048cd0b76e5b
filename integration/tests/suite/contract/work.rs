//! The samples of a whole run, each handed to its function, over a partner's real servers.

use std::collections::BTreeMap;

use integration::{Api, Cloud, Rie, World};
use serde_json::{Value, json};
use storage::Condition;

use crate::samples::{STAGES, delivered, holds, rename_parcel, sample, settle, steps, world};
use crate::secrecy::planted::Planted;

/// Functions over one world, each started when it is first called.
struct Bench {
    cloud: Cloud,
    running: BTreeMap<&'static str, Rie>,
}

impl Bench {
    async fn new(world: &World) -> Self {
        let cloud = Cloud::start(world);
        let key = domain::keys::profile("acme");
        drop(cloud.store().put(&key, &world.profile(), Condition::Any).await.expect("a profile"));
        Self { cloud, running: BTreeMap::new() }
    }

    /// Hands a sample to its function and looks at the answer.
    async fn call(&mut self, name: &str, expected: &Value) {
        let (_, word, _) = STAGES.iter().find(|(file, ..)| *file == name).expect("a sample");
        let setting = self.cloud.setting();
        let rie = self.running.entry(word).or_insert_with(|| super::start(word, &setting));
        let answer = rie.invoke(sample(name).to_string().as_bytes());
        assert!(
            holds(&settle(answer.clone()), expected),
            "{name}: {answer} lacks {expected}\n{}",
            rie.output()
        );
        if *word == "plan" {
            rename_parcel(&self.cloud.store(), name, &answer).await;
        }
    }

    /// All that the functions printed.
    fn printed(&self) -> String {
        self.running.values().map(Rie::output).collect()
    }
}

/// What nobody may read in a log.
fn planted(world: &World, cloud: &Cloud) -> Planted {
    let read = |name: &str| std::fs::read_to_string(world.secrets.join(name)).expect("a secret");
    let mut planted = Planted::default();
    planted.private_key(&read("acme/source-key"));
    planted.text("target password", &[&read("acme/target-password")]);
    planted.text("token of the API", &[Api::TOKEN]);
    planted.text("secret key of AWS", &[cloud.secret_key()]);
    planted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_is_done_by_the_functions_and_no_secret_is_printed() {
    let world = world(1 << 30);
    let mut bench = Bench::new(&world).await;
    for (name, expected) in steps() {
        bench.call(&name, &expected).await;
    }
    assert_eq!(world.opened(), delivered());
    assert_eq!(world.api.reports().len(), 3);
    let printed = bench.printed();
    // Each invocation has a line of metrics and a line of the log.
    assert_eq!(printed.matches("{\"Name\":\"invocations\"").count(), steps().len(), "{printed}");
    assert_eq!(printed.matches("\"message\":\"stage done\"").count(), steps().len(), "{printed}");
    let found = planted(&world, &bench.cloud).found("what was printed", printed.as_bytes());
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_takes_what_a_stage_gave_up_on() {
    let world = world(1 << 30);
    let mut bench = Bench::new(&world).await;
    for (name, expected) in steps().into_iter().take(3) {
        bench.call(&name, &expected).await;
    }
    bench.call("quarantine", &json!({"quarantined": 2})).await;
}
