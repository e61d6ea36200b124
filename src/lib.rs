//! Longshore: a queue-driven batch ingestion worker.
//!
//! A task message names a team and its attachments. Longshore fetches each attachment with that team's own rights, stores a
//! normalized copy once in internal storage, writes a receipt, announces the completion and only then settles the message.
//!
//! | layer | holds | never |
//! |---|---|---|
//! | [`domain`] | values and decisions: task, plan, names, receipt, faults | I/O, clock, tokio, logging |
//! | [`ports`] | what the engine asks of the world, as traits with contracts | an SDK's type |
//! | [`engine`] | intake, pipeline, transfer, limits, leases, retries | a concrete adapter, the environment |
//! | [`adapters`] | queues, stores, fetch, teams | another adapter's insides, the engine |
//! | [`shell`] | command line, configuration, wiring, telemetry | domain decisions |
//!
//! Read [`engine::pipeline`] next: one delivery from its bytes to its settlement.

#![forbid(unsafe_code)]

pub mod adapters;
pub mod domain;
pub mod engine;
pub mod ports;
pub mod shell;
#[cfg(feature = "testing")]
pub mod testing;
