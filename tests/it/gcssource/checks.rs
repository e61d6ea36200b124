//! `team check` on Google's cloud: what is found of a grant that is right, and of each way in which it is wrong.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::google::{Customer, Google, US};

/// Runs `team check acme` with this teams file, and returns its exit code and each finding's name, success and message.
async fn checked(google: &Google, teams: &str, more: &[&str]) -> (i32, Vec<(String, bool, String)>) {
    let folder = tempfile::tempdir().unwrap();
    google.key_file(US, folder.path()).await;
    std::fs::write(folder.path().join("teams.toml"), teams).unwrap();
    std::fs::write(folder.path().join("longshore.toml"), "store.url = \"file:store\"\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .args(["--json", "team", "check", "acme"])
        .args(more)
        .current_dir(folder.path())
        .env_remove("LONGSHORE_CONFIG")
        .env("GOOGLE_APPLICATION_CREDENTIALS", folder.path().join("key.json"))
        .env("LONGSHORE__GCP__IAM_ENDPOINT_URL", google.identity_url())
        .env("LONGSHORE__SOURCES__GCS__ENDPOINT_URL", format!("http://{}", google.gate()))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let finding = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["integration"], "gcp", "{line}");
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("name"), line["success"].as_bool().unwrap(), text("message"))
    };
    (output.status.code().unwrap(), lines.lines().map(finding).collect())
}

/// Of these findings the failed ones are those named, each of which says what to do.
async fn check(google: &Google, teams: &str, more: &[&str], failed: &[(&str, &str)]) {
    let (exit, findings) = checked(google, teams, more).await;
    assert_eq!(exit, i32::from(!failed.is_empty()), "{findings:#?}");
    assert!(findings.len() >= 3, "{findings:#?}");
    for (name, success, message) in &findings {
        let expected = failed.iter().find(|(failed, _)| failed == name);
        assert_eq!(*success, expected.is_none(), "{findings:#?}");
        assert!(expected.is_none_or(|(_, says)| message.contains(says)), "{findings:#?}");
    }
}

fn url(customer: &Customer) -> String {
    format!("gs://{}/a.txt", customer.bucket)
}

#[tokio::test]
async fn each_way_in_which_a_grant_is_wrong_is_told() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let teams = customer.table("acme");
    check(&google, &teams, &["--url", &url(&customer)], &[]).await;
    // The bucket does not let the account in.
    google.grant(&customer, &[US], json!({})).await;
    check(&google, &teams, &[], &[("bucket_readable", "roles/storage.objectViewer")]).await;
    // The account does not let us in: nobody asks for the bucket.
    google.grant(&customer, &["somebody@else"], json!({"readers": [US, customer.account]})).await;
    let readers = google.readers().await.len();
    let failed = [("can_impersonate", "roles/iam.serviceAccountTokenCreator"), ("bucket_readable", "not looked at")];
    check(&google, &teams, &[], &failed).await;
    assert_eq!(google.readers().await.len(), readers);
}
