use std::sync::Mutex;

use futures::future::join_all;

use super::*;
use crate::ports::token_service::{NoAnswer, TokenAnswer};

const OURS: &str = "7c2f36a1-0000-4000-8000-0123456789ab";
const OTHER: &str = "11111111-0000-4000-8000-0123456789ab";

/// Gives tokens called by their number, and writes down what was asked.
#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<String>>,
    refuses: Mutex<Option<&'static str>>,
}

#[async_trait]
impl TokenService for Desk {
    async fn ask(&self, request: TokenRequest) -> Result<TokenAnswer, NoAnswer> {
        tokio::task::yield_now().await;
        let TokenBody::Form(form) = request.body else { panic!("a form") };
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", value.expose_secret())).collect();
        let mut asked = self.asked.lock().unwrap();
        asked.push(format!("{} {}", request.url, form.join("&")));
        let body = match *self.refuses.lock().unwrap() {
            Some(body) => return Ok(TokenAnswer { status: 401, retry_after: None, body: body.into() }),
            None => format!(r#"{{"access_token":"{}","expires_in":3600}}"#, asked.len()),
        };
        Ok(TokenAnswer { status: 200, retry_after: None, body: body.into_bytes() })
    }
}

fn options() -> AzureOptions {
    AzureOptions {
        client_id: Some("app".to_owned()),
        proof: Some(Proof::Secret("hush".into())),
        authority: Url::parse("https://login.test/").unwrap(),
    }
}

fn identities(options: AzureOptions) -> (AzureIdentities, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    (AzureIdentities::new(options, Arc::clone(&desk) as Arc<dyn TokenService>), desk)
}

async fn token(identities: &AzureIdentities, team: &str, tenant: &str) -> Result<String, Code> {
    let (team, grant) = (TeamId::new(team).unwrap(), Grant::AzureTenant(AzureTenant { id: tenant.to_owned() }));
    let token = identities.token(AzureUse { team: &team, grant: &grant }).await;
    token.map(|token| token.0.expose_secret().to_owned()).map_err(|fault| fault.code)
}

#[tokio::test]
async fn the_grants_tenant_is_asked_with_the_applications_proof() {
    for authority in ["https://login.test", "https://login.test/", "https://login.test/?x#y"] {
        let authority = Url::parse(authority).unwrap();
        let (identities, desk) = identities(AzureOptions { authority, ..options() });
        assert_eq!(token(&identities, "acme", OURS).await.as_deref(), Ok("1"));
        let scope = "scope=https://storage.azure.com/.default&grant_type=client_credentials&client_secret=hush";
        let expected = format!("https://login.test/{OURS}/oauth2/v2.0/token client_id=app&{scope}");
        assert_eq!(*desk.asked.lock().unwrap(), [expected]);
    }
}

#[tokio::test]
async fn tokens_are_shared_by_team_and_tenant_alone() {
    let (identities, desk) = identities(options());
    for (team, tenant, expected) in
        [("acme", OURS, "1"), ("acme", OTHER, "2"), ("bolt", OURS, "3"), ("acme", OURS, "1"), ("bolt", OURS, "3")]
    {
        assert_eq!(token(&identities, team, tenant).await.as_deref(), Ok(expected));
    }
    let found = join_all((0..1000).map(|_| token(&identities, "crew", OURS))).await;
    assert!(found.iter().all(|token| token.as_deref() == Ok("4")));
    assert_eq!(desk.asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn what_is_kept_of_a_team_is_dropped_when_its_record_changes_and_nobody_elses() {
    let (identities, _) = identities(options());
    for (team, expected) in [("acme", "1"), ("bolt", "2")] {
        assert_eq!(token(&identities, team, OURS).await.as_deref(), Ok(expected));
    }
    identities.forget(&TeamId::new("acme").unwrap()).await;
    for (team, expected) in [("bolt", "2"), ("acme", "3")] {
        assert_eq!(token(&identities, team, OURS).await.as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (identities, desk) = identities(options());
    let team = TeamId::new("acme").unwrap();
    let grant = Grant::AzureTenant(AzureTenant { id: OURS.to_owned() });
    let wanted = AzureUse { team: &team, grant: &grant };
    let old = identities.token(wanted).await.unwrap();
    identities.refused(wanted, &old).await;
    assert_eq!(token(&identities, "acme", OURS).await.as_deref(), Ok("2"));
    identities.refused(wanted, &old).await;
    assert_eq!(token(&identities, "acme", OURS).await.as_deref(), Ok("2"));
    assert_eq!(desk.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_ours_to_put_right_is_never_the_teams() {
    let (refused, desk) = identities(options());
    *desk.refuses.lock().unwrap() = Some(r#"{"error":"invalid_client","error_codes":[7000222]}"#);
    let (team, grant) = (TeamId::new("acme").unwrap(), Grant::AzureTenant(AzureTenant { id: OURS.to_owned() }));
    let fault = refused.token(AzureUse { team: &team, grant: &grant }).await.unwrap_err();
    assert_eq!((fault.code, fault.provider_code.as_deref()), (Code::Internal, Some("AADSTS7000222")));
    assert!(fault.fault().is_transient() && fault.message.contains("worker's own"), "{fault:?}");
    for options in [
        AzureOptions { client_id: None, ..options() },
        AzureOptions { proof: None, ..options() },
        AzureOptions { proof: Some(Proof::FederatedTokenFile("/nowhere".into())), ..options() },
        AzureOptions { authority: Url::parse("mailto:x@y").unwrap(), ..options() },
    ] {
        let (identities, desk) = identities(options);
        assert_eq!(token(&identities, "acme", OURS).await, Err(Code::Internal));
        assert!(desk.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn only_a_tenants_grant_gets_a_token() {
    let (identities, desk) = identities(options());
    let team = TeamId::new("acme").unwrap();
    let fault = identities.token(AzureUse { team: &team, grant: &Grant::None }).await.unwrap_err();
    assert_eq!(fault.code, Code::IntegrationMissing);
    assert!(desk.asked.lock().unwrap().is_empty());
}
