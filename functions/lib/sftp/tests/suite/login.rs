//! Keys, passwords, prompts and what goes wrong before a session exists.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::world::{Server, World, endpoint, ssh_keygen};
use domain::{ErrorClass, Failure};
use sftp::{Credentials, Error, Session, keys};

async fn refused(world: &World, credentials: &Credentials) -> Error {
    match Session::connect(&world.endpoint, credentials).await {
        Ok(_) => panic!("the login was accepted"),
        Err(error) => error,
    }
}

fn home(world: &World) -> &std::path::Path {
    match &world.server {
        Server::Program(daemon) => &daemon.home,
        Server::Embedded(_) => panic!("a program was expected"),
    }
}

#[tokio::test]
async fn every_kind_of_key_logs_in_at_openssh() {
    let kinds: [&[&str]; 8] = [
        &["-t", "ed25519"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "3072", "-m", "PEM"],
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
        &["-t", "ecdsa", "-b", "256", "-m", "PEM"],
    ];
    for kind in kinds {
        let world = World::openssh_with(&["ed25519"], kind, "", "");
        match Session::connect(&world.endpoint, &world.credentials).await {
            Ok(session) => session.close().await,
            Err(error) => panic!("{kind:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn an_rsa_key_logs_in_with_either_hash() {
    for hash in ["rsa-sha2-256", "rsa-sha2-512"] {
        let config = format!("PubkeyAcceptedAlgorithms {hash}");
        let world = World::openssh_with(&["ed25519"], &["-t", "rsa", "-b", "2048"], "", &config);
        world.connect().await.close().await;
    }
}

#[tokio::test]
async fn the_pinned_kind_of_host_key_is_asked_for() {
    let world = World::openssh_with(&["ed25519", "ecdsa", "rsa"], &["-t", "ed25519"], "", "");
    for pin in world.endpoint.host_keys.clone() {
        let mut endpoint = world.endpoint.clone();
        endpoint.host_keys = vec![pin];
        Session::connect(&endpoint, &world.credentials).await.unwrap().close().await;
    }
    let mut endpoint = world.endpoint.clone();
    endpoint.host_keys = vec![format!("SHA256:{}", "A".repeat(43))];
    let error = match Session::connect(&endpoint, &world.credentials).await {
        Ok(_) => panic!("a wrong host key was accepted"),
        Err(error) => error.to_string(),
    };
    for shown in &world.endpoint.host_keys {
        assert!(error.contains(shown), "{error}");
    }
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase() {
    for format in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]] {
        let world = World::openssh_with(&["ed25519"], format, "open sesame", "");
        let with = |passphrase: Option<&str>| Credentials {
            passphrase: passphrase.map(Into::into),
            ..world.credentials.clone()
        };
        let session = Session::connect(&world.endpoint, &with(Some("open sesame"))).await;
        session.unwrap().close().await;
        for passphrase in [None, Some("wrong words")] {
            let error = refused(&world, &with(passphrase)).await;
            assert_eq!(error.code(), "sftp.key_passphrase", "{error}");
            assert_eq!(error.class(), ErrorClass::Misconfigured);
            assert!(!error.to_string().contains("wrong words"));
        }
    }
}

#[tokio::test]
async fn a_key_survives_carriage_returns_and_blanks() {
    let world = World::openssh();
    let key = world.credentials.private_key.as_ref().unwrap().expose();
    let mangled = format!("\r\n  {}  ", key.replace('\n', " \r\n"));
    let credentials = Credentials::private_key(&mangled);
    Session::connect(&world.endpoint, &credentials).await.unwrap().close().await;
}

#[tokio::test]
async fn a_key_that_is_none_is_unreadable_and_not_repeated() {
    let world = World::openssh();
    let key = world.credentials.private_key.as_ref().unwrap().expose().to_owned();
    let cut = key.lines().take(3).collect::<Vec<_>>().join("\n");
    let public = std::fs::read_to_string(home(&world).join("user.pub")).unwrap();
    for text in ["", "hunter2", &cut, &public] {
        let error = refused(&world, &Credentials::private_key(text)).await;
        assert_eq!(error.code(), "sftp.key_unreadable", "{error}");
        let shown = format!("{error} {error:?}");
        let secrets = text.split_whitespace().filter(|word| word.len() > 6);
        for secret in secrets.filter(|word| !["-----BEGIN", "OPENSSH", "PRIVATE"].contains(word)) {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_the_methods_offered() {
    let world = World::openssh();
    let other = ssh_keygen(&home(&world).join("other"), &["-t", "ed25519"], "");
    let error = refused(&world, &Credentials::private_key(&other)).await;
    let failure = Failure::from(error);
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("sftp.login_refused", ErrorClass::Misconfigured)
    );
    assert!(failure.message.contains("Tried: publickey"), "{}", failure.message);
    assert!(failure.message.contains("offers: publickey"), "{}", failure.message);
    assert!(failure.message.contains(&world.endpoint.server()), "{}", failure.message);
}

#[tokio::test]
async fn a_password_is_no_help_where_a_key_is_wanted() {
    let world = World::openssh();
    let error = refused(&world, &Credentials::password("hunter2")).await;
    assert_eq!(error.code(), "sftp.login_refused");
    let text = error.to_string();
    assert!(text.contains("Tried: nothing") && text.contains("offers: publickey"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn too_many_attempts_are_a_refusal() {
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "MaxAuthTries 1");
    let other = ssh_keygen(&home(&world).join("other"), &["-t", "ed25519"], "");
    let error = refused(&world, &Credentials::private_key(&other)).await;
    assert_eq!(error.code(), "sftp.login_refused", "{error}");
}

#[tokio::test]
async fn passwords_right_and_wrong() {
    for prompt in [false, true] {
        let world = World::embedded_with(|options| options.prompt = prompt).await;
        world.connect().await.close().await;
        let error = refused(&world, &Credentials::password("hunter2")).await;
        assert_eq!(error.code(), "sftp.login_refused", "{error}");
        let method = if prompt { "keyboard-interactive" } else { "password" };
        assert!(error.to_string().contains(&format!("Tried: {method}")), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_session_shows_its_server_and_no_secret() {
    let world = World::embedded().await;
    let session = world.connect().await;
    let (shown, server) = (format!("{session:?}"), world.endpoint.server());
    assert_eq!(session.server(), server);
    assert!(shown.contains(&server) && !shown.contains("right"), "{shown}");
}

#[tokio::test]
async fn a_generated_key_logs_in_at_the_embedded_server() {
    let (private, public) = keys::generate_ed25519().unwrap();
    let world = World::embedded_with(|options| options.authorized_key = Some(public)).await;
    let credentials = Credentials::private_key(private.expose());
    Session::connect(&world.endpoint, &credentials).await.unwrap().close().await;
    let (other, _) = keys::generate_ed25519().unwrap();
    let error = refused(&world, &Credentials::private_key(other.expose())).await;
    assert_eq!(error.code(), "sftp.login_refused");
}

#[tokio::test]
async fn key_and_password_together() {
    for prompt in [false, true] {
        let (private, public) = keys::generate_ed25519().unwrap();
        let world = World::embedded_with(|options| {
            options.authorized_key = Some(public);
            options.key_and_password = true;
            options.prompt = prompt;
        })
        .await;
        let both = Credentials {
            password: Some("right".into()),
            ..Credentials::private_key(private.expose())
        };
        Session::connect(&world.endpoint, &both).await.unwrap().close().await;
        for half in [Credentials::password("right"), Credentials::private_key(private.expose())] {
            assert_eq!(refused(&world, &half).await.code(), "sftp.login_refused");
        }
    }
}

#[tokio::test]
async fn an_account_without_sftp() {
    let config = "ForceCommand echo only a shell here";
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", config);
    let error = refused(&world, &world.credentials).await;
    assert_eq!(error.code(), "sftp.no_sftp", "{error}");
    assert_eq!(error.class(), ErrorClass::Misconfigured);
}

#[tokio::test]
async fn no_common_cipher() {
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "Ciphers aes128-cbc");
    let error = refused(&world, &world.credentials).await;
    assert_eq!(error.code(), "sftp.no_common_algorithm", "{error}");
    assert!(error.to_string().contains("aes128-cbc"), "{error}");
}

async fn connect_to(endpoint: &sftp::Endpoint) -> Error {
    match Session::connect(endpoint, &Credentials::password("x")).await {
        Ok(_) => panic!("nothing is there"),
        Err(error) => error,
    }
}

fn pins() -> Vec<String> {
    vec![format!("SHA256:{}", "A".repeat(43))]
}

#[tokio::test]
async fn nobody_listens_or_the_name_is_unknown() {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = connect_to(&endpoint(port, "u", pins())).await;
    assert_eq!((error.code(), error.class()), ("sftp.connect_refused", ErrorClass::Transient));

    let mut unknown = endpoint(22, "u", pins());
    unknown.host = "no-such-host.invalid".to_owned();
    let error = connect_to(&unknown).await;
    assert_eq!((error.code(), error.class()), ("sftp.dns", ErrorClass::Transient));
    assert!(error.to_string().contains("no-such-host.invalid:22"));
}

#[tokio::test]
async fn a_server_that_hangs_up_first_is_too_busy() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.write_all(b"Exceeded MaxStartups\r\n");
        }
    });
    let error = connect_to(&endpoint(port, "u", pins())).await;
    let expected = ("sftp.too_many_connections", ErrorClass::Throttled);
    assert_eq!((error.code(), error.class()), expected, "{error}");
}

#[tokio::test]
async fn what_is_not_ssh_is_told_so() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.write_all(&[b'x'; 4096]);
        }
    });
    let error = connect_to(&endpoint(port, "u", pins())).await;
    assert_eq!((error.code(), error.class()), ("sftp.not_ssh", ErrorClass::Misconfigured));
}

#[tokio::test]
async fn a_silent_server_runs_into_the_login_timeout() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut silent = endpoint(listener.local_addr().unwrap().port(), "u", pins());
    silent.timeouts.connect = Duration::from_millis(100);
    silent.timeouts.login = Duration::from_millis(100);
    let error = connect_to(&silent).await;
    assert_eq!((error.code(), error.class()), ("sftp.timeout", ErrorClass::Transient));
}
