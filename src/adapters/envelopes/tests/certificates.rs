//! Where certificates come from, with SNS and the folder scripted.

use serde_json::json;

use super::*;
use crate::adapters::memory::fetcher::{MemoryFetcher, MemoryObject};
use crate::domain::message::{Reading, Step, Topic, Trusted};

const GOOD: &[u8] = include_bytes!("../fixtures/good.pem");
const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:t";
const URL: &str = "https://sns.us-east-1.amazonaws.com/a.pem";

fn naming(url: &str) -> Notification {
    let envelope = json!({"Type": "Notification", "MessageId": "m", "TopicArn": TOPIC, "Message": "{}", "Timestamp": "t",
        "SignatureVersion": "1", "Signature": "", "SigningCertURL": url});
    let topics = vec![Topic { arn: TOPIC.to_owned(), team: None }];
    let mut reading = Reading::new(Default::default(), Arc::new(Trusted { topics, pointer_buckets: Vec::new() }));
    match reading.read(envelope.to_string().as_bytes()) {
        Ok(Step::Unproven(notification)) => *notification,
        other => panic!("{other:?}"),
    }
}

fn source() -> Source {
    Source::parse(URL).expect("a URL")
}

fn of_sns(http: &Arc<MemoryFetcher>) -> Certificates {
    let http = Arc::clone(http) as Arc<dyn Fetcher>;
    Certificates::new(CertificateSource::Sns { http, roots: Arc::new(RootCertStore::empty()) })
}

#[tokio::test]
async fn a_certificate_is_fetched_once_and_kept() {
    let http = Arc::new(MemoryFetcher::default());
    http.put(&source(), MemoryObject::new(GOOD));
    let certificates = of_sns(&http);
    for _ in 0..3 {
        assert!(certificates.of(&naming(URL)).await.is_ok());
    }
    assert_eq!(http.times_opened(&source()), 1);
}

#[tokio::test]
async fn only_what_sns_says_of_its_certificate_is_the_messages_fault() {
    let failing = |code| MemoryObject::new(GOOD).failing(u32::MAX, AttachmentFault::new(code, "as asked"));
    for (object, is_refused) in [
        (None, true),
        (Some(failing(Code::AccessDenied)), true),
        (Some(MemoryObject::new("no certificate")), true),
        (Some(MemoryObject::new(vec![b'x'; FILE_BYTES_MAX + 1])), true),
        (Some(failing(Code::Unavailable)), false),
        (Some(failing(Code::Network)), false),
        (Some(failing(Code::TlsInvalid)), false),
        (Some(failing(Code::BlockedAddress)), false),
        (Some(MemoryObject::new(GOOD).breaking(1, 100)), false),
    ] {
        let http = Arc::new(MemoryFetcher::default());
        if let Some(object) = object {
            http.put(&source(), object);
        }
        let found = of_sns(&http).of(&naming(URL)).await.expect_err("no certificate");
        assert_eq!(matches!(found, EnvelopeError::Refused(_)), is_refused, "{found:?}");
    }
}

#[tokio::test]
async fn what_was_away_is_asked_for_again() {
    let http = Arc::new(MemoryFetcher::default());
    http.put(&source(), MemoryObject::new(GOOD).failing(1, AttachmentFault::new(Code::Unavailable, "as asked")));
    let certificates = of_sns(&http);
    assert!(matches!(certificates.of(&naming(URL)).await, Err(EnvelopeError::Away(_))));
    assert!(certificates.of(&naming(URL)).await.is_ok());
}

#[tokio::test]
async fn nothing_is_asked_of_anybody_but_sns() {
    let http = Arc::new(MemoryFetcher::default());
    for url in ["https://evil.com/a.pem", "http://sns.us-east-1.amazonaws.com/a.pem"] {
        let found = of_sns(&http).of(&naming(url)).await;
        assert!(matches!(found, Err(EnvelopeError::Refused(_))), "{url}");
    }
    assert!(http.opened().is_empty());
}

#[tokio::test]
async fn a_folders_certificates_are_found_by_file_name_wherever_the_url_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.pem"), GOOD).expect("written");
    std::fs::write(folder.path().join("large.pem"), vec![b'x'; FILE_BYTES_MAX + 1]).expect("written");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("made");
    let certificates = Certificates::new(CertificateSource::Folder(folder.path().to_owned()));
    assert!(certificates.of(&naming("http://localhost:4566/x/a.pem")).await.is_ok());
    for url in ["http://h/b.pem", "http://h/large.pem", "http://h/..%2fa.pem", "http://h/a.pem?x"] {
        assert!(matches!(certificates.of(&naming(url)).await, Err(EnvelopeError::Refused(_))), "{url}");
    }
    let inside = Certificates::new(CertificateSource::Folder(inner));
    assert!(matches!(inside.of(&naming("http://h/../a.pem")).await, Err(EnvelopeError::Refused(_))), "not there");
}
