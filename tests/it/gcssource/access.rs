//! With whose rights a bucket is read: the team's account's, or the worker's own where the team has none and lists the bucket.
//! What is refused stays refused, and the journal shows that nobody else asked.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;

use super::google::{Customer, Google, US};
use super::*;
use crate::fault_proxy::FaultProxy;

/// Asks twenty times, and finds one impersonation refused, and nobody at the bucket.
async fn check_broken(google: &Google, customer: &Customer) {
    let fetcher = google.fetcher();
    for _ in 0..20 {
        let found = read(&fetcher, &customer.record(), object(&customer.bucket, "a.txt")).await;
        let fault = check_code(found, Code::IntegrationBroken);
        assert_eq!((fault.http_status, fault.provider_code.as_deref()), (Some(403), Some("PERMISSION_DENIED")));
        assert!(!fault.message.contains("our-project"), "it names our identity: {fault:?}");
    }
    assert_eq!(google.impersonations(customer).await, 1, "refusals are remembered");
    assert!(google.readers().await.is_empty(), "somebody asked for the bucket");
}

#[tokio::test]
async fn an_account_is_impersonated_once_and_reads() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let fetcher = google.fetcher();
    for _ in 0..10 {
        let found = read(&fetcher, &customer.record(), object(&customer.bucket, "a.txt")).await;
        assert_eq!(found.unwrap(), "the content");
    }
    assert_eq!(google.readers().await, vec![customer.account.clone(); 10]);
    assert_eq!(google.impersonations(&customer).await, 1);
    let minted: Vec<_> = google.journal().await.into_iter().filter(|entry| !entry["minted"].is_null()).collect();
    let scopes: Vec<_> = minted.iter().map(|entry| (&entry["minted"], entry["scopes"][0].as_str().unwrap())).collect();
    assert_eq!(
        scopes,
        [
            (&json!(US), "https://www.googleapis.com/auth/iam"),
            (&json!(customer.account), "https://www.googleapis.com/auth/devstorage.read_only"),
        ]
    );
}

#[tokio::test]
async fn an_account_that_does_not_trust_us_is_broken_and_nothing_takes_its_place() {
    let google = Google::start().await;
    let customer = google.customer().await;
    // The bucket lets our own worker read: a fall-back would be felt.
    google.grant(&customer, &["somebody@else"], json!({"readers": [US, customer.account]})).await;
    check_broken(&google, &customer).await;
}

#[tokio::test]
async fn an_account_that_is_not_there_or_has_no_uid_of_ours_is_broken() {
    let google = Google::start().await;
    let mut customer = google.customer().await;
    google.grant(&customer, &[US], json!({"readers": ["allUsers"]})).await;
    for uid in [None, Some("zz99zz99".to_owned())] {
        let strange = GcpGrant { uid, ..customer.record() };
        let found = read(&google.fetcher(), &strange, object(&customer.bucket, "a.txt")).await;
        check_code(found, Code::IntegrationBroken);
    }
    // Not even asked for.
    assert!(google.impersonations(&customer).await == 0 && google.readers().await.is_empty());
    customer.account = customer.account.replace("@acme.", "@other.");
    check_broken(&google, &customer).await;
}

#[tokio::test]
async fn without_any_grant_nobody_is_asked() {
    let google = Google::start().await;
    let customer = google.customer().await;
    google.grant(&customer, &[US], json!({"readers": [US]})).await;
    let others = GcpGrant { buckets: vec!["another".to_owned(), "gcs-*".to_owned()], ..GcpGrant::default() };
    for grant in [GcpGrant::default(), others] {
        let found = read(&google.fetcher(), &grant, object(&customer.bucket, "a.txt")).await;
        check_code(found, Code::IntegrationMissing);
    }
    let asked: Vec<_> = google.journal().await.into_iter().filter(|entry| entry["path"].is_string()).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[tokio::test]
async fn a_trust_that_is_withdrawn_ends_with_the_token() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let fetcher = google.fetcher();
    let read_it = || async { read(&fetcher, &customer.record(), object(&customer.bucket, "a.txt")).await };
    assert!(read_it().await.is_ok());
    google.grant(&customer, &[], json!({"readers": [US, customer.account]})).await;
    assert!(read_it().await.is_ok(), "the token is still good");
    google.revoke(&customer.account).await;
    check_code(read_it().await, Code::IntegrationBroken);
    assert_eq!(google.statuses().await, [200, 200, 401]);
    assert!(!google.readers().await.contains(&US.to_owned()));
}

#[tokio::test]
async fn a_bucket_that_is_closed_again_is_refused() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let fetcher = google.fetcher();
    google.grant(&customer, &[US], json!({"readers": [US]})).await;
    let found = read(&fetcher, &customer.record(), object(&customer.bucket, "a.txt")).await;
    let fault = check_code(found, Code::AccessDeniedOrMissing);
    assert_eq!((fault.http_status, fault.provider_code.as_deref()), (Some(403), Some("AccessDenied")));
    // The object, and the list that could have told more.
    assert_eq!(google.readers().await, vec![customer.account.clone(); 2]);
}

#[tokio::test]
async fn without_an_account_the_workers_own_reads_what_the_team_lists() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let listing = GcpGrant { buckets: vec![customer.bucket.clone()], ..GcpGrant::default() };
    let fetcher = google.fetcher();
    google.grant(&customer, &[US], json!({"readers": [US]})).await;
    let found = read(&fetcher, &listing, object(&customer.bucket, "a.txt")).await;
    assert_eq!(found.unwrap(), "the content");
    google.grant(&customer, &[US], json!({"readers": [customer.account]})).await;
    let found = read(&fetcher, &listing, object(&customer.bucket, "a.txt")).await;
    check_code(found, Code::AccessDeniedOrMissing);
    assert_eq!(google.readers().await, [US, US, US]);
    assert_eq!(google.impersonations(&customer).await, 0);
}

#[tokio::test]
async fn another_teams_bucket_is_not_read_with_a_teams_own_account() {
    let google = Google::start().await;
    let (ours, theirs) = (google.customer().await, google.customer().await);
    // Our own account could read it: that must not help either.
    google.grant(&theirs, &[US], json!({"readers": [US, theirs.account]})).await;
    let fetcher = google.fetcher();
    check_code(read(&fetcher, &ours.record(), object(&theirs.bucket, "a.txt")).await, Code::BucketNotAllowed);
    assert!(google.readers().await.is_empty());
    let unlisted = GcpGrant { buckets: Vec::new(), ..ours.record() };
    check_code(read(&fetcher, &unlisted, object(&theirs.bucket, "a.txt")).await, Code::AccessDeniedOrMissing);
    assert_eq!(google.readers().await, vec![ours.account.clone(); 2]);
    assert_eq!(google.impersonations(&theirs).await, 0);
}

#[tokio::test]
async fn a_download_goes_on_when_its_token_ends_in_the_middle() {
    const BYTES: usize = 4 << 20;
    let google = Google::start().await;
    let customer = google.customer().await;
    let content: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    customer.put("large", &content).await;
    let proxy = FaultProxy::before(&google.gate().to_string()).await;
    let fetcher = google.fetcher_at(&proxy.endpoint, google.on_google());
    proxy.cut_next_after(BYTES / 2, 256 << 20).await;
    let mut fetched = open(&fetcher, &customer.record(), object(&customer.bucket, "large")).await.unwrap();
    assert!(fetched.resumable);
    let mut received = Vec::new();
    let broke = loop {
        match fetched.body.next().await {
            Some(Ok(piece)) => received.extend_from_slice(&piece),
            Some(Err(fault)) => break fault,
            None => panic!("the proxy cut nothing"),
        }
    };
    assert_eq!(broke.code, Code::Truncated);
    assert!(received.len() < BYTES, "{}", received.len());

    google.revoke(&customer.account).await;
    let rest = Want::Rest { from: received.len() as u64, version: fetched.version.clone() };
    let asked = request(&customer.record(), object(&customer.bucket, "large"), rest).unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(30), fetcher.open(asked)).await.unwrap().unwrap();
    assert_eq!(statuses(&rest), [401, 206]);
    received.extend(bytes(rest).await.unwrap());
    assert!(received == content, "the halves do not make the whole");
    assert_eq!(google.impersonations(&customer).await, 2);
    // The token that was taken back is nobody's.
    assert_eq!(google.readers().await, [customer.account.as_str(), "", customer.account.as_str()]);
}
