//! Stands in for SNS: signs envelopes by a key of its own, whose certificates lie in a folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The certificate's file, valid for a month.
pub(super) const GOOD: &str = "SimpleNotificationService-good.pem";
/// The same key's certificate of years ago.
pub(super) const EXPIRED: &str = "SimpleNotificationService-expired.pem";

/// The settings without which `openssl ca` makes no certificate of the past.
const CA: &str = "[ca]\ndefault_ca = d\n[d]\ndatabase = db\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\n\
    policy = p\nx509_extensions = e\n[e]\nbasicConstraints = CA:FALSE\n[p]\ncommonName = supplied\n";

/// A key and its certificates.
pub(super) struct Signer {
    key: PathBuf,
}

/// What differs from a good envelope.
pub(super) struct Envelope<'a> {
    pub(super) topic: &'a str,
    pub(super) version: &'a str,
    pub(super) certificate: &'a str,
    pub(super) attributes: Value,
}

impl Signer {
    /// Makes a key in `folder`, and its certificates in `certificates`.
    pub(super) fn new(folder: &Path, certificates: &Path) -> Self {
        let key = folder.join("key.pem");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (key_text, good, expired) = (text(&key), text(&certificates.join(GOOD)), text(&certificates.join(EXPIRED)));
        let subject = "/CN=sns.amazonaws.com";
        openssl(
            folder,
            &[
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", &key_text, "-out", &good, "-days", "30",
                "-subj", subject,
            ],
            b"",
        );
        openssl(folder, &["req", "-new", "-key", &key_text, "-out", "request", "-subj", subject], b"");
        for (name, content) in [("ca", CA), ("db", ""), ("serial", "01\n")] {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let past = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext", "-out", &expired];
        let ca = ["ca", "-selfsign", "-batch", "-config", "ca", "-keyfile", &key_text, "-in", "request"];
        openssl(folder, &[&ca[..], &past].concat(), b"");
        Self { key }
    }

    /// A signed notification of `message`.
    pub(super) fn envelope(&self, message: &str, given: &Envelope<'_>) -> Value {
        let mut envelope = json!({
            "Type": "Notification", "MessageId": uuid::Uuid::new_v4().to_string(), "TopicArn": given.topic,
            "Message": message, "Subject": "a subject", "Timestamp": "2026-11-22T00:00:00.000Z",
            "SignatureVersion": given.version, "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
            "MessageAttributes": given.attributes,
        });
        self.sign(&mut envelope, given.certificate);
        envelope
    }

    /// Puts a signature and a certificate's place into an envelope.
    pub(super) fn sign(&self, envelope: &mut Value, certificate: &str) {
        let mut text = String::new();
        for name in ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"] {
            if let Some(value) = envelope[name].as_str() {
                text = text + name + "\n" + value + "\n";
            }
        }
        let digest = if envelope["SignatureVersion"] == "1" { "-sha1" } else { "-sha256" };
        let signature =
            openssl(Path::new("."), &["dgst", digest, "-sign", self.key.to_str().unwrap()], text.as_bytes());
        envelope["Signature"] = json!(STANDARD.encode(signature));
        envelope["SigningCertURL"] = json!(format!("https://sns.us-east-1.amazonaws.com/{certificate}"));
    }
}

fn openssl(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the test bed installs openssl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
