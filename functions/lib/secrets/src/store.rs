//! Secrets as the stages ask for them: by the domain's trait, failures already classed.

use async_trait::async_trait;
use domain::{Failure, SecretBytes, SecretStore};

use crate::{FolderSecrets, Secrets, SecretsManager};

#[async_trait]
impl SecretStore for FolderSecrets {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        fetch(self, name).await
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        fetch(self, name).await
    }
}

async fn fetch(secrets: &dyn Secrets, name: &str) -> Result<SecretBytes, Failure> {
    let secret = secrets.get(name).await?;
    Ok(SecretBytes::new(name, secret.expose_bytes().to_vec()))
}
