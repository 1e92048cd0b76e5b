//! The SSH side of the embedded server: who may log in, and the one subsystem that there is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet};
use tokio::sync::Semaphore;

use super::Options;
use super::files::Files;
use super::jail::Jail;
use super::quirks;
use crate::duplex::Duplex;
use crate::endpoint::Secret;

/// The only account of a server.
pub(super) struct Account {
    pub(super) options: Options,
    pub(super) root: PathBuf,
    pub(super) authorized_key: Option<PublicKey>,
    /// One for each connection that is served at a time, if there is a limit.
    pub(super) places: Option<Arc<Semaphore>>,
}

impl Account {
    fn password_method(&self) -> MethodKind {
        if self.options.prompt { MethodKind::KeyboardInteractive } else { MethodKind::Password }
    }

    fn is_password(&self, password: &str) -> bool {
        self.options.password.as_ref().map(Secret::expose) == Some(password)
    }

    fn is_key(&self, key: &PublicKey) -> bool {
        self.authorized_key.as_ref().is_some_and(|known| known.key_data() == key.key_data())
    }
}

/// The methods that a server offers at first.
pub(super) fn methods(options: &Options) -> MethodSet {
    let mut methods = MethodSet::empty();
    if options.authorized_key.is_some() {
        methods.push(MethodKind::PublicKey);
    }
    if options.password.is_some() && !options.key_and_password {
        let prompt = options.prompt;
        methods.push(if prompt { MethodKind::KeyboardInteractive } else { MethodKind::Password });
    }
    methods
}

/// One connection.
pub(super) struct Visitor {
    account: Arc<Account>,
    key_shown: bool,
    channels: HashMap<ChannelId, Channel<Msg>>,
    /// Channels opened so far.
    opened: usize,
}

impl Visitor {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account, key_shown: false, channels: HashMap::new(), opened: 0 }
    }

    fn check_password(&self, user: &str, password: &str) -> Auth {
        let known = user == self.account.options.username && self.account.is_password(password);
        let enough = self.key_shown || !self.account.options.key_and_password;
        if known && enough { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.check_password(user, password))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        let answer = response.next().unwrap_or_default();
        Ok(self.check_password(user, &String::from_utf8_lossy(&answer)))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = user == self.account.options.username && self.account.is_key(offer.public_key);
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        if user != self.account.options.username || !self.account.is_key(key.public_key) {
            return Ok(Auth::reject());
        }
        if !self.account.options.key_and_password {
            return Ok(Auth::Accept);
        }
        self.key_shown = true;
        Ok(Auth::Reject {
            proceed_with_methods: Some(MethodSet::from(&[self.account.password_method()][..])),
            partial_success: true,
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.account.options.quirks.max_sessions.is_some_and(|max| self.opened >= max) {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        self.opened += 1;
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let channel = self.channels.remove(&id);
        match channel.filter(|_| name == "sftp") {
            Some(channel) => {
                session.channel_success(id)?;
                let jail = Jail::new(self.account.root.clone());
                let files = Files::new(jail, &self.account.options);
                // russh delivers to a channel and takes from it in one loop: while an answer waits
                // to go out, questions have to be taken in.
                let stream = Duplex::new(channel.into_stream());
                let quirks = &self.account.options.quirks;
                if quirks.are_on_the_wire() {
                    russh_sftp::server::run(quirks::between(stream, quirks), files).await;
                } else {
                    russh_sftp::server::run(stream, files).await;
                }
            }
            None => session.channel_failure(id)?,
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.close(channel)
    }
}
