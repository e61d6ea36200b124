//! Announces completions to customers, from a queue of its own: a dead endpoint costs ingestion nothing.
//!
//! | module | holds |
//! |---|---|
//! | [`outbox`] | what the pipeline does: puts a delivery on the queue once the receipt is there |
//! | [`worker`] | takes deliveries with room, until stopped or empty |
//! | [`delivery`] | one try, from the message to its settlement |
//! | [`crowd`] | how many tries each endpoint and host may have at once: nobody waits behind another's |
//! | [`endpoints`] | what is kept of endpoints: whether they are disabled, what they answered last |
//!
//! A try that was sent is counted in the message; killed between the two it is sent again, under the same id.

pub mod crowd;
pub mod delivery;
pub mod endpoints;
pub mod outbox;
pub mod worker;
