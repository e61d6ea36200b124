//! RabbitMQ, over AMQP 0-9-1: the task queue, its dead letters, and the exchange for completions.
//!
//! What it promises beyond the ports: nothing is acknowledged before its copy is confirmed by the broker and known to lie
//! in a queue; a broker that goes away and comes back is met again without a person; a password is never printed.
//! What it does not do: delete or change anything that exists on the broker, or count attempts by the broker's own count,
//! which only says how often a delivery began.
//!
//! Two connections: `intake` consumes, `outbox` publishes. `settle` is where the two meet: read it next. What is put off with many
//! others is packed (`packing`, `parcel`) and comes back through `returning`.

mod address;
mod connection;
mod dead;
mod events;
mod guard;
mod headers;
mod intake;
mod ladder;
mod outbox;
mod packing;
mod parcel;
mod pile;
mod post;
mod queue;
mod returning;
mod runtime;
mod settle;
mod shelf;
mod tls;
mod topology;
mod trouble;
mod wire;

use std::sync::Arc;

use secrecy::SecretString;

pub use address::BadAmqp;
pub use dead::AmqpDeadLetters;
pub use events::AmqpPublisher;
pub use queue::AmqpQueue;

/// How to reach a task queue and its dead letters.
#[derive(Debug, Clone)]
pub struct AmqpOptions {
    /// `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST`; an empty virtual host is `/`.
    pub url: SecretString,
    /// How to encrypt `amqps`; without it the system's certificates, or those of `SSL_CERT_FILE`, are trusted.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The task queue's name.
    pub queue: String,
    /// The dead-letter queue's name.
    pub dead_letter: String,
    /// Whether to declare the queues; otherwise they are looked for.
    pub declare: bool,
    /// How many messages may be in hand, those that wait for room included; at least 1 (RabbitMQ: at most 2000).
    pub prefetch: u16,
    /// The same while many are put off at once, if more: each is ours until the broker has it in its tier.
    pub prefetch_in_a_crowd: u16,
}

/// How to reach the exchange for completions.
#[derive(Debug, Clone)]
pub struct AmqpEventOptions {
    /// As [`AmqpOptions::url`].
    pub url: SecretString,
    /// As [`AmqpOptions::tls`].
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The topic exchange's name.
    pub exchange: String,
    /// Whether to declare the exchange; otherwise it is looked for.
    pub declare: bool,
    /// Whether an event that no queue takes is an error.
    pub mandatory: bool,
}
