//! Adapters in memory: doubles that pass the same contract suites as the real ones, for tests.

pub mod envelopes;
pub mod fetcher;
pub mod publisher;
pub mod queue;
pub mod store;
pub mod teams;
pub mod webhook;
