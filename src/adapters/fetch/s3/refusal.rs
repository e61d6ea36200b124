//! What an answer of S3's that is no success means: by its code first, then by its status.
//!
//! The status alone would mistake an ended session (400) for a bad request, an archived object (403) for a refused one and a
//! slow upload (400) for our mistake. Codes are those of "Error responses" in the S3 API reference. Nothing of a body reaches
//! a message: only the code is handed on, in its own field.

use reqwest::header::HeaderMap;

use super::address::Region;
use crate::adapters::fetch::answer;
use crate::adapters::fetch::worded::{Worded, element, is_code};
use crate::domain::fault::{AttachmentFault, Code};

/// A refusal as S3 worded it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) region: Option<Region>,
    words: String,
    headers: HeaderMap,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The bucket is in another region.
    OtherRegion,
    /// The keys have ended or are not known.
    KeysEnded,
    /// The signature is not the one that S3 makes of the request.
    BadSignature,
    /// Refused: why, only further questions can tell.
    Denied,
    /// What there is to say of the attachment, and what it says to a person.
    Final(Code, &'static str),
}

impl Refusal {
    /// Reads the head and the beginning of the body of an answer.
    pub(super) fn new(status: u16, headers: HeaderMap, body: &[u8]) -> Self {
        let words = String::from_utf8_lossy(body).into_owned();
        let code = element(&words, "Code").filter(|code| is_code(code)).map(str::to_owned);
        let in_body = || element(&words, "Region").and_then(Region::parse);
        let region = region_in(&headers).or_else(in_body);
        Self { status, code, region, words, headers }
    }

    /// What it means.
    pub(super) fn meaning(&self) -> Meaning {
        if matches!(self.status, 301 | 302 | 307 | 308) {
            return Meaning::OtherRegion;
        }
        match self.code.as_deref() {
            Some(code) => self.by_code(code).unwrap_or_else(|| self.by_status()),
            None => self.by_status(),
        }
    }

    fn by_code(&self, code: &str) -> Option<Meaning> {
        let (code, words) = match code {
            "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "IncorrectEndpoint"
            | "PermanentRedirect"
            | "TemporaryRedirect" => return Some(Meaning::OtherRegion),
            "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" | "InvalidAccessKeyId" => {
                return Some(Meaning::KeysEnded);
            }
            "AccessDenied" => return Some(self.denied()),
            "NoSuchKey" => (Code::NotFound, "there is no object of this key"),
            "NoSuchVersion" => (Code::NotFound, "there is no such version"),
            "NoSuchBucket" => (Code::NotFound, "there is no such bucket"),
            "PreconditionFailed" => (Code::NotFound, "the state that was asked for is gone"),
            "MethodNotAllowed" => (Code::NotFound, "the version is a deletion"),
            "AllAccessDisabled" | "AccountProblem" | "InvalidPayer" => {
                (Code::AccessDenied, "the bucket's account is closed to readers")
            }
            "InvalidObjectState" => (Code::Archived, "the object lies in an archive; restore it first"),
            "RequestTimeout" => (Code::Timeout, "the request took too long"),
            "SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded" | "BandwidthLimitExceeded" => {
                (Code::Throttled, "the bucket's requests are throttled")
            }
            "InternalError" => (Code::Unavailable, "the service had a fault of its own"),
            "InvalidBucketName" | "KeyTooLongError" | "InvalidURI" => {
                (Code::BadUrl, "bucket or key is none that S3 takes")
            }
            "RequestTimeTooSkewed" => (Code::Internal, "this machine's clock is wrong"),
            "SignatureDoesNotMatch" => return Some(Meaning::BadSignature),
            "InvalidBucketOwnerAWSAccountID" => (Code::Internal, "our request was not understood"),
            code if code.starts_with("Throttling") => (Code::Throttled, "the bucket's requests are throttled"),
            code if code.starts_with("KMS.") => (Code::KmsDenied, "the object's key is not to be used"),
            _ => return None,
        };
        Some(Meaning::Final(code, words))
    }

    /// A plain refusal, unless S3 says what was missing.
    fn denied(&self) -> Meaning {
        let said = element(&self.words, "Message").unwrap_or_default().to_ascii_lowercase();
        if said.contains("kms:") {
            let words = "the object's key refuses the team; grant kms:Decrypt";
            Meaning::Final(Code::KmsDenied, words)
        } else {
            Meaning::Denied
        }
    }

    fn by_status(&self) -> Meaning {
        let (code, words) = match self.status {
            // An answer to HEAD has no body, and names the bucket's region where it was asked in another.
            400 if self.code.is_none() && self.region.is_some() => return Meaning::OtherRegion,
            401 | 403 => return Meaning::Denied,
            404 | 410 => (Code::NotFound, "there is no such object"),
            408 => (Code::Timeout, "the request took too long"),
            412 => (Code::NotFound, "the state that was asked for is gone"),
            429 | 503 => (Code::Throttled, "the bucket's requests are throttled"),
            500..=599 => (Code::Unavailable, "the service had a fault of its own"),
            _ => (Code::HttpStatus, "an answer that is no success"),
        };
        Meaning::Final(code, words)
    }

    /// The attachment's fault, with S3's own code and request id beside ours.
    pub(super) fn fault(&self, bucket: &str, code: Code, words: &str) -> AttachmentFault {
        let (status, headers) = (self.status, &self.headers);
        let worded = Worded {
            who: &format!("s3://{bucket}"),
            status,
            headers,
            code: self.code.as_deref(),
            request_id: "x-amz-request-id",
        };
        worded.fault(code, words)
    }
}

/// The region that an answer's head names.
pub(super) fn region_in(headers: &HeaderMap) -> Option<Region> {
    answer::text(headers, "x-amz-bucket-region").and_then(|region| Region::parse(&region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, more: &str) -> Refusal {
        let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code>{more}</Error>");
        Refusal::new(status, HeaderMap::new(), body.as_bytes())
    }

    fn check(status: u16, code: &str, expected: Code) {
        let meaning = refusal(status, code, "").meaning();
        assert!(matches!(meaning, Meaning::Final(found, _) if found == expected), "{code}: {meaning:?}");
    }

    #[test]
    fn codes_decide_before_statuses() {
        for (status, code, expected) in [
            (404, "NoSuchKey", Code::NotFound),
            (404, "NoSuchVersion", Code::NotFound),
            (404, "NoSuchBucket", Code::NotFound),
            (412, "PreconditionFailed", Code::NotFound),
            (405, "MethodNotAllowed", Code::NotFound),
            (403, "InvalidObjectState", Code::Archived),
            (400, "KMS.DisabledException", Code::KmsDenied),
            (400, "RequestTimeout", Code::Timeout),
            (503, "SlowDown", Code::Throttled),
            (503, "ServiceUnavailable", Code::Throttled),
            (400, "ThrottlingException", Code::Throttled),
            (500, "InternalError", Code::Unavailable),
            (403, "AllAccessDisabled", Code::AccessDenied),
            (403, "RequestTimeTooSkewed", Code::Internal),
            (400, "KeyTooLongError", Code::BadUrl),
            (501, "NotImplemented", Code::Unavailable),
            (400, "SomethingNew", Code::HttpStatus),
        ] {
            check(status, code, expected);
        }
    }

    #[test]
    fn ended_keys_and_other_regions_are_no_faults_yet() {
        assert_eq!(refusal(403, "SignatureDoesNotMatch", "").meaning(), Meaning::BadSignature);
        for (status, code) in
            [(400, "ExpiredToken"), (400, "TokenRefreshRequired"), (400, "InvalidToken"), (403, "InvalidAccessKeyId")]
        {
            assert_eq!(refusal(status, code, "").meaning(), Meaning::KeysEnded, "{code}");
        }
        for (status, code) in [
            (301, "PermanentRedirect"),
            (400, "AuthorizationHeaderMalformed"),
            (400, "IllegalLocationConstraintException"),
            (400, "IncorrectEndpoint"),
        ] {
            assert_eq!(refusal(status, code, "").meaning(), Meaning::OtherRegion, "{code}");
        }
        let named = refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
        assert_eq!(named.region, Region::parse("eu-west-1"));
        let evil = refusal(400, "AuthorizationHeaderMalformed", "<Region>x.evil.com/</Region>");
        assert_eq!(evil.region, None);
    }

    #[test]
    fn a_refusal_that_says_why_needs_no_further_question() {
        let said = |message: &str| refusal(403, "AccessDenied", &format!("<Message>{message}</Message>")).meaning();
        let kms = said("User: x is not authorized to perform: kms:Decrypt on resource: y");
        assert!(matches!(kms, Meaning::Final(Code::KmsDenied, _)));
        // What else is said is proven first.
        assert_eq!(said("Bucket is a Requester Pays bucket"), Meaning::Denied);
        assert_eq!(said("Access Denied"), Meaning::Denied);
        assert_eq!(Refusal::new(403, HeaderMap::new(), b"").meaning(), Meaning::Denied);
    }

    #[test]
    fn words_of_the_other_side_stay_out_of_messages() {
        let refusal = refusal(403, "AccessDenied", "<Message>secret words</Message>");
        let fault = refusal.fault("acme", Code::AccessDenied, "refused");
        assert_eq!(fault.message, "s3://acme answered 403: refused");
        assert_eq!(fault.provider_code.as_deref(), Some("AccessDenied"));
        let odd = Refusal::new(400, HeaderMap::new(), b"<Code><b>x</b></Code>");
        assert_eq!(odd.code, None);
    }
}
