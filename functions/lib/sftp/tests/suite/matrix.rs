//! Who is let in with what, and which host keys are believed: one table each.

use std::path::{Path, PathBuf};
use std::process::Command;

use sftp::{Credentials, Endpoint, Error, Session, keys};

use crate::world::{Server, World, run, ssh_keygen};

/// One line per try: what, the code or `None` for a login, words that the sentence has to hold.
type Row<'a> = (String, Credentials, Option<&'a str>, &'a str);

async fn judge(endpoint: &Endpoint, rows: Vec<Row<'_>>) {
    for (what, credentials, code, words) in rows {
        match (Session::connect(endpoint, &credentials).await, code) {
            (Ok(session), None) => {
                assert!(session.stat("/").await.is_ok(), "{what}");
                session.close().await;
            }
            (Err(error), Some(code)) => {
                assert_eq!(error.code(), code, "{what}: {error}");
                assert!(error.to_string().contains(words), "{what}: {error}");
                for secret in ["open sesame", "hunter2"] {
                    assert!(!format!("{error} {error:?}").contains(secret), "{what}");
                }
            }
            (Ok(_), Some(code)) => panic!("{what}: let in instead of {code}"),
            (Err(error), None) => panic!("{what}: {error}"),
        }
    }
}

fn home(world: &World) -> PathBuf {
    match &world.server {
        Server::Program(daemon) => daemon.home.clone(),
        Server::Embedded(_) => panic!("a program was expected"),
    }
}

fn authorize(home: &Path, public: &Path) {
    let mut lines = std::fs::read_to_string(home.join("authorized")).unwrap();
    lines += &std::fs::read_to_string(public).unwrap();
    std::fs::write(home.join("authorized"), lines).unwrap();
}

fn with(key: &str, passphrase: Option<&str>) -> Credentials {
    Credentials { passphrase: passphrase.map(Into::into), ..Credentials::private_key(key) }
}

#[tokio::test]
async fn every_key_in_every_form_with_and_without_passphrase() {
    const PASSPHRASE: &str = "open sesame";
    let world = World::openssh();
    let home = home(&world);
    let mut rows = Vec::new();
    let kinds: [(&str, &str, &[&str]); 6] = [
        ("ed25519", "256", &["RFC4716"]),
        ("ecdsa", "256", &["RFC4716", "PEM", "PKCS8"]),
        ("ecdsa", "384", &["RFC4716", "PEM", "PKCS8"]),
        ("ecdsa", "521", &["RFC4716", "PEM", "PKCS8"]),
        ("rsa", "2048", &["RFC4716", "PEM", "PKCS8"]),
        ("rsa", "4096", &["RFC4716"]),
    ];
    for (kind, bits, forms) in kinds {
        let plain = home.join(format!("{kind}{bits}"));
        ssh_keygen(&plain, &["-t", kind, "-b", bits], "");
        authorize(&home, &plain.with_extension("pub"));
        for form in forms {
            // The same key in another form, which ssh-keygen makes by changing the passphrase.
            let convert = |passphrase: &str| {
                let path = home.join(format!("{kind}{bits}-{form}-{}", passphrase.len()));
                std::fs::copy(&plain, &path).unwrap();
                run(Command::new("ssh-keygen")
                    .args(["-q", "-p", "-P", "", "-N", passphrase, "-m", form, "-f"])
                    .arg(&path));
                std::fs::read_to_string(path).unwrap()
            };
            let (open, locked) = (convert(""), convert(PASSPHRASE));
            let what = |how: &str| format!("{kind} {bits} {form} {how}");
            let code = Some("sftp.key_passphrase");
            rows.extend([
                (what("plain"), with(&open, None), None, ""),
                (what("plain, needless passphrase"), with(&open, Some("x")), None, ""),
            ]);
            if (kind, *form) == ("ecdsa", "PEM") {
                // MD5 turns its passphrase into a key: the sentence says how to get rid of that.
                for passphrase in [None, Some(PASSPHRASE), Some("hunter2")] {
                    let unreadable = Some("sftp.key_unreadable");
                    rows.push((
                        what("old"),
                        with(&locked, passphrase),
                        unreadable,
                        "ssh-keygen -p",
                    ));
                }
                continue;
            }
            rows.extend([
                (what("encrypted"), with(&locked, Some(PASSPHRASE)), None, ""),
                (what("no passphrase"), with(&locked, None), code, "no passphrase is given"),
                (what("wrong passphrase"), with(&locked, Some("hunter2")), code, "does not open"),
            ]);
        }
    }
    judge(&world.endpoint, rows).await;
}

/// A right key, a wrong key, and credentials of every combination of right (`+`), wrong (`-`) and
/// missing key and password.
fn combinations(right: &str, wrong: &str) -> Vec<(&'static str, Credentials)> {
    let mut all = Vec::new();
    for (key_mark, key) in [("key+", Some(right)), ("key-", Some(wrong)), ("", None)] {
        for (password_mark, password) in
            [(" password+", Some("right")), (" password-", Some("hunter2")), ("", None)]
        {
            let credentials = Credentials {
                private_key: key.map(Into::into),
                password: password.map(Into::into),
                passphrase: None,
            };
            let mark: &'static str = format!("{key_mark}{password_mark}").leak();
            all.push((mark, credentials));
        }
    }
    all
}

const REFUSED: Option<&str> = Some("sftp.login_refused");

/// Judges all combinations: those in `let_in` are, all others are refused.
async fn judge_all(world: &World, right: &str, wrong: &str, let_in: &[&str], methods: &str) {
    let rows = combinations(right, wrong).into_iter().map(|(mark, credentials)| {
        let code = if let_in.contains(&mark) { None } else { REFUSED };
        (format!("{methods}: {mark}"), credentials, code, "The server offers:")
    });
    judge(&world.endpoint, rows.collect()).await;
}

#[tokio::test]
async fn keys_and_passwords_at_the_embedded_server() {
    let (right, public) = keys::generate_ed25519().unwrap();
    let (wrong, _) = keys::generate_ed25519().unwrap();
    let either = ["key+ password+", "key+ password-", "key+", "key- password+", " password+"];
    let password = ["key+ password+", "key- password+", " password+"];
    for (prompt, key, both, let_in) in [
        (false, true, false, &either[..]),
        (true, true, false, &either),
        (false, false, false, &password),
        (true, false, false, &password),
        (false, true, true, &["key+ password+"]),
        (true, true, true, &["key+ password+"]),
    ] {
        let world = World::embedded_with(|options| {
            options.prompt = prompt;
            options.authorized_key = key.then(|| public.clone());
            options.key_and_password = both;
        })
        .await;
        let methods = format!("prompt {prompt}, key {key}, both {both}");
        judge_all(&world, right.expose(), wrong.expose(), let_in, &methods).await;
    }
}

#[tokio::test]
async fn keys_and_passwords_at_proftpd() {
    let either = ["key+ password+", "key+ password-", "key+", "key- password+", " password+"];
    for (methods, user_key, let_in) in [
        ("publickey password", "ed25519", &either[..]),
        ("publickey+password", "ed25519", &["key+ password+"]),
        ("publickey", "ecdsa", &["key+ password+", "key+ password-", "key+"]),
        ("password", "rsa", &["key+ password+", "key- password+", " password+"]),
    ] {
        let world = World::proftpd_with(&["rsa"], &["-t", user_key], methods, "");
        let right = std::fs::read_to_string(home(&world).join("user")).unwrap();
        let wrong = ssh_keygen(&home(&world).join("wrong"), &["-t", user_key], "");
        judge_all(&world, &right, &wrong, let_in, methods).await;
    }
}

#[tokio::test]
async fn pins_of_every_kind_and_number() {
    const NONE: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let kinds = ["ed25519", "ecdsa", "rsa"];
    for world in [
        World::openssh_with(&kinds, &["-t", "ed25519"], "", ""),
        World::proftpd(),
        World::embedded().await,
    ] {
        let shown = world.endpoint.host_keys.clone();
        let changed = Some("sftp.host_key_changed");
        let missing = Some("sftp.host_key_missing");
        let mut table = vec![
            (vec![NONE.to_owned()], changed, NONE),
            (vec![NONE.to_owned(), NONE.to_owned()], changed, shown[0].as_str()),
            (vec![], missing, "`host_keys` is empty"),
            (vec!["SHA256:short".to_owned()], missing, "no SHA-256 fingerprint"),
            (vec![shown[0].replace("SHA256", "SHA512")], missing, "no SHA-256 fingerprint"),
            (vec![shown[0].to_lowercase()], missing, "no SHA-256 fingerprint"),
            (shown.clone(), None, ""),
        ];
        for pin in &shown {
            table.push((vec![pin.clone()], None, ""));
            // Rotation: the new key is pinned beside the old one, in either order.
            table.push((vec![NONE.to_owned(), pin.clone()], None, ""));
            table.push((vec![pin.clone(), NONE.to_owned()], None, ""));
            // One letter off.
            let cut = pin.len() - 2;
            let other = if &pin[cut..=cut] == "A" { "B" } else { "A" };
            let near = format!("{}{other}{}", &pin[..cut], &pin[cut + 1..]);
            table.push((vec![near], changed, pin));
        }
        for (host_keys, code, words) in table {
            let what = format!("{host_keys:?}");
            let endpoint = Endpoint { host_keys, ..world.endpoint.clone() };
            judge(&endpoint, vec![(what, world.credentials.clone(), code, words)]).await;
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_sent_to_a_server_without_a_pinned_key() {
    // The embedded server would let anybody in who says the password: whether it was asked shows in
    // the error, for a refused login has another code.
    let world = World::embedded().await;
    let mut endpoint = world.endpoint.clone();
    endpoint.host_keys = vec![format!("SHA256:{}", "A".repeat(43))];
    let error = Session::connect(&endpoint, &Credentials::password("hunter2")).await.unwrap_err();
    assert!(matches!(error, Error::HostKeyChanged { .. }), "{error}");
}
