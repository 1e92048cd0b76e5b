//! How we prove who we are: every kind of `report.auth`, secrets that are rotated while a run is under
//! way, and tokens that expire.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::events::Verdict;
use domain::{Failure, SecretBytes, SecretStore};
use integration::{Reply, World, mixed};
use secrets::FolderSecrets;
use serde_json::json;

/// Remembers secrets as a warm Lambda does: what it was started with, until somebody asks anew.
struct Warm {
    present: FolderSecrets,
    remembered: Mutex<BTreeMap<String, SecretBytes>>,
    asked_anew: AtomicUsize,
}

impl Warm {
    fn new(world: &World, remembered: &[(&str, &str)]) -> Self {
        let remembered = remembered.iter().map(|(name, text)| {
            ((*name).to_owned(), SecretBytes::new(name, text.as_bytes().to_vec()))
        });
        Self {
            present: FolderSecrets::new(&world.secrets),
            remembered: Mutex::new(remembered.collect()),
            asked_anew: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl SecretStore for Warm {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        let remembered = self.remembered.lock().expect("secrets").get(name).cloned();
        match remembered {
            Some(secret) => Ok(secret),
            None => self.present.secret(name).await,
        }
    }

    async fn fresh(&self, name: &str) -> Result<SecretBytes, Failure> {
        self.asked_anew.fetch_add(1, Ordering::SeqCst);
        let secret = self.present.secret(name).await?;
        self.remembered.lock().expect("secrets").insert(name.to_owned(), secret.clone());
        Ok(secret)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_secrets_are_read_once_more_and_the_run_goes_on() {
    let world = World::openssh();
    let files = mixed(12);
    world.put_all(&files);
    let other = World::openssh();
    let key = std::fs::read_to_string(other.secrets.join("acme/source-key")).expect("a key");
    let stale = [
        ("acme/source-key", key.as_str()),
        ("acme/target-key", key.as_str()),
        ("acme/api-token", "the-token-before"),
    ];
    let warm = Arc::new(Warm::new(&world, &stale));
    let mut options = world.options();
    options.secrets = Arc::<Warm>::clone(&warm);
    let ended = world.run_with(options, world.start()).await;
    let summary = ended.summary.expect("a summary");
    assert_eq!(summary.verdict, Verdict::Delivered, "{:?} {:?}", summary.error, summary.failed);
    assert_eq!(world.opened().len() as u64, summary.totals.delivered);
    let asked = warm.asked_anew.load(Ordering::SeqCst);
    assert_eq!(asked, stale.len(), "each secret once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_and_was_not_rotated_is_tried_once() {
    let world = World::openssh();
    world.put("one.csv", b"id\n1\n");
    std::fs::write(world.secrets.join("acme/api-token"), "wrong").expect("a secret");
    let warm = Arc::new(Warm::new(&world, &[]));
    let mut options = world.options();
    options.secrets = Arc::<Warm>::clone(&warm);
    let ended = world.run_with(options, world.start()).await;
    let failure = ended.summary.expect("a summary").error.expect("the run's fault");
    assert_eq!(failure.code, "report.credentials");
    assert_eq!(world.api.requests().len(), 1, "it was asked again with what was refused");
    assert_eq!(warm.asked_anew.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_is_asked_for_again() {
    let mut world = World::embedded();
    world.put_all(&mixed(30));
    std::fs::write(world.secrets.join("acme/client"), "hunter2").expect("a secret");
    world.partner.profile["report"]["auth"] = json!({"oauth2": {
        "token_url": world.api.token_url(), "client_id": "drayage", "client_secret": "acme/client",
    }});
    let taken = AtomicUsize::new(0);
    world.api.answer(move |_| match taken.fetch_add(1, Ordering::SeqCst) {
        3 => Reply::Status(401, json!({"error": "invalid_token"})),
        _ => Reply::accepted(),
    });
    let ended = world.run().await;
    let summary = ended.summary.expect("a summary");
    assert_eq!(summary.verdict, Verdict::Delivered, "{:?} {:?}", summary.error, summary.failed);
    assert_eq!(world.api.reports().len() as u64, summary.totals.delivered, "each once");
    assert_eq!(world.api.tokens(), 2, "one at first, one when it had expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_secret_that_was_rotated_is_read_once_more_and_a_wrong_one_is_not_tried_twice() {
    // printf 'drayage:old' | base64, and so on
    let (old, new) = ("Basic ZHJheWFnZTpvbGQ=", "Basic ZHJheWFnZTpuZXc=");
    // What the secret is now; with what a token is asked for; what comes of it.
    let cases: [(&str, &[&str], _); 2] =
        [("new", &[old, new], None), ("old", &[old], Some("report.credentials"))];
    for (present, clients, fault) in cases {
        let mut world = World::embedded();
        world.put("one.csv", b"id\n1\n");
        std::fs::write(world.secrets.join("acme/client"), present).expect("a secret");
        world.partner.profile["report"]["auth"] = json!({"oauth2": {
            "token_url": world.api.token_url(), "client_id": "drayage", "client_secret": "acme/client",
        }});
        world.api.want_client(new);
        let mut options = world.options();
        options.secrets = Arc::new(Warm::new(&world, &[("acme/client", "old")]));
        let ended = world.run_with(options, world.start()).await;
        assert_eq!(world.api.clients(), clients);
        let error = ended.summary.expect("a summary").error;
        assert_eq!(error.as_ref().map(|error| &*error.code), fault, "{error:?}");
        assert_eq!(world.api.reports().len(), usize::from(fault.is_none()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_auth_is_sent_as_the_api_wants_it() {
    // What goes into the profile; the Authorization that must come; a header beside it.
    let kinds = [
        (json!({"bearer": "acme/word"}), Some("Bearer hunter2"), None),
        // printf 'drayage:hunter2' | base64
        (
            json!({"basic": {"username": "drayage", "password": "acme/word"}}),
            Some("Basic ZHJheWFnZTpodW50ZXIy"),
            None,
        ),
        (
            json!({"header": {"name": "X-Api-Key", "value": "acme/word"}}),
            None,
            Some(("x-api-key", "hunter2")),
        ),
    ];
    for (auth, authorization, beside) in kinds {
        let mut world = World::embedded();
        world.put("one.csv", b"id\n1\n");
        // As editors store it.
        std::fs::write(world.secrets.join("acme/word"), "hunter2\n").expect("a secret");
        world.partner.profile["report"]["auth"] = auth.clone();
        world.api.want(authorization);
        let ended = world.run().await;
        assert_eq!(world.api.reports().len(), 1, "{auth}: {:?}", ended.outcome.cause);
        if let Some((name, value)) = beside {
            assert_eq!(world.api.requests()[0].headers[name], value, "{auth}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_report_can_be_checked_by_whoever_has_the_key() {
    let mut world = World::embedded();
    world.put("one.csv", b"id\n1\n");
    std::fs::write(world.secrets.join("acme/word"), "hunter2").expect("a secret");
    world.partner.profile["report"]["auth"] =
        json!({"hmac": {"header": "X-Signature", "secret": "acme/word"}});
    world.api.want(None);
    world.run().await;
    let told = world.api.requests().pop().expect("a report");
    let signature = &told.headers["x-signature"];
    let (time, signed) = signature.split_once(",v1=").expect("a time and a signature");
    let time = time.strip_prefix("t=").expect("seconds");
    let age = jiff::Timestamp::now().as_second() - time.parse::<i64>().expect("a number");
    assert!((0..=120).contains(&age), "{signature}");
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "hunter2", "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    let text = [format!("{time}.").as_bytes(), &told.text].concat();
    openssl.stdin.take().expect("a pipe").write_all(&text).expect("it reads");
    let said = openssl.wait_with_output().expect("a signature").stdout;
    assert!(String::from_utf8_lossy(&said).starts_with(signed), "{signature}");
}
