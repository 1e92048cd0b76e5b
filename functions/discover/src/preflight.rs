//! Preflight: everything about a partner that can be proven before the first file is touched.

use domain::{ErrorClass, Failure, Profile, SecretStore};
use jiff::Timestamp;
use openpgp::{Recipient, Signer};
use records::{Declared, Model};

/// Checks the counting rules, secrets, certificate and the target, and returns warnings about what will soon break.
///
/// The source is proven by listing it.
///
/// # Errors
/// `Misconfigured` for what somebody must mend; `Transient` from the network.
pub(crate) async fn check(
    profile: &Profile,
    secrets: &dyn SecretStore,
) -> Result<Vec<String>, Failure> {
    Model::of(&profile.records)?;
    Declared::of(&profile.records)?;
    for name in other_secrets(profile) {
        secrets.secret(name).await?;
    }
    let warnings = certificate(profile, secrets).await?;
    target(profile, secrets).await?;
    Ok(warnings)
}

/// Secrets that no other check reads.
fn other_secrets(profile: &Profile) -> Vec<&str> {
    let auth = &profile.report.auth;
    [
        profile.unpack.password.as_deref(),
        auth.bearer.as_deref(),
        auth.header.as_ref().map(|header| header.value.as_str()),
        auth.basic.as_ref().map(|basic| basic.password.as_str()),
        auth.oauth2.as_ref().map(|oauth2| oauth2.client_secret.as_str()),
        auth.hmac.as_ref().map(|hmac| hmac.secret.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn certificate(profile: &Profile, secrets: &dyn SecretStore) -> Result<Vec<String>, Failure> {
    let now = Timestamp::now();
    let certificate = secrets.secret(&profile.encryption.certificate).await?;
    let recipient = Recipient::parse(certificate.bytes(), now)?;
    if let Some(name) = &profile.encryption.sign_with {
        Signer::parse(secrets.secret(name).await?.bytes(), None, now)?;
    }
    Ok(recipient.warnings(now).into_iter().map(|warning| warning.message).collect())
}

async fn target(profile: &Profile, secrets: &dyn SecretStore) -> Result<(), Failure> {
    let target = &profile.target;
    let session = sftp::connect_target(target, secrets).await?;
    let found = session.stat(&target.directory).await;
    session.close().await;
    let found = found.map_err(|error| {
        let failure = Failure::from(error);
        // Whatever is refused about the directory itself is the partner's setup, not a file's fault.
        if failure.class.is_retryable() {
            return failure;
        }
        Failure { class: ErrorClass::Misconfigured, ..failure }
    });
    let is_directory = found?.is_some_and(|found| found.kind == sftp::Kind::Directory);
    if is_directory {
        return Ok(());
    }
    Err(Failure::misconfigured(
        "sftp.no_such_directory",
        format!(
            "{}:{} has no directory {} for {}; ask the partner to make it or mend \
             target.directory.",
            target.host, target.port, target.directory, target.username
        ),
    ))
}
