use std::sync::Mutex;

use futures::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::domain::access::AwsReading;
use crate::ports::token_service::{NoAnswer, TokenAnswer, TokenBody, TokenRequest};

/// Hands out tokens called by their number, and writes down who asked whom for what.
#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<String>>,
    /// Tokens that IAM Credentials no longer takes.
    ended: Mutex<Vec<String>>,
    /// What IAM Credentials answers instead of a token.
    refuses: Mutex<Option<u16>>,
}

#[async_trait]
impl TokenService for Desk {
    async fn ask(&self, request: TokenRequest) -> Result<TokenAnswer, NoAnswer> {
        tokio::task::yield_now().await;
        let bearer = request.fields[0].1.expose_secret().to_owned();
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(format!("{bearer} {} {}", request.url.path(), scope_in(&request)));
            asked.len()
        };
        let end: jiff::Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
        let document = match &request.body {
            TokenBody::None => json!({"access_token": format!("own-{number}"), "expires_in": 3600}),
            TokenBody::Form(_) | TokenBody::Json(_) => json!({"accessToken": format!("t-{number}"), "expireTime": end}),
        };
        let is_impersonation = matches!(request.body, TokenBody::Json(_));
        let status = match *self.refuses.lock().unwrap() {
            _ if !is_impersonation => 200,
            _ if self.ended.lock().unwrap().contains(&bearer) => 401,
            Some(status) => status,
            None => 200,
        };
        Ok(TokenAnswer { status, retry_after: None, body: document.to_string().into_bytes() })
    }
}

fn scope_in(request: &TokenRequest) -> String {
    let scope = match &request.body {
        TokenBody::Json(document) => document["scope"][0].as_str().map(str::to_owned),
        TokenBody::None => request.url.query_pairs().next().map(|(_, scope)| scope.into_owned()),
        TokenBody::Form(_) => None,
    };
    scope.unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
}

fn identities() -> (GcpIdentities, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let service = Arc::clone(&desk) as Arc<dyn TokenService>;
    (GcpIdentities::new(GcpOptions::default(), service), desk)
}

fn account(name: &str, uid: &str) -> Grant {
    Grant::GcpAccount(GcpAccount { service_account: name.into(), uid: uid.into(), user_project: None })
}

async fn token(identities: &GcpIdentities, team: &str, grant: &Grant) -> Result<String, Code> {
    let team = TeamId::new(team).unwrap();
    let token = identities.token(GcpUse { team: &team, grant }).await;
    token.map(|token| token.0.expose_secret().to_owned()).map_err(|fault| fault.code)
}

const IAM: &str = "/v1/projects/-/serviceAccounts";
const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

#[tokio::test]
async fn an_account_is_impersonated_in_our_own_name_for_reading_only() {
    let (identities, desk) = identities();
    assert_eq!(token(&identities, "acme", &account("a@x", "u")).await.as_deref(), Ok("t-2"));
    assert_eq!(
        *desk.asked.lock().unwrap(),
        [format!("Google {METADATA} iam"), format!("Bearer own-1 {IAM}/a@x:generateAccessToken devstorage.read_only"),]
    );
}

#[tokio::test]
async fn tokens_are_shared_by_team_account_and_uid_alone() {
    let (identities, _) = identities();
    let (grant, other_account, other_uid) = (account("a@x", "u"), account("b@x", "u"), account("a@x", "v"));
    for (team, grant, expected) in [
        ("acme", &grant, "t-2"),
        ("bolt", &grant, "t-3"),
        ("acme", &other_account, "t-4"),
        ("acme", &other_uid, "t-5"),
        ("acme", &grant, "t-2"),
    ] {
        assert_eq!(token(&identities, team, grant).await.as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn what_is_kept_of_a_team_is_dropped_when_its_record_changes_and_nobody_elses() {
    let (identities, _) = identities();
    let grant = account("a@x", "u");
    for (team, expected) in [("acme", "t-2"), ("bolt", "t-3")] {
        assert_eq!(token(&identities, team, &grant).await.as_deref(), Ok(expected));
    }
    identities.forget(&TeamId::new("acme").unwrap()).await;
    for (team, expected) in [("bolt", "t-3"), ("acme", "t-4")] {
        assert_eq!(token(&identities, team, &grant).await.as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn a_team_at_full_concurrency_impersonates_its_account_once() {
    let (identities, desk) = identities();
    let grant = account("a@x", "u");
    let asked = (0..10_000).map(|_| token(&identities, "acme", &grant));
    assert!(join_all(asked).await.iter().all(|found| found.as_deref() == Ok("t-2")));
    assert_eq!(desk.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_workers_own_identity_is_used_only_where_the_grant_says_so() {
    let (identities, desk) = identities();
    let strange = [Grant::None, Grant::AwsOwn(AwsReading::default())];
    for grant in &strange {
        assert_eq!(token(&identities, "acme", grant).await, Err(Code::IntegrationMissing));
    }
    *desk.refuses.lock().unwrap() = Some(403);
    assert_eq!(token(&identities, "acme", &account("a@x", "u")).await, Err(Code::IntegrationBroken));
    let storage = format!("Google {METADATA} devstorage.read_only");
    assert!(!desk.asked.lock().unwrap().contains(&storage), "our own may have read in the account's place");
    assert_eq!(token(&identities, "acme", &Grant::GcpOwn).await.as_deref(), Ok("own-3"));
    assert_eq!(desk.asked.lock().unwrap().last(), Some(&storage));
}

#[tokio::test]
async fn own_tokens_that_are_refused_are_replaced_once() {
    let (identities, desk) = identities();
    desk.ended.lock().unwrap().push("Bearer own-1".to_owned());
    assert_eq!(token(&identities, "acme", &account("a@x", "u")).await.as_deref(), Ok("t-4"));
    *desk.refuses.lock().unwrap() = Some(401);
    assert_eq!(token(&identities, "acme", &account("b@x", "u")).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn a_token_that_was_refused_is_asked_for_again_once() {
    let (identities, _) = identities();
    let (team, grant) = (TeamId::new("acme").unwrap(), account("a@x", "u"));
    let wanted = GcpUse { team: &team, grant: &grant };
    let old = identities.token(wanted).await.unwrap();
    // Everybody who held it says so, some of them late.
    for _ in 0..2 {
        identities.refused(wanted, &old).await;
        assert_eq!(token(&identities, "acme", &grant).await.as_deref(), Ok("t-3"));
    }
}

#[tokio::test]
async fn a_file_that_is_named_is_all_that_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let desk = Arc::new(Desk::default());
    let options = GcpOptions { credentials_file: Some(path.clone()), ..GcpOptions::default() };
    let identities = GcpIdentities::new(options, Arc::clone(&desk) as Arc<dyn TokenService>);
    assert_eq!(token(&identities, "acme", &Grant::GcpOwn).await, Err(Code::Unavailable));
    std::fs::write(&path, Value::Null.to_string()).unwrap();
    assert_eq!(token(&identities, "bolt", &Grant::GcpOwn).await, Err(Code::Unavailable));
    assert!(desk.asked.lock().unwrap().is_empty());
}
