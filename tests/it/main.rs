//! The integration tests: one binary, so that the crate is linked once.
//!
//! Each file is one subject. Tests that kill or restart a service of the test bed stand in a module named `kills`:
//! the runner gives them the machine for themselves. Tests that take minutes stand in a module named `long`.
#![allow(
    clippy::unwrap_used,
    reason = "in a test an unwrap is an assertion, in its helpers too; not every build of this binary has one"
)]

mod access;
mod amqp;
mod azuresource;
mod bed;
mod cli;
mod directory;
mod engine;
mod envelopes;
mod fault_proxy;
mod fetch;
mod gcssource;
mod grants;
mod ground;
mod layering;
mod proof;
mod ran;
mod s3source;
mod scenario;
mod slots;
mod sqs;
mod store;
mod webhooks;
