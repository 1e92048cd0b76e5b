//! Large members counted by a real Spark: the count is exact wherever the file is cut and whatever
//! dies, and a Spark that fails costs the large members alone.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use count_large::Split;
use domain::events::Summary;
use domain::ids::Name;
use dray::emr::{APPLICATION, EmrServer, EmrServerless, SparkSubmit, Threads};
use dray::local::{BUCKET, Local, Spark};
use dray::s3::{Options as S3Options, S3Server};
use integration::{Dray, Kind, World};
use records::{Model, RangeCounter};
use serde_json::json;

/// Members above this are Spark's, in these tests.
const LARGE_ABOVE_BYTES: u64 = 1 << 20;
/// What the large file has at least.
const LARGE_BYTES: usize = 200_000_000;
/// Cuts through that file that must be inside quotes, and how many there are at least.
const CUTS_IN_QUOTES: usize = 3;
const CUTS: usize = 7;
/// What a job runs as; nobody checks it here.
const ROLE: &str = "arn:aws:iam::000000000000:role/job";

/// Records whose quoted field is most of the file, with line breaks, quotes and letters of several
/// bytes in it.
fn records(bytes: usize) -> (Vec<u8>, u64) {
    let mut text = String::with_capacity(bytes + 2000);
    text.push_str("id,what\r\n");
    let mut count = 0_u64;
    while text.len() < bytes {
        text.push_str(&format!("{count},\""));
        for line in 0..1 + count % 40 {
            text.push_str(&format!("line {line}, äöü € \"\"{count}\"\"\r\n"));
        }
        text.push_str("\"\r\n");
        count += 1;
    }
    (text.into_bytes(), count)
}

fn world() -> World {
    let mut world = World::embedded();
    world.partner.profile["records"] =
        json!({"model": "csv", "header_records": 1, "large_above_bytes": LARGE_ABOVE_BYTES});
    world
}

/// The Spark of the tests' Python, with a counter that is the built `dray`.
fn spark(counter: Vec<String>) -> Spark {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/spark-submit");
    assert!(program.exists(), "{} is missing: make tools", program.display());
    // The second number: how often a task may fail.
    Spark { master: "local[2,4]".to_owned(), program, counter }
}

fn dray() -> Vec<String> {
    vec![integration::program().display().to_string(), count_large::NAME.to_owned()]
}

/// A counter that keeps the plan, and kills the process that Spark runs its first task in.
fn killing_counter(folder: &Path) -> Vec<String> {
    let counter = folder.join("counter.sh");
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in\n\
         *' plan '*) {dray} \"$@\" | tee '{folder}/plan'; exit ;;\n\
         *' count '*) mkdir '{folder}/killed' 2>/dev/null && kill -9 $PPID ;;\n\
         esac\n\
         exec {dray} \"$@\"\n",
        dray = dray().join(" "),
        folder = folder.display(),
    );
    std::fs::write(&counter, script).expect("a script");
    std::fs::set_permissions(&counter, PermissionsExt::from_mode(0o755)).expect("its mode");
    vec![counter.display().to_string()]
}

async fn run(world: &World, spark: Option<Spark>) -> Summary {
    let mut options = world.options();
    options.spark = spark;
    world.run_with(options, world.start()).await.summary.expect("a summary")
}

fn counts(summary: &Summary) -> BTreeMap<String, Option<u64>> {
    summary.receipts.iter().map(|one| (one.member.clone(), one.records)).collect()
}

/// The drivers' logs of all jobs.
fn log(world: &World) -> String {
    let jobs = std::fs::read_dir(world.state.join("emr")).expect("jobs");
    jobs.map(|job| job.expect("a job").path().join("driver.log"))
        .filter(|log| log.exists())
        .map(|log| std::fs::read_to_string(log).expect("a log"))
        .collect()
}

/// Whether a cut of the file at that byte is inside quotes.
fn is_quoted(file: &[u8], at: u64) -> bool {
    file[..at as usize].iter().filter(|byte| **byte == b'"').count() % 2 == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_counts_exactly_wherever_it_cuts_and_whatever_dies() {
    let (large, large_records) = records(LARGE_BYTES);
    let (one, one_records) = records(3 << 20);
    let (two, two_records) = records(2 << 20);
    let files: [(&str, &[u8], u64); 4] = [
        ("large.csv", &large, large_records),
        ("one.csv", &one, one_records),
        ("two.csv", &two, two_records),
        ("small.csv", b"id\n1\n2\n", 2),
    ];
    let expected: BTreeMap<String, Option<u64>> =
        files.iter().map(|(name, _, records)| ((*name).to_owned(), Some(*records))).collect();
    let tools = tempfile::tempdir().expect("a folder");
    let by_spark = world();
    let by_threads = world();
    for world in [&by_spark, &by_threads] {
        for (name, bytes, _) in &files {
            world.put(name, bytes);
        }
    }
    let summary = run(&by_spark, Some(spark(killing_counter(tools.path())))).await;
    assert_eq!(counts(&summary), expected, "{:?}\n{}", summary.failed, log(&by_spark));

    // It was cut where a naive counter goes wrong.
    let plan = std::fs::read_to_string(tools.path().join("plan")).expect("the plan");
    let splits: Vec<Split> =
        plan.lines().map(|line| serde_json::from_str(line).expect("a range")).collect();
    let planned: BTreeSet<&Name> = splits.iter().map(|split| &split.name).collect();
    assert_eq!(planned.len(), 3, "the large members alone are Spark's");
    let cuts: Vec<u64> = splits
        .iter()
        .filter(|split| split.name.size_bytes() == large.len() as u64)
        .map(|split| split.offset)
        .filter(|offset| *offset > 0)
        .collect();
    let quoted = cuts.iter().filter(|cut| is_quoted(&large, **cut)).count();
    assert!(cuts.len() >= CUTS && quoted >= CUTS_IN_QUOTES, "{quoted} of {} cuts", cuts.len());

    // A task was lost, and was run again.
    let log = log(&by_spark);
    assert!(tools.path().join("killed").exists());
    assert!(log.contains("Lost task"), "{log}");

    // Threads of this process come to the same.
    assert_eq!(counts(&run(&by_threads, None).await), expected);
}

/// Numbers that look like chance and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    /// A CSV file of about that many bytes, written field by field, and its records.
    fn csv(&mut self, bytes: usize) -> (Vec<u8>, u64) {
        const PIECES: [&str; 9] = ["a", ",", "\n", "\r\n", "\"\"", "ä€", " ", "\r", "12"];
        let mut text = String::from("id,what\n");
        let mut records = 0;
        while text.len() < bytes {
            text.push_str(&self.below(1000).to_string());
            for _ in 0..1 + self.below(3) {
                text.push_str(",\"");
                for _ in 0..self.below(12) {
                    text.push_str(PIECES[self.below(PIECES.len())]);
                }
                text.push('"');
            }
            text.push_str(["\n", "\r\n", "\n\n"][self.below(3)]);
            records += 1;
        }
        // The last line may go without its end.
        if self.below(2) == 0 {
            text.truncate(text.trim_end().len());
        }
        (text.into_bytes(), records)
    }
}

/// A counter whose plan cuts every range again, anywhere.
fn cutting_counter(folder: &Path) -> Vec<String> {
    const CUT: &str = "
import json, random, sys
chance = random.Random(7)
for line in sys.stdin:
    split = json.loads(line)
    first, last = split['offset'], split['offset'] + split['len']
    cuts = sorted({chance.randint(first, last) for _ in range(chance.randint(1, 5))} | {first, last})
    for offset, end in zip(cuts, cuts[1:]):
        print(json.dumps({**split, 'offset': offset, 'len': end - offset}))
";
    let cut = folder.join("cut.py");
    std::fs::write(&cut, CUT).expect("a program");
    let script = format!(
        "case \" $* \" in *' plan '*) {dray} \"$@\" | python3 '{cut}' | tee '{plan}'; exit ;; esac\n\
         exec {dray} \"$@\"\n",
        dray = dray().join(" "),
        cut = cut.display(),
        plan = folder.join("plan").display(),
    );
    let counter = folder.join("counter.sh");
    std::fs::write(&counter, script).expect("a script");
    vec!["/bin/sh".to_owned(), counter.display().to_string()]
}

/// One counter over the whole file.
fn alone(bytes: &[u8]) -> u64 {
    let rules = serde_json::from_value(json!({"model": "csv", "header_records": 1}));
    let model = Model::of(&rules.expect("rules")).expect("a model");
    let mut counter = RangeCounter::first(&model).expect("a counter");
    counter.update(bytes);
    counter.finish().finish(&model, 1, 0).expect("a count").records
}

#[tokio::test(flavor = "multi_thread")]
async fn chance_finds_no_cut_at_which_two_counters_differ() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut files = vec![("large.csv".to_owned(), chance.csv(70_000_000))];
    for n in 0..24 {
        let bytes = 50 + chance.below(20_000);
        files.push((format!("random-{n}.csv"), chance.csv(bytes)));
    }
    let expected: BTreeMap<String, Option<u64>> =
        files.iter().map(|(name, (_, records))| (name.clone(), Some(*records))).collect();
    for (name, (bytes, records)) in &files {
        assert_eq!(alone(bytes), *records, "{name}, by one counter");
    }
    let tools = tempfile::tempdir().expect("a folder");
    for (by, large_above_bytes, spark) in [
        ("Inspect, in ranges of its own", u64::MAX >> 12, None),
        ("threads", 1, None),
        ("Spark, cut anywhere", 1, Some(spark(cutting_counter(tools.path())))),
    ] {
        let mut world = world();
        world.partner.profile["records"]["large_above_bytes"] = large_above_bytes.into();
        for (name, (bytes, _)) in &files {
            world.put(name, bytes);
        }
        assert_eq!(counts(&run(&world, spark).await), expected, "by {by}");
    }
    let plan = std::fs::read_to_string(tools.path().join("plan")).expect("the plan");
    assert!(plan.lines().count() > 2 * files.len(), "hardly anything was cut:\n{plan}");
}

/// As a person types it: Spark from PATH, `dray` itself as the counter, invocations of a minute.
#[test]
fn the_command_counts_with_the_spark_that_is_installed() {
    let world = world();
    let (large, large_records) = records(2 << 20);
    world.put("large.csv", &large);
    let own = spark(Vec::new()).program;
    let path = std::env::var("PATH").expect("a PATH");
    let finished = Dray::run(&world, &[])
        .arg("--json")
        .arg("--spark")
        .arg("local[2]")
        .arg("--deadline")
        .arg("60")
        .env("PATH", format!("{}:{path}", own.parent().expect("a folder").display()))
        .env("SPARK_HOME", "")
        .finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let expected = BTreeMap::from([("large.csv".to_owned(), Some(large_records))]);
    assert_eq!(counts(&finished.summary()), expected);
    assert!(log(&world).contains("count-large: 1 ranges"), "{}", log(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spark_that_fails_costs_the_large_members_alone() {
    let failing =
        vec!["/bin/sh".to_owned(), "-c".to_owned(), "echo no disk >&2; exit 3".to_owned()];
    let missing = Spark { program: "/nowhere/spark-submit".into(), ..spark(dray()) };
    for (spark, reasons) in [
        (spark(failing), ["count-large plan ended with 3: no disk", "driver.log"]),
        (missing, ["/nowhere/spark-submit cannot be started", "leave out --spark"]),
    ] {
        let world = world();
        let (large, _) = records(2 << 20);
        world.put("large.csv", &large);
        world.put("small.csv", b"id\n1\n2\n");
        let summary = run(&world, Some(spark)).await;
        assert_eq!(counts(&summary), BTreeMap::from([("small.csv".to_owned(), Some(2))]));
        let [failed] = summary.failed.as_slice() else { panic!("{:?}", summary.failed) };
        assert_eq!(failed.failure.code, "count_large.job_failed");
        for reason in reasons {
            assert!(failed.failure.message.contains(reason), "{}", failed.failure.message);
        }
        assert_eq!(world.opened().into_keys().collect::<Vec<_>>(), ["small.csv"]);
    }
}

/// The script that proves the job on AWS, held against this machine's S3 and EMR Serverless.
#[tokio::test(flavor = "multi_thread")]
async fn the_smoke_test_of_aws_sees_right_and_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let buckets = vec![BUCKET.to_owned()];
    let s3 = S3Server::start(S3Options { folder: folder.path().join("s3"), buckets });
    let s3 = s3.await.expect("S3");
    let environment = [
        ("AWS_ENDPOINT_URL", s3.endpoint()),
        ("AWS_ACCESS_KEY_ID", s3.access_key()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_key()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let spark = spark(Vec::new());
    let runner = SparkSubmit {
        master: spark.master,
        program: spark.program,
        store: s3.store(BUCKET),
        environment: environment.clone().into(),
    };
    let service = EmrServerless::new(folder.path().join("emr"), Arc::new(runner));
    let server = EmrServer::start_for(service, s3.access_key().to_owned()).await.expect("a server");
    let counter = folder.path().join("count-large");
    let smoke = |script: &str| {
        std::fs::write(&counter, script).expect("a program");
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(package.join("../.venv/bin/python"));
        command.arg(package.join("aws/smoke_spark.py"));
        command.args(["--bucket", BUCKET, "--application", APPLICATION, "--role", ROLE]);
        command.arg("--program").arg(&counter).args(["--bytes", "20000000"]);
        command.envs(environment.clone());
        command.env("AWS_ENDPOINT_URL_EMR_SERVERLESS", server.endpoint());
        command.output().expect("python starts")
    };
    let ours = dray().join(" ");
    let ended = smoke(&format!("#!/bin/sh\nexec {ours} \"$@\"\n"));
    let (said, why) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("records, exact"), "{said}{why}");
    // A counter that goes wrong by one.
    let wrong =
        format!("#!/bin/sh\n{ours} \"$@\" | sed 's/\"records\":\\([0-9]\\)/\"records\":1\\1/'\n");
    let ended = smoke(&wrong);
    let why = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && why.contains("records, and there are"), "{why}");
    // It leaves nothing.
    let left = s3.store(BUCKET).list("").await.expect("a listing");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_given_room_for_every_partner() {
    let mut world = World::embedded();
    world.partner.profile["spark"] = json!({"executors": 1, "cores": 4, "memory_gb": 30});
    let neighbour = world.neighbour("other", Kind::Embedded);
    let local = Local::start(world.options()).await.expect("the embedded world");
    let service = EmrServerless::new(&world.state, Arc::new(Threads::new(local.store().clone())));
    let server = EmrServer::start(service.clone()).await.expect("a server");
    let size = |application: &str| {
        let profiles = [world.profile_file(&world.partner), world.profile_file(&neighbour)];
        Dray::new(["size"])
            .arg(&profiles[0])
            .arg(&profiles[1])
            .arg("--apply")
            .arg(application)
            .env("AWS_ENDPOINT_URL", server.endpoint())
            .env("AWS_ACCESS_KEY_ID", server.access_key())
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_REGION", "us-east-1")
            .finish()
    };
    let said = size(APPLICATION);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("18 vCPU, 100 GB of memory, 140 GB of disk"), "{said:?}");
    let maximum = service.maximum_capacity(APPLICATION).expect("known").expect("set");
    assert_eq!((maximum.cpu.as_str(), maximum.memory.as_str()), ("18 vCPU", "100 GB"));
    assert_eq!(maximum.disk.as_deref(), Some("140 GB"));
    let said = size("another");
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("There is no application another."), "{said:?}");
    assert!(said.stderr.contains("Look at its id"), "{said:?}");
    local.stop().await;
}
