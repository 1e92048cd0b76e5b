//! The HTTP client of one invocation: sends a report and says what its answer means.

use std::sync::Arc;
use std::time::Duration;

use domain::items::Answer;
use domain::profile::Report as Rules;
use domain::{Failure, SecretStore};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, redirect};
use serde_json::Value;

use crate::auth::{Auth, CREDENTIALS};

/// Bytes of an answer that are kept for people.
const ANSWER_BYTES: usize = 2048;
/// A `Retry-After` up to this long is waited for here; a longer one is left to the state machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a request says beside its body.
pub(crate) struct About<'a> {
    /// The idempotency key.
    pub(crate) key: &'a str,
    /// The run's id.
    pub(crate) run: &'a str,
    /// What people call the member.
    pub(crate) label: &'a str,
}

/// Talks to one partner's API.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    auth: Auth,
}

impl Client {
    /// A client with the profile's timeout. Redirects are not followed: they would carry the
    /// credentials elsewhere.
    pub(crate) fn new(rules: &Rules, secrets: Arc<dyn SecretStore>) -> Result<Self, Failure> {
        // Another part of the process may have chosen already; then that choice stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(rules.timeout_seconds))
            .connect_timeout(Duration::from_secs(rules.timeout_seconds.min(10)))
            .redirect(redirect::Policy::none())
            .user_agent(concat!("drayage/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                Failure::misconfigured(
                    "report.client",
                    format!("The HTTPS client cannot be set up: {error}."),
                )
            })?;
        let auth = Auth::new(rules.auth.clone(), secrets);
        Ok(Self { http, url: rules.url.clone(), auth })
    }

    /// Sends a report; once more where credentials were renewed, and after a short `Retry-After`.
    ///
    /// # Errors
    /// `Misconfigured` for 401, 403 and redirects, `Throttled` for 429, `Rejected` for any other
    /// 4xx with the API's own words, `Transient` for everything that may pass.
    pub(crate) async fn post(&self, body: &Value, about: &About<'_>) -> Result<Answer, Failure> {
        let renewals = self.auth.renewals().await;
        let mut response = self.send(body, about).await?;
        if refuses_credentials(response.status()) && self.auth.renew(renewals).await {
            response = self.send(body, about).await?;
        }
        if let Some(wait) = short_wait(response.status(), response.headers(), Timestamp::now()) {
            tokio::time::sleep(wait).await;
            response = self.send(body, about).await?;
        }
        let status = response.status();
        let text = self.beginning(response).await;
        self.judge(status, &text, about.label)?;
        Ok(Answer { status: status.as_u16(), body: text, at: Timestamp::now() })
    }

    async fn send(&self, body: &Value, about: &About<'_>) -> Result<Response, Failure> {
        let bytes = body.to_string().into_bytes();
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("idempotency-key", about.key)
            .header("drayage-run", about.run);
        let request = self.auth.apply(&self.http, request, &bytes).await?;
        request.body(bytes).send().await.map_err(|error| self.unreachable(&error))
    }

    /// The first bytes of an answer, without secrets; the rest is not read, however long it is.
    async fn beginning(&self, mut response: Response) -> String {
        let mut bytes = Vec::new();
        let mut cut = false;
        while !cut {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                // The status is the answer; a body that breaks off changes nothing.
                Ok(None) | Err(_) => break,
            }
            cut = bytes.len() >= 2 * ANSWER_BYTES;
        }
        kept(self.auth.redact(&String::from_utf8_lossy(&bytes)).await, cut)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let what = if error.is_timeout() {
            "did not answer in time (report.timeout_seconds)".to_owned()
        } else {
            format!("cannot be reached: {}", innermost(error))
        };
        Failure::transient("report.unreachable", format!("The report API at {} {what}.", self.url))
    }

    fn judge(&self, status: StatusCode, text: &str, label: &str) -> Result<(), Failure> {
        let url = &self.url;
        let said =
            if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
        if status.is_success() {
            return Ok(());
        }
        Err(match status {
            _ if refuses_credentials(status) => Failure::misconfigured(
                CREDENTIALS,
                format!("The report API at {url} refused report.auth with {status}{said}."),
            ),
            StatusCode::TOO_MANY_REQUESTS => Failure::throttled(
                "report.throttled",
                format!("The report API at {url} asks for fewer requests ({status})."),
            ),
            // 409: an earlier attempt with this key is still being worked on.
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::CONFLICT => {
                Failure::transient(
                    "report.busy",
                    format!("The report API at {url} answered {status}{said}."),
                )
            }
            _ if status.is_redirection() => Failure::misconfigured(
                "report.redirect",
                format!(
                    "The report API at {url} answered {status}; redirects are not followed, so set \
                     report.url to the final address."
                ),
            ),
            _ if status.is_client_error() => Failure::rejected(
                "report.rejected",
                format!("The report API refused {label} with {status}{said}."),
            ),
            _ => Failure::transient(
                "report.busy",
                format!("The report API at {url} answered {status}{said}."),
            ),
        })
    }
}

fn refuses_credentials(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN
}

/// How long a 429 or 503 asks us to wait, in seconds or until an HTTP date; `None` where that is longer
/// than anybody waits here.
fn short_wait(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            u64::try_from(date.as_second().saturating_sub(now.as_second())).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= PATIENCE)
}

/// What is kept of an answer. Where the reading of it was cut, its end may be half of a secret.
fn kept(mut text: String, cut: bool) -> String {
    let whole = if cut { text.len().saturating_sub(ANSWER_BYTES) } else { text.len() };
    text.truncate(text.floor_char_boundary(whole.min(ANSWER_BYTES)));
    text
}

/// The last error of the chain names the cause; the outer ones repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use domain::ErrorClass::{self, Misconfigured, Rejected, Throttled, Transient};
    use reqwest::header::HeaderValue;
    use secrets::FolderSecrets;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn client(url: &str) -> Client {
        let rules = serde_json::from_value(json!({ "url": url })).expect("rules");
        Client::new(&rules, Arc::new(FolderSecrets::new("no folder"))).expect("a client")
    }

    /// Posts to an API that gives these answers, one after the other, and must be asked for each.
    async fn post_to<const N: usize>(answers: [&'static str; N]) -> Result<Answer, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1/files", listener.local_addr().expect("its number"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.expect("a connection");
                let mut request = Vec::new();
                while !request.ends_with(b"{}") {
                    assert_ne!(connection.read_buf(&mut request).await.expect("a request"), 0);
                }
                count.fetch_add(1, Ordering::SeqCst);
                let end = "\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let answer = format!("HTTP/1.1 {answer}{end}");
                connection.write_all(answer.as_bytes()).await.expect("it listens");
            }
        });
        let about = About { key: "key", run: "run", label: "one.csv" };
        let answer = client(&url).post(&json!({}), &about).await;
        assert_eq!(asked.load(Ordering::SeqCst), N, "{answer:?}");
        answer
    }

    #[tokio::test]
    async fn a_report_is_sent_once_more_after_a_short_wait_and_left_where_it_is_long() {
        let answer = post_to(["429 Busy\r\nretry-after: 0", "201 Created"]).await;
        assert_eq!(answer.map(|answer| answer.status), Ok(201));
        let again = "503 Busy\r\nretry-after: 0";
        let failure = post_to([again, again]).await.expect_err("a failure");
        assert_eq!(failure.class, Transient, "{failure}");
        let failure = post_to(["429 Busy\r\nretry-after: 21"]).await.expect_err("a failure");
        assert_eq!(failure.class, Throttled, "{failure}");
    }

    #[test]
    fn each_status_means_what_the_machine_should_do() {
        let url = "https://api.example/v1/files";
        let client = client(url);
        let judged = |status| {
            let status = StatusCode::from_u16(status).expect("a status");
            client.judge(status, " its words\n", "one.csv")
        };
        for fine in [200, 201, 202, 204] {
            assert_eq!(judged(fine), Ok(()), "{fine}");
        }
        let table: [(&[u16], ErrorClass, &str); 5] = [
            (&[401, 403], Misconfigured, "report.credentials"),
            (&[301, 302, 307, 308], Misconfigured, "report.redirect"),
            (&[429], Throttled, "report.throttled"),
            (&[408, 409, 425, 500, 502, 503, 504], Transient, "report.busy"),
            (&[400, 404, 410, 413, 422], Rejected, "report.rejected"),
        ];
        for (statuses, class, code) in table {
            for status in statuses {
                let failure = judged(*status).expect_err("a failure");
                assert_eq!((failure.class, &*failure.code), (class, code), "{status}");
                assert!(failure.message.contains(&status.to_string()), "{failure}");
                let subject = if class == Rejected { "one.csv" } else { url };
                assert!(failure.message.contains(subject), "{failure}");
                let repeats = !["report.redirect", "report.throttled"].contains(&code);
                assert_eq!(failure.message.contains(": its words."), repeats, "{failure}");
            }
        }
    }

    #[test]
    fn a_short_wait_is_waited_for_here_and_a_long_one_is_not() {
        let now: Timestamp = "2024-02-29T12:00:00Z".parse().expect("a time");
        let wait = |status, text| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            short_wait(status, &headers, now).map(|wait| wait.as_secs())
        };
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(wait(status, "0"), Some(0));
            assert_eq!(wait(status, " 20 "), Some(20));
            assert_eq!(wait(status, "21"), None);
            assert_eq!(wait(status, "Thu, 29 Feb 2024 12:00:07 GMT"), Some(7));
            assert_eq!(wait(status, "Thu, 29 Feb 2024 11:59:00 GMT"), Some(0));
            assert_eq!(wait(status, "Thu, 29 Feb 2024 12:01:00 GMT"), None);
            assert_eq!(wait(status, "soon"), None);
            assert_eq!(short_wait(status, &HeaderMap::new(), now), None);
        }
        // A redirect may say it as well, and an accepted report is not sent again.
        for status in [StatusCode::CREATED, StatusCode::FOUND, StatusCode::BAD_GATEWAY] {
            assert_eq!(wait(status, "0"), None, "{status}");
        }
    }

    #[test]
    fn of_an_answer_the_beginning_is_kept_and_no_half_secret() {
        let long = "x".repeat(3 * ANSWER_BYTES);
        assert_eq!(kept("short".to_owned(), false), "short");
        assert_eq!(kept(long.clone(), false).len(), ANSWER_BYTES);
        assert_eq!(kept(long, true).len(), ANSWER_BYTES);
        // Little is left of it, and of what may be half a secret nothing.
        let half = "s".repeat(ANSWER_BYTES - 1);
        assert_eq!(kept(format!("said: (redacted) {half}"), true), "said: (redacted)");
        assert_eq!(kept("ü".repeat(ANSWER_BYTES) + "u", false).len(), ANSWER_BYTES);
        assert_eq!(kept("u".to_owned() + &"ü".repeat(ANSWER_BYTES), false).len(), ANSWER_BYTES - 1);
    }
}
