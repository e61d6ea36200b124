//! A completion on its way to a customer: where it may go, how it is written and signed, when it is tried again.
//!
//! What is queued ([`pending`]) names things and holds none: the body is built from the receipt and the secret read from the
//! team's record at each try, so a queue never holds either and a rotated secret is in force at once.
//!
//! Read [`destination`] next: it decides whether anything is sent at all.

pub mod body;
pub mod destination;
pub mod endpoint;
pub mod pending;
pub mod schedule;
pub mod signature;
