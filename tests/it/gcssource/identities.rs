//! The worker's own identity, found in every way in which Google's libraries find one.

use std::path::{Path, PathBuf};

use longshore::adapters::credentials::gcp::GcpOptions;
use serde_json::{Value, json};

use super::google::{Customer, Google, US};
use super::*;
use crate::fetch::server::{Server, answer};

/// Somebody of another identity provider.
const STRANGER: &str = "principal://iam.googleapis.com/pools/p/subject/worker";
const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";

fn file(folder: &Path, document: &Value) -> PathBuf {
    let path = folder.join("credentials.json");
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

fn external(google: &Google, source: &Value) -> Value {
    json!({
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/token", google.identity_url()),
        "credential_source": source,
    })
}

/// Reads a bucket that only `whoever` may read, with the worker's own identity in this environment.
async fn check(google: &Google, environment: GcpOptions, whoever: &str) {
    let customer = google.customer().await;
    google.grant(&customer, &[], json!({"readers": [whoever]})).await;
    let found = read_own(google, environment, &customer).await;
    assert_eq!(found.unwrap(), "the content");
    assert_eq!(google.readers().await, [whoever]);
}

async fn read_own(google: &Google, environment: GcpOptions, customer: &Customer) -> Result<String, AttachmentFault> {
    let listing = GcpGrant { buckets: vec![customer.bucket.clone()], ..GcpGrant::default() };
    read(&google.fetcher_in(environment), &listing, object(&customer.bucket, "a.txt")).await
}

#[tokio::test]
async fn a_machine_of_googles_says_who_it_is() {
    let google = Google::start().await;
    check(&google, google.on_google(), US).await;
}

#[tokio::test]
async fn a_key_signs_for_its_account() {
    let google = Google::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = google.key_file("keyed@our-project.iam.gserviceaccount.com", folder.path()).await;
    let environment = GcpOptions { credentials_file: Some(key), ..google.elsewhere() };
    check(&google, environment.clone(), "keyed@our-project.iam.gserviceaccount.com").await;
    // Another key for the account makes this one worthless.
    let other = tempfile::tempdir().unwrap();
    google.key_file("keyed@our-project.iam.gserviceaccount.com", other.path()).await;
    let customer = google.customer().await;
    check_code(read_own(&google, environment, &customer).await, Code::Unavailable);
}

#[tokio::test]
async fn a_key_may_be_exchanged_elsewhere_than_its_file_says() {
    let google = Google::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = google.key_file("keyed@x", folder.path()).await;
    let mut key: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    key["token_uri"] = json!("http://127.0.0.1:1/token");
    let environment = GcpOptions {
        credentials_file: Some(file(folder.path(), &key)),
        token_url: Some(format!("{}/token", google.identity_url()).parse().unwrap()),
        ..google.elsewhere()
    };
    check(&google, environment, "keyed@x").await;
}

#[tokio::test]
async fn a_person_who_logged_in_is_found_where_gcloud_says() {
    let google = Google::start().await;
    let folder = tempfile::tempdir().unwrap();
    let held = json!({"client_id": "c", "client_secret": "s", "email": "person@us"});
    google.apply(json!({"refresh_tokens": {"rt": held}})).await;
    let login = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "rt",
        "token_uri": format!("{}/token", google.identity_url()),
    });
    let well_known_file = Some(file(folder.path(), &login));
    check(&google, GcpOptions { well_known_file, ..google.elsewhere() }, "person@us").await;
}

#[tokio::test]
async fn a_stranger_of_another_provider_is_known_by_a_file() {
    let google = Google::start().await;
    let folder = tempfile::tempdir().unwrap();
    google.apply(json!({"federation": {AUDIENCE: {"a-jwt": STRANGER, "another": STRANGER}}})).await;
    let token = folder.path().join("token");
    std::fs::write(&token, "a-jwt\n").unwrap();
    let credentials_file = Some(file(folder.path(), &external(&google, &json!({"file": token}))));
    let environment = GcpOptions { credentials_file, ..google.elsewhere() };
    check(&google, environment.clone(), STRANGER).await;
    let format = json!({"type": "json", "subject_token_field_name": "id_token"});
    std::fs::write(&token, r#"{"id_token":"another"}"#).unwrap();
    file(folder.path(), &external(&google, &json!({"file": token, "format": format})));
    let customer = google.customer().await;
    google.grant(&customer, &[], json!({"readers": [STRANGER]})).await;
    assert_eq!(read_own(&google, environment.clone(), &customer).await.unwrap(), "the content");
    std::fs::write(&token, r#"{"id_token":"unknown"}"#).unwrap();
    check_code(read_own(&google, environment, &customer).await, Code::Unavailable);
}

#[tokio::test]
async fn a_stranger_of_another_provider_may_be_known_by_a_url_and_act_as_an_account() {
    let google = Google::start().await;
    let folder = tempfile::tempdir().unwrap();
    let agent = Server::start(|asked| match asked.fields.get("metadata").map(String::as_str) {
        Some("True") => answer(200, "", br#"{"access_token":"a-jwt"}"#),
        Some(_) | None => answer(400, "", b"no"),
    })
    .await;
    google.apply(json!({"federation": {AUDIENCE: {"a-jwt": STRANGER}}})).await;
    google.apply(json!({"accounts": {"federated@us": {"token_creators": [STRANGER]}}})).await;
    let format = json!({"type": "json", "subject_token_field_name": "access_token"});
    let source = json!({"url": agent.url("/token"), "headers": {"Metadata": "True"}, "format": format});
    let mut document = external(&google, &source);
    document["service_account_impersonation_url"] = json!(google.impersonation_url("federated@us"));
    let credentials_file = Some(file(folder.path(), &document));
    let environment = GcpOptions { credentials_file, ..google.elsewhere() };
    check(&google, environment.clone(), "federated@us").await;
    // And whoever we are by then may impersonate a customer's account.
    let customer = google.customer().await;
    google.grant(&customer, &["federated@us"], json!({"readers": [customer.account]})).await;
    let fetcher = google.fetcher_in(environment);
    let found = read(&fetcher, &customer.record(), object(&customer.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    assert_eq!(google.readers().await, ["federated@us", customer.account.as_str()]);
}

#[tokio::test]
async fn a_worker_that_is_nobody_waits_and_reads_nothing() {
    let google = Google::start().await;
    let customer = google.customer().await;
    google.grant(&customer, &[US], json!({"readers": ["allUsers"]})).await;
    let nobody = google.elsewhere();
    check_code(read_own(&google, nobody.clone(), &customer).await, Code::Unavailable);
    let fetcher = google.fetcher_in(nobody);
    let found = read(&fetcher, &customer.record(), object(&customer.bucket, "a.txt")).await;
    check_code(found, Code::Unavailable);
    assert!(google.readers().await.is_empty(), "it read without any identity");
}
