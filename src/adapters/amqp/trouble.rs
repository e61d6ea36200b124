//! What the broker's answers mean for us: wait and try again, or call a person.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::ports::publisher::PublishError;
use crate::ports::queue::QueueError;

/// Why something could not be done with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Waiting may help.
    Away(String),
    /// A person must change something.
    Refused(String),
    /// The broker had no queue to put a message in.
    Returned(String),
    /// The broker did not want the message: a queue is full.
    Rejected(String),
}

impl Trouble {
    /// The cause in words.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Away(text) | Self::Refused(text) | Self::Returned(text) | Self::Rejected(text) => text,
        }
    }

    /// The same with `what` before it.
    #[must_use]
    pub(super) fn at(self, what: &str) -> Self {
        match self {
            Self::Away(text) => Self::Away(format!("{what}: {text}")),
            Self::Refused(text) => Self::Refused(format!("{what}: {text}")),
            Self::Returned(text) => Self::Returned(format!("{what}: {text}")),
            Self::Rejected(text) => Self::Rejected(format!("{what}: {text}")),
        }
    }
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        let ErrorKind::ProtocolError(said) = error.kind() else {
            return Self::Away(error.to_string());
        };
        let text = said.get_message().to_string();
        match said.kind() {
            AMQPErrorKind::Soft(
                AMQPSoftError::ACCESSREFUSED | AMQPSoftError::NOTFOUND | AMQPSoftError::PRECONDITIONFAILED,
            )
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Self::Refused(text),
            // The library's enums grow; what is not known to be final may pass.
            _ => Self::Away(text),
        }
    }
}

impl From<Trouble> for QueueError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(text) => Self::Refused(text),
            Trouble::Away(text) | Trouble::Returned(text) | Trouble::Rejected(text) => Self::Unavailable(text),
        }
    }
}

impl From<Trouble> for PublishError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(text) | Trouble::Refused(text) => Self::Unavailable(text),
            Trouble::Returned(text) | Trouble::Rejected(text) => Self::Unroutable(text),
        }
    }
}
