//! What an answer of Google Cloud Storage's that is no success means: by its reason first, then by its status.
//!
//! The status alone would mistake a 403 that asks for patience for a refusal. Reasons come in JSON or XML, as the API that was
//! asked does, or not at all; their texts are those of "HTTP status and error codes" in the reference of each. Nothing of a
//! body reaches a message: only the reason is handed on, in its own field.

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::adapters::fetch::worded::{Worded, element, is_code};
use crate::domain::fault::{AttachmentFault, Code};

/// A refusal as Google worded it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: Option<String>,
    /// All of it, in lower case.
    words: String,
    headers: HeaderMap,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The token has ended or is not known.
    TokenEnded,
    /// Refused: why, only a further question can tell.
    Denied,
    /// The bucket wants its readers to pay, or so it seems.
    Pays,
    /// The object, or the generation that was asked for, is not there; and what that says to a person.
    Gone(&'static str),
    /// What there is to say of the attachment, and what it says to a person.
    Final(Code, &'static str),
}

impl Refusal {
    /// Reads the head and the beginning of the body of an answer.
    pub(super) fn new(status: u16, headers: HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let reason =
            reason_in_json(body).or_else(|| element(&text, "Code").filter(|code| is_code(code)).map(str::to_owned));
        Self { status, reason, words: text.to_lowercase(), headers }
    }

    /// What it means.
    pub(super) fn meaning(&self) -> Meaning {
        let by_reason = self.reason.as_deref().and_then(by_reason);
        by_reason.or_else(|| self.by_words()).unwrap_or_else(|| self.by_status())
    }

    /// What only the text tells: the JSON API gives the reason `required` for what it says of paying readers.
    fn by_words(&self) -> Option<Meaning> {
        if !matches!(self.status, 400 | 401 | 403) {
            return None;
        }
        if self.words.contains("requester pays") {
            return Some(Meaning::Pays);
        }
        let kms = self.words.contains("cloud kms") || self.words.contains("cloudkms.");
        kms.then_some(Meaning::Final(Code::KmsDenied, "the object's key is not to be used"))
    }

    fn by_status(&self) -> Meaning {
        let (code, words) = match self.status {
            401 => return Meaning::TokenEnded,
            403 => return Meaning::Denied,
            404 | 410 => return Meaning::Gone("there is no such object"),
            412 => return Meaning::Gone("the state that was asked for is gone"),
            408 => (Code::Timeout, "the request took too long"),
            429 => (Code::Throttled, "the bucket's requests are throttled"),
            500..=599 => (Code::Unavailable, "the service had a fault of its own"),
            _ => (Code::HttpStatus, "an answer that is no success"),
        };
        Meaning::Final(code, words)
    }

    /// The attachment's fault, with Google's own reason and request id beside ours.
    pub(super) fn fault(&self, bucket: &str, code: Code, words: &str) -> AttachmentFault {
        let (status, headers) = (self.status, &self.headers);
        let worded = Worded {
            who: &format!("gs://{bucket}"),
            status,
            headers,
            code: self.reason.as_deref(),
            request_id: "x-guploader-uploadid",
        };
        worded.fault(code, words)
    }
}

/// The reasons of both APIs differ in their case, and some are written with the group that they belong to.
fn by_reason(reason: &str) -> Option<Meaning> {
    let reason = reason.rsplit('.').next().unwrap_or(reason).to_ascii_lowercase();
    let (code, words) = match reason.as_str() {
        "ratelimitexceeded"
        | "userratelimitexceeded"
        | "quotaexceeded"
        | "dailylimitexceeded"
        | "slowdown"
        | "resource_exhausted" => (Code::Throttled, "the bucket's requests are throttled"),
        "userprojectmissing"
        | "userprojectinvalid"
        | "userprojectinconsistent"
        | "userprojectaccessdenied"
        | "userprojectaccountproblem"
        | "authenticationrequiredrequesterpays" => return Some(Meaning::Pays),
        "nosuchkey" => return Some(Meaning::Gone("there is no object of this name")),
        "nosuchbucket" => return Some(Meaning::Gone("there is no such bucket")),
        "accountdisabled" | "accountproblem" | "billingdisabled" => {
            (Code::AccessDenied, "the bucket's project is closed to readers")
        }
        "accessnotconfigured" | "service_disabled" => {
            (Code::AccessDenied, "the Cloud Storage API is switched off in the reading account's project")
        }
        "invalidbucketname" | "keytoolong" => (Code::BadUrl, "bucket or object name is none that Google takes"),
        "resourceisencryptedwithcustomerencryptionkey" => {
            (Code::KmsDenied, "the object is encrypted with a key that only its owner has")
        }
        "internalerror" | "backenderror" => (Code::Unavailable, "the service had a fault of its own"),
        reason if reason.starts_with("cloudkms") => (Code::KmsDenied, "the object's key is not to be used"),
        _ => return None,
    };
    Some(Meaning::Final(code, words))
}

/// `error.errors[0].reason`, or the canonical code beside it.
fn reason_in_json(body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let error = &document["error"];
    let reason = error["errors"][0]["reason"].as_str().filter(|reason| is_code(reason));
    reason.or_else(|| error["status"].as_str().filter(|status| is_code(status))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(status: u16, reason: &str, message: &str) -> Refusal {
        let body = serde_json::json!({"error": {"code": status, "message": message,
            "errors": [{"domain": "global", "reason": reason, "message": message}]}});
        Refusal::new(status, HeaderMap::new(), body.to_string().as_bytes())
    }

    fn xml(status: u16, code: &str, message: &str) -> Refusal {
        let body = format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Refusal::new(status, HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn reasons_decide_before_statuses() {
        for (status, reason, expected) in [
            (403, "rateLimitExceeded", Code::Throttled),
            (403, "userRateLimitExceeded", Code::Throttled),
            (403, "quotaExceeded", Code::Throttled),
            (503, "SlowDown", Code::Throttled),
            (403, "accountDisabled", Code::AccessDenied),
            (403, "UsageLimits.accessNotConfigured", Code::AccessDenied),
            (400, "CloudKmsDisabledKey", Code::KmsDenied),
            (400, "cloudKmsDecryptionKeyNotFound", Code::KmsDenied),
            (400, "resourceIsEncryptedWithCustomerEncryptionKey", Code::KmsDenied),
            (400, "InvalidBucketName", Code::BadUrl),
            (500, "InternalError", Code::Unavailable),
        ] {
            for refusal in [json(status, reason, "m"), xml(status, reason, "m")] {
                let found = refusal.meaning();
                assert!(matches!(found, Meaning::Final(code, _) if code == expected), "{reason}: {found:?}");
            }
        }
        for reason in ["userProjectMissing", "UserProjectAccessDenied", "userProjectInvalid"] {
            assert_eq!(json(400, reason, "m").meaning(), Meaning::Pays, "{reason}");
        }
        assert!(matches!(xml(404, "NoSuchKey", "m").meaning(), Meaning::Gone(_)));
    }

    #[test]
    fn without_a_reason_that_is_known_the_status_decides() {
        for (status, expected) in [
            (408, Code::Timeout),
            (429, Code::Throttled),
            (500, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (302, Code::HttpStatus),
            (400, Code::HttpStatus),
        ] {
            for refusal in [Refusal::new(status, HeaderMap::new(), b"oops"), json(status, "somethingNew", "m")] {
                let found = refusal.meaning();
                assert!(matches!(found, Meaning::Final(code, _) if code == expected), "{status}: {found:?}");
            }
        }
        for (status, expected) in [(401, Meaning::TokenEnded), (403, Meaning::Denied)] {
            assert_eq!(json(status, "forbidden", "m").meaning(), expected);
            assert_eq!(xml(status, "AccessDenied", "m").meaning(), expected);
        }
        for status in [404, 410, 412] {
            assert!(matches!(Refusal::new(status, HeaderMap::new(), b"").meaning(), Meaning::Gone(_)));
        }
    }

    #[test]
    fn some_things_only_the_text_tells() {
        let pays = "Bucket is a requester pays bucket but no user project provided.";
        assert_eq!(json(400, "required", pays).meaning(), Meaning::Pays);
        assert_eq!(Refusal::new(400, HeaderMap::new(), pays.as_bytes()).meaning(), Meaning::Pays);
        let kms = "Permission denied on Cloud KMS key. Please ensure that ...";
        assert!(matches!(json(403, "forbidden", kms).meaning(), Meaning::Final(Code::KmsDenied, _)));
        assert_eq!(json(403, "forbidden", "does not have storage.objects.get").meaning(), Meaning::Denied);
    }

    #[test]
    fn words_of_the_other_side_stay_out_of_messages() {
        let refusal = json(403, "forbidden", "secret words");
        let fault = refusal.fault("acme", Code::AccessDenied, "refused");
        assert_eq!(fault.message, "gs://acme answered 403: refused");
        assert_eq!(fault.provider_code.as_deref(), Some("forbidden"));
        assert_eq!(json(400, "a reason that is none", "m").reason, None);
        assert_eq!(xml(400, "<b>x</b>", "m").reason, None);
    }
}
