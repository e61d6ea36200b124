//! Where blobs are asked for: hosts are made of checked parts only, so that a token goes nowhere else.

use url::Url;

use crate::domain::azure_blob::{AzureBlob, is_account};
use crate::domain::fault::{AttachmentFault, Code};

/// How blobs are addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobAddressing {
    /// At Azure: the account in the host's name.
    Azure {
        /// What may stand behind it.
        suffixes: Vec<String>,
    },
    /// At one endpoint of the operator's, the account in the path.
    Endpoint(Url),
}

impl BlobAddressing {
    /// Finds `blob`.
    ///
    /// # Errors
    /// `bad_url` for an account or suffix that is none of Azure's, and a name that no URL can carry.
    pub(super) fn locate(&self, blob: &AzureBlob) -> Result<Url, AttachmentFault> {
        if !is_account(&blob.account) {
            return Err(unsendable("its account is none"));
        }
        let (base, path) = match self {
            Self::Azure { suffixes } if suffixes.contains(&blob.suffix) => {
                (format!("https://{}", blob.host()), blob.path())
            }
            Self::Azure { .. } => return Err(unsendable("its host is none of Azure's")),
            Self::Endpoint(endpoint) => {
                let base = endpoint.as_str().trim_end_matches('/').to_owned();
                (base, format!("/{}{}", blob.account, blob.path()))
            }
        };
        let url =
            Url::parse(&format!("{base}{path}")).map_err(|_| unsendable("its name cannot be carried by a URL"))?;
        // Whatever the library made of the path, no other blob than this one is ever asked for.
        if !url.path().ends_with(&path) || url.as_str().len() != base.len() + path.len() {
            return Err(unsendable("its name cannot be carried by a URL"));
        }
        let mut url = url;
        let query = blob.query();
        url.set_query(if query.is_empty() { None } else { Some(&query) });
        Ok(url)
    }
}

fn unsendable(what: &str) -> AttachmentFault {
    AttachmentFault::new(Code::BadUrl, format!("the blob cannot be asked for: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::azure_blob::BlobState;

    fn azure() -> BlobAddressing {
        BlobAddressing::Azure { suffixes: vec!["blob.core.windows.net".into()] }
    }

    fn blob(account: &str, suffix: &str, blob: &str) -> AzureBlob {
        let (account, suffix, blob) = (account.to_owned(), suffix.to_owned(), blob.to_owned());
        AzureBlob { account, suffix, container: "raw".into(), blob, state: None }
    }

    #[test]
    fn blobs_are_found_at_azure_or_at_the_operators_endpoint() {
        for (name, path) in [
            ("a.jpg", "/raw/a.jpg"),
            ("a b+c%d?e#f", "/raw/a%20b%2Bc%25d%3Fe%23f"),
            ("ä//b\\c", "/raw/%C3%A4//b%5Cc"),
            ("...", "/raw/..."),
        ] {
            let blob = blob("acmeblob", "blob.core.windows.net", name);
            let at_azure = azure().locate(&blob).unwrap();
            assert_eq!(at_azure.as_str(), format!("https://acmeblob.blob.core.windows.net{path}"));
            for endpoint in ["https://localhost:10000", "https://localhost:10000/", "http://h/base/"] {
                let found = BlobAddressing::Endpoint(Url::parse(endpoint).unwrap()).locate(&blob).unwrap();
                assert_eq!(found.as_str(), format!("{}/acmeblob{path}", endpoint.trim_end_matches('/')));
            }
        }
        let state = Some(BlobState::Version("2024-05-01T10:20:30.1234567Z".into()));
        let old = AzureBlob { state, ..blob("acmeblob", "blob.core.windows.net", "a") };
        assert_eq!(azure().locate(&old).unwrap().query(), Some("versionid=2024-05-01T10%3A20%3A30.1234567Z"));
    }

    #[test]
    fn nothing_leads_a_request_to_another_host_or_blob() {
        for (account, suffix, name) in [
            ("evil.com/", "blob.core.windows.net", "a"),
            ("acme@evil", "blob.core.windows.net", "a"),
            ("acme-secondary", "blob.core.windows.net", "a"),
            ("", "blob.core.windows.net", "a"),
            ("acmeblob", "evil.com", "a"),
            ("acmeblob", "blob.core.windows.net.evil.com", "a"),
            ("acmeblob", "blob.core.windows.net", "../other/a"),
            ("acmeblob", "blob.core.windows.net", "./a"),
        ] {
            let found = azure().locate(&blob(account, suffix, name));
            assert_eq!(found.map_err(|fault| fault.code), Err(Code::BadUrl), "{account} {suffix} {name}");
        }
        let endpoint = BlobAddressing::Endpoint(Url::parse("https://localhost:10000").unwrap());
        assert!(endpoint.locate(&blob("acmeblob/x", "blob.core.windows.net", "a")).is_err());
        assert!(endpoint.locate(&blob("acmeblob", "blob.core.windows.net", "../../other/raw/a")).is_err());
    }
}
