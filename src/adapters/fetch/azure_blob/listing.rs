//! The first container of a storage account, and the first blob of a container, for whoever checks a grant.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use super::refusal::{Meaning, Refusal};
use super::{AzureFetcher, BlobAddressing, SERVICE_VERSION};
use crate::adapters::fetch::wire::bearer;
use crate::adapters::fetch::worded::{WORDS_BYTES_MAX, element};
use crate::domain::access::Grant;
use crate::domain::access::azure::AzureTenant;
use crate::domain::azure_blob::AzureBlob;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;
use crate::ports::credentials::AzureUse;

/// Whoever looks, and where.
pub(super) struct Looker<'a> {
    pub(super) team: &'a Arc<KnownTeam>,
    pub(super) tenant: &'a AzureTenant,
    pub(super) account: &'a str,
}

/// What a list begins with.
pub(super) enum Listed {
    /// Something of this name.
    Name(String),
    /// Nothing.
    Empty,
}

impl AzureFetcher {
    /// The suffix of accounts that nobody named with one.
    pub(super) fn usual_suffix(&self) -> String {
        match &self.addressing {
            BlobAddressing::Azure { suffixes } => suffixes.first().cloned().unwrap_or_default(),
            // The endpoint's paths hold the account alone.
            BlobAddressing::Endpoint(_) => String::new(),
        }
    }

    pub(super) async fn first_container(&self, looker: &Looker<'_>) -> Result<Listed, AttachmentFault> {
        self.first(looker, None, "comp=list&maxresults=1").await
    }

    pub(super) async fn first_blob(&self, looker: &Looker<'_>, container: &str) -> Result<Listed, AttachmentFault> {
        self.first(looker, Some(container), "restype=container&comp=list&maxresults=1").await
    }

    async fn first(
        &self, looker: &Looker<'_>, container: Option<&str>, query: &str,
    ) -> Result<Listed, AttachmentFault> {
        // Located as a blob, so that the same rules make its host; what is asked for is above it.
        let blob = AzureBlob {
            account: looker.account.to_owned(),
            suffix: self.usual_suffix(),
            container: container.unwrap_or("x").to_owned(),
            blob: "x".to_owned(),
            state: None,
        };
        let mut url = self.addressing.locate(&blob)?;
        let above = match container {
            Some(_) => "/x",
            None => "/x/x",
        };
        let path = url.path().strip_suffix(above).unwrap_or_default().to_owned();
        url.set_path(&path);
        url.set_query(Some(query));
        let grant = Grant::AzureTenant(looker.tenant.clone());
        let token = self.credentials.token(AzureUse { team: &looker.team.id, grant: &grant }).await?;
        let mut fields = HeaderMap::new();
        fields.insert(AUTHORIZATION, bearer(&token.0)?);
        fields.insert("x-ms-version", SERVICE_VERSION);
        let place = Source::AzureBlob(blob).place();
        self.wire.budget.request(looker.team, &place).await;
        let answer = self.wire.send(Method::GET, &url, fields).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let words = self.wire.words(answer, WORDS_BYTES_MAX).await;
        if status == 200 {
            let words = String::from_utf8_lossy(&words);
            return Ok(element(&words, "Name").map_or(Listed::Empty, |name| Listed::Name(unescaped(name))));
        }
        let refusal = Refusal::new(status, headers, &words);
        let account = looker.account;
        Err(match refusal.meaning(&looker.tenant.id) {
            Meaning::TokenEnded => refusal.fault(account, Code::Unavailable, "the token was refused"),
            Meaning::Final(code, words) => refusal.fault(account, code, words),
        })
    }
}

/// Text of an XML document as it was meant.
fn unescaped(text: &str) -> String {
    let others = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'")];
    let text = others.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain));
    // Last, so that nothing is read twice.
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_meant() {
        assert_eq!(unescaped("a &amp;lt; b&lt;c&gt;&quot;&apos;"), "a &lt; b<c>\"'");
        assert_eq!(unescaped("plain/ä.jpg"), "plain/ä.jpg");
    }
}
