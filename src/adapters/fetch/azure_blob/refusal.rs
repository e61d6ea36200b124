//! What an answer of Azure Storage's that is no success means: by its code first, then by its status.
//!
//! Codes are those of "Common REST API error codes" and "Blob service error codes". Nothing of a body reaches a message: only
//! the code is handed on, in its own field.

use reqwest::header::HeaderMap;

use super::challenge;
use crate::adapters::fetch::answer;
use crate::adapters::fetch::worded::{Worded, element, is_code};
use crate::domain::fault::{AttachmentFault, Code};

/// A refusal as storage worded it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: u16,
    code: Option<String>,
    detail: String,
    headers: HeaderMap,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The token has ended or is not taken.
    TokenEnded,
    /// What there is to say of the attachment, and what it says to a person.
    Final(Code, &'static str),
}

impl Refusal {
    /// Reads the head and the beginning of the body of an answer.
    pub(super) fn new(status: u16, headers: HeaderMap, body: &[u8]) -> Self {
        let words = String::from_utf8_lossy(body);
        let in_body = || element(&words, "Code").map(str::to_owned);
        let code = answer::text(&headers, "x-ms-error-code").or_else(in_body).filter(|code| is_code(code));
        let detail = element(&words, "AuthenticationErrorDetail").unwrap_or_default().to_ascii_lowercase();
        Self { status, code, detail, headers }
    }

    /// What it means for whoever asked with a token of `tenant`.
    pub(super) fn meaning(&self, tenant: &str) -> Meaning {
        if self.status == 401 {
            return self.unauthorized(tenant);
        }
        match self.code.as_deref() {
            Some(code) => by_code(code).unwrap_or_else(|| self.by_status()),
            None => self.by_status(),
        }
    }

    fn unauthorized(&self, tenant: &str) -> Meaning {
        if challenge::names_another(&self.headers, tenant) || self.detail.contains("issuer") {
            let words = "the storage account takes tokens of another tenant than the team's";
            return Meaning::Final(Code::IntegrationBroken, words);
        }
        if self.detail.contains("audience") {
            return Meaning::Final(Code::Internal, "our token is for something else than storage");
        }
        Meaning::TokenEnded
    }

    fn by_status(&self) -> Meaning {
        let (code, words) = match self.status {
            403 => (Code::AccessDenied, "refused"),
            404 | 410 => (Code::NotFound, "there is no such blob"),
            408 => (Code::Timeout, "the request took too long"),
            429 => (Code::Throttled, "the storage account's requests are throttled"),
            501 | 505 => (Code::HttpStatus, "an answer that is no success"),
            500..=599 => (Code::Unavailable, "the service had a fault of its own"),
            _ => (Code::HttpStatus, "an answer that is no success"),
        };
        Meaning::Final(code, words)
    }

    /// The attachment's fault, with storage's own code and request id beside ours.
    pub(super) fn fault(&self, host: &str, code: Code, words: &str) -> AttachmentFault {
        let (status, headers) = (self.status, &self.headers);
        let worded = Worded { who: host, status, headers, code: self.code.as_deref(), request_id: "x-ms-request-id" };
        worded.fault(code, words)
    }
}

fn by_code(code: &str) -> Option<Meaning> {
    let (code, words) = match code {
        // An emulator says so of tokens, too; storage itself only with 401.
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => return Some(Meaning::TokenEnded),
        "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => (
            Code::AccessDenied,
            "the tenant's consent is good, but our application has no role on the data; assign it Storage Blob Data Reader",
        ),
        "AuthorizationFailure" => (Code::AccessDenied, "the storage account's firewall or network rules keep us out"),
        "AccountIsDisabled" => (Code::AccessDenied, "the storage account is disabled"),
        "PublicAccessNotPermitted" | "NoAuthenticationInformation" => {
            (Code::AccessDenied, "the storage account lets nobody in without a token, and took ours for none")
        }
        "BlobNotFound" => (Code::NotFound, "there is no such blob"),
        "ContainerNotFound" | "ContainerBeingDeleted" => (Code::NotFound, "there is no such container"),
        "ResourceNotFound" => (Code::NotFound, "there is no such blob or container"),
        "ConditionNotMet" => (Code::NotFound, "the state that was asked for is gone"),
        "BlobArchived" => (Code::Archived, "the blob lies in the archive tier; rehydrate it first"),
        "BlobBeingRehydrated" => (Code::Archived, "the blob is being rehydrated, which takes up to 15 hours"),
        "BlobUsesCustomerSpecifiedEncryption" => {
            (Code::KmsDenied, "the blob is encrypted with a key that only the customer sends")
        }
        "ServerBusy" => (Code::Throttled, "the storage account's requests are throttled"),
        "OperationTimedOut" => (Code::Timeout, "the service took too long"),
        "InternalError" => (Code::Unavailable, "the service had a fault of its own"),
        "InvalidUri" | "InvalidResourceName" | "OutOfRangeInput" | "InvalidQueryParameterValue" => {
            (Code::BadUrl, "account, container or blob is none that Azure takes")
        }
        "UnsupportedHeader" | "InvalidHeaderValue" | "MissingRequiredHeader" => {
            (Code::Internal, "our request was not understood")
        }
        code if code.starts_with("KeyVault") => (Code::KmsDenied, "the storage account's key is not to be used"),
        // The source's address, protocol, service or resource type is not one that the account takes.
        code if code.starts_with("Authorization") => (Code::AccessDenied, "refused"),
        _ => return None,
    };
    Some(Meaning::Final(code, words))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};

    use super::*;

    const TENANT: &str = "7c2f36a1-0000-4000-8000-0123456789ab";

    fn refusal(status: u16, code: &str, more: &str) -> Refusal {
        let body = format!("\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code>{more}</Error>");
        Refusal::new(status, HeaderMap::new(), body.as_bytes())
    }

    fn in_head(status: u16, code: &'static str) -> Refusal {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-error-code", HeaderValue::from_static(code));
        Refusal::new(status, headers, b"")
    }

    #[test]
    fn codes_decide_before_statuses_wherever_they_stand() {
        for (status, code, expected) in [
            (403, "AuthorizationPermissionMismatch", Code::AccessDenied),
            (403, "AuthorizationFailure", Code::AccessDenied),
            (403, "AuthorizationSourceIPMismatch", Code::AccessDenied),
            (403, "InsufficientAccountPermissions", Code::AccessDenied),
            (403, "AccountIsDisabled", Code::AccessDenied),
            (409, "PublicAccessNotPermitted", Code::AccessDenied),
            (404, "BlobNotFound", Code::NotFound),
            (404, "ContainerNotFound", Code::NotFound),
            (404, "ResourceNotFound", Code::NotFound),
            (412, "ConditionNotMet", Code::NotFound),
            (409, "BlobArchived", Code::Archived),
            (409, "BlobBeingRehydrated", Code::Archived),
            (409, "BlobUsesCustomerSpecifiedEncryption", Code::KmsDenied),
            (403, "KeyVaultEncryptionKeyNotFound", Code::KmsDenied),
            (503, "ServerBusy", Code::Throttled),
            (500, "OperationTimedOut", Code::Timeout),
            (503, "OperationTimedOut", Code::Timeout),
            (500, "InternalError", Code::Unavailable),
            (400, "InvalidUri", Code::BadUrl),
            (400, "InvalidHeaderValue", Code::Internal),
            (403, "SomethingNew", Code::AccessDenied),
            (400, "SomethingNew", Code::HttpStatus),
            (429, "SomethingNew", Code::Throttled),
            (501, "NotImplemented", Code::HttpStatus),
        ] {
            for refusal in [refusal(status, code, ""), in_head(status, code)] {
                let meaning = refusal.meaning(TENANT);
                assert!(matches!(meaning, Meaning::Final(found, _) if found == expected), "{code}: {meaning:?}");
            }
        }
    }

    #[test]
    fn statuses_decide_where_there_is_no_code() {
        for (status, expected) in [
            (301, Code::HttpStatus),
            (403, Code::AccessDenied),
            (404, Code::NotFound),
            (408, Code::Timeout),
            (429, Code::Throttled),
            (503, Code::Unavailable),
            (505, Code::HttpStatus),
        ] {
            let meaning = Refusal::new(status, HeaderMap::new(), b"").meaning(TENANT);
            assert!(matches!(meaning, Meaning::Final(found, _) if found == expected), "{status}: {meaning:?}");
        }
    }

    #[test]
    fn an_ended_token_is_told_from_a_foreign_tenant() {
        assert_eq!(in_head(401, "InvalidAuthenticationInfo").meaning(TENANT), Meaning::TokenEnded);
        assert_eq!(refusal(403, "AuthenticationFailed", "").meaning(TENANT), Meaning::TokenEnded);
        assert_eq!(Refusal::new(401, HeaderMap::new(), b"").meaning(TENANT), Meaning::TokenEnded);
        let said = |detail: &str| {
            let detail = format!("<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>");
            refusal(401, "InvalidAuthenticationInfo", &detail).meaning(TENANT)
        };
        assert_eq!(said("Lifetime validation failed. The token is expired."), Meaning::TokenEnded);
        let foreign = |meaning| matches!(meaning, Meaning::Final(Code::IntegrationBroken, _));
        assert!(foreign(said("Issuer validation failed. Issuer did not match.")));
        assert!(matches!(said("Audience validation failed."), Meaning::Final(Code::Internal, _)));
        let mut headers = HeaderMap::new();
        let other = "Bearer authorization_uri=https://login.test/11111111-0000-4000-8000-0123456789ab/oauth2/authorize";
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(other));
        assert!(foreign(Refusal::new(401, headers, b"").meaning(TENANT)));
    }

    #[test]
    fn words_of_the_other_side_stay_out_of_messages() {
        let refusal = refusal(403, "AuthorizationFailure", "<Message>secret words</Message>");
        let fault = refusal.fault("acme.blob.core.windows.net", Code::AccessDenied, "refused");
        assert_eq!(fault.message, "acme.blob.core.windows.net answered 403: refused");
        assert_eq!(fault.provider_code.as_deref(), Some("AuthorizationFailure"));
        assert_eq!(Refusal::new(400, HeaderMap::new(), b"<Code><b>x</b></Code>").code, None);
    }
}
