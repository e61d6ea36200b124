//! Buckets elsewhere: found by one detour, remembered, and never asked where the team does not want it.

use serde_json::json;

use super::cloud::{Cloud, Plan, control};
use super::*;

async fn in_ireland() -> Cloud {
    Cloud::new(Plan { region: "eu-west-1", ..Plan::default() }).await
}

async fn regions_asked(cloud: &Cloud) -> Vec<String> {
    let asked = cloud.asked().await;
    asked.iter().map(|entry| entry["region"].as_str().unwrap().to_owned()).collect()
}

async fn check_detour(refusal: u16) {
    let cloud = in_ireland().await;
    let setting = json!({"bucket": cloud.bucket, "wrong_region": refusal});
    control("POST", "settings", &setting).await;
    let fetcher = cloud.fetcher().await;
    let first = open(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await.unwrap();
    assert_eq!(statuses(&first), [refusal, 200]);
    let second = open(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await.unwrap();
    assert_eq!(statuses(&second), [200]);
}

#[tokio::test]
async fn a_redirect_to_another_region_is_followed_once_and_remembered() {
    check_detour(301).await;
}

#[tokio::test]
async fn a_bad_request_that_names_the_region_is_understood_too() {
    check_detour(400).await;
}

#[tokio::test]
async fn a_head_finds_its_region_without_a_body() {
    for refusal in [301, 400] {
        let cloud = in_ireland().await;
        control("POST", "settings", &json!({"bucket": cloud.bucket, "wrong_region": refusal})).await;
        let asked = request(&cloud.grant(), object(&cloud.bucket, "a.txt"), Want::Head).unwrap();
        let fetched = cloud.fetcher().await.open(asked).await.unwrap();
        assert_eq!(statuses(&fetched), [refusal, 200]);
        assert_eq!(fetched.length, Some(11));
        assert!(fetched.version.etag.is_some());
    }
}

#[tokio::test]
async fn no_region_is_asked_that_the_team_does_not_list() {
    let cloud = in_ireland().await;
    let at_home = AwsGrant { regions: vec!["us-east-1".to_owned()], ..cloud.grant() };
    let found = read(&cloud.fetcher().await, &at_home, object(&cloud.bucket, "a.txt")).await;
    check_code(found, Code::BucketNotAllowed);
    assert!(regions_asked(&cloud).await.iter().all(|region| region == "us-east-1"));
    let abroad = AwsGrant { regions: vec!["eu-west-1".to_owned()], ..cloud.grant() };
    let fetched = open(&cloud.fetcher().await, &abroad, object(&cloud.bucket, "a.txt")).await;
    assert_eq!(statuses(&fetched.unwrap()), [200], "the only region that is allowed is asked first");
}
