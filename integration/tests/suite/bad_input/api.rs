//! An API that says no, is busy, hangs or is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use domain::ErrorClass;
use domain::events::Verdict;
use dray::run::Gravity;
use integration::{Api, Reply, World, mixed, wait_until};
use serde_json::{Value, json};

use super::{assert_says, only_failure};

fn is_about(body: &Value, file: &str) -> bool {
    body["file"] == file
}

#[tokio::test]
async fn what_the_api_rejects_is_quarantined_with_the_apis_own_words() {
    let world = World::embedded();
    let neighbours = mixed(6);
    world.put_all(&neighbours);
    world.put("strange.csv", b"id\n1\n");
    world.api.answer(|told| match is_about(&told.body, "strange.csv") {
        true => Reply::Status(422, json!({"error": "no such order book"})),
        false => Reply::accepted(),
    });
    let failure = only_failure(&world, &world.run().await, "strange.csv", &neighbours);
    let words = ["strange.csv", "422", "no such order book"];
    assert_says(&failure, ErrorClass::Rejected, "report.rejected", &words);
    let asked = world.api.requests();
    assert_eq!(asked.iter().filter(|told| is_about(&told.body, "strange.csv")).count(), 1);
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_told() {
    let world = World::embedded();
    world.put("strange.csv", b"id\n1\n");
    // Longer than what is kept, and short enough to be read to its end.
    world.api.answer(|_| Reply::Status(422, json!("x".repeat(3000))));
    let failure = only_failure(&world, &world.run().await, "strange.csv", &[]);
    let words = format!("\"{}.", "x".repeat(2047));
    assert_says(&failure, ErrorClass::Rejected, "report.rejected", &[&words]);
}

#[tokio::test]
async fn an_api_that_fails_for_one_file_is_asked_again_and_then_left() {
    let world = World::embedded();
    let neighbours = mixed(6);
    world.put_all(&neighbours);
    world.put("unlucky.csv", b"id\n1\n");
    world.api.answer(|told| match is_about(&told.body, "unlucky.csv") {
        true => Reply::Status(500, json!({"error": "database is away"})),
        false => Reply::accepted(),
    });
    let failure = only_failure(&world, &world.run().await, "unlucky.csv", &neighbours);
    let words = [world.api.url.as_str(), "500", "database is away"];
    assert_says(&failure, ErrorClass::Transient, "report.busy", &words);
    let asked: Vec<_> = world
        .api
        .requests()
        .into_iter()
        .filter(|told| is_about(&told.body, "unlucky.csv"))
        .collect();
    assert_eq!(asked.len(), 6, "one attempt and five retries, as the state machine says");
    let keys = asked.iter().map(|told| &told.headers["idempotency-key"]);
    assert_eq!(keys.collect::<BTreeSet<_>>().len(), 1);
    let others = world.api.requests().len() - asked.len();
    assert_eq!(others, world.opened().len(), "neighbours are told once, whatever is retried");
    // The next run tells the same under the same key, for nobody knows what the API has kept.
    world.api.answer(|_| Reply::accepted());
    world.run().await;
    let last = world.api.requests().pop().expect("a report");
    assert_eq!(last.headers["idempotency-key"], asked[0].headers["idempotency-key"]);
    assert_eq!((last.status, last.text), (Some(201), asked[0].text.clone()));
}

#[tokio::test]
async fn an_api_that_is_down_leaves_every_file_for_the_next_run() {
    let mut world = World::embedded();
    let samples = mixed(6);
    world.put_all(&samples);
    let down = Api::down();
    let up = std::mem::replace(&mut world.profile["report"]["url"], down.url.clone().into());
    let ended = world.run().await;
    assert_eq!(ended.gravity(), Gravity::Incomplete);
    let summary = ended.summary.unwrap();
    let members: usize = samples.iter().map(|sample| sample.members.len()).sum();
    assert_eq!((summary.totals.delivered, summary.failed.len()), (0, members));
    for failed in &summary.failed {
        assert_eq!(failed.stage, "report");
        let words = [down.url.as_str(), "cannot be reached", "refused"];
        assert_says(&failed.failure, ErrorClass::Transient, "report.unreachable", &words);
    }
    assert!(world.target.files().is_empty(), "nothing leaves without a report");
    world.profile["report"]["url"] = up;
    let summary = world.run().await.summary.unwrap();
    assert_eq!((summary.verdict, summary.totals.delivered), (Verdict::Delivered, members as u64));
}

#[tokio::test]
async fn an_api_that_hangs_or_asks_for_patience_once_gets_it() {
    let mut world = World::embedded();
    world.profile["report"]["timeout_seconds"] = 1.into();
    world.put("slow.csv", b"id\n1\n");
    world.put("many.csv", b"id\n1\n2\n");
    let asked = Mutex::new(BTreeMap::<String, u32>::new());
    world.api.answer(move |told| {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(told.body["file"].to_string()).or_default();
        *times += 1;
        match (told.body["file"].as_str(), *times) {
            (Some("slow.csv"), 1) => Reply::Hang,
            (Some("many.csv"), 1) => Reply::RetryAfter(429, 0),
            _ => Reply::accepted(),
        }
    });
    let ended = world.run().await;
    assert_eq!(ended.gravity(), Gravity::Fine);
    assert_eq!(world.opened().len(), 2);
    assert_eq!((world.api.requests().len(), world.api.reports().len()), (4, 2));
}

#[tokio::test]
async fn an_api_that_refuses_our_credentials_halts_the_partner() {
    let world = World::embedded();
    let samples = mixed(10);
    world.put_all(&samples);
    world.secret("acme/api-token", "an old token");
    let ended = world.run().await;
    assert_eq!(ended.gravity(), Gravity::Misconfigured);
    let error = ended.summary.unwrap().error.unwrap();
    let words = [world.api.url.as_str(), "report.auth", "401"];
    assert_says(&error, ErrorClass::Misconfigured, "report.credentials", &words);
    assert!(!error.message.contains("an old token"), "a secret is never told");
    assert!(world.target.files().is_empty());
    let mut asked: Vec<String> =
        world.api.requests().iter().map(|told| told.body["id"].to_string()).collect();
    let requests = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), requests, "no report is tried twice with refused credentials");

    world.secret("acme/api-token", Api::TOKEN);
    let ended = world.run().await;
    assert_eq!(ended.gravity(), Gravity::Fine, "{:?}", ended.summary);
    let members: usize = samples.iter().map(|sample| sample.members.len()).sum();
    assert_eq!(world.opened().len(), members);
}

/// An API that reads a request and then does as it likes with the connection.
fn strange(answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut request = [0; 16 << 10];
            if connection.read(&mut request).is_ok() {
                // It ends when the other side has had enough.
                drop(answer(&mut connection));
            }
        }
    });
    format!("http://{address}/v1/files")
}

#[tokio::test]
async fn of_an_answer_without_end_the_status_counts() {
    let mut world = World::embedded();
    world.put("one.csv", b"id\n1\n");
    world.profile["report"]["url"] = json!(strange(|connection| {
        connection.write_all(b"HTTP/1.1 201 Created\r\n\r\n")?;
        loop {
            connection.write_all(&[b'x'; 1 << 16])?;
        }
    }));
    let ended = world.run().await;
    assert_eq!(ended.gravity(), Gravity::Fine, "{:?}", ended.summary);
    assert_eq!(world.opened().len(), 1);
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_not_waited_for() {
    let mut world = World::embedded();
    world.put("one.csv", b"id\n1\n");
    world.profile["report"]["timeout_seconds"] = 1.into();
    world.profile["report"]["url"] = json!(strange(|connection| {
        connection.set_read_timeout(Some(Duration::from_millis(100)))?;
        connection.write_all(b"HTTP/1.1 201 Created\r\nx-slow: ")?;
        loop {
            connection.write_all(b"x")?;
            // Whoever hangs up has had enough.
            if matches!(connection.read(&mut [0]), Ok(0)) {
                return Ok(());
            }
        }
    }));
    let failure = only_failure(&world, &world.run().await, "one.csv", &[]);
    let words = ["did not answer in time", "report.timeout_seconds"];
    assert_says(&failure, ErrorClass::Transient, "report.unreachable", &words);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::embedded();
    world.put("one.csv", b"id\n1\n");
    world.api.answer(|_| Reply::Status(307, json!({})));
    let ended = world.run().await;
    let error = ended.summary.unwrap().error.unwrap();
    let words = [world.api.url.as_str(), "307", "report.url"];
    assert_says(&error, ErrorClass::Misconfigured, "report.redirect", &words);
    assert_eq!(world.api.requests().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_nothing() {
    let mut world = World::embedded();
    world.put("one.csv", b"id\n1\n");
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("openssl")
        .args("req -x509 -newkey ed25519 -nodes -subj /CN=localhost -days 2".split(' '))
        .args("-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem".split(' '))
        .current_dir(&folder)
        .output();
    assert!(made.expect("openssl").status.success());
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("its number").port()
    };
    let mut server = Command::new("openssl")
        .args(["s_server", "-www", "-accept", &port.to_string()])
        .args(["-key", "key.pem", "-cert", "cert.pem"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    wait_until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    world.profile["report"]["url"] = json!(format!("https://localhost:{port}/v1/files"));
    let failure = only_failure(&world, &world.run().await, "one.csv", &[]);
    server.kill().expect("it ends");
    server.wait().expect("it has ended");
    assert_says(&failure, ErrorClass::Transient, "report.unreachable", &["certificate"]);
}
