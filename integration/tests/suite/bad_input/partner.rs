//! Faults of the whole partner: its run ends before its first file, after a single attempt.

use domain::ErrorClass;
use dray::run::Gravity;
use integration::{Gpg, Kind, Sshd, World, attempts, mixed, states, wait_until};
use serde_json::json;

/// A fault of the partner, and what must be said about it.
struct Case {
    name: &'static str,
    kind: Kind,
    spoil: fn(&mut World),
    code: &'static str,
    /// What the sentence must hold: the thing, then the fix.
    says: fn(&World) -> Vec<String>,
    /// Logins that source and target saw, granted or refused.
    logins: (usize, usize),
}

const OTHER_KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn server(world: &World, end: &str) -> String {
    format!("127.0.0.1:{}", world.profile[end]["port"])
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn login_cases() -> Vec<Case> {
    vec![
        Case {
            name: "the source has another host key",
            kind: Kind::OpenSsh,
            spoil: |world| world.profile["source"]["host_keys"] = json!([OTHER_KEY]),
            code: "sftp.host_key_changed",
            says: |world| {
                let key = world.source.sshd().host_key.clone();
                vec![server(world, "source"), key, OTHER_KEY.into(), "add it to `host_keys`".into()]
            },
            logins: (0, 1),
        },
        Case {
            name: "the target has another host key",
            kind: Kind::OpenSsh,
            spoil: |world| world.profile["target"]["host_keys"] = json!([OTHER_KEY]),
            code: "sftp.host_key_changed",
            says: |world| {
                let key = world.target.sshd().host_key.clone();
                vec![server(world, "target"), key, OTHER_KEY.into(), "add it to `host_keys`".into()]
            },
            logins: (0, 0),
        },
        Case {
            name: "the source refuses the key",
            kind: Kind::OpenSsh,
            spoil: |world| world.secret("acme/source-key", &Sshd::start().client_key),
            code: "sftp.login_refused",
            says: |world| {
                let user = world.source.sshd().username.clone();
                vec![server(world, "source"), user, "publickey".into(), "Check the username".into()]
            },
            logins: (1, 1),
        },
        Case {
            name: "the target refuses the user",
            kind: Kind::OpenSsh,
            spoil: |world| world.profile["target"]["username"] = "nobody-of-that-name".into(),
            code: "sftp.login_refused",
            says: |world| {
                let words = ["nobody-of-that-name", "Check the username and the secret"];
                [vec![server(world, "target")], texts(&words)].concat()
            },
            logins: (0, 1),
        },
    ]
}

fn directory_cases() -> Vec<Case> {
    vec![
        Case {
            name: "the source directory is missing",
            kind: Kind::OpenSsh,
            spoil: |world| world.profile["source"]["directory"] = "/no/such/outbound".into(),
            code: "sftp.no_such_directory",
            says: |world| {
                let words = ["/no/such/outbound", "Check `directory` in the profile"];
                [vec![server(world, "source")], texts(&words)].concat()
            },
            logins: (1, 1),
        },
        Case {
            name: "the target directory is missing",
            kind: Kind::OpenSsh,
            spoil: |world| world.profile["target"]["directory"] = "/no/such/inbound".into(),
            code: "sftp.no_such_directory",
            says: |world| {
                let words = ["/no/such/inbound", "mend target.directory"];
                [vec![server(world, "target")], texts(&words)].concat()
            },
            logins: (0, 1),
        },
    ]
}

fn secrets_cases() -> Vec<Case> {
    vec![
        Case {
            name: "the private key is none",
            kind: Kind::OpenSsh,
            spoil: |world| world.secret("acme/source-key", "ssh-ed25519 AAAA a public key\n"),
            code: "sftp.key_unreadable",
            says: |_| texts(&["The private key for", "OpenSSH or PEM private key"]),
            logins: (0, 1),
        },
        Case {
            name: "the target refuses the password",
            kind: Kind::Embedded,
            spoil: |world| world.secret("acme/target-password", "wrong"),
            code: "sftp.login_refused",
            says: |world| {
                let words = ["\"relay\"", "password", "Check the username and the secret"];
                [vec![server(world, "target")], texts(&words)].concat()
            },
            logins: (0, 1),
        },
        Case {
            name: "a secret is missing",
            kind: Kind::OpenSsh,
            spoil: |world| std::fs::remove_file(world.secrets.join("acme/api-token")).unwrap(),
            code: "secrets.missing",
            says: |world| {
                let file = world.secrets.join("acme/api-token").display().to_string();
                vec!["\"acme/api-token\"".into(), format!("create the file {file}")]
            },
            logins: (0, 0),
        },
        Case {
            name: "a secret is empty",
            kind: Kind::OpenSsh,
            spoil: |world| world.secret("acme/target-key", "\n"),
            code: "secrets.empty",
            says: |_| texts(&["\"acme/target-key\"", "write its value to"]),
            logins: (0, 0),
        },
    ]
}

fn certificate_cases() -> Vec<Case> {
    vec![
        Case {
            name: "the PGP key has expired",
            kind: Kind::OpenSsh,
            spoil: |world| world.secret("acme/recipient-cert", &Gpg::expired_certificate()),
            code: "openpgp.expired",
            says: |_| texts(&["expired@example.com", "expired on 20", "send a new certificate"]),
            logins: (0, 0),
        },
        Case {
            name: "the certificate is none",
            kind: Kind::OpenSsh,
            spoil: |world| world.secret("acme/recipient-cert", "mail me for the key\n"),
            code: "openpgp.unreadable",
            says: |_| texts(&["The partner's certificate", "store the whole file"]),
            logins: (0, 0),
        },
    ]
}

fn counting_cases() -> Vec<Case> {
    vec![
        Case {
            name: "a delimiter that is the quote as well",
            kind: Kind::Embedded,
            spoil: |world| world.profile["records"]["delimiter"] = "\"".into(),
            code: "records.options",
            says: |_| texts(&["delimiter, quote, escape and line ends must differ"]),
            logins: (0, 0),
        },
        Case {
            name: "a declared count's pattern that is none",
            kind: Kind::Embedded,
            spoil: |world| {
                let declared = json!({"place": "trailer", "pattern": "TRL("});
                world.profile["records"]["declared"] = declared;
            },
            code: "records.options",
            says: |_| texts(&["pattern"]),
            logins: (0, 0),
        },
    ]
}

/// One world per case; every failed case is told before the test fails.
async fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let mut world = World::new(case.kind);
        world.put_all(&mixed(3));
        (case.spoil)(&mut world);
        let source_before = world.source.marks();
        let ended = world.run().await;
        let mut expect = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{}: {what}", case.name));
            }
        };
        let Some(error) = ended.summary.as_ref().and_then(|summary| summary.error.clone()) else {
            expect("has no error", false);
            continue;
        };
        expect(&format!("has class {}", error.class), error.class == ErrorClass::Misconfigured);
        expect(&format!("has code {}", error.code), error.code == case.code);
        for words in (case.says)(&world) {
            expect(
                &format!("{words:?} is not in {:?}", error.message),
                error.message.contains(&words),
            );
        }
        expect("is no exit status 2", ended.gravity() == Gravity::Misconfigured);
        let tried = attempts(&ended.outcome, "Discover");
        expect(&format!("was tried {tried} times"), tried == 1);
        let path = states(&ended.outcome);
        expect(&format!("went {path:?}"), path.starts_with(&["Discover".into(), "Finish".into()]));
        if case.kind == Kind::OpenSsh {
            let (source, target) = (world.source.sshd(), world.target.sshd());
            // The server writes its log at its own pace.
            wait_until(&format!("{}: the logins are logged", case.name), || {
                source.logins() + target.logins() >= case.logins.0 + case.logins.1
            });
            let came = (source.logins(), target.logins());
            expect(&format!("saw {came:?} logins"), came == case.logins);
        }
        expect("delivered something", world.target.files().is_empty());
        expect("reported something", world.api.requests().is_empty());
        expect("touched the source", world.source.marks() == source_before);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_login_that_is_refused_ends_the_run_before_its_first_file() {
    check(login_cases()).await;
}

#[tokio::test]
async fn a_directory_that_is_missing_ends_the_run_before_its_first_file() {
    check(directory_cases()).await;
}

#[tokio::test]
async fn a_secret_that_cannot_work_ends_the_run_before_its_first_file() {
    check(secrets_cases()).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_sealed_for_ends_the_run_before_its_first_file() {
    check(certificate_cases()).await;
}

#[tokio::test]
async fn counting_rules_that_cannot_be_meant_end_the_run_before_its_first_file() {
    check(counting_cases()).await;
}
