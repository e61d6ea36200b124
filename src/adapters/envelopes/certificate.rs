//! A certificate that SNS signs by, and what is checked of it.
//!
//! Of every certificate: that it is X.509 with an RSA key of 2048 bits or more, that it is valid today, and that the signature
//! is its key's over the text that SNS signs, by RSA PKCS#1 v1.5 with SHA-1 (version 1) or SHA-256 (version 2).
//!
//! Of one that SNS gave us: it came over TLS from `sns.REGION.amazonaws.com`, whose own certificate was checked to the system's
//! roots and for that name; it is no CA's; if it names hosts, one of them is SNS's; and where its file brings further
//! certificates, they lead to one of the system's roots. SNS's files hold the signing certificate alone, whose issuer is no root
//! but stands below one: then nothing is there to build a chain of, and the TLS connection is what vouches for it. Issuers are
//! not fetched, and revocation is not looked at.
//!
//! Of one from the folder: nothing more. Who may write there is trusted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::domain::message::{Notification, SignatureVersion};

/// Certificates of one file that are looked at.
const CHAIN_MAX: usize = 8;

/// A certificate that was read.
#[derive(Debug)]
pub(super) struct Certificate {
    leaf: CertificateDer<'static>,
    further: Vec<CertificateDer<'static>>,
    /// The system's roots, for a certificate that SNS gave us.
    roots: Option<Arc<RootCertStore>>,
}

impl Certificate {
    /// Reads a file that SNS gave us.
    pub(super) fn of_sns(pem: &[u8], roots: Arc<RootCertStore>) -> Result<Self, String> {
        let certificate = Self::read(pem, Some(roots))?;
        let names = certificate.parsed()?.valid_dns_names().map(str::to_owned).collect::<Vec<_>>();
        if names.is_empty() || names.iter().any(|name| is_of_sns(name)) {
            Ok(certificate)
        } else {
            Err("the SNS envelope's certificate is not one of SNS's".to_owned())
        }
    }

    /// Reads a file of the operator's.
    pub(super) fn of_folder(pem: &[u8]) -> Result<Self, String> {
        Self::read(pem, None)
    }

    fn read(pem: &[u8], roots: Option<Arc<RootCertStore>>) -> Result<Self, String> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(CHAIN_MAX).collect();
        let mut all = all.map_err(|_| unread())?.into_iter();
        let certificate = Self { leaf: all.next().ok_or_else(unread)?, further: all.collect(), roots };
        certificate.parsed()?;
        Ok(certificate)
    }

    fn parsed(&self) -> Result<EndEntityCert<'_>, String> {
        EndEntityCert::try_from(&self.leaf).map_err(|error| format!("{}: {error}", unread()))
    }

    /// Checks that the certificate is good at this time.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        let since_epoch = u64::try_from(now.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(since_epoch));
        let roots = self.roots.as_ref().map(|roots| roots.roots.as_slice()).unwrap_or_default();
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let leaf = self.parsed()?;
        let usage = KeyUsage::server_auth();
        let error = match leaf.verify_for_usage(algorithms, roots, &self.further, now, usage, None, None) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // Validity is looked at before anything else, so that the other errors say that it was good.
        match (error, &self.roots) {
            (Error::CertExpired { .. }, _) => Err("the SNS envelope's certificate has expired".to_owned()),
            (Error::CertNotValidYet { .. }, _) => Err("the SNS envelope's certificate is not valid yet".to_owned()),
            (Error::UnknownIssuer, Some(_)) if self.further.is_empty() => Ok(()),
            (Error::UnknownIssuer | Error::CaUsedAsEndEntity | Error::RequiredEkuNotFoundContext(_), None) => Ok(()),
            (error, _) => Err(format!("the SNS envelope's certificate is not good: {error}")),
        }
    }

    /// Checks that this certificate's key has signed the notification.
    pub(super) fn prove(&self, notification: &Notification) -> Result<(), String> {
        let algorithm: &dyn SignatureVerificationAlgorithm = match notification.version {
            SignatureVersion::V1 => &RsaSha1,
            SignatureVersion::V2 => webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
        };
        let text = notification.signed_text();
        let proven = self.parsed()?.verify_signature(algorithm, text.as_bytes(), &notification.signature);
        proven.map_err(|_| "the SNS envelope's signature is not that of its certificate over this message".to_owned())
    }
}

fn unread() -> String {
    "the SNS envelope's certificate cannot be read as one".to_owned()
}

/// SNS's certificates are for `sns.amazonaws.com`, `sns-signing.REGION.amazonaws.com` and the like.
fn is_of_sns(name: &str) -> bool {
    let domain = name.strip_suffix(".cn").unwrap_or(name).strip_suffix(".amazonaws.com");
    domain.is_some_and(|before| before == "sns" || before.starts_with("sns.") || before.starts_with("sns-"))
}

/// RSA with SHA-1: what SNS signs by unless a topic asks for better, and nothing else here does.
struct RsaSha1;

impl fmt::Debug for RsaSha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSha1")
    }
}

impl SignatureVerificationAlgorithm for RsaSha1 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, public_key);
        key.verify(message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        // sha1WithRSAEncryption, 1.2.840.113549.1.1.5 (RFC 8017, A.2.4), with its empty parameters.
        AlgorithmIdentifier::from_slice(&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00])
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
