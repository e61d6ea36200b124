//! The main job, end to end: the real binary, real queues, real stores and an origin that misbehaves.
//!
//! [`world`] makes a deployment for one test, [`tasks`] draws messages with their expected ends, [`check`] compares what is
//! there afterwards with what should be. The tests stand beside them, by subject.

mod bad_messages;
mod broker;
mod check;
mod embedded;
mod expect;
mod hard_urls;
mod hits;
mod http;
mod origin;
mod process;
mod seen;
mod tasks;
mod vault;
mod world;

mod bad_input;
mod broker_restarts;
mod crowds;
mod killed;
mod memory;
mod mixed;
mod outages;
mod points;
mod poison;
mod races;
mod refused_store;
mod same_task;
mod slow_hosts;
