//! https URLs of objects in S3, which a team wants to be read with its role.

use aws_sdk_s3::primitives::ByteStream;
use serde_json::json;

use super::office::{Office, delegated, no_plain_host};
use crate::s3source::cloud::{Cloud, EXTERNAL_ID, Plan};

fn teams(cloud: &Cloud, recognize: bool) -> String {
    // Whatever stays plain is `blocked_address` and asks nobody.
    let more = format!("recognize_https = {recognize}\n{}", no_plain_host("acme"));
    delegated("acme", &cloud.role_arn(), EXTERNAL_ID, &more)
}

#[tokio::test]
async fn https_urls_of_objects_are_read_with_the_teams_role_if_it_wants_that_and_look_alikes_never() {
    let objects = json!({"a.txt": "the content", "d/ä b+c.txt": "odd"});
    let cloud = Cloud::new(Plan { region: "eu-west-1", objects, ..Plan::default() }).await;
    let (office, bucket) = (Office::of(&cloud), cloud.bucket.as_str());
    let good = [
        format!("https://{bucket}.s3.eu-west-1.amazonaws.com/a.txt"),
        format!("https://s3.eu-west-1.amazonaws.com/{bucket}/a.txt"),
        format!("https://{bucket}.s3.amazonaws.com/a.txt"),
        format!("https://s3-eu-west-1.amazonaws.com/{bucket}/a.txt"),
        format!("https://{bucket}.s3.dualstack.eu-west-1.amazonaws.com/a.txt?x-id=GetObject"),
        // Of another region than the bucket's: it is found all the same.
        format!("https://{bucket}.s3.us-west-2.amazonaws.com/a.txt"),
    ];
    let odd = format!("https://s3.eu-west-1.amazonaws.com/{bucket}/d/%C3%A4+b%2Bc.txt");
    let plain = [
        format!("https://{bucket}.s3.amazonaws.com.evil.invalid/a.txt"),
        format!("https://evil-s3.amazonaws.com/{bucket}/a.txt"),
        format!("https://{bucket}.s3.eu-west-1.amazonaws.com/a.txt?X-Amz-Signature=0"),
        format!("https://{bucket}.s3.eu-west-1.amazonaws.com/a.txt?AWSAccessKeyId=a&Expires=1&Signature=s"),
        format!("https://{bucket}.s3-website-eu-west-1.amazonaws.com/a.txt"),
        format!("https://user:word@s3.eu-west-1.amazonaws.com/{bucket}/a.txt"),
        format!("https://s3.eu-west-1.amazonaws.com:8443/{bucket}/a.txt"),
    ];
    let all: Vec<&str> = good.iter().chain([&odd]).chain(&plain).map(String::as_str).collect();

    office.teams("one", &teams(&cloud, false));
    let found = office.fetch("one", "acme", &all).await;
    assert!(found.iter().all(|outcome| outcome == "blocked_address"), "{found:?}");
    assert!(cloud.asked().await.is_empty() && cloud.assumed().await.is_empty(), "nobody wanted this");

    office.teams("one", &teams(&cloud, true));
    let found = office.fetch("one", "acme", &all).await;
    let (objects, others) = found.split_at(good.len() + 1);
    let (last, same) = objects.split_last().unwrap();
    assert!(same.iter().all(|outcome| outcome == "the content") && last == "odd", "{found:?}");
    assert!(others.iter().all(|outcome| outcome == "blocked_address"), "{found:?}");
    let asked = cloud.asked().await;
    let session = format!("arn:aws:sts::{}:assumed-role/", cloud.them);
    assert!(asked.iter().all(|entry| entry["principal"].as_str().unwrap().starts_with(&session)), "{asked:?}");
    // One name for one object, however its URL was spelled.
    assert_eq!(office.stored("acme/objects/").len(), 2);
}

#[tokio::test]
async fn a_recognised_url_is_read_only_where_the_object_would_be() {
    let (ours, theirs) = (Cloud::new(Plan::default()).await, Cloud::new(Plan::default()).await);
    let office = Office::of(&ours);
    let (own, other) = (&ours.bucket, &theirs.bucket);
    let listed = format!("recognize_https = true\nbuckets = [\"{own}\"]\n{}", no_plain_host("acme"));
    let bolt = delegated("bolt", &theirs.role_arn(), "another-id", &format!("buckets = [\"{other}\"]\n"));
    office.teams("one", &(delegated("acme", &ours.role_arn(), EXTERNAL_ID, &listed) + &bolt));
    let urls = [format!("https://{own}.s3.amazonaws.com/a.txt"), format!("https://{other}.s3.amazonaws.com/a.txt")];
    let found = office.fetch("one", "acme", &[urls[0].as_str(), urls[1].as_str()]).await;
    assert_eq!(found, ["the content", "bucket_not_allowed"]);
    assert!(theirs.asked().await.is_empty());
    let claims = office.run("one", &["--json", "team", "claims", "acme"]).await.ends(0).json();
    assert!(claims.iter().any(|claim| claim["name"] == own.as_str()), "{claims:?}");
    assert!(claims.iter().all(|claim| claim["name"] != other.as_str()), "{claims:?}");
}

#[tokio::test]
async fn a_version_in_the_url_is_the_one_that_is_read() {
    let cloud = Cloud::new(Plan { versions: true, ..Plan::default() }).await;
    let (office, bucket, customer) = (Office::of(&cloud), cloud.bucket.as_str(), cloud.customer());
    let first = customer.head_object().bucket(bucket).key("a.txt").send().await.unwrap();
    let newer = customer.put_object().bucket(bucket).key("a.txt").body(ByteStream::from_static(b"newer"));
    newer.send().await.unwrap();
    office.teams("one", &teams(&cloud, true));
    let now = format!("https://{bucket}.s3.amazonaws.com/a.txt");
    let then = format!("{now}?versionId={}", first.version_id().unwrap());
    let missing = format!("{now}?versionId=none-of-these");
    let found = office.fetch("one", "acme", &[&now, &then, &missing]).await;
    assert_eq!(found[..2], ["newer", "the content"]);
    assert_ne!(found[2], "newer");
}
