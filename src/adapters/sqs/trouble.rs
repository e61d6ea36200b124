//! What SQS's answers mean for us: wait and try again, call a person, or let go of a message.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::adapters::causes::causes;
use crate::ports::publisher::PublishError;
use crate::ports::queue::QueueError;
use crate::ports::store::StoreError;

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Waiting may help.
    Away(String),
    /// A person must change something.
    Refused(String),
    /// The message is not ours any more.
    Lost,
}

/// Answers that no waiting changes. SQS writes some codes in two ways.
const FINAL: [&str; 24] = [
    "AccessDenied",
    "AccessDeniedException",
    "BatchRequestTooLong",
    "InvalidAddress",
    "InvalidAttributeName",
    "InvalidAttributeValue",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidMessageContents",
    "InvalidParameterValue",
    "InvalidSecurity",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "MissingParameter",
    "NonExistentQueue",
    "OptInRequired",
    "QueueDoesNotExist",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "UnsupportedOperation",
];

impl Trouble {
    /// Reads an error code of SQS, with or without its old prefix.
    pub(super) fn from_code(code: &str, said: &str) -> Self {
        let short = code.rsplit(['.', '#']).next().unwrap_or(code);
        // FIFO queues say of a handle whose time is up that a parameter is wrong.
        let about_handle = short == "InvalidParameterValue" && said.contains("ReceiptHandle");
        if matches!(short, "ReceiptHandleIsInvalid" | "MessageNotInflight") || about_handle {
            Self::Lost
        } else if FINAL.contains(&short) {
            Self::Refused(format!("{short}: {said}"))
        } else {
            Self::Away(format!("{short}: {said}"))
        }
    }

    /// The cause in words.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Refused(text) => text,
            Self::Lost => "the receipt handle is not valid any more",
        }
    }
}

impl<E, R> From<SdkError<E, R>> for Trouble
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        match &error {
            SdkError::ServiceError(said) => {
                let meta = said.err();
                Self::from_code(meta.code().unwrap_or("unknown"), meta.message().unwrap_or("no reason given"))
            }
            // The other kinds (time-outs, connections, missing credentials) may pass; the enum may grow.
            _ => Self::Away(causes(&error)),
        }
    }
}

impl From<Trouble> for QueueError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(text) => Self::Unavailable(text),
            Trouble::Refused(text) => Self::Refused(text),
            Trouble::Lost => Self::LeaseLost,
        }
    }
}

impl From<Trouble> for PublishError {
    fn from(trouble: Trouble) -> Self {
        let text = trouble.text().to_owned();
        match trouble {
            Trouble::Away(_) | Trouble::Lost => Self::Unavailable(text),
            Trouble::Refused(_) => Self::Unroutable(text),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        // A store that refuses is waited for, as tasks wait for it.
        Self::Away(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_with_and_without_their_old_prefix() {
        let of = |code: &str| Trouble::from_code(code, "why");
        for lost in ["ReceiptHandleIsInvalid", "AWS.SimpleQueueService.MessageNotInflight"] {
            assert_eq!(of(lost), Trouble::Lost, "{lost}");
        }
        for refused in
            ["AWS.SimpleQueueService.NonExistentQueue", "AccessDenied", "com.amazonaws.sqs#QueueDoesNotExist"]
        {
            assert!(matches!(of(refused), Trouble::Refused(_)), "{refused}");
        }
        for away in ["RequestThrottled", "OverLimit", "ExpiredToken", "InternalError", "ServiceUnavailable"] {
            assert!(matches!(of(away), Trouble::Away(_)), "{away}");
        }
    }

    #[test]
    fn an_expired_handle_of_a_fifo_queue_is_a_lost_lease() {
        let said = "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert_eq!(Trouble::from_code("InvalidParameterValue", said), Trouble::Lost);
        assert!(matches!(Trouble::from_code("InvalidParameterValue", "DelaySeconds"), Trouble::Refused(_)));
    }
}
