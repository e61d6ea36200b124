//! One suite for each port. Every adapter passes it, the doubles in memory too: one that drops a guarantee fails.

pub mod envelopes;
pub mod fetcher;
pub mod queue;
pub mod store;
pub mod teams;
pub mod webhook;
