//! From a profile's words to an open connection: endpoints, and credentials by secret name.

use domain::profile::{Rename, Source, SshAuth, Target};
use domain::{ErrorClass, Failure, Given, SecretStore};

use crate::ceiling::Ceiling;
use crate::endpoint::REKEY_BYTES;
use crate::{Credentials, Endpoint, Error, RenamePolicy, Session, Timeouts};

/// Connects to a partner's source.
///
/// # Errors
/// `Misconfigured` for secrets, keys and logins; `Transient` or `Throttled` from the network.
pub async fn connect_source(
    source: &Source,
    secrets: &dyn SecretStore,
) -> Result<Session, Failure> {
    connect(&source_endpoint(source), &source.auth, source.max_connections, secrets).await
}

/// Connects to a partner's target.
///
/// # Errors
/// As [`connect_source`].
pub async fn connect_target(
    target: &Target,
    secrets: &dyn SecretStore,
) -> Result<Session, Failure> {
    connect(&target_endpoint(target), &target.auth, target.max_connections, secrets).await
}

/// Connections that may be held at once now: at the source, and at the target.
#[must_use]
pub fn connections_at_once(source: &Source, target: &Target) -> (u32, u32) {
    let now = |endpoint: &Endpoint, max| Ceiling::of(endpoint, max).map_or(max, |c| c.at_once());
    (
        now(&source_endpoint(source), source.max_connections),
        now(&target_endpoint(target), target.max_connections),
    )
}

fn source_endpoint(source: &Source) -> Endpoint {
    Endpoint {
        host: source.host.clone(),
        port: source.port,
        username: source.username.clone(),
        host_keys: source.host_keys.clone(),
        algorithms: source.algorithms,
        timeouts: Timeouts::default(),
        rekey_bytes: REKEY_BYTES,
    }
}

fn target_endpoint(target: &Target) -> Endpoint {
    Endpoint {
        host: target.host.clone(),
        port: target.port,
        username: target.username.clone(),
        host_keys: target.host_keys.clone(),
        algorithms: target.algorithms,
        timeouts: Timeouts::default(),
        rekey_bytes: REKEY_BYTES,
    }
}

impl Session {
    /// Gives a finished file of that many bytes its name at that target: as the profile says, or in the
    /// best way that this server offers. `replaces` tells whether what has the name already is to go.
    /// When the server's answer is lost or odd, what it holds now decides.
    ///
    /// # Errors
    /// Those of [`Session::rename`].
    pub async fn give_name(
        &self,
        from: &str,
        to: &str,
        (target, replaces): (&Target, bool),
        bytes: u64,
    ) -> Result<(), Error> {
        let first = self.rename_policy(target, replaces);
        let mut renamed = self.rename(from, to, first).await;
        // A server that announces a way and then does not know it may have another one.
        let next = self.rename_policy(target, replaces);
        if matches!(renamed, Err(Error::Unsupported { .. })) && next != first {
            renamed = self.rename(from, to, next).await;
        }
        let Err(error) = renamed else { return Ok(()) };
        let moved = self.stat(from).await?.is_none();
        let there = self.stat(to).await?.is_some_and(|found| found.size == bytes);
        if moved && there { Ok(()) } else { Err(error) }
    }

    fn rename_policy(&self, target: &Target, replaces: bool) -> RenamePolicy {
        let replaces = replaces || target.overwrites();
        match target.rename {
            Rename::Auto if self.capabilities().posix_rename => RenamePolicy::Posix,
            Rename::Auto | Rename::Fresh if replaces => RenamePolicy::Replace,
            Rename::Auto | Rename::Fresh => RenamePolicy::Fresh,
            Rename::Posix => RenamePolicy::Posix,
            Rename::Replace => RenamePolicy::Replace,
            Rename::Direct => RenamePolicy::Direct,
        }
    }
}

/// Logs in, and once more if that was refused and a secret was rotated since it was read.
async fn connect(
    endpoint: &Endpoint,
    auth: &SshAuth,
    max_connections: u32,
    secrets: &dyn SecretStore,
) -> Result<Session, Failure> {
    let given = Given::default();
    match login(endpoint, auth, max_connections, secrets, &given).await {
        Err(failure)
            if failure.class == ErrorClass::Misconfigured && given.rotated(secrets).await =>
        {
            tracing::info!(server = endpoint.server(), "a secret was rotated: one more login");
            login(endpoint, auth, max_connections, secrets, &given).await
        }
        outcome => outcome,
    }
}

async fn login(
    endpoint: &Endpoint,
    auth: &SshAuth,
    max_connections: u32,
    secrets: &dyn SecretStore,
    given: &Given,
) -> Result<Session, Failure> {
    let mut credentials = Credentials::default();
    if let Some(name) = &auth.private_key {
        credentials.private_key = Some(given.secret(secrets, name).await?.text()?.into());
    }
    if let Some(name) = &auth.passphrase {
        credentials.passphrase = Some(given.secret(secrets, name).await?.line()?.into());
    }
    if let Some(name) = &auth.password {
        credentials.password = Some(given.secret(secrets, name).await?.line()?.into());
    }
    Ok(Session::connect_within(endpoint, &credentials, max_connections).await?)
}
