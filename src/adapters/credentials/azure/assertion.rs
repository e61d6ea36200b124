//! An application's word for itself: a short JSON document, signed with its certificate's key.
//!
//! Its form is that of "Microsoft identity platform application authentication certificate credentials": PS256, and the
//! certificate's SHA-256 in the head.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PSS_SHA256;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::digest::Sha256;

/// How long such a word is good: within what Microsoft advises.
const LIFE_SECS: i64 = 600;
/// Clocks differ a little; a word from the future is refused.
const BACKDATED_SECS: i64 = 60;

/// Says in the application's name that it wants something of whoever answers at `audience`.
///
/// # Errors
/// What is wrong with the file, as a sentence.
pub(super) fn signed(pem: &[u8], client_id: &str, audience: &str, now: Timestamp) -> Result<String, String> {
    let certificate = CertificateDer::from_pem_slice(pem)
        .map_err(|_| "azure.certificate_file holds no certificate in PEM form".to_owned())?;
    let key = key_in(pem)?;
    check_match(&certificate, pem)?;
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::of(&certificate).as_bytes());
    let head = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint});
    let from = now.as_second() - BACKDATED_SECS;
    let claims = json!({
        "aud": audience, "iss": client_id, "sub": client_id, "jti": Uuid::new_v4().to_string(),
        "iat": from, "nbf": from, "exp": now.as_second() + LIFE_SECS,
    });
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let text = format!("{}.{}", encoded(&head), encoded(&claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "azure.certificate_file holds a key that does not sign".to_owned())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn key_in(pem: &[u8]) -> Result<KeyPair, String> {
    let unusable = || "azure.certificate_file holds no RSA key in PEM form, or one that is encrypted".to_owned();
    match PrivateKeyDer::from_pem_slice(pem).map_err(|_| unusable())? {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unusable()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).map_err(|_| unusable()),
        // SEC1 holds keys of elliptic curves; a foreign enum that may grow.
        _ => Err(unusable()),
    }
}

/// A certificate beside another's key would be refused at every try, with nothing that says why.
fn check_match(certificate: &CertificateDer<'_>, pem: &[u8]) -> Result<(), String> {
    let of_another = || "azure.certificate_file holds a certificate and a key that do not belong together".to_owned();
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| of_another())?;
    let chain = vec![certificate.clone().into_owned()];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider).map(|_| ()).map_err(|_| of_another())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const PEM: &[u8] = include_bytes!("fixtures/application.pem");
    const OTHER: &str = include_str!("fixtures/other_certificate.pem");

    #[test]
    fn an_application_speaks_for_itself_for_ten_minutes() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let audience = "https://login.test/t/oauth2/v2.0/token";
        let said = signed(PEM, "app", audience, now).unwrap();
        let (text, signature) = said.rsplit_once('.').unwrap();
        let pair = key_in(PEM).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (head, claims) = text.split_once('.').unwrap();
        let decoded = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        // As `openssl x509 -outform der | openssl dgst -sha256` has it.
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::from_hex(THUMBPRINT).unwrap().as_bytes());
        assert_eq!(decoded(head), json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}));
        let mut claims = decoded(claims);
        let id = claims["jti"].take();
        assert!(Uuid::try_parse(id.as_str().unwrap()).is_ok());
        assert_eq!(
            claims,
            json!({
                "aud": audience, "iss": "app", "sub": "app", "jti": null,
                "iat": 1_799_999_940, "nbf": 1_799_999_940, "exp": 1_800_000_600,
            })
        );
        assert_ne!(signed(PEM, "app", audience, now).unwrap(), said, "no two are alike");
    }

    #[test]
    fn a_file_that_cannot_sign_says_what_is_wrong() {
        let text = std::str::from_utf8(PEM).unwrap();
        let at = text.find("-----BEGIN CERTIFICATE-----").unwrap();
        let (key, certificate) = text.split_at(at);
        let told = |pem: &str| signed(pem.as_bytes(), "app", "a", Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(told("").contains("no certificate"));
        assert!(told(key).contains("no certificate"));
        assert!(told(certificate).contains("no RSA key"));
        assert!(told(&format!("{key}{OTHER}")).contains("do not belong together"));
    }

    const THUMBPRINT: &str = "89f9f3f76b7587fdf6cc9287d218ba056d02a4ba5464ead5b6e7bafb503e7b74";
}
