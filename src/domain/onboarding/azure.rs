//! The consent of a customer's tenant to our application, and the roles that let it read.

use std::fmt::Write;

use serde::Serialize;
use url::Url;

use super::listed_or;

/// What a tenant is asked to consent to.
#[derive(Debug, Clone, Serialize)]
pub struct AzureInvitation {
    /// Whose.
    pub team: String,
    /// Where tokens are issued.
    pub authority: Url,
    /// Our application.
    pub client_id: String,
    /// The tenant, if the team's record names it.
    pub tenant_id: Option<String>,
    /// Comes back with the consent.
    pub state: String,
    /// Where the consent page leads back to: one of the application's registered addresses.
    pub redirect_uri: Option<String>,
    /// Storage accounts; empty: not known yet.
    pub accounts: Vec<String>,
}

impl AzureInvitation {
    /// The page on which an administrator of the tenant consents. See "Admin consent on the Microsoft identity platform".
    #[must_use]
    pub fn consent_url(&self) -> Url {
        let mut url = self.authority.clone();
        let tenant = self.tenant_id.as_deref().unwrap_or("organizations");
        url.set_path(&format!("{}/{tenant}/v2.0/adminconsent", self.authority.path().trim_end_matches('/')));
        let mut query = url.query_pairs_mut();
        query.clear().append_pair("client_id", &self.client_id);
        query.append_pair("scope", "https://storage.azure.com/.default");
        if let Some(redirect) = &self.redirect_uri {
            query.append_pair("redirect_uri", redirect);
        }
        query.append_pair("state", &self.state);
        drop(query);
        url
    }

    /// Instructions for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { team, client_id, accounts, .. } = self;
        let mut text = format!(
            "# Let Longshore read blobs of your Azure subscription, for team {team}\n\
             #\n\
             # 1. An administrator of your tenant opens this page and consents:\n\
             #\n\
             # {url}\n\
             #\n\
             #    It leads back with tenant=… and state=…. The state must be {state}: with any other the consent was not asked for\n\
             #    {team}. The tenant that is named there proves nothing by itself: write it down only if the customer confirms it.\n\
             #\n\
             # 2. Let the application read each storage account. Reader or Owner are not enough; it takes some minutes.\n\
             APP=$(az ad sp show --id {client_id} --query id --output tsv)\n",
            url = self.consent_url(),
            state = self.state,
        );
        for account in listed_or(accounts, "YOUR-ACCOUNT") {
            let scope = format!("$(az storage account show --name {account} --query id --output tsv)");
            let command = format!(
                "az role assignment create --assignee-object-id \"$APP\" --assignee-principal-type ServicePrincipal \\\n  \
                 --role \"Storage Blob Data Reader\" --scope \"{scope}\""
            );
            writeln!(text, "{command}").expect("text takes everything");
        }
        let tenant = self.tenant_id.as_deref().unwrap_or("YOUR-TENANT-ID");
        let names = listed_or(accounts, "YOUR-ACCOUNT").iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        text + &format!(
            "\n# The team's record then says:\n#\n# [{team}.azure]\n# tenant_id = \"{tenant}\"\n# accounts = [{}]",
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> AzureInvitation {
        AzureInvitation {
            team: "acme".into(),
            authority: Url::parse("https://login.microsoftonline.com").expect("a URL"),
            client_id: "7c2f".into(),
            tenant_id: None,
            state: "s-1".into(),
            redirect_uri: Some("https://ours.example/consent?x=1".into()),
            accounts: vec!["acmeblob".into()],
        }
    }

    #[test]
    fn the_consent_page_is_that_of_our_application_and_brings_the_state_back() {
        let url = invitation().consent_url();
        assert_eq!(
            url.as_str().split('?').next(),
            Some("https://login.microsoftonline.com/organizations/v2.0/adminconsent")
        );
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (name, value) in [
            ("client_id", "7c2f"),
            ("scope", "https://storage.azure.com/.default"),
            ("redirect_uri", "https://ours.example/consent?x=1"),
            ("state", "s-1"),
        ] {
            assert!(query.contains(&(name.to_owned(), value.to_owned())), "{query:?}");
        }
        let known = AzureInvitation { tenant_id: Some("t-1".into()), redirect_uri: None, ..invitation() };
        assert!(known.consent_url().path().starts_with("/t-1/"));
        assert!(!known.consent_url().as_str().contains("redirect_uri"));
    }

    #[test]
    fn instructions_name_the_state_the_role_and_each_account() {
        let text = invitation().text();
        for part in
            ["state must be s-1", "\"Storage Blob Data Reader\"", "--name acmeblob ", "accounts = [\"acmeblob\"]"]
        {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
