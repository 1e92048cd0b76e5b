//! Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_http_client::Builder;
use domain::ErrorClass;
use domain::SecretStore;
use secrets::SecretsManager;

use crate::responder::Responder;
use crate::suite;

const PREFIX: &str = "drayage/test/";

fn manager(endpoint: &str) -> SecretsManager {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(Credentials::new("AKID", "SECRET", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    SecretsManager::new(Client::from_conf(config), PREFIX)
}

async fn filled() -> Responder {
    let responder = Responder::start().await;
    responder.change(|answers| {
        for (name, bytes) in suite::STORED {
            answers.values.insert(format!("{PREFIX}{name}"), bytes.to_vec());
        }
    });
    responder
}

#[tokio::test]
async fn secrets_manager_is_a_source_of_secrets() {
    let responder = filled().await;
    let place = "the secret drayage/test/acme/nothing in AWS Secrets Manager";
    suite::run(&manager(&responder.endpoint), place).await;
}

#[tokio::test]
async fn a_secret_is_asked_for_once_and_again_after_rotation() {
    let responder = filled().await;
    let manager = manager(&responder.endpoint);
    let asked = || responder.change(|answers| answers.asked.len());
    let value = |text: &str| {
        let bytes = text.as_bytes().to_vec();
        responder.change(|answers| answers.values.insert(format!("{PREFIX}top"), bytes));
    };
    for _ in 0..3 {
        assert_eq!(manager.secret("top").await.unwrap().text().unwrap(), "no folder");
    }
    assert_eq!(asked(), 1);
    value("rotated");
    assert_eq!(manager.secret("top").await.unwrap().text().unwrap(), "no folder");
    assert_eq!(manager.fresh("top").await.unwrap().text().unwrap(), "rotated");
    assert_eq!(manager.secret("top").await.unwrap().text().unwrap(), "rotated");
    assert_eq!(asked(), 2);
    let printed = format!("{manager:?}");
    assert!(printed.contains(PREFIX) && !printed.contains("rotated"), "{printed}");
}

#[tokio::test]
async fn every_answer_of_the_service_has_a_class() {
    let responder = filled().await;
    let manager = manager(&responder.endpoint);
    for (status, code, class, ours) in [
        (400, "ResourceNotFoundException", ErrorClass::Misconfigured, "secrets.missing"),
        (400, "AccessDeniedException", ErrorClass::Misconfigured, "secrets.denied"),
        (400, "DecryptionFailure", ErrorClass::Misconfigured, "secrets.denied"),
        (400, "UnrecognizedClientException", ErrorClass::Misconfigured, "secrets.denied"),
        (400, "InvalidRequestException", ErrorClass::Misconfigured, "secrets.unusable"),
        (400, "InvalidParameterException", ErrorClass::Misconfigured, "secrets.unusable"),
        (400, "ThrottlingException", ErrorClass::Throttled, "secrets.throttled"),
        (429, "SomethingNew", ErrorClass::Throttled, "secrets.throttled"),
        (400, "ExpiredTokenException", ErrorClass::Transient, "secrets.unreachable"),
        (500, "InternalServiceError", ErrorClass::Transient, "secrets.unreachable"),
        (503, "ServiceUnavailable", ErrorClass::Transient, "secrets.unreachable"),
    ] {
        let name = format!("{PREFIX}top");
        responder.change(|answers| answers.errors.insert(name, (status, code)));
        let failure = suite::failure(manager.fresh("top").await);
        assert_eq!((failure.class, &*failure.code), (class, ours), "{code}: {failure}");
        assert!(failure.message.contains("\"top\""), "{failure}");
    }
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = suite::failure(manager(&endpoint).secret("top").await);
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "secrets.unreachable"));
}

/// The environment belongs to the process, so the test runs itself again in one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_says_where() {
    if std::env::var_os("DRAYAGE_TEST_CHILD").is_some() {
        let manager = SecretsManager::from_env(PREFIX).await;
        assert_eq!(manager.secret("top").await.unwrap().text().unwrap(), "no folder");
        return;
    }
    let responder = filled().await;
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "manager::the_environment_says_where"])
        .env("DRAYAGE_TEST_CHILD", "1")
        .env("AWS_ENDPOINT_URL", &responder.endpoint)
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKID")
        .env("AWS_SECRET_ACCESS_KEY", "SECRET")
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
    assert_eq!(responder.change(|answers| answers.asked.len()), 1);
}
