//! Secrets stay where they belong: each kind is planted, whole runs succeed and fail over it with the
//! log at its most talkative, and then everything that they printed, stored and sent is searched.

pub(crate) mod planted;

use std::io::Write;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::events::Verdict;
use domain::{Failure, SecretBytes, SecretStore};
use integration::{Api, Dray, Finished, Reply, World};
use planted::{Planted, lines_of};
use secrets::FolderSecrets;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{AesMode, ZipWriter};

const WORD: &str = "planted-word-3f9c27d1";
const PASSPHRASE: &str = "planted-passphrase-81e0b6aa";
const ARCHIVE_PASSWORD: &str = "planted-archive-password-5d2f";

/// A partner that needs a secret of every kind, and what to look for.
fn world() -> (World, Planted) {
    let mut world = World::embedded();
    let mut planted = Planted::default();
    let read = |name: &str| std::fs::read_to_string(world.secrets.join(name)).expect("a secret");
    let key = read("acme/source-key");
    planted.private_key(&key);
    let locked = planted::lock(&key, PASSPHRASE);
    planted.text("locked key", &lines_of(&locked));
    planted.text("target password", &[read("acme/target-password").as_str()]);
    let signing = openpgp::generate(&openpgp::GenerateOptions::new("Us <us@example.com>"));
    let signing = signing.expect("a signing key").secret;
    planted.text("signing key", &lines_of(&signing));
    for (name, text) in [
        ("acme/source-key", locked.as_str()),
        ("acme/passphrase", PASSPHRASE),
        ("acme/archive-password", ARCHIVE_PASSWORD),
        ("acme/signing-key", signing.as_str()),
        ("acme/word", WORD),
    ] {
        world.secret(name, text);
    }
    planted.text("passphrase", &[PASSPHRASE]);
    planted.text("archive password", &[ARCHIVE_PASSWORD]);
    planted.text("word of report.auth", &[WORD, Api::TOKEN, Api::OAUTH2_TOKEN]);
    planted.basic("drayage", WORD);
    let profile = &mut world.partner.profile;
    profile["source"]["auth"]["passphrase"] = "acme/passphrase".into();
    profile["unpack"] = json!({"password": "acme/archive-password"});
    profile["encryption"]["sign_with"] = "acme/signing-key".into();
    world.put("locked.zip", &locked_zip());
    world.put("plain.csv", b"id\n1\n");
    (world, planted)
}

fn locked_zip() -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().with_aes_encryption(AesMode::Aes256, ARCHIVE_PASSWORD);
    zip.start_file("inside.csv", options).expect("a member");
    zip.write_all(b"id\n1\n2\n").expect("its bytes");
    zip.finish().expect("an archive").into_inner()
}

/// Every kind of `report.auth`, and the header in which its secret belongs.
fn kinds(world: &World) -> [(Value, Option<&'static str>); 5] {
    [
        (json!({"bearer": "acme/word"}), Some("authorization")),
        (json!({"basic": {"username": "drayage", "password": "acme/word"}}), Some("authorization")),
        (json!({"header": {"name": "X-Api-Key", "value": "acme/word"}}), Some("x-api-key")),
        (
            json!({"oauth2": {"token_url": world.api.token_url(), "client_id": "drayage",
                              "client_secret": "acme/word"}}),
            Some("authorization"),
        ),
        (json!({"hmac": {"secret": "acme/word"}}), None),
    ]
}

/// What the API wants to see, so that it takes the reports.
fn accept(world: &World, auth: &Value) {
    let bearer = format!("Bearer {WORD}");
    // printf 'drayage:planted-word-3f9c27d1' | base64
    let basic = "Basic ZHJheWFnZTpwbGFudGVkLXdvcmQtM2Y5YzI3ZDE=";
    world.api.want(match auth.as_object().and_then(|kinds| kinds.keys().next()) {
        Some(kind) if kind == "bearer" => Some(&bearer),
        Some(kind) if kind == "basic" => Some(basic),
        _ => None,
    });
}

/// Runs `dray` with everything in its log.
fn run(world: &World) -> Finished {
    Dray::run(world, &[]).env("RUST_LOG", "trace").finish()
}

/// Fails when a secret is in anything that the runs of a world printed, stored, sent or delivered;
/// but for the header that is there for it.
fn nothing_leaked(what: &str, world: &World, planted: &Planted, own: Option<&str>, out: &str) {
    let mut found = planted.found("what was printed", out.as_bytes());
    found.extend(planted.found_below(&world.state));
    found.extend(planted.found_below(&world.partner.target.folder));
    for told in world.api.requests() {
        found.extend(planted.found("a report", &told.text));
        for (name, value) in told.headers.iter().filter(|(name, _)| Some(name.as_str()) != own) {
            found.extend(planted.found(&format!("the report's header {name}"), value.as_bytes()));
        }
    }
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn no_secret_is_in_anything_that_a_good_run_leaves() {
    for place in 0..5 {
        let (mut world, planted) = world();
        let (auth, own) = kinds(&world)[place].clone();
        world.partner.profile["report"]["auth"] = auth.clone();
        accept(&world, &auth);
        // An API that repeats what it was sent.
        world.api.answer(|told| Reply::Status(201, json!({"took": told.headers.clone()})));
        let finished = run(&world).expect_code(0);
        assert_eq!(world.partner.target.paths().len(), 2, "{auth}");
        let log = std::fs::read_to_string(world.state.join("dray.log")).expect("a log");
        for part in ["russh", "hyper", "reqwest", "\"TRACE\""] {
            assert!(log.contains(part), "{auth}: the log says nothing of {part}");
        }
        let out = finished.stdout + &finished.stderr;
        nothing_leaked(&auth.to_string(), &world, &planted, own, &out);
        // The other form of the log, and nothing to do.
        let talk = Dray::run(&world, &[]).env("RUST_LOG", "trace").arg("--verbose").finish();
        let talk = talk.expect_code(0);
        assert!(talk.stderr.contains("TRACE"), "{}", talk.stderr);
        nothing_leaked(&auth.to_string(), &world, &planted, own, &(talk.stdout + &talk.stderr));
    }
}

/// What is spoilt, and the code and exit status of the run.
type Row = (&'static str, i32, fn(&mut World));

const ROWS: [Row; 11] = [
    ("sftp.login_refused", 2, |world| world.secret("acme/target-password", WORD)),
    ("sftp.key_passphrase", 2, |world| world.secret("acme/passphrase", WORD)),
    ("sftp.key_unreadable", 2, |world| {
        let key = std::fs::read_to_string(world.secrets.join("acme/source-key")).expect("a key");
        world.secret("acme/source-key", &key.replace("-----BEGIN OPENSSH", "-----BEGIN"));
    }),
    ("archive.wrong_password", 1, |world| world.secret("acme/archive-password", WORD)),
    ("report.credentials", 2, |world| {
        world.api.answer(|told| Reply::Status(401, json!({"not valid": told.headers.clone()})));
    }),
    ("report.rejected", 1, |world| {
        world.api.answer(|told| Reply::Status(422, json!({"headers": told.headers.clone()})));
    }),
    ("report.header", 2, |world| world.secret("acme/word", &format!("{WORD}\u{1}"))),
    ("secrets.not_a_line", 2, |world| world.secret("acme/word", &format!("{WORD}\n{WORD}"))),
    ("secrets.not_a_line", 2, |world| {
        world.secret("acme/target-password", &format!("{WORD}\n{WORD}"));
    }),
    // Each in the other's place: the private key instead of the certificate, then cut off.
    ("openpgp.secret_key", 2, |world| {
        let key = std::fs::read_to_string(world.secrets.join("acme/signing-key")).expect("a key");
        world.secret("acme/recipient-cert", &key);
    }),
    ("openpgp.signer", 2, |world| {
        let key = std::fs::read_to_string(world.secrets.join("acme/signing-key")).expect("a key");
        world.secret("acme/signing-key", &key[..key.len() / 2]);
    }),
];

#[test]
fn no_secret_is_in_anything_that_a_failing_run_leaves() {
    for (place, (code, status, spoil)) in ROWS.into_iter().enumerate() {
        let (mut world, planted) = world();
        let auth = json!({"bearer": "acme/word"});
        world.partner.profile["report"]["auth"] = auth.clone();
        accept(&world, &auth);
        spoil(&mut world);
        let finished = run(&world).expect_code(status);
        let out = finished.stdout + &finished.stderr;
        assert!(out.contains(&format!("[{code}]")), "row {place} is not {code}:\n{out}");
        nothing_leaked(
            &format!("row {place}, {code}"),
            &world,
            &planted,
            Some("authorization"),
            &out,
        );
    }
}

/// Hands a secret out and dies of it, with everything in its last words that was in its hands.
struct Deadly(FolderSecrets);

#[async_trait]
impl SecretStore for Deadly {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        let secret = self.0.secret(name).await?;
        if name == "acme/word" {
            let text = secret.text().expect("text");
            let credentials = sftp::Credentials {
                password: Some(text.into()),
                private_key: Some(text.into()),
                passphrase: Some(text.into()),
            };
            panic!("with {secret:?} and {credentials:?}");
        }
        Ok(secret)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_last_words_of_a_stage() {
    let (mut world, planted) = world();
    world.partner.profile["report"]["auth"] = json!({"bearer": "acme/word"});
    let words = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&words);
    std::panic::set_hook(Box::new(move |panic| {
        *heard.lock().expect("words") += &format!("{panic}\n");
    }));
    let mut options = world.options();
    options.secrets = Arc::new(Deadly(FolderSecrets::new(&world.secrets)));
    let ended = world.run_with(options, world.start()).await;
    drop(std::panic::take_hook());
    let summary = ended.summary.expect("a summary");
    assert_eq!(summary.verdict, Verdict::Incomplete, "{:?}", summary.error);
    let words = words.lock().expect("words").clone();
    assert!(words.contains("acme/word, redacted"), "no panic: {words}");
    let out = format!("{words}{summary:?}{:?}", ended.outcome.history);
    nothing_leaked("a panic", &world, &planted, None, &out);
}

#[test]
fn a_secret_that_leaks_is_found_in_every_form() {
    let (world, planted) = world();
    std::fs::create_dir_all(world.state.join("deep/down")).expect("a folder");
    for shape in planted::SHAPES {
        std::fs::write(world.state.join("deep/down/log"), shape(WORD.as_bytes())).expect("a leak");
        let found = planted.found_below(&world.state);
        assert!(found.iter().any(|one| one.contains("report.auth")), "{found:?}");
    }
    std::fs::remove_file(world.state.join("deep/down/log")).expect("that file");
    assert_eq!(planted.found_below(&world.state), Vec::<String>::new());
}
