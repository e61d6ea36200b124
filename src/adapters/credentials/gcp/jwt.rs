//! A service account's word for itself: a short JSON document, signed with its key (RFC 7523, RS256).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::file::Key;

/// How long such a word is good: Google's longest.
const LIFE_SECS: i64 = 3600;
/// Clocks differ a little; an hour from the future is refused.
const BACKDATED_SECS: i64 = 10;

/// Says in the account's name that it wants `scope` of whoever answers at `audience`.
///
/// # Errors
/// What is wrong with the key, as the end of a sentence about the file.
pub(super) fn assertion(key: &Key, audience: &str, scope: &str, now: Timestamp) -> Result<String, String> {
    let issued_at = now.as_second() - BACKDATED_SECS;
    let mut head = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = &key.key_id {
        head["kid"] = json!(id);
    }
    let claims = json!({
        "iss": key.email, "scope": scope, "aud": audience, "iat": issued_at, "exp": issued_at + LIFE_SECS,
    });
    let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encoded(&head), encoded(&claims));
    let pair = pair(key.private_key.expose_secret())?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "has a private_key that does not sign".to_owned())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The key in its PEM wrapping, of either form.
fn pair(pem: &str) -> Result<KeyPair, String> {
    let unusable = || "has a private_key that is no RSA key in PEM form".to_owned();
    let inside = |label: &str| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        STANDARD.decode(body).ok()
    };
    if let Some(der) = inside("PRIVATE KEY") {
        return KeyPair::from_pkcs8(&der).map_err(|_| unusable());
    }
    let der = inside("RSA PRIVATE KEY").ok_or_else(unusable)?;
    KeyPair::from_der(&der).map_err(|_| unusable())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    fn key(private_key: &str) -> Key {
        Key {
            email: "us@x".into(),
            key_id: Some("k1".into()),
            private_key: private_key.into(),
            token_url: "https://oauth2.googleapis.com/token".parse().expect("a URL"),
        }
    }

    fn pem(der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    #[test]
    fn an_account_speaks_for_itself_for_an_hour() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let said = assertion(&key(&pem(der.as_ref())), "https://a/token", "the scope", now).unwrap();
        let (signed, signature) = said.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        let decoded = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(decoded(head), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(
            decoded(claims),
            json!({
                "iss": "us@x", "scope": "the scope", "aud": "https://a/token",
                "iat": 1_799_999_990, "exp": 1_800_003_590,
            })
        );
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for bad in ["hush", "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n", &pem(b"hush")] {
            let told = assertion(&key(bad), "a", "s", now).unwrap_err();
            assert_eq!(told, "has a private_key that is no RSA key in PEM form");
        }
    }
}
