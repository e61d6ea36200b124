//! What the engine asks of the world: traits with their contracts, in our own types.
//!
//! Each contract was written from two real services and is kept by a suite in `testing::contracts` that every adapter passes.

pub mod budget;
pub mod clock;
pub mod crash;
pub mod credentials;
pub mod envelopes;
pub mod fetcher;
pub mod integrations;
pub mod publisher;
pub mod queue;
pub mod service;
pub mod store;
pub mod teams;
pub mod token_service;
pub mod webhook;
