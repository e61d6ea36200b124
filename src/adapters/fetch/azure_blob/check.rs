//! Checks what a team granted on Azure: that its tenant gives us a token, that the token is this tenant's and no other's, and
//! that blobs can be read.
//!
//! A team's record names storage accounts and no containers. Of an account the first container and the first blob in it are
//! looked for; an application that may read one container only is refused there, and then it is said so: a blob's own URL shows
//! more. Nothing is ever written.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::AzureFetcher;
use super::listing::{Listed, Looker};
use crate::domain::access::Grant;
use crate::domain::access::azure::{AzureTenant, tenant_id};
use crate::domain::azure_blob::AzureBlob;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::integration::{CheckName, Cloud, Finding, Verdict};
use crate::domain::source::Source;
use crate::ports::credentials::{AzureToken, AzureUse};
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};
use crate::ports::integrations::{CheckAsked, IntegrationChecks};

/// Checks integrations with Azure.
pub struct AzureChecks {
    azure: Arc<AzureFetcher>,
}

impl AzureChecks {
    /// Checks by way of a fetcher.
    #[must_use]
    pub fn new(azure: Arc<AzureFetcher>) -> Self {
        Self { azure }
    }

    /// The tenant that blobs are read with, if it gives a token; and what was found of it.
    async fn tenant(&self, asked: &CheckAsked, named: &str) -> (Option<AzureTenant>, Vec<Finding>) {
        let Some(id) = tenant_id(named) else {
            let message = "the record must name the tenant by its id, a GUID, and not by its domain";
            return (None, vec![Finding::new(CheckName::TokenIssued, Verdict::Bad, message)]);
        };
        let tenant = AzureTenant { id };
        let grant = Grant::AzureTenant(tenant.clone());
        match self.azure.credentials.token(AzureUse { team: &asked.team.id, grant: &grant }).await {
            Ok(token) => {
                let issued = format!("tenant {} gives our application a token", tenant.id);
                let issued = Finding::new(CheckName::TokenIssued, Verdict::Good, issued);
                let pinned = pinned(&token, &tenant);
                let is_theirs = pinned.verdict != Verdict::Bad;
                (is_theirs.then_some(tenant), vec![issued, pinned])
            }
            Err(fault) => {
                let message = format!(
                    "{}; an administrator of tenant {} must consent to our application: `longshore team onboard {} --cloud azure` \
                     prints the page",
                    fault.message, tenant.id, asked.team.id
                );
                let theirs = fault.code == Code::IntegrationBroken;
                let (verdict, message) =
                    if theirs { (Verdict::Bad, message) } else { (Verdict::Unproven, fault.message) };
                (None, vec![Finding::new(CheckName::TokenIssued, verdict, message)])
            }
        }
    }

    /// What is found in the first container of an account.
    async fn account(&self, asked: &CheckAsked, tenant: &AzureTenant, account: &str) -> (Verdict, String) {
        let looker = Looker { team: &asked.team, tenant, account };
        let container = match self.azure.first_container(&looker).await {
            Ok(Listed::Name(container)) => container,
            Ok(Listed::Empty) => {
                return (Verdict::Good, format!("account {account} can be listed, and has no container yet"));
            }
            Err(fault) if fault.code == Code::AccessDenied => {
                let message = format!(
                    "account {account} cannot be listed: assign our application the role Storage Blob Data Reader on it, or check \
                     a blob with --url if it may read some containers only"
                );
                return (Verdict::Unproven, message);
            }
            Err(fault) => return (verdict_of(&fault), fault.message),
        };
        self.container(asked, tenant, account, &container).await
    }

    async fn container(
        &self, asked: &CheckAsked, tenant: &AzureTenant, account: &str, container: &str,
    ) -> (Verdict, String) {
        let looker = Looker { team: &asked.team, tenant, account };
        let blob = match self.azure.first_blob(&looker, container).await {
            Ok(Listed::Name(blob)) => blob,
            Ok(Listed::Empty) => return (Verdict::Good, format!("container {container} can be listed, and is empty")),
            Err(fault) => return (verdict_of(&fault), fault.message),
        };
        let source = Source::AzureBlob(AzureBlob {
            account: account.to_owned(),
            suffix: self.azure.usual_suffix(),
            container: container.to_owned(),
            blob,
            state: None,
        });
        let grant = Grant::AzureTenant(tenant.clone());
        let request = FetchRequest { team: Arc::clone(&asked.team), source, grant, want: Want::Body };
        match self.azure.open(request).await {
            Ok(_) => (Verdict::Good, format!("a blob of container {container} can be read")),
            Err(fault) if fault.code == Code::Archived => {
                (Verdict::Good, format!("blobs of container {container} may be read; the first lies in an archive"))
            }
            Err(fault) => (verdict_of(&fault), fault.message),
        }
    }
}

#[async_trait]
impl IntegrationChecks for AzureChecks {
    fn cloud(&self) -> Cloud {
        Cloud::Azure
    }

    async fn check(&self, asked: &CheckAsked) -> Vec<Finding> {
        let Some(record) = &asked.team.record.azure else { return Vec::new() };
        let (tenant, mut findings) = self.tenant(asked, &record.tenant_id).await;
        let named: Vec<(&str, &str)> = asked.objects.iter().filter_map(container_of).collect();
        for (account, container) in &named {
            let subject = format!("{account}/{container}");
            let (verdict, message) = match &tenant {
                Some(tenant) => self.container(asked, tenant, account, container).await,
                None => not_looked(),
            };
            findings.push(Finding::about(CheckName::ContainerReadable, &subject, verdict, message));
        }
        // A named blob shows more of its account than a list that may be shut.
        for account in asked.places.iter().filter(|account| named.iter().all(|(known, _)| known != account)) {
            let (verdict, message) = match &tenant {
                Some(tenant) => self.account(asked, tenant, account).await,
                None => not_looked(),
            };
            findings.push(Finding::about(CheckName::ContainerReadable, account, verdict, message));
        }
        if asked.cors_origin.is_some() {
            let message =
                "pre-flight requests are made for buckets of S3 only: look at the account's CORS rules by hand";
            findings.push(Finding::new(CheckName::Cors, Verdict::Unproven, message));
        }
        findings
    }
}

fn container_of(source: &Source) -> Option<(&str, &str)> {
    match source {
        Source::AzureBlob(blob) => Some((&blob.account, &blob.container)),
        Source::Http(_) | Source::S3 { .. } | Source::Gcs { .. } | Source::File(_) | Source::Text(_) => None,
    }
}

fn not_looked() -> (Verdict, String) {
    (Verdict::Unproven, "not looked at, since the tenant gives no token".to_owned())
}

/// Whether the token is of the tenant that was asked: storage would take any other's, too, where that one has consented.
fn pinned(token: &AzureToken, tenant: &AzureTenant) -> Finding {
    let found = |verdict, message: String| Finding::new(CheckName::TenantPinned, verdict, message);
    match tenant_in(token.0.expose_secret()).and_then(|named| tenant_id(&named)) {
        Some(named) if named == tenant.id => found(Verdict::Good, "the token is of the team's tenant".to_owned()),
        Some(named) => found(
            Verdict::Bad,
            format!("the token is of tenant {named}, and the team's is {}: it is not used", tenant.id),
        ),
        None => found(Verdict::Unproven, "the token does not tell whose it is".to_owned()),
    }
}

/// The tenant that a token names. Its signature is storage's to check: it came from the token service itself.
fn tenant_in(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["tid"].as_str().map(str::to_owned)
}

/// What passes shows nothing.
fn verdict_of(fault: &AttachmentFault) -> Verdict {
    if fault.code.is_transient() { Verdict::Unproven } else { Verdict::Bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "7c2f36a1-0000-4000-8000-0123456789ab";

    fn token(claims: &str) -> AzureToken {
        AzureToken(format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims)).into())
    }

    #[test]
    fn a_token_tells_whose_it_is() {
        let tenant = AzureTenant { id: TENANT.into() };
        for (claims, expected) in [
            (format!("{{\"tid\":\"{}\"}}", TENANT.to_uppercase()), Verdict::Good),
            ("{\"tid\":\"11111111-0000-4000-8000-0123456789ab\"}".to_owned(), Verdict::Bad),
            ("{}".to_owned(), Verdict::Unproven),
            ("no claims".to_owned(), Verdict::Unproven),
        ] {
            assert_eq!(pinned(&token(&claims), &tenant).verdict, expected, "{claims}");
        }
        assert_eq!(pinned(&AzureToken("opaque".to_owned().into()), &tenant).verdict, Verdict::Unproven);
    }
}
