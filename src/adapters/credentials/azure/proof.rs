//! By what our application proves that it is the one: a secret, a certificate, or a token of another service's.
//!
//! Files are read anew for each token, since they are replaced while we run. What goes wrong is told in words that hold
//! nothing of a file.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::assertion;
use crate::ports::clock::Clock;

/// Files of certificates and tokens are shorter.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How an assertion is called (RFC 7523).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// By what the application proves itself.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A secret.
    Secret(SecretString),
    /// A PEM file with a certificate and its RSA key.
    CertificateFile(PathBuf),
    /// A file with the token of a service that the application trusts: workload identity federation.
    FederatedTokenFile(PathBuf),
}

impl Proof {
    /// What a request to `audience` holds as proof.
    ///
    /// # Errors
    /// What is wrong with the file, as a sentence.
    pub(super) async fn fields(
        &self, client_id: &str, audience: &Url,
    ) -> Result<Vec<(&'static str, SecretString)>, String> {
        let assertion = match self {
            Self::Secret(secret) => return Ok(vec![("client_secret", secret.clone())]),
            Self::CertificateFile(path) => {
                let pem = read(path, "azure.certificate_file").await?;
                let (client_id, audience) = (client_id.to_owned(), audience.to_string());
                let sign = move || assertion::signed(&pem, &client_id, &audience, Clock::System.now());
                // A signature takes a millisecond or two.
                let signed = tokio::task::spawn_blocking(sign).await;
                signed.map_err(|_| "azure.certificate_file was not signed with".to_owned())??
            }
            Self::FederatedTokenFile(path) => {
                let key = "azure.federated_token_file";
                let token = String::from_utf8(read(path, key).await?).map_err(|_| format!("{key} holds no text"))?;
                let token = token.trim();
                if token.is_empty() {
                    return Err(format!("{key} is empty"));
                }
                token.to_owned()
            }
        };
        Ok(vec![("client_assertion_type", ASSERTION_TYPE.into()), ("client_assertion", assertion.into())])
    }
}

async fn read(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    let unread = |error: std::io::Error| format!("{key}: {} cannot be read: {error}", path.display());
    let metadata = tokio::fs::metadata(path).await.map_err(unread)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{key}: {} is too large, or no file", path.display()));
    }
    tokio::fs::read(path).await.map_err(unread)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    async fn fields(proof: Proof) -> Result<Vec<(&'static str, String)>, String> {
        let audience = Url::parse("https://login.test/t/oauth2/v2.0/token").unwrap();
        let fields = proof.fields("app", &audience).await?;
        Ok(fields.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect())
    }

    #[tokio::test]
    async fn a_proof_is_a_secret_or_an_assertion() {
        assert_eq!(fields(Proof::Secret("hush".into())).await, Ok(vec![("client_secret", "hush".to_owned())]));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for (content, expected) in [("a.b.c\n", "a.b.c"), ("d.e.f", "d.e.f")] {
            std::fs::write(&file, content).unwrap();
            let found = fields(Proof::FederatedTokenFile(file.clone())).await.unwrap();
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
            assert_eq!(found, [("client_assertion_type", kind), ("client_assertion", expected.to_owned())]);
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_proof_says_which() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proof");
        let told = fields(Proof::FederatedTokenFile(file.clone())).await.unwrap_err();
        assert!(told.contains("azure.federated_token_file") && told.contains("cannot be read"), "{told}");
        std::fs::write(&file, " \n").unwrap();
        assert!(fields(Proof::FederatedTokenFile(file.clone())).await.unwrap_err().contains("is empty"));
        let told = fields(Proof::CertificateFile(file)).await.unwrap_err();
        assert!(told.contains("azure.certificate_file"), "{told}");
        let told = fields(Proof::CertificateFile(folder.path().to_owned())).await.unwrap_err();
        assert!(told.contains("no file"), "{told}");
    }
}
