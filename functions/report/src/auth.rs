//! How a report authenticates.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::profile::{OAuth2Auth, ReportAuth};
use domain::{Failure, Given, SecretBytes, SecretStore, redact};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Adds credentials to requests. An OAuth 2 token is fetched once per invocation, and again when it
/// is refused.
pub(crate) struct Auth {
    rules: ReportAuth,
    secrets: Arc<dyn SecretStore>,
    given: Given,
    renewed: Mutex<Renewed>,
}

/// What requests of now are made with.
#[derive(Default)]
struct Renewed {
    times: u64,
    token: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

impl Auth {
    pub(crate) fn new(rules: ReportAuth, secrets: Arc<dyn SecretStore>) -> Self {
        Self { rules, secrets, given: Given::default(), renewed: Mutex::default() }
    }

    /// Adds what the profile asks for.
    ///
    /// # Errors
    /// `Misconfigured` for a secret that is missing or fits no header; `Transient` when the token
    /// endpoint does not answer.
    pub(crate) async fn apply(
        &self,
        http: &reqwest::Client,
        request: RequestBuilder,
        body: &[u8],
    ) -> Result<RequestBuilder, Failure> {
        let rules = &self.rules;
        let mut request = request;
        if let Some(name) = &rules.bearer {
            let secret = self.secret(name).await?;
            request = request.header(AUTHORIZATION, bearer(secret.line()?)?);
        }
        if let Some(header) = &rules.header {
            let secret = self.secret(&header.value).await?;
            request = request.header(header_name(&header.name)?, value(secret.line()?)?);
        }
        if let Some(basic) = &rules.basic {
            let secret = self.secret(&basic.password).await?;
            let pair = pair(&basic.username, secret.line()?);
            request = request.header(AUTHORIZATION, basic_of(&pair)?);
        }
        if let Some(oauth2) = &rules.oauth2 {
            let token = self.token(http, oauth2).await?;
            request = request.header(AUTHORIZATION, bearer(&token)?);
        }
        if let Some(hmac) = &rules.hmac {
            let secret = self.secret(&hmac.secret).await?;
            let signed = sign(secret.line()?.as_bytes(), Timestamp::now().as_second(), body)?;
            request = request.header(header_name(&hmac.header)?, value(&signed)?);
        }
        Ok(request)
    }

    /// How often credentials were renewed; to be read before a request that may be refused.
    pub(crate) async fn renewals(&self) -> u64 {
        self.renewed.lock().await.times
    }

    /// After a request was refused: whether it should be made once more, because a secret was rotated,
    /// a token may have expired, or another request has found that out since `before`.
    pub(crate) async fn renew(&self, before: u64) -> bool {
        let mut renewed = self.renewed.lock().await;
        if renewed.times != before {
            return true;
        }
        let rotated = self.given.rotated(&*self.secrets).await;
        let expired = renewed.token.take().is_some();
        if rotated || expired {
            renewed.times += 1;
        }
        rotated || expired
    }

    /// Takes what requests are made with out of an answer, should it be repeated there.
    pub(crate) async fn redact(&self, said: &str) -> String {
        let mut said = self.given.redact(said);
        if let Some(token) = &self.renewed.lock().await.token {
            said = redact(&said, token);
        }
        if let Some(basic) = &self.rules.basic
            && let Ok(secret) = self.secret(&basic.password).await
            && let Ok(line) = secret.line()
        {
            said = redact(&said, &pair(&basic.username, line));
        }
        said
    }

    async fn secret(&self, name: &str) -> Result<SecretBytes, Failure> {
        self.given.secret(&*self.secrets, name).await
    }

    async fn token(
        &self,
        http: &reqwest::Client,
        oauth2: &OAuth2Auth,
    ) -> Result<Zeroizing<String>, Failure> {
        let mut renewed = self.renewed.lock().await;
        if let Some(token) = &renewed.token {
            return Ok(token.clone());
        }
        let token = match self.fetch_token(http, oauth2).await {
            Err(refused)
                if refused.code == CREDENTIALS && self.given.rotated(&*self.secrets).await =>
            {
                self.fetch_token(http, oauth2).await?
            }
            fetched => fetched?,
        };
        Ok(renewed.token.insert(token).clone())
    }

    async fn fetch_token(
        &self,
        http: &reqwest::Client,
        oauth2: &OAuth2Auth,
    ) -> Result<Zeroizing<String>, Failure> {
        let url = &oauth2.token_url;
        let secret = self.secret(&oauth2.client_secret).await?;
        let mut form = vec![("grant_type", "client_credentials")];
        if let Some(scope) = &oauth2.scope {
            form.push(("scope", scope));
        }
        let pair = pair(&oauth2.client_id, secret.line()?);
        let silent = |why: String| {
            Failure::transient("report.token", format!("The token endpoint {url} {why}."))
        };
        let response = http
            .post(url)
            .header(AUTHORIZATION, basic_of(&pair)?)
            .form(&form)
            .send()
            .await
            .map_err(|_| silent("cannot be reached".to_owned()))?;
        let status = response.status();
        if matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            return Err(Failure::misconfigured(
                CREDENTIALS,
                format!(
                    "The token endpoint {url} refused client {:?} with {status}.",
                    oauth2.client_id
                ),
            ));
        }
        if !status.is_success() {
            return Err(silent(format!("answered {status}")));
        }
        let token: Token =
            response.json().await.map_err(|_| silent("gave no access_token".to_owned()))?;
        Ok(Zeroizing::new(token.access_token))
    }
}

/// Code of a failure for which no other file has to be tried.
pub(crate) const CREDENTIALS: &str = "report.credentials";

/// `t=<unix seconds>,v1=<hex>` over `<unix seconds>.<body>`: the time keeps an old signature from
/// being used again.
fn sign(key: &[u8], unix_seconds: i64, body: &[u8]) -> Result<String, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| {
        Failure::misconfigured("report.hmac_key", "The HMAC key cannot be used; store another.")
    })?;
    mac.update(format!("{unix_seconds}.").as_bytes());
    mac.update(body);
    Ok(format!("t={unix_seconds},v1={}", hex::encode(mac.finalize().into_bytes())))
}

fn header_name(name: &str) -> Result<HeaderName, Failure> {
    name.parse().map_err(|_| {
        Failure::misconfigured("report.header", format!("{name:?} cannot be an HTTP header."))
    })
}

/// User name and password as HTTP carries them.
fn pair(username: &str, password: &str) -> Zeroizing<String> {
    let plain = Zeroizing::new(format!("{username}:{password}"));
    Zeroizing::new(STANDARD.encode(plain.as_bytes()))
}

fn basic_of(pair: &str) -> Result<HeaderValue, Failure> {
    value(&Zeroizing::new(format!("Basic {pair}")))
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    value(&Zeroizing::new(format!("Bearer {token}")))
}

/// A header value that no log prints.
fn value(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::misconfigured(
            "report.header",
            "A secret of report.auth holds characters that no HTTP header can carry.",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use secrets::FolderSecrets;

    use super::*;

    #[tokio::test]
    async fn one_token_is_dropped_once_and_each_that_expires_is() {
        let auth = Auth::new(ReportAuth::default(), Arc::new(FolderSecrets::new("no folder")));
        let before = auth.renewals().await;
        assert!(!auth.renew(before).await, "nothing was used that could have expired");
        for token in ["first", "second"] {
            auth.renewed.lock().await.token = Some(Zeroizing::new(token.to_owned()));
            let before = auth.renewals().await;
            assert!(auth.renew(before).await, "{token}");
            assert_eq!(auth.renewed.lock().await.token, None, "{token}");
            // Refused with the same token, and the next one is there already.
            auth.renewed.lock().await.token = Some(Zeroizing::new("next".to_owned()));
            assert!(auth.renew(before).await, "{token}");
            assert!(auth.renewed.lock().await.token.is_some(), "{token}");
        }
    }

    #[test]
    fn the_signature_is_that_of_the_other_implementation() {
        // Made with: printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        let signed = sign(b"key", 1_700_000_000, b"{}").expect("any key works");
        assert_eq!(signed, format!("t=1700000000,v1={}", VECTOR));
    }

    const VECTOR: &str = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
}
