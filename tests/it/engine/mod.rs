//! The engine on memory adapters and paused time: what it promises one task, and what it keeps when everything fails.

mod envelopes;
mod fairness;
mod faults;
mod integrations;
mod poison;
mod promises;
mod retries;
mod simulation;
mod watch;
mod webhooks;
mod world;
