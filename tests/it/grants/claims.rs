//! Whose bucket, role and external id it is, over replicas with teams files of their own: another team's is refused, with
//! nothing read, whichever way it is written.

use serde_json::{Value, json};

use super::office::{Office, delegated};
use crate::s3source::cloud::{Cloud, EXTERNAL_ID, Plan, control, journal, trust};

/// A customer whose bucket would let our own identity in too, so that a leak would be felt.
async fn open_hearted() -> Cloud {
    Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await
}

/// Replica `one`, whose team `acme` has used its bucket with its role.
async fn claimed_by_acme(cloud: &Cloud) -> Office {
    let office = Office::of(cloud);
    office.teams("one", &delegated("acme", &cloud.role_arn(), EXTERNAL_ID, ""));
    let found = office.fetch("one", "acme", &[&format!("s3://{}/a.txt", cloud.bucket)]).await;
    assert_eq!(found, ["the content"]);
    office
}

/// Team `bolt` of replica `two`, by this record, asks for `bucket`; it hears `code`, and nobody at AWS hears anything.
async fn check_refused(office: &Office, cloud: &Cloud, (teams, more): (&str, &str), bucket: &str, code: &str) {
    office.teams("two", teams);
    office.configure("two", more);
    let before = (cloud.asked().await.len(), cloud.assumed().await.len());
    let found = office.fetch("two", "bolt", &[&format!("s3://{bucket}/a.txt")]).await;
    assert_eq!(found, [code], "{teams}{more}");
    assert_eq!((cloud.asked().await.len(), cloud.assumed().await.len()), before, "somebody asked: {teams}{more}");
    for (path, text) in office.stored("bolt/objects") {
        assert!(!text.contains("the content"), "{path}: {teams}");
    }
}

#[tokio::test]
async fn another_teams_bucket_is_refused_by_name_by_pattern_and_where_every_bucket_is_open() {
    let (cloud, own) = (open_hearted().await, Cloud::new(Plan::default()).await);
    let office = claimed_by_acme(&cloud).await;
    let bucket = cloud.bucket.as_str();
    let open = "sources.s3.cross_account = \"open\"";
    let with_own_role = |buckets: &str| delegated("bolt", &own.role_arn(), "id-of-bolt", buckets);
    for (teams, more) in [
        (format!("[bolt.aws]\nbuckets = [\"{bucket}\"]\n"), ""),
        ("[bolt]\n".to_owned(), open),
        ("[bolt.aws]\nrecognize_https = true\n".to_owned(), open),
        (with_own_role(&format!("buckets = [\"{bucket}\"]\n")), ""),
        (with_own_role("buckets = [\"b*\"]\n"), ""),
        (with_own_role(""), open),
    ] {
        check_refused(&office, &cloud, (&teams, more), bucket, "bucket_not_allowed").await;
    }
    assert!(own.assumed().await.is_empty(), "a role was assumed for what is another's");
}

#[tokio::test]
async fn another_teams_role_and_external_id_are_refused_in_every_spelling() {
    let (cloud, own) = (open_hearted().await, open_hearted().await);
    let office = claimed_by_acme(&cloud).await;
    // The role could read this bucket too, which nobody has claimed yet.
    let second = format!("{}-second", cloud.bucket);
    cloud.customer().create_bucket().bucket(&second).send().await.unwrap();
    let in_capitals = cloud.role_arn().replace("Longshore-Integration", "LONGSHORE-INTEGRATION");
    let with_path = cloud.role_arn().replace(":role/", ":role/some/path/");
    for role in [&cloud.role_arn(), &in_capitals, &with_path] {
        let teams = delegated("bolt", role, "id-of-bolt", "");
        check_refused(&office, &cloud, (&teams, ""), &second, "integration_broken").await;
        let insecure = format!(
            "[bolt.aws]\nrole_arn = \"{role}\"\ninsecure = true\nbuckets = [\"{second}\"]\nregions = [\"us-east-1\"]\n"
        );
        check_refused(&office, &cloud, (&insecure, ""), &second, "integration_broken").await;
    }
    // Its own role and its own bucket, and acme's external id.
    let teams = delegated("bolt", &own.role_arn(), EXTERNAL_ID, "");
    check_refused(&office, &cloud, (&teams, ""), &own.bucket, "integration_broken").await;
    assert!(own.assumed().await.is_empty() && own.asked().await.is_empty());
}

#[tokio::test]
async fn a_file_in_which_two_teams_overlap_is_refused_as_a_whole() {
    let cloud = Cloud::new(Plan::default()).await;
    let office = Office::of(&cloud);
    let acme = delegated("acme", &cloud.role_arn(), EXTERNAL_ID, "buckets = [\"acme-*\"]\n");
    let in_capitals =
        cloud.role_arn().to_ascii_uppercase().replace("ARN:AWS:IAM", "arn:aws:iam").replace("ROLE/", "role/");
    for (bolt, says) in [
        ("[bolt.aws]\nbuckets = [\"acme-raw\"]\n".to_owned(), "S3 bucket acme-* is listed by team bolt too"),
        (delegated("bolt", &in_capitals, "id-of-bolt", "buckets = [\"bolt\"]\n"), "is listed by team acme too"),
    ] {
        office.teams("one", &(acme.clone() + &bolt));
        let ran = office.run("one", &["config", "check"]).await.ends(64);
        assert!(ran.err.contains(says), "{ran:?}");
    }
}

#[tokio::test]
async fn a_moved_claim_lets_the_other_team_in_and_the_first_out() {
    let cloud = open_hearted().await;
    let office = claimed_by_acme(&cloud).await;
    let (bucket, url) = (cloud.bucket.as_str(), format!("s3://{}/a.txt", cloud.bucket));
    let bolt = format!("[bolt.aws]\nbuckets = [\"{bucket}\"]\n");
    check_refused(&office, &cloud, (&bolt, ""), bucket, "bucket_not_allowed").await;
    let moved =
        office.run("two", &["--json", "team", "claim", "--move", "bucket", bucket, "bolt"]).await.ends(0).json();
    assert_eq!((&moved[0]["team"], &moved[0]["moved_from"]), (&json!("bolt"), &json!("acme")));
    assert_eq!(office.fetch("two", "bolt", &[&url]).await, ["the content"]);
    assert_eq!(office.fetch("one", "acme", &[&url]).await, ["bucket_not_allowed"]);
    // A role's claim is found by any spelling of its name.
    let role = cloud.role_arn().to_ascii_lowercase();
    let moved = office.run("two", &["--json", "team", "claim", "--move", "role", &role, "bolt"]).await.ends(0).json();
    assert_eq!(moved[0]["moved_from"], "acme");
    let claims = office.run("two", &["--json", "team", "claims"]).await.ends(0).json();
    assert_eq!(claims.iter().filter(|claim| claim["kind"] == "role").count(), 1, "{claims:?}");
}

/// The AssumeRole requests for the role, and what became of them.
async fn decisions(cloud: &Cloud) -> Vec<Value> {
    let entries = journal(&cloud.role_arn()).await;
    let ours = entries.into_iter().filter(|entry| entry["role"] == cloud.role_arn().as_str());
    ours.map(|entry| entry["decision"].clone()).collect()
}

/// A worker that goes on while its teams file changes.
#[tokio::test]
async fn sessions_end_with_the_record_that_they_were_made_for() {
    let cloud = Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await;
    let office = Office::of(&cloud);
    let record = delegated("acme", &cloud.role_arn(), EXTERNAL_ID, "");
    office.teams("one", &record);
    let _worker = office.start("one", &["worker", "--roles", "ingest"]);
    let url = format!("s3://{}/a.txt", cloud.bucket);
    assert_eq!(office.ask("one", "acme", &[&url]).await, ["the content"]);
    assert_eq!(office.ask("one", "acme", &[&url]).await, ["the content"]);
    assert_eq!(decisions(&cloud).await, ["allowed"], "one session for both");
    // The customer takes its trust back; its session would be good for an hour.
    control("POST", "trust", &json!({"role": cloud.role_arn(), "trust": trust("000000000000", None)})).await;
    office.teams("one", "[acme]\n");
    office.ask_until("one", "acme", &url, "integration_missing").await;
    office.teams("one", &record);
    office.ask_until("one", "acme", &url, "integration_broken").await;
    assert_eq!(decisions(&cloud).await, ["allowed", "AccessDenied"]);
}
