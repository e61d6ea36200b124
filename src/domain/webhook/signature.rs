//! Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 over `ID.TIMESTAMP.BODY`, one for each secret.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a symmetric secret begins with.
const PREFIX: &str = "whsec_";
/// How long a secret must be, in bytes: the specification's bounds.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that deliveries are signed with. It shows nowhere.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// The text is no secret of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and the base64 of 24 to 64 bytes")]
pub struct BadSecret;

impl Secret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// [`BadSecret`], which quotes nothing.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(BadSecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Returns the value of `webhook-signature`: one signature for each secret, the current one first. `timestamp` is that of the
/// try, in seconds since 1970.
#[must_use]
pub fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed: Vec<String> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    signed.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_reference_librarys_example_comes_out_as_there() {
        let secret = Secret::parse(SECRET).expect("good");
        assert_eq!(signatures(&[secret], ID, 1_614_265_330, BODY), SIGNATURE);
    }

    #[test]
    fn a_rotated_secret_signs_beside_the_current_one() {
        let (new, old) = (Secret::parse(&format!("whsec_{}", STANDARD.encode([7; 32]))), Secret::parse(SECRET));
        let signed = signatures(&[new.expect("good"), old.expect("good")], ID, 1_614_265_330, BODY);
        let both: Vec<&str> = signed.split(' ').collect();
        assert!(both.len() == 2 && both[0].starts_with("v1,") && both[1] == SIGNATURE, "{signed}");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_shows() {
        let encoded = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*", &encoded(23), &encoded(65)] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", Secret::parse(&encoded(64)).expect("good")), "Secret");
    }
}
