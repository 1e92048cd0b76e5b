//! Which algorithms are offered, which servers are thereby refused, and what `legacy` changes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use async_trait::async_trait;
use domain::{ErrorClass, Failure, Profile, SecretBytes, SecretStore};
use serde_json::json;
use sftp::{Algorithms, Credentials, Endpoint, Error, Session};

use crate::world::{World, endpoint};

/// What a client offers first of all, in clear: key exchange, host keys, then ciphers, MACs and
/// compression for each direction, and two lists of languages.
const LISTS: usize = 10;

/// The lists of the first packet that the client sends.
async fn offered(algorithms: Algorithms) -> Vec<Vec<String>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"SSH-2.0-listening\r\n").unwrap();
        let mut socket = BufReader::new(socket);
        let mut greeting = String::new();
        socket.read_line(&mut greeting).unwrap();
        assert!(greeting.starts_with("SSH-2.0-"), "{greeting}");
        let mut head = [0; 5];
        socket.read_exact(&mut head).unwrap();
        let packet_bytes = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let mut packet = vec![0; packet_bytes - 1];
        socket.read_exact(&mut packet).unwrap();
        assert_eq!(packet[0], 20, "KEXINIT");
        let mut rest = &packet[17..];
        let mut next = || {
            let (length, after) = rest.split_at(4);
            let (names, after) =
                after.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
            rest = after;
            let names = std::str::from_utf8(names).unwrap().split(',');
            names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        (0..LISTS).map(|_| next()).collect()
    });
    let pins = vec![format!("SHA256:{}", "A".repeat(43))];
    let endpoint = Endpoint { algorithms, ..endpoint(port, "u", pins) };
    Session::connect(&endpoint, &Credentials::password("x")).await.unwrap_err();
    server.join().unwrap()
}

/// OpenSSH 10's defaults for its client (`myproposal.h`), as far as they are offered here.
const KEX: &str = "mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,\
    ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group-exchange-sha256,\
    diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,diffie-hellman-group14-sha256";
const EXTENSIONS: &str = "ext-info-c,kex-strict-c-v00@openssh.com";
const HOST_KEYS: &str = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,\
    rsa-sha2-512,rsa-sha2-256";
const CIPHERS: &str = "aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,\
    aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr";
const MACS: &str =
    "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512,hmac-sha2-256";
/// What `legacy` adds, behind all others.
const OLD_KEX: &str = "diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,\
    diffie-hellman-group1-sha1";
const OLD_HOST_KEYS: &str = "ssh-rsa";
const OLD_CIPHERS: &str = "aes256-cbc,aes192-cbc,aes128-cbc";
const OLD_MACS: &str = "hmac-sha1-etm@openssh.com,hmac-sha1";

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_offered_is_this_and_no_more() {
    let none = Vec::<String>::new;
    let lists = |kex: &str, keys: &str, ciphers: &str, macs: &str| {
        let [kex, keys, ciphers, macs] = [kex, keys, ciphers, macs].map(names);
        let plain = names("none");
        let both = [ciphers.clone(), ciphers, macs.clone(), macs, plain.clone(), plain];
        [vec![kex, keys], both.to_vec(), vec![none(), none()]].concat()
    };
    let and = |one: &str, other: &str| format!("{one},{other}");
    assert_eq!(
        offered(Algorithms::Default).await,
        lists(&and(KEX, EXTENSIONS), HOST_KEYS, CIPHERS, MACS)
    );
    assert_eq!(
        offered(Algorithms::Legacy).await,
        lists(
            &and(&and(KEX, OLD_KEX), EXTENSIONS),
            &and(HOST_KEYS, OLD_HOST_KEYS),
            &and(CIPHERS, OLD_CIPHERS),
            &and(MACS, OLD_MACS)
        )
    );
}

#[tokio::test]
async fn nothing_is_offered_that_the_installed_openssh_would_not() {
    let output = Command::new("ssh").args(["-F", "none", "-G", "host"]).output().expect("ssh runs");
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs = |option: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(option));
        names(line.unwrap_or_else(|| panic!("no {option} in {text}")).trim())
    };
    let ours = offered(Algorithms::Default).await;
    for (place, option) in
        [(0, "kexalgorithms "), (1, "hostkeyalgorithms "), (2, "ciphers "), (4, "macs ")]
    {
        let theirs = theirs(option);
        for name in &ours[place] {
            // Younger than the OpenSSH of some systems; and the two that are no algorithms.
            let known = name == "mlkem768x25519-sha256" || EXTENSIONS.contains(name.as_str());
            assert!(known || theirs.contains(name), "{name} is not among {theirs:?}");
        }
    }
}

/// Refused with the default, in words that name what the server has and the setting; let in with
/// `legacy`.
async fn takes_legacy(what: &str, world: &World, offers: &str) {
    let error = Session::connect(&world.endpoint, &world.credentials).await.unwrap_err();
    let expected = ("sftp.no_common_algorithm", ErrorClass::Misconfigured);
    assert_eq!((error.code(), error.class()), expected, "{what}: {error}");
    let told = error.to_string();
    assert!(told.contains(offers), "{what}: {told}");
    assert!(told.contains("`\"algorithms\": \"legacy\"`"), "{what}: {told}");
    let endpoint = Endpoint { algorithms: Algorithms::Legacy, ..world.endpoint.clone() };
    let session = Session::connect(&endpoint, &world.credentials).await;
    let session = session.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(session.stat(&world.remote).await.unwrap().is_some(), "{what}");
    session.close().await;
}

#[tokio::test]
async fn an_openssh_with_old_algorithms_is_refused_unless_the_profile_allows_them() {
    for (option, name) in [
        ("KexAlgorithms", "diffie-hellman-group14-sha1"),
        ("KexAlgorithms", "diffie-hellman-group-exchange-sha1"),
        ("KexAlgorithms", "diffie-hellman-group1-sha1"),
        ("Ciphers", "aes256-cbc"),
        ("Ciphers", "aes192-cbc"),
        ("Ciphers", "aes128-cbc"),
        // Newer ciphers need no MAC.
        ("Ciphers aes128-ctr\nMACs", "hmac-sha1"),
        ("Ciphers aes128-ctr\nMACs", "hmac-sha1-etm@openssh.com"),
        ("HostKeyAlgorithms", "ssh-rsa"),
        // All at once, as servers of that time are.
        (
            "KexAlgorithms diffie-hellman-group1-sha1\nHostKeyAlgorithms ssh-rsa\n\
             MACs hmac-sha1\nCiphers",
            "aes128-cbc",
        ),
    ] {
        let config = format!("{option} {name}");
        let world = World::openssh_with(&["rsa"], &["-t", "ed25519"], "", &config);
        let offers = if config.contains("group1-sha1") { "group1-sha1" } else { name };
        takes_legacy(&config, &world, offers).await;
    }
}

#[tokio::test]
async fn a_proftpd_with_old_algorithms_is_refused_unless_the_profile_allows_them() {
    for (config, offers) in [
        ("SFTPKeyExchanges diffie-hellman-group14-sha1", "diffie-hellman-group14-sha1"),
        ("SFTPCiphers aes256-cbc", "aes256-cbc"),
        ("SFTPCiphers aes256-ctr\nSFTPDigests hmac-sha1", "hmac-sha1"),
    ] {
        let world = World::proftpd_with(&["rsa"], &["-t", "rsa"], "publickey password", config);
        takes_legacy(config, &world, offers).await;
    }
}

/// The one secret that a profile names here.
struct Key(String);

#[async_trait]
impl SecretStore for Key {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        Ok(SecretBytes::new(name, self.0.as_bytes().to_vec()))
    }
}

#[tokio::test]
async fn each_end_has_its_own_setting_in_the_profile() {
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "Ciphers aes128-cbc");
    let key = Key(world.credentials.private_key.as_ref().unwrap().expose().to_owned());
    for (source, target) in [("default", "legacy"), ("legacy", "default")] {
        let end = |algorithms: &str| {
            json!({
                "host": "127.0.0.1", "port": world.endpoint.port, "algorithms": algorithms,
                "username": world.endpoint.username, "auth": {"private_key": "acme/key"},
                "host_keys": world.endpoint.host_keys, "directory": world.remote,
            })
        };
        let profile = json!({
            "partner": "acme", "source": end(source), "target": end(target),
            "report": {"url": "https://api.example"}, "encryption": {"certificate": "acme/cert"},
        });
        let profile = Profile::parse(&profile.to_string()).unwrap();
        let outcomes = [
            (source, sftp::connect_source(&profile.source, &key).await),
            (target, sftp::connect_target(&profile.target, &key).await),
        ];
        for (algorithms, outcome) in outcomes {
            let code = outcome.err().map(|failure| failure.code);
            let expected = (algorithms == "default").then_some("sftp.no_common_algorithm");
            assert_eq!(code.as_deref(), expected);
        }
    }
}

#[tokio::test]
async fn what_even_legacy_lacks_is_the_partner_s_to_mend() {
    let world = World::openssh_with(&["ed25519"], &["-t", "ed25519"], "", "Ciphers 3des-cbc");
    for algorithms in [Algorithms::Default, Algorithms::Legacy] {
        let endpoint = Endpoint { algorithms, ..world.endpoint.clone() };
        let error = Session::connect(&endpoint, &world.credentials).await.unwrap_err();
        assert!(matches!(error, Error::NoCommonAlgorithm { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains("3des-cbc") && told.contains("The partner has to"), "{told}");
        assert!(!told.contains("legacy"), "{told}");
    }
}

#[tokio::test]
async fn a_refused_rsa_key_comes_with_a_word_about_sha1() {
    let config = "PubkeyAcceptedAlgorithms ssh-rsa";
    let old = World::openssh_with(&["ed25519"], &["-t", "rsa"], "", config);
    let error = Session::connect(&old.endpoint, &old.credentials).await.unwrap_err();
    assert_eq!(error.code(), "sftp.login_refused", "{error}");
    assert!(error.to_string().contains("RSA keys with SHA-1 only"), "{error}");
    let legacy = Endpoint { algorithms: Algorithms::Legacy, ..old.endpoint.clone() };
    Session::connect(&legacy, &old.credentials).await.unwrap().close().await;
    // Where SHA-1 was tried too, or the key is none of RSA's, it would only mislead.
    let other = World::openssh_with(&["ed25519"], &["-t", "rsa"], "", "");
    let modern = World::openssh();
    for (endpoint, credentials) in
        [(&legacy, &other.credentials), (&old.endpoint, &modern.credentials)]
    {
        let error = Session::connect(endpoint, credentials).await.unwrap_err();
        assert_eq!(error.code(), "sftp.login_refused", "{error}");
        assert!(!error.to_string().contains("SHA-1"), "{error}");
    }
}
