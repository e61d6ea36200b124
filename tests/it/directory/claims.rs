//! What a directory's record says is no stronger than what a file's says: what another team has claimed stays that team's, on
//! every cloud, and nobody is asked.

use serde_json::{Value, json};

use super::desk::{Desk, TOKEN};
use crate::azuresource::GATE;
use crate::azuresource::customer::Customer;
use crate::azuresource::program::Program;
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

    office.configure("two", "");
    office.set("LONGSHORE__TEAMS__SOURCE", &desk.team_url());
    office.set("LONGSHORE__TEAMS__TOKEN", TOKEN);
    let (bucket, role, own_role) = (&acmes.bucket, acmes.role_arn(), bolts.role_arn());
    for (aws, from, expected) in [
        (json!({"buckets": [bucket]}), &acmes, "bucket_not_allowed"),
        (json!({"role_arn": own_role, "external_id": "id-of-bolt", "buckets": ["b*"]}), &acmes, "bucket_not_allowed"),
        (json!({"role_arn": own_role, "external_id": "id-of-bolt"}), &bolts, "the content"),
        (json!({"role_arn": role, "external_id": "id-of-bolt"}), &bolts, "integration_broken"),
        (json!({"role_arn": own_role, "external_id": EXTERNAL_ID}), &bolts, "integration_broken"),
    ] {
        desk.put("bolt", &json!({"aws": aws}).to_string());
        assert_eq!(office.fetch("two", "bolt", &[&url(from)]).await, [expected], "{aws}");
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

    ground.asks_a_directory(&desk.team_url(), TOKEN);
    let own = json!({"service_account": bolts.account, "uid": bolts.uid});
    let with = |record: &Value, buckets: &[&str]| {
        let mut record = record.clone();
        record["buckets"] = json!(buckets);
        record
    };
    let acmes_account = json!({"service_account": acmes.account, "uid": acmes.uid});
    for (gcp, bucket, expected) in [
        (json!({"buckets": [acmes.bucket]}), &acmes.bucket, "bucket_not_allowed"),
        (with(&own, &[&acmes.bucket]), &acmes.bucket, "bucket_not_allowed"),
        (with(&own, &["gcs-*"]), &acmes.bucket, "bucket_not_allowed"),
        (with(&acmes_account, &[&bolts.bucket]), &bolts.bucket, "integration_broken"),
    ] {
        desk.put("bolt", &json!({"gcp": gcp}).to_string());
        assert_eq!(code(&ground.work(&[("bolt", &url(bucket))]).await["bolt"]), expected, "{gcp}");
    }
    assert_eq!((google.readers().await.len(), google.impersonations(&acmes).await), before, "somebody asked");
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
    program.append(&format!("[teams]\nsource = \"{}\"\ntoken = \"file:desk-token\"\n", desk.team_url()));
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
