//! How far work on a delivery goes, and what it comes to.

use std::time::Duration;

use crate::domain::settlement::Settlement;

/// How far work on a delivery goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// All the way.
    Whole,
    /// Only to what is there already: without it the message is given up.
    Look,
}

/// How work on a delivery ended before its settlement.
#[derive(Debug)]
pub enum Verdict {
    /// Settle it so.
    Settle(Settlement),
    /// It is not ours any more: leave it.
    Leave,
}

/// Gives a delivery back that was begun.
pub(in crate::engine) fn hand_back(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::HandBack { delay })
}

/// For a delivery that nobody has begun.
pub(in crate::engine) fn put_off(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::PutOff { delay })
}
