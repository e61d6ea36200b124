//! Certificates and signatures that were made once: by `openssl`'s library, all of one key, whose private half is gone.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::domain::message::{Reading, Step, Topic, Trusted};

const GOOD: &[u8] = include_bytes!("fixtures/good.pem");
const EXPIRED: &[u8] = include_bytes!("fixtures/expired.pem");
const FUTURE: &[u8] = include_bytes!("fixtures/future.pem");
const OTHER_NAME: &[u8] = include_bytes!("fixtures/other_name.pem");
const SHORT_KEY: &[u8] = include_bytes!("fixtures/short_key.pem");
const ROOT: &[u8] = include_bytes!("fixtures/root.pem");
const SIGNATURE_1: &str = include_str!("fixtures/signature1.txt");
const SIGNATURE_2: &str = include_str!("fixtures/signature2.txt");
const SHORT_SIGNATURE: &str = include_str!("fixtures/short_signature.txt");
const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:t";

fn notification(version: &str, signature: &str, changed: &[(&str, Value)]) -> Notification {
    let mut envelope = json!({
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": "{\"a\":\"line\nline\"}",
        "Subject": "hello", "Timestamp": "2026-11-22T00:00:00.000Z", "SignatureVersion": version,
        "Signature": signature.trim(), "SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem",
    });
    for (name, value) in changed {
        envelope[*name] = value.clone();
    }
    let topics = vec![Topic { arn: TOPIC.to_owned(), team: None }];
    let mut reading = Reading::new(Default::default(), Arc::new(Trusted { topics, pointer_buckets: Vec::new() }));
    match reading.read(envelope.to_string().as_bytes()) {
        Ok(Step::Unproven(notification)) => *notification,
        other => panic!("{other:?}"),
    }
}

fn folder(pem: &[u8]) -> Certificate {
    Certificate::of_folder(pem).expect("a certificate")
}

fn now() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().expect("a time")
}

fn roots(pem: &[u8]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
    Arc::new(roots)
}

#[test]
fn signatures_of_both_versions_are_proven() {
    for (version, signature) in [("1", SIGNATURE_1), ("2", SIGNATURE_2)] {
        assert_eq!(folder(GOOD).prove(&notification(version, signature, &[])), Ok(()), "version {version}");
    }
}

#[test]
fn a_signature_is_good_for_one_text_one_version_and_one_key() {
    let forged = STANDARD.encode([7_u8; 256]);
    for (version, signature, changed) in [
        ("2", SIGNATURE_1, vec![]),
        ("1", SIGNATURE_2, vec![]),
        ("2", forged.as_str(), vec![]),
        ("2", "", vec![]),
        ("2", SIGNATURE_2, vec![("Message", json!("{}"))]),
        ("2", SIGNATURE_2, vec![("MessageId", json!("m-2"))]),
        ("2", SIGNATURE_2, vec![("Subject", Value::Null)]),
        ("1", SIGNATURE_1, vec![("Timestamp", json!("2026-11-22T00:00:00.001Z"))]),
    ] {
        let found = folder(GOOD).prove(&notification(version, signature, &changed));
        assert!(found.expect_err("refused").contains("signature is not that"), "{version} {changed:?}");
    }
    assert!(folder(ROOT).prove(&notification("2", SIGNATURE_2, &[])).is_err(), "another key");
    assert!(folder(SHORT_KEY).prove(&notification("2", SHORT_SIGNATURE, &[])).is_err(), "a key of 1024 bits");
}

#[test]
fn a_folders_certificate_must_be_valid_today_and_nothing_else() {
    for (pem, says) in [(GOOD, None), (ROOT, None), (EXPIRED, Some("has expired")), (FUTURE, Some("is not valid yet"))]
    {
        let found = folder(pem).check(now());
        match says {
            None => assert_eq!(found, Ok(())),
            Some(says) => assert!(found.expect_err(says).contains(says)),
        }
    }
    for bad in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Certificate::of_folder(bad).is_err());
    }
}

#[test]
fn a_certificate_of_snss_is_for_a_name_of_snss_and_leads_to_a_root_where_its_file_says_how() {
    let sns =
        |pem: &[u8], trusted: &[u8]| Certificate::of_sns(pem, roots(trusted)).and_then(|found| found.check(now()));
    assert_eq!(sns(GOOD, ROOT), Ok(()), "directly below a root");
    assert_eq!(sns(GOOD, b""), Ok(()), "alone in its file");
    let chain = [GOOD, ROOT].concat();
    assert!(sns(&chain, b"").expect_err("an unknown root").contains("is not good"));
    assert_eq!(sns(&chain, ROOT), Ok(()));
    assert!(sns(OTHER_NAME, ROOT).expect_err("another's name").contains("not one of SNS's"));
    assert!(sns(EXPIRED, ROOT).expect_err("too old").contains("has expired"));
    assert!(sns(ROOT, b"").is_err(), "a CA signs no messages");
}

#[test]
fn names_of_sns_are_known() {
    for name in [
        "sns.amazonaws.com",
        "sns-signing.me-south-1.amazonaws.com",
        "sns.us-east-1.amazonaws.com",
        "sns-cn-north-1.amazonaws.com.cn",
    ] {
        assert!(is_of_sns(name), "{name}");
    }
    for name in [
        "amazonaws.com",
        "s3.amazonaws.com",
        "snsx.amazonaws.com",
        "sns.amazonaws.com.evil.com",
        "evil-sns.amazonaws.com",
    ] {
        assert!(!is_of_sns(name), "{name}");
    }
}
