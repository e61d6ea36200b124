//! What the ports are in the real world: each adapter keeps one port's contract on one kind of service.
//!
//! Adapters never name the engine, nor each other's insides.

pub mod amqp;
pub mod budget;
mod causes;
pub mod credentials;
pub mod envelopes;
pub mod fetch;
pub mod local;
#[cfg(feature = "testing")]
pub mod memory;
pub mod sqs;
pub mod store;
pub mod teams;
