//! The queue and the publisher on a real RabbitMQ.
//!
//! Each test has queues of its own, deleted at its end. A client reaches the broker through a relay, which can break its
//! connections, slow them down, or say something to the broker in its name.

mod bench;
mod contract;
mod dead;
mod events;
mod flow;
mod outages;
mod parcels;
mod refusals;
mod relay;
