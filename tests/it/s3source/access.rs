//! With whose rights a bucket is read: the role's, or the worker's own where the team has none and lists the bucket. What is
//! refused stays refused, and the judge's journal shows that nobody else asked.

use aws_credential_types::Credentials;
use longshore::ports::credentials::{AwsKeys, AwsUse};

use super::cloud::{Cloud, Plan, control, journal, trust};
use super::*;

/// Asks twenty times, and finds one AssumeRole refused, and nobody at the bucket.
async fn check_broken(cloud: &Cloud, fetcher: &S3Fetcher, grant: &AwsGrant) {
    let before = cloud.asked().await.len();
    let role = grant.role_arn.as_deref().unwrap();
    let refused_before = refusals(role).await;
    for _ in 0..20 {
        let found = read(fetcher, grant, object(&cloud.bucket, "a.txt")).await;
        let fault = check_code(found, Code::IntegrationBroken);
        assert_eq!(fault.provider_code.as_deref(), Some("AccessDenied"));
        assert_eq!(fault.http_status, Some(403));
        assert!(fault.request_id.is_some(), "{fault:?}");
    }
    assert_eq!(refusals(role).await, refused_before + 1, "refusals are remembered");
    assert_eq!(cloud.asked().await.len(), before, "somebody asked for the bucket");
}

async fn refusals(role: &str) -> usize {
    let entries = journal(role).await;
    let refused = |entry: &&serde_json::Value| entry["role"] == role && entry["decision"] == "AccessDenied";
    entries.iter().filter(refused).count()
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id_and_reads() {
    let cloud = Cloud::new(Plan::default()).await;
    let fetcher = cloud.fetcher().await;
    let found = read(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    let assumed = &cloud.assumed().await[0];
    assert_eq!(assumed["external_id"], super::cloud::EXTERNAL_ID);
    assert_eq!((&assumed["session"], &assumed["seconds"]), (&"longshore-acme-it".into(), &"3600".into()));
    let asked = cloud.asked().await;
    let who = asked[0]["principal"].as_str().unwrap();
    let session = format!("arn:aws:sts::{}:assumed-role/Longshore-Integration/longshore-acme-it", cloud.them);
    assert_eq!((asked.len(), who), (1, session.as_str()));
}

#[tokio::test]
async fn a_worker_that_is_a_role_itself_asks_for_no_longer_session_than_chaining_gives() {
    let cloud = Cloud::new(Plan::default()).await;
    let [id, secret] = cloud.our_keys();
    let ours = format!("arn:aws:iam::{}:role/worker", cloud.us);
    // The role allows twelve hours, as the first of a chain may have.
    let role = serde_json::json!({
        "name": "worker", "trust": trust(&cloud.us, None), "max_session": 43_200,
        "policies": [super::cloud::allow(&["sts:AssumeRole"], "*")],
    });
    let manifest = serde_json::json!({"accounts": [{"id": cloud.us, "roles": [role]}]});
    control("POST", "apply", &manifest).await;
    let user = Credentials::new(id, secret, None, None, "test");
    let config = aws_sdk_sts::config::Builder::new()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .credentials_provider(user)
        .region(aws_sdk_sts::config::Region::new("us-east-1"))
        .endpoint_url(bed::cloud_endpoint());
    let sts = aws_sdk_sts::Client::from_conf(config.build());
    let session = sts.assume_role().role_arn(&ours).role_session_name("pod").send().await.unwrap();
    let keys = session.credentials().unwrap();
    let token = Some(keys.session_token().to_owned());
    let chained = Credentials::new(keys.access_key_id(), keys.secret_access_key(), token, None, "test");
    let fetcher = fetcher(bed::cloud_endpoint(), cloud.identities_of(chained).await);
    let found = read(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    let assumed = &cloud.assumed().await[0];
    assert_eq!((&assumed["seconds"], &assumed["decision"]), (&"3600".into(), &"allowed".into()));
    assert!(assumed["principal"].as_str().unwrap().contains("assumed-role/worker/pod"), "{assumed}");
}

#[tokio::test]
async fn a_wrong_or_missing_external_id_is_broken_and_nothing_takes_its_place() {
    // The bucket lets our own worker read: a fall-back would be felt.
    let cloud = Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await;
    let fetcher = cloud.fetcher().await;
    let wrong = AwsGrant { external_id: Some("another-id".to_owned()), ..cloud.grant() };
    check_broken(&cloud, &fetcher, &wrong).await;
    let missing = AwsGrant {
        external_id: None,
        insecure: true,
        buckets: vec![cloud.bucket.clone()],
        regions: vec!["us-east-1".to_owned()],
        ..cloud.grant()
    };
    check_broken(&cloud, &fetcher, &missing).await;
}

#[tokio::test]
async fn a_role_that_is_not_there_or_does_not_trust_us_is_broken() {
    let (cloud, other) =
        (Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await, Cloud::new(Plan::default()).await);
    let fetcher = cloud.fetcher().await;
    for role in [other.role_arn(), format!("arn:aws:iam::{}:role/Missing", cloud.them)] {
        let grant = AwsGrant { role_arn: Some(role), ..cloud.grant() };
        check_broken(&cloud, &fetcher, &grant).await;
    }
}

#[tokio::test]
async fn a_trust_that_is_withdrawn_ends_with_the_session() {
    let cloud = Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await;
    let fetcher = cloud.fetcher().await;
    let read_it = || async { read(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await };
    assert!(read_it().await.is_ok());
    let withdrawn = serde_json::json!({"role": cloud.role_arn(), "trust": trust("000000000000", None)});
    control("POST", "trust", &withdrawn).await;
    assert!(read_it().await.is_ok(), "the session is still good");
    assert_eq!(cloud.end_sessions().await, 1);
    check_code(read_it().await, Code::IntegrationBroken);
    let asked = cloud.asked().await;
    let own = format!("arn:aws:iam::{}:user/worker", cloud.us);
    assert!(asked.iter().all(|entry| entry["principal"] != own.as_str()), "{asked:?}");
}

#[tokio::test]
async fn without_a_role_the_workers_own_identity_reads_what_the_team_lists() {
    let cloud = Cloud::new(Plan { lets_us_read: true, ..Plan::default() }).await;
    let fetcher = cloud.fetcher().await;
    let listing = AwsGrant { buckets: vec![cloud.bucket.clone()], ..AwsGrant::default() };
    let found = read(&fetcher, &listing, object(&cloud.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    let asked = cloud.asked().await;
    assert_eq!(asked[0]["principal"], format!("arn:aws:iam::{}:user/worker", cloud.us));
    assert!(cloud.assumed().await.is_empty());
    let unlisted = read(&fetcher, &AwsGrant::default(), object(&cloud.bucket, "a.txt")).await;
    check_code(unlisted, Code::IntegrationMissing);
    assert_eq!(cloud.asked().await.len(), 1);
}

#[tokio::test]
async fn a_bucket_that_does_not_let_us_in_stays_closed_to_our_own_identity() {
    let cloud = Cloud::new(Plan::default()).await;
    let listing = AwsGrant { buckets: vec![cloud.bucket.clone()], ..AwsGrant::default() };
    let found = read(&cloud.fetcher().await, &listing, object(&cloud.bucket, "a.txt")).await;
    check_code(found, Code::AccessDeniedOrMissing);
}

/// Gives the keys that were made for one bucket for any.
pub(super) struct Fixed(pub(super) Arc<AwsKeys>);

#[async_trait]
impl AwsCredentials for Fixed {
    async fn keys(&self, _: AwsUse<'_>) -> Result<Arc<AwsKeys>, AttachmentFault> {
        Ok(Arc::clone(&self.0))
    }
    async fn refused(&self, _: AwsUse<'_>, _: &AwsKeys) {}
    async fn forget(&self, _: &TeamId) {}
}

#[tokio::test]
async fn a_session_opens_no_other_bucket_than_its_own() {
    let everything = |_: &str| serde_json::json!([super::cloud::allow(&["s3:*"], "*")]);
    let cloud = Cloud::new(Plan { role_policies: everything, ..Plan::default() }).await;
    let other = format!("{}-other", cloud.bucket);
    let customer = cloud.customer();
    customer.create_bucket().bucket(&other).send().await.unwrap();
    let body = aws_sdk_s3::primitives::ByteStream::from_static(b"not for this task");
    customer.put_object().bucket(&other).key("a.txt").body(body).send().await.unwrap();

    let asked = request(&cloud.grant(), object(&cloud.bucket, "a.txt"), Want::Body).unwrap();
    let wanted = AwsUse { team: &asked.team.id, grant: &asked.grant, bucket: &cloud.bucket };
    let keys = cloud.identities().await.keys(wanted).await.unwrap();
    let fetcher = fetcher(bed::cloud_endpoint(), Arc::new(Fixed(keys)));
    assert!(read(&fetcher, &cloud.grant(), object(&cloud.bucket, "a.txt")).await.is_ok());
    let found = read(&fetcher, &cloud.grant(), object(&other, "a.txt")).await;
    check_code(found, Code::AccessDeniedOrMissing);
}
