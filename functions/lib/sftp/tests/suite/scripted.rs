//! What no real server can be told to do: to change its mind between two tries to log in, to hang up
//! on one, and to answer a question for one path with several.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::ErrorClass;
use russh::keys::{HashAlg, decode_secret_key};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, run_stream};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use russh_sftp::protocol::{File, Name, StatusCode};
use russh_sftp::server::StatusReply;
use sftp::{Credentials, Endpoint, Session, keys};
use tokio::net::TcpListener;

use crate::conformance::code;
use crate::world::{endpoint, ssh_keygen};

/// Takes one password, no key, and hangs up on any other password.
struct Visitor {
    keys_shown: Arc<AtomicUsize>,
    channel: Option<Channel<Msg>>,
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        _offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.keys_shown.fetch_add(1, Ordering::SeqCst);
        Ok(Auth::Reject {
            proceed_with_methods: Some(MethodSet::from(&[MethodKind::Password][..])),
            partial_success: false,
        })
    }

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Self::Error> {
        if password == "right" { Ok(Auth::Accept) } else { Err(russh::Error::Disconnect) }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        russh_sftp::server::run(self.channel.take().unwrap().into_stream(), Paths).await;
        Ok(())
    }
}

/// Answers with as many paths as the path says.
struct Paths;

impl russh_sftp::server::Handler for Paths {
    type Error = StatusReply;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported.into()
    }

    async fn realpath(&mut self, id: u32, path: String) -> Result<Name, Self::Error> {
        let files = (0..path.parse().unwrap()).map(|number| File::dummy(format!("/{number}")));
        Ok(Name { id, files: files.collect() })
    }
}

/// Starts the server; counts the keys that it is shown.
async fn server() -> (Endpoint, Arc<AtomicUsize>) {
    let (private, _) = keys::generate_ed25519().unwrap();
    let host_key = decode_secret_key(private.expose(), None).unwrap();
    let pin = host_key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let config = Arc::new(Config {
        methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password][..]),
        keys: vec![host_key],
        ..Config::default()
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let keys_shown = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&keys_shown);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let visitor = Visitor { keys_shown: Arc::clone(&counted), channel: None };
            let config = Arc::clone(&config);
            tokio::spawn(async move { run_stream(config, socket, visitor).await?.await });
        }
    });
    (endpoint(port, "u", vec![pin]), keys_shown)
}

#[tokio::test]
async fn a_key_is_not_shown_again_where_keys_are_no_longer_asked_for() {
    let (endpoint, keys_shown) = server().await;
    let folder = tempfile::tempdir().unwrap();
    let key = ssh_keygen(&folder.path().join("key"), &["-t", "rsa", "-b", "2048"], "");
    let both = Credentials { password: Some("right".into()), ..Credentials::private_key(&key) };
    Session::connect(&endpoint, &both).await.unwrap().close().await;
    assert_eq!(keys_shown.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_hangs_up_on_a_login_has_not_refused_it() {
    let (endpoint, _) = server().await;
    let lost = Session::connect(&endpoint, &Credentials::password("hunter2")).await;
    assert_eq!(code(lost), ("sftp.connection_lost", ErrorClass::Transient));
}

#[tokio::test]
async fn one_path_is_made_of_a_path() {
    let (endpoint, _) = server().await;
    let session = Session::connect(&endpoint, &Credentials::password("right")).await.unwrap();
    assert_eq!(session.real_path("1").await.unwrap(), "/0");
    for number in ["0", "2"] {
        let answered = session.real_path(number).await;
        assert_eq!(code(answered), ("sftp.protocol", ErrorClass::Transient), "{number}");
    }
}
