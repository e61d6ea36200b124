//! What a directory's record says is no stronger than what a file's says: what another team has claimed stays that team's, on
//! every cloud, and nobody is asked. The directory is asked over https, as directories elsewhere are.

use serde_json::{Value, json};

use super::desk::{Desk, TOKEN};
use crate::azuresource::GATE;
use crate::azuresource::customer::Customer;
use crate::azuresource::program::Program;
use crate::bed;
use crate::gcssource::google::{Google, US};
use crate::gcssource::program::{Ground, code};
use crate::grants::office::{Office, delegated};
use crate::s3source::cloud::{Cloud, EXTERNAL_ID, Plan, control, trust};

#[tokio::test]
async fn another_teams_bucket_and_role_on_s3() {
    let open_hearted = || Cloud::new(Plan { lets_us_read: true, ..Plan::default() });
    let (acmes, bolts, desk) = (open_hearted().await, open_hearted().await, Desk::open().await);
    // Our own worker may assume bolt's role too.
    control("POST", "trust", &json!({"role": bolts.role_arn(), "trust": trust(&acmes.us, Some("id-of-bolt"))})).await;
    let mut office = Office::of(&acmes);
    office.teams("one", &delegated("acme", &acmes.role_arn(), EXTERNAL_ID, ""));
    let url = |cloud: &Cloud| format!("s3://{}/a.txt", cloud.bucket);
    assert_eq!(office.fetch("one", "acme", &[&url(&acmes)]).await, ["the content"]);
    let asked = acmes.asked().await.len();

    let (_front, team_url) = desk.behind_tls().await;
    office.set("LONGSHORE__TEAMS__SOURCE", &team_url);
    office.set("LONGSHORE__TEAMS__TOKEN", TOKEN);
    office.set("SSL_CERT_FILE", &bed::ca_pem_path().display().to_string());
    let (bucket, role, own_role) = (&acmes.bucket, acmes.role_arn(), bolts.role_arn());
    let with_own_role =
        |buckets: &Value| json!({"role_arn": own_role, "external_id": "id-of-bolt", "buckets": buckets});
    let (declared, open) = ("", "sources.s3.cross_account = \"open\"");
    for (mode, aws, from, expected) in [
        (declared, json!({"buckets": [bucket]}), &acmes, "bucket_not_allowed"),
        (open, json!({"buckets": [bucket]}), &acmes, "bucket_not_allowed"),
        (open, json!({"recognize_https": true}), &acmes, "bucket_not_allowed"),
        (declared, with_own_role(&json!([bucket])), &acmes, "bucket_not_allowed"),
        (declared, with_own_role(&json!(["b*"])), &acmes, "bucket_not_allowed"),
        (open, with_own_role(&Value::Null), &acmes, "bucket_not_allowed"),
        (declared, with_own_role(&Value::Null), &bolts, "the content"),
        (declared, json!({"role_arn": role, "external_id": "id-of-bolt"}), &bolts, "integration_broken"),
        (open, json!({"role_arn": role, "external_id": "id-of-bolt"}), &bolts, "integration_broken"),
        (declared, json!({"role_arn": own_role, "external_id": EXTERNAL_ID}), &bolts, "integration_broken"),
    ] {
        office.configure("two", mode);
        desk.put("bolt", &json!({"aws": aws}).to_string());
        assert_eq!(office.fetch("two", "bolt", &[&url(from)]).await, [expected], "{aws} {mode}");
    }
    assert_eq!((acmes.asked().await.len(), acmes.assumed().await.len()), (asked, 1), "somebody asked for acme's");
    assert_eq!((bolts.asked().await.len(), bolts.assumed().await.len()), (1, 1), "what was refused was asked for");
}

#[tokio::test]
async fn another_teams_account_and_bucket_on_google_cloud() {
    let (google, desk) = (Google::start().await, Desk::open().await);
    let [acmes, bolts] = [google.customer().await, google.customer().await];
    google.grant(&acmes, &[US], json!({"readers": [US, acmes.account, bolts.account]})).await;
    google.grant(&bolts, &[US], json!({"readers": [US, acmes.account, bolts.account]})).await;
    let ground = Ground::new(&google, &format!("http://{}", google.gate()), &acmes.table("acme")).await;
    let url = |bucket: &str| format!("gs://{bucket}/a.txt");
    assert_eq!(code(&ground.work(&[("acme", &url(&acmes.bucket))]).await["acme"]), "stored");
    let before = (google.readers().await.len(), google.impersonations(&acmes).await);

    let (_front, team_url) = desk.behind_tls().await;
    ground.asks_a_directory(&team_url, TOKEN);
    let own = json!({"service_account": bolts.account, "uid": bolts.uid});
    let with = |record: &Value, buckets: &[&str]| {
        let mut record = record.clone();
        record["buckets"] = json!(buckets);
        record
    };
    let acmes_account = json!({"service_account": acmes.account, "uid": acmes.uid});
    let acmes_uid = json!({"service_account": acmes.account.replace("@acme.", "@bolt."), "uid": acmes.uid});
    for (gcp, bucket, expected) in [
        (json!({"buckets": [acmes.bucket]}), &acmes.bucket, "bucket_not_allowed"),
        (with(&own, &[&acmes.bucket]), &acmes.bucket, "bucket_not_allowed"),
        (with(&own, &["gcs-*"]), &acmes.bucket, "bucket_not_allowed"),
        (with(&acmes_account, &[&bolts.bucket]), &bolts.bucket, "integration_broken"),
        (with(&acmes_uid, &[&bolts.bucket]), &bolts.bucket, "integration_broken"),
    ] {
        desk.put("bolt", &json!({"gcp": gcp}).to_string());
        assert_eq!(code(&ground.work(&[("bolt", &url(bucket))]).await["bolt"]), expected, "{gcp}");
    }
    assert_eq!((google.readers().await.len(), google.impersonations(&acmes).await), before, "somebody asked");
    assert_eq!(google.impersonations(&bolts).await, 0, "a token was asked for what is another's");
    desk.put("bolt", &json!({"gcp": with(&own, &[&bolts.bucket])}).to_string());
    assert_eq!(code(&ground.work(&[("bolt", &url(&bolts.bucket))]).await["bolt"]), "stored", "its own is its own");
}

#[tokio::test]
async fn another_teams_tenant_and_account_on_azure() {
    let (acmes, bolts, desk) = (Customer::new().await, Customer::stranger("teamtwo").await, Desk::open().await);
    bolts.consents(true).await;
    bolts.grants(&bolts.container).await;
    acmes.lets_in(&bolts).await;
    let program = Program::with("secret", GATE);
    program.teams(&[("acme", Some(&acmes.tenant), &[])]);
    assert_eq!(program.copy("acme", &acmes.url("a.txt")).await.code(), "stored");

    program.write("desk-token", TOKEN);
    let (_front, team_url) = desk.behind_tls().await;
    program.append(&format!("[teams]\nsource = \"{team_url}\"\ntoken = \"file:desk-token\"\n"));
    for (tenant, customer, expected) in [
        (&acmes.tenant, &bolts, "integration_broken"),
        (&acmes.tenant.to_uppercase(), &bolts, "integration_broken"),
        (&bolts.tenant, &acmes, "integration_broken"),
        (&bolts.tenant, &bolts, "stored"),
    ] {
        let record = json!({"azure": {"tenant_id": tenant, "accounts": [customer.account]}});
        desk.put("bolt", &record.to_string());
        assert_eq!(program.copy("bolt", &customer.url("a.txt")).await.code(), expected, "{record}");
    }
    assert_eq!((acmes.tokens().await.len(), acmes.askers().await), (1, vec![acmes.tenant.clone()]));
    assert_eq!((bolts.tokens().await.len(), bolts.askers().await), (1, vec![bolts.tenant.clone()]));
}
