//! With whose token a blob is read: the team's own tenant's, and no other, whatever storage says.

use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use longshore::adapters::credentials::azure::{AzureOptions, Proof};
use longshore::adapters::fetch::resolve::Names;

use super::customer::Customer;
use super::gangway::{Act, Gangway, Seen, challenge, refusal};
use super::*;

#[tokio::test]
async fn a_blob_is_read_with_the_tenants_consent_and_one_token_serves_all() {
    let (customer, fetcher) = (Customer::new().await, fetcher());
    for _ in 0..5 {
        assert_eq!(read(&fetcher, &customer.grant(), &customer.url("a.txt")).await.unwrap(), "the content");
    }
    assert_eq!(customer.tokens().await, [200]);
    let expected = (format!("GET /{}/{}/a.txt", customer.account, customer.container), 200);
    assert_eq!(customer.asked().await, vec![expected; 5]);
}

#[tokio::test]
async fn each_proof_of_our_application_gets_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "header.claims.signature\n").unwrap();
    let certificate = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/adapters/credentials/azure/fixtures/application.pem");
    let customer = Customer::new().await;
    for proof in [Proof::FederatedTokenFile(token), Proof::CertificateFile(certificate)] {
        let fetcher = fetcher_of(AzureOptions { proof: Some(proof), ..application("") }, GATE);
        assert_eq!(read(&fetcher, &customer.grant(), &customer.url("a.txt")).await.unwrap(), "the content");
    }
    assert_eq!(customer.tokens().await, [200, 200]);
}

#[tokio::test]
async fn without_consent_nobody_asks_storage_and_one_question_answers_for_all() {
    let customer = Customer::stranger("teamone").await;
    customer.grants(&customer.container).await;
    let unknown = fetcher();
    for _ in 0..20 {
        let found = read(&unknown, &customer.grant(), &customer.url("a.txt")).await;
        let fault = check_code(found, Code::IntegrationBroken, "AADSTS90002");
        assert!(fault.message.contains(&customer.tenant), "{}", fault.message);
    }
    customer.consents(false).await;
    let found = read(&fetcher(), &customer.grant(), &customer.url("a.txt")).await;
    let fault = check_code(found, Code::IntegrationBroken, "AADSTS700016");
    assert!(fault.message.contains("consent"), "{}", fault.message);
    assert_eq!(customer.tokens().await, [400, 400], "refusals are remembered");
    assert!(customer.asked().await.is_empty());
}

#[tokio::test]
async fn our_own_wrong_secret_is_not_the_customers_fault() {
    let customer = Customer::new().await;
    let fetcher = fetcher_of(application("another"), GATE);
    let found = read(&fetcher, &customer.grant(), &customer.url("a.txt")).await;
    let fault = check_code(found, Code::Internal, "AADSTS7000215");
    assert!(fault.fault().is_transient());
    assert!(customer.asked().await.is_empty());
}

#[tokio::test]
async fn what_the_tenant_does_not_let_us_read_is_denied() {
    let (customer, other) = (Customer::stranger("teamone").await, Customer::new().await);
    customer.consents(true).await;
    let fetcher = fetcher();
    let found = read(&fetcher, &customer.grant(), &customer.url("a.txt")).await;
    let fault = check_code(found, Code::AccessDenied, "AuthorizationPermissionMismatch");
    assert!(fault.message.contains("Storage Blob Data Reader"), "{}", fault.message);
    // Another customer's blob in the same account, with our customer's own token.
    let found = read(&fetcher, &customer.grant(), &other.url("a.txt")).await;
    check_code(found, Code::AccessDenied, "AuthorizationPermissionMismatch");
    assert!(other.tokens().await.is_empty(), "nobody asked the other tenant");
    let expected = (format!("GET /{}/{}/a.txt", other.account, other.container), 403);
    assert_eq!(other.asked().await, [expected]);
}

#[tokio::test]
async fn rights_that_are_withdrawn_end_at_once_and_consent_with_the_token() {
    let (customer, fetcher) = (Customer::new().await, fetcher());
    let read_it = || async { read(&fetcher, &customer.grant(), &customer.url("a.txt")).await };
    assert!(read_it().await.is_ok());
    customer.consents(false).await;
    assert!(read_it().await.is_ok(), "the token is still good");
    customer.revokes().await;
    check_code(read_it().await, Code::AccessDenied, "AuthorizationPermissionMismatch");
    assert_eq!(customer.tokens().await, [200]);
    let later = fetcher_of(application("secret"), GATE);
    let found = read(&later, &customer.grant(), &customer.url("a.txt")).await;
    check_code(found, Code::IntegrationBroken, "AADSTS700016");
}

/// Another tenant, which has consented and lets us read everything of `customer`: whoever asked it would be let in.
async fn tempting(customer: &Customer) -> Customer {
    let other = Customer::stranger(customer.account).await;
    other.consents(true).await;
    other.grants(&customer.container).await;
    other
}

#[tokio::test]
async fn a_challenge_that_names_another_tenant_is_refused_and_not_followed() {
    let customer = Customer::new().await;
    let other = tempting(&customer).await;
    let owner = other.tenant.clone();
    let gangway = Gangway::open(move |seen: &Seen, _| match seen.tenant.as_deref() == Some(&owner) {
        true => Act::Pass,
        false => challenge(&owner),
    })
    .await;
    let fetcher = fetcher_of(application("secret"), &gangway.endpoint());
    for want in [Want::Body, Want::Head] {
        let asked = request(&customer.grant(), &customer.url("a.txt"), want).unwrap();
        let fault = fetcher.open(asked).await.unwrap_err();
        assert_eq!((fault.code, fault.http_status), (Code::IntegrationBroken, Some(401)), "{fault:?}");
        assert!(fault.message.contains("another tenant"), "{}", fault.message);
    }
    assert!(other.tokens().await.is_empty(), "the other tenant was asked");
    assert_eq!(customer.tokens().await, [200], "a new token would change nothing");
    let tenants: Vec<_> = gangway.seen().into_iter().map(|seen| seen.tenant.unwrap()).collect();
    assert_eq!(tenants, [customer.tenant.as_str(); 2]);
    assert!(customer.asked().await.is_empty());
    // Had it been followed, it would have led to the content.
    let followed = read(&fetcher, &other.grant(), &customer.url("a.txt")).await;
    assert_eq!(followed.unwrap(), "the content");
}

#[tokio::test]
async fn an_ended_token_is_replaced_once() {
    let customer = Customer::new().await;
    let tenant = customer.tenant.clone();
    // The first token has ended at once, the second has not.
    let gangway = Gangway::open(move |_, number| if number == 0 { challenge(&tenant) } else { Act::Pass }).await;
    let fetcher = fetcher_of(application("secret"), &gangway.endpoint());
    let fetched = open(&fetcher, &customer.grant(), &customer.url("a.txt")).await.unwrap();
    let statuses: Vec<_> = fetched.hops.iter().map(|hop| hop.status.unwrap()).collect();
    assert_eq!(statuses, [401, 200]);
    assert_eq!(customer.tokens().await, [200, 200]);

    let never = Gangway::open(|_, _| refusal(401, "InvalidAuthenticationInfo", &[])).await;
    let fetcher = fetcher_of(application("secret"), &never.endpoint());
    let found = read(&fetcher, &customer.grant(), &customer.url("a.txt")).await;
    check_code(found, Code::IntegrationBroken, "InvalidAuthenticationInfo");
    assert_eq!(never.seen().len(), 2);
}

#[tokio::test]
async fn no_token_follows_a_redirect() {
    let customer = Customer::new().await;
    let elsewhere = Gangway::open(|_, _| Act::Pass).await;
    let place = format!("{}/{}/{}/a.txt", elsewhere.endpoint(), customer.account, customer.container);
    let sends_away = Gangway::open(move |_, _| refusal(307, "Moved", &[("location", &place)])).await;
    let fetcher = fetcher_of(application("secret"), &sends_away.endpoint());
    let found = read(&fetcher, &customer.grant(), &customer.url("a.txt")).await;
    check_code(found, Code::HttpStatus, "Moved");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_look_at_a_blob_that_cannot_be_there_tells_whether_its_container_is_readable() {
    let (customer, closed, fetcher) = (Customer::new().await, Customer::stranger("teamone").await, fetcher());
    closed.consents(true).await;
    for (customer, code, provider) in
        [(&customer, Code::NotFound, "BlobNotFound"), (&closed, Code::AccessDenied, "AuthorizationPermissionMismatch")]
    {
        let asked = request(&customer.grant(), &customer.url("no-such-blob"), Want::Head).unwrap();
        let fault = fetcher.open(asked).await.unwrap_err();
        assert_eq!((fault.code, fault.provider_code.as_deref()), (code, Some(provider)), "{fault:?}");
    }
}

/// Every name is this machine, and is written down.
#[derive(Default)]
struct Loopback(Mutex<Vec<String>>);

#[async_trait]
impl Names for Loopback {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().unwrap().push(host.to_owned());
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

#[tokio::test]
async fn at_azure_itself_the_accounts_host_is_asked_and_the_guard_stands_before_it() {
    let customer = Customer::new().await;
    let names = Arc::new(Loopback::default());
    let options = AzureSourceOptions {
        addressing: BlobAddressing::Azure { suffixes: vec![SUFFIX.to_owned()] },
        http: HttpOptions::default(),
    };
    let service = HttpTokenService::with(wire::roots()).unwrap();
    let credentials = Arc::new(AzureIdentities::new(application("secret"), Arc::new(service)));
    let asked_names = Arc::clone(&names);
    let fetcher = AzureFetcher::with(options, credentials, Arc::new(Unlimited), asked_names, wire::roots()).unwrap();
    let found = read(&fetcher, &customer.grant(), &customer.url("a.txt")).await;
    assert_eq!(found.unwrap_err().code, Code::BlockedAddress);
    assert_eq!(*names.0.lock().unwrap(), [format!("{}.{SUFFIX}", customer.account)]);
}

#[tokio::test]
async fn what_storage_refuses_is_told_by_its_code() {
    let customer = Customer::new().await;
    for (status, code, expected) in [
        (403, "AuthorizationFailure", Code::AccessDenied),
        (403, "AccountIsDisabled", Code::AccessDenied),
        (409, "BlobBeingRehydrated", Code::Archived),
        (503, "ServerBusy", Code::Throttled),
        (500, "OperationTimedOut", Code::Timeout),
        (500, "InternalError", Code::Unavailable),
    ] {
        let gangway = Gangway::open(move |_, _| refusal(status, code, &[("retry-after", "7")])).await;
        let fetcher = fetcher_of(application("secret"), &gangway.endpoint());
        let fault = check_code(read(&fetcher, &customer.grant(), &customer.url("a.txt")).await, expected, code);
        assert_eq!(fault.retry_after.map(|wait| wait.as_secs()), (status == 503).then_some(7), "{code}");
        assert_eq!(gangway.seen().len(), 1, "{code} is tried once");
    }
}
