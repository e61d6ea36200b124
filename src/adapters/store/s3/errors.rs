//! What S3's answers mean for a store.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;

use crate::adapters::causes::causes;
use crate::ports::store::StoreError;

type Failure<E> = SdkError<E, HttpResponse>;

fn status<E>(error: &Failure<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The condition was not met: something is there.
pub(super) fn is_taken<E: ProvideErrorMetadata>(error: &Failure<E>) -> bool {
    status(error) == Some(412) || error.code() == Some("PreconditionFailed")
}

/// Another conditional write of the same key was under way.
pub(super) fn is_conflict<E: ProvideErrorMetadata>(error: &Failure<E>) -> bool {
    status(error) == Some(409)
}

/// The key is not there; a bucket that is not there is another matter. Answers to HEAD have no code.
pub(super) fn is_absent<E: ProvideErrorMetadata>(error: &Failure<E>) -> bool {
    status(error) == Some(404) && error.code() != Some("NoSuchBucket")
}

/// The upload is not known: finished or thrown away.
pub(super) fn is_upload_gone<E: ProvideErrorMetadata>(error: &Failure<E>) -> bool {
    is_absent(error)
}

/// Says which request failed on what, in the service's words, and whether a person must change something.
pub(super) fn failed<E>(request: &str, subject: &str, error: &Failure<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let said = format!("{request} {subject}: {}", words(error));
    if no_credentials(error) {
        return StoreError::Refused(format!("{said} (give the worker a role or keys for the bucket)"));
    }
    let Some(status) = status(error) else {
        return StoreError::Unavailable(said);
    };
    match (error.code(), status) {
        (Some(code), _) if is_damage(code) => StoreError::Unavailable(said),
        (code, status) => match hint(code.unwrap_or_default(), status) {
            Some(hint) => StoreError::Refused(format!("{said} ({hint})")),
            None => StoreError::Unavailable(said),
        },
    }
}

/// The bytes did not arrive as they were sent. Nothing was stored, so sending them again is right.
fn is_damage(code: &str) -> bool {
    matches!(
        code,
        "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" | "IncompleteBody"
    )
}

/// Whether the sum of a whole upload was refused: then its parts are not what was sent, and asking again changes nothing.
pub(super) fn is_corrupt<E: ProvideErrorMetadata>(error: &Failure<E>) -> bool {
    error.code().is_some_and(is_damage)
}

/// What a person can do about it, if it takes one. Codes are those of "Error responses" in the S3 API reference.
fn hint(code: &str, status: u16) -> Option<&'static str> {
    match code {
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "UnauthorizedAccess" => {
            Some("give the worker's role the rights on the bucket and its key")
        }
        "NoSuchBucket" => Some("create the bucket, or name another in store.url"),
        "InvalidBucketName" => Some("correct the bucket's name in store.url"),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "InvalidSecurity"
        | "NotSignedUp" => Some("correct the worker's credentials"),
        "RequestTimeTooSkewed" => Some("set this machine's clock"),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Some("correct the region or the endpoint of the store"),
        "NotImplemented" | "MethodNotAllowed" => Some("this server cannot do what the store needs: use another"),
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity" => Some("give the store more room"),
        "InvalidObjectState" => Some("the object is archived: restore it, and keep the store out of archive classes"),
        "MetadataTooLarge" | "EntityTooLarge" | "KeyTooLongError" | "InvalidArgument" | "InvalidRequest"
        | "InvalidPart" | "EntityTooSmall" => Some("the server refuses the request as it is"),
        _ if code.starts_with("KMS.") => Some("give the worker's role the rights on the bucket's KMS key"),
        // Answers to HEAD have only a status.
        _ => match status {
            301 | 307 => Some("correct the region or the endpoint of the store"),
            401 | 403 => Some("give the worker's role the rights on the bucket and its key"),
            501 => Some("this server cannot do what the store needs: use another"),
            507 => Some("give the store more room"),
            _ => None,
        },
    }
}

fn no_credentials(error: &(dyn Error + 'static)) -> bool {
    let found = chain(error).find_map(|link| link.downcast_ref::<CredentialsError>());
    // Only those may pass that did not get an answer in time.
    found.is_some_and(|error| {
        !matches!(error, CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_))
    })
}

/// A body broke off, or its end does not agree with its checksum.
pub(super) fn stream_failed(uri: &str, error: &ByteStreamError) -> StoreError {
    let said = format!("reading {uri}: {}", causes(error));
    if said.contains("checksum mismatch") {
        return StoreError::Corrupt(said);
    }
    StoreError::Unavailable(said)
}

/// The service's code and message, or whatever broke before it could answer.
fn words<E: ProvideErrorMetadata + Error + 'static>(error: &Failure<E>) -> String {
    let status = status(error).map_or(String::new(), |status| format!("status {status} "));
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{status}{code}: {message}"),
        (Some(code), None) => format!("{status}{code}"),
        (None, _) if !status.is_empty() => status.trim_end().to_owned(),
        (None, _) => causes(error),
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
