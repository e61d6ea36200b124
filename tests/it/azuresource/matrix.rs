//! The access matrix's rows of Azure, with the real program: what comes out, and by the peers' own journals, who was asked and
//! who was not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::customer::Customer;
use super::gangway::{Act, Gangway, challenge};
use super::program::{Copied, Program};

#[track_caller]
fn check(copied: &Copied, code: &str, provider: Option<&str>) {
    assert_eq!((copied.code(), copied.provider_code()), (code, provider), "{}", copied.part("error"));
}

/// What is in the teams file for a customer's team.
fn acme(customer: &Customer) -> (&'static str, Option<&str>, &'static [&'static str]) {
    ("acme", Some(&customer.tenant), &[])
}

#[tokio::test]
async fn right() {
    let (customer, program) = (Customer::new().await, Program::new());
    program.teams(&[acme(&customer)]);
    let copied = program.copy("acme", &customer.url("a.txt?x=y")).await;
    check(&copied, "stored", None);
    assert_eq!(Program::content(&copied), b"the content");
    assert_eq!(copied.part("url").as_str(), Some(customer.url("a.txt").as_str()));
    let etag = copied.part("source")["etag"].as_str().unwrap();
    assert!(etag.starts_with('"'), "{etag}");
    assert_eq!((customer.tokens().await, customer.asked().await.len()), (vec![200], 1));
    // The same blob again: its name in the store is told by its version, so that nothing is stored twice.
    let again = program.copy("acme", &customer.url("a.txt")).await;
    assert_eq!(again.part("object")["uri"], copied.part("object")["uri"]);
    let files = program.files();
    assert!(files.iter().any(|(_, content)| content.contains("the content")), "the store is among them");
    // Tokens begin so, whatever they hold.
    let leaks: Vec<_> = files.iter().filter(|(_, content)| content.contains("eyJ")).map(|(path, _)| path).collect();
    assert!(leaks.is_empty(), "a token stands in {leaks:?}");
}

#[tokio::test]
async fn no_tenant() {
    let (customer, program) = (Customer::stranger("teamone").await, Program::new());
    program.teams(&[acme(&customer)]);
    let copied = program.copy("acme", &customer.url("a.txt")).await;
    check(&copied, "integration_broken", Some("AADSTS90002"));
    assert!(customer.asked().await.is_empty());
}

#[tokio::test]
async fn no_consent() {
    let (customer, program) = (Customer::stranger("teamone").await, Program::new());
    customer.consents(false).await;
    customer.grants(&customer.container).await;
    program.teams(&[acme(&customer)]);
    check(&program.copy("acme", &customer.url("a.txt")).await, "integration_broken", Some("AADSTS700016"));
    assert_eq!(customer.tokens().await, [400]);
    assert!(customer.asked().await.is_empty());
}

#[tokio::test]
async fn wrong_secret_of_ours() {
    let (customer, program) = (Customer::new().await, Program::with("another", super::GATE));
    program.teams(&[acme(&customer)]);
    check(&program.copy("acme", &customer.url("a.txt")).await, "internal", Some("AADSTS7000215"));
    assert!(customer.asked().await.is_empty());
    let log = program.log();
    assert_eq!(log.matches("the worker's own Azure application cannot be used").count(), 1, "{log}");
    assert!(log.contains("AADSTS7000215") && !log.contains("another"), "{log}");
}

#[tokio::test]
async fn permission_missing() {
    let (customer, program) = (Customer::stranger("teamone").await, Program::new());
    customer.consents(true).await;
    program.teams(&[acme(&customer)]);
    let copied = program.copy("acme", &customer.url("a.txt")).await;
    check(&copied, "access_denied", Some("AuthorizationPermissionMismatch"));
    let asked = customer.asked().await;
    assert!(asked.len() == 1 && asked[0].1 == 403, "nobody else asked: {asked:?}");
}

#[tokio::test]
async fn account_not_listed() {
    let (customer, program) = (Customer::new().await, Program::new());
    program.teams(&[("acme", Some(&customer.tenant), &["other"])]);
    check(&program.copy("acme", &customer.url("a.txt")).await, "bucket_not_allowed", None);
    assert!(customer.tokens().await.is_empty() && customer.asked().await.is_empty());
}

#[tokio::test]
async fn withdrawn() {
    let (customer, program) = (Customer::new().await, Program::new());
    program.teams(&[acme(&customer)]);
    check(&program.copy("acme", &customer.url("a.txt")).await, "stored", None);
    customer.revokes().await;
    customer.put("b.txt", b"later").await;
    let copied = program.copy("acme", &customer.url("b.txt")).await;
    check(&copied, "access_denied", Some("AuthorizationPermissionMismatch"));
    customer.consents(false).await;
    let copied = program.copy("acme", &customer.url("b.txt")).await;
    check(&copied, "integration_broken", Some("AADSTS700016"));
    let read = customer.asked().await.into_iter().filter(|(path, status)| path.ends_with("/b.txt") && *status < 300);
    assert_eq!(read.count(), 0, "somebody read what was withdrawn");
}

#[tokio::test]
async fn token_ended_in_mid_transfer() {
    const BYTES: usize = 24 << 20;
    let customer = Customer::new().await;
    let content: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    customer.put("large.bin", &content).await;
    let tenant = customer.tenant.clone();
    // The first answer breaks off; by then its token has ended, and the next is good.
    let gangway = Gangway::open(move |_, number| match number {
        0 => Act::Cut(BYTES / 2),
        1 => challenge(&tenant),
        _ => Act::Pass,
    })
    .await;
    let program = Program::with("secret", &gangway.endpoint());
    program.teams(&[acme(&customer)]);
    let copied = program.copy("acme", &customer.url("large.bin")).await;
    check(&copied, "stored", None);
    assert!(Program::content(&copied) == content, "the halves do not make the whole");
    assert_eq!(customer.tokens().await, [200, 200]);
    let seen = gangway.seen();
    let ranges: Vec<_> = seen.iter().map(|seen| seen.asked.fields.contains_key("range")).collect();
    assert_eq!(ranges, [false, true, true]);
    assert!(seen.iter().all(|seen| seen.tenant.as_deref() == Some(customer.tenant.as_str())));
    assert!(seen[2].asked.fields.contains_key("if-match"), "the rest is of the same version");
}

#[tokio::test]
async fn another_teams_account() {
    let (customer, other, program) = (Customer::new().await, Customer::stranger("teamone").await, Program::new());
    // The other tenant consented and was even let in, so that only whose account it is keeps its team out.
    other.consents(true).await;
    other.grants(&customer.container).await;
    program.teams(&[acme(&customer), ("bolt", Some(&other.tenant), &[])]);
    check(&program.copy("acme", &customer.url("a.txt")).await, "stored", None);
    check(&program.copy("bolt", &customer.url("a.txt")).await, "integration_broken", None);
    assert_eq!(customer.asked().await.len(), 1, "somebody asked for the other team");
    assert!(other.tokens().await.is_empty());
    // Until an operator says that it is the other's.
    program.run(&["team", "claim", "--move", "account", "teamone", "bolt"], "").await;
    check(&program.copy("bolt", &customer.url("a.txt")).await, "stored", None);
    check(&program.copy("acme", &customer.url("a.txt")).await, "integration_broken", None);
    assert_eq!((other.tokens().await.len(), customer.tokens().await.len()), (1, 1));
}

#[tokio::test]
async fn another_teams_tenant() {
    let (customer, program) = (Customer::new().await, Program::new());
    program.teams(&[acme(&customer)]);
    check(&program.copy("acme", &customer.url("a.txt")).await, "stored", None);
    let shouted = customer.tenant.to_uppercase();
    for tenant in [&customer.tenant, &shouted] {
        program.teams(&[("bolt", Some(tenant), &["teamone"])]);
        check(&program.copy("bolt", &customer.url("a.txt")).await, "integration_broken", None);
    }
    assert_eq!((customer.tokens().await, customer.asked().await.len()), (vec![200], 1));
}

#[tokio::test]
async fn an_account_of_another_tenant() {
    let customer = Customer::new().await;
    let owner = Customer::stranger("teamone").await;
    // The owner consented, too, and would let us read: with one application for all it is somebody else's consent.
    owner.consents(true).await;
    owner.grants(&customer.container).await;
    let tenant = owner.tenant.clone();
    let gangway = Gangway::open(move |seen, _| match seen.tenant.as_deref() == Some(&tenant) {
        true => Act::Pass,
        false => challenge(&tenant),
    })
    .await;
    let program = Program::with("secret", &gangway.endpoint());
    program.teams(&[acme(&customer)]);
    let copied = program.copy("acme", &customer.url("a.txt")).await;
    check(&copied, "integration_broken", Some("InvalidAuthenticationInfo"));
    assert!(owner.tokens().await.is_empty(), "the challenge was followed");
    let tenants: Vec<_> = gangway.seen().into_iter().map(|seen| seen.tenant).collect();
    assert_eq!(tenants, [Some(customer.tenant.clone())]);
    assert!(customer.asked().await.is_empty());
}

#[tokio::test]
async fn without_a_tenant_or_signed_by_itself_a_url_is_plain() {
    let (customer, program) = (Customer::new().await, Program::new());
    program.teams(&[acme(&customer), ("bolt", None, &[])]);
    // Such a host is nobody's here, or is this machine's own, where the guard lets nothing go.
    let plain = |copied: &Copied| assert!(["network", "blocked_address"].contains(&copied.code()), "{}", copied.code());
    plain(&program.copy("bolt", &customer.url("a.txt")).await);
    plain(&program.copy("acme", &customer.url("a.txt?sv=2018-11-09&sig=x")).await);
    assert!(customer.tokens().await.is_empty() && customer.asked().await.is_empty());
}

#[tokio::test]
async fn a_signature_of_its_own_reads_without_anybodys_token() {
    let (customer, program) = (Customer::new().await, Program::new());
    program.append("[sources.http]\nallow_networks = [\"127.0.0.0/8\"]\n");
    program.teams(&[acme(&customer)]);
    let url = customer.signed_url("a.txt");
    let copied = program.copy("acme", &url).await;
    check(&copied, "stored", None);
    assert_eq!(Program::content(&copied), b"the content");
    let written = copied.part("url").as_str().unwrap().to_owned();
    assert!(!written.contains("sig") && !program.log().contains("sig="), "{written}");
    assert!(customer.tokens().await.is_empty() && customer.asked().await.is_empty());
}

/// A blob whose answer has this field, whatever storage says.
async fn with_field(customer: &Customer, name: &'static str, value: String) -> Copied {
    let gangway = Gangway::open(move |_, _| {
        let value = value.clone();
        Act::Change(
            Vec::new(),
            Box::new(move |answer| {
                answer.fields.retain(|(field, _)| field != "content-md5");
                answer.fields.push((name.to_owned(), value));
            }),
        )
    })
    .await;
    let program = Program::with("secret", &gangway.endpoint());
    program.teams(&[acme(customer)]);
    program.copy("acme", &customer.url("a.txt")).await
}

#[tokio::test]
async fn checksums_that_storage_sends() {
    let customer = Customer::new().await;
    // The MD5 of nothing.
    let wrong = with_field(&customer, "content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==".to_owned()).await;
    check(&wrong, "checksum_mismatch", None);
    let crc64 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, b"the content");
    for (sum, code) in [(crc64, "stored"), (crc64 ^ 1, "checksum_mismatch")] {
        let found = with_field(&customer, "x-ms-content-crc64", STANDARD.encode(sum.to_le_bytes())).await;
        check(&found, code, None);
    }
}

#[tokio::test]
async fn one_tenant_in_two_records_of_one_file() {
    // The file is refused as a whole, before anything is asked.
    let program = Program::new();
    let tenant = Uuid::new_v4().to_string();
    program.teams(&[("acme", Some(&tenant), &[]), ("bolt", Some(&tenant), &[])]);
    let told = program.refused(&["config", "check"]).await;
    assert!(told.contains(&tenant) && told.contains("bolt"), "{told}");
}
