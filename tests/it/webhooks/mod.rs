//! Webhooks end to end: the real program, real queues and a receiver of the test's own that checks every signature.
//!
//! [`bay`] makes a deployment for one test, [`receiver`] is the customer's side.

mod bay;
mod receiver;

mod arriving;
mod commands;
mod failing;
mod refused;
mod sender;
