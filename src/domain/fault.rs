//! Why something went wrong, and whose move it is: the closed set of attachment error codes, and whether waiting may help.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether the same request may succeed later without anybody changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It may pass; the other side may have said when to come back.
    Transient {
        /// The other side's `Retry-After`, as a wait from now.
        retry_after: Option<Duration>,
    },
    /// Only a person can change it.
    Permanent,
}

impl Fault {
    /// A fault that may pass, without advice on when.
    pub const PASSING: Self = Self::Transient { retry_after: None };

    /// Whether waiting may help.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Transient { .. } => true,
            Self::Permanent => false,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal $kind:ident,)*) => {
        /// What became of an attachment that could not be stored. A closed set: receivers may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// All codes, in the order of the interface's table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as it stands in completions.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Whether a later try may succeed.
            #[must_use]
            pub fn is_transient(self) -> bool {
                match self { $(Self::$variant => codes!(@$kind),)* }
            }
        }
    };
    (@permanent) => { false };
    (@transient) => { true };
}

codes! {
    /// The URL cannot be read as one.
    BadUrl = "bad_url" permanent,
    /// A scheme that is not fetched, or a file outside the configured roots.
    UnsupportedScheme = "unsupported_scheme" permanent,
    /// A private, link-local, metadata or otherwise internal address.
    BlockedAddress = "blocked_address" permanent,
    /// The source says that there is no such object.
    NotFound = "not_found" permanent,
    /// The source refuses the team.
    AccessDenied = "access_denied" permanent,
    /// A 403 where list rights are not granted: refused, or not there.
    AccessDeniedOrMissing = "access_denied_or_missing" permanent,
    /// No grant of the team covers this URL.
    IntegrationMissing = "integration_missing" permanent,
    /// The team's grant does not work: role cannot be assumed, consent withdrawn.
    IntegrationBroken = "integration_broken" permanent,
    /// The bucket, region or account is not in the team's list.
    BucketNotAllowed = "bucket_not_allowed" permanent,
    /// The bucket belongs to another account than expected.
    WrongOwner = "wrong_owner" permanent,
    /// The object lies in an archive tier.
    Archived = "archived" permanent,
    /// The object's encryption key refuses the team.
    KmsDenied = "kms_denied" permanent,
    /// The bucket wants its readers to pay and the team has not agreed.
    RequesterPays = "requester_pays" permanent,
    /// The server's certificate is not trusted.
    TlsInvalid = "tls_invalid" permanent,
    /// Still throttled after all tries.
    Throttled = "throttled" transient,
    /// A server error, or a connection that was refused or reset.
    Unavailable = "unavailable" transient,
    /// Too slow to connect, to answer or to go on.
    Timeout = "timeout" transient,
    /// Name resolution or transport trouble that may pass.
    Network = "network" transient,
    /// The body ended early or broke.
    Truncated = "truncated" transient,
    /// The body disagrees with the source's own digest or length.
    ChecksumMismatch = "checksum_mismatch" transient,
    /// Our own fault.
    Internal = "internal" transient,
    /// The body disagrees with the digest that the task gave.
    DigestMismatch = "digest_mismatch" permanent,
    /// Larger than allowed.
    TooLarge = "too_large" permanent,
    /// An image beyond the pixel limits.
    TooManyPixels = "too_many_pixels" permanent,
    /// More redirects than allowed.
    TooManyRedirects = "too_many_redirects" permanent,
    /// A media type that the profile does not accept.
    UnsupportedMedia = "unsupported_media" permanent,
    /// The content is not what its type demands.
    InvalidMedia = "invalid_media" permanent,
    /// The content is not of the type that the task declared.
    MediaMismatch = "media_mismatch" permanent,
    /// Any other final HTTP status.
    HttpStatus = "http_status" permanent,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one attachment could not be copied, with the provider's own words beside our code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AttachmentFault {
    /// Our code.
    pub code: Code,
    /// One sentence for a person: no URL query, no secret, no body of a plain host.
    pub message: String,
    /// The HTTP status that was answered, if one was.
    pub http_status: Option<u16>,
    /// The provider's own code.
    pub provider_code: Option<String>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// When the other side asked us to come back.
    pub retry_after: Option<Duration>,
    /// Whether the other side was never reached: no connection was made.
    pub is_unreached: bool,
    /// Whether it happened where a redirect led to: it says nothing of the host that was asked for.
    pub is_elsewhere: bool,
}

impl AttachmentFault {
    /// A fault of which only code and message are known.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            http_status: None,
            provider_code: None,
            request_id: None,
            retry_after: None,
            is_unreached: false,
            is_elsewhere: false,
        }
    }

    /// The same with the status that was answered.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// Whether nobody was reached because our own way to the world is away: our proxy, or the address that we connect from. It
    /// says nothing of the source, and waiting for it uses up nothing.
    #[must_use]
    pub fn is_of_our_way_out(&self) -> bool {
        self.is_unreached && self.code == Code::Internal
    }

    /// Whether a later try may help, and when.
    #[must_use]
    pub fn fault(&self) -> Fault {
        if self.code.is_transient() { Fault::Transient { retry_after: self.retry_after } } else { Fault::Permanent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_named() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).expect("a code is text"), code.as_str());
        }
        assert_eq!(Code::ALL.len(), 29);
    }

    #[test]
    fn the_transient_codes_are_those_of_the_interface() {
        let transient: Vec<_> = Code::ALL.iter().filter(|code| code.is_transient()).map(|code| code.as_str()).collect();
        let promised = ["throttled", "unavailable", "timeout", "network", "truncated", "checksum_mismatch", "internal"];
        assert_eq!(transient, promised);
    }
}
