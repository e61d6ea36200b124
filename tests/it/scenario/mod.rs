//! The main job, end to end: the real binary, real queues, real stores and an origin that misbehaves.
//!
//! [`world`] makes a deployment for one test, [`tasks`] draws messages with their expected ends, [`check`] compares what is
//! there afterwards with what should be. The tests stand beside them, by subject.

mod bad_messages;
mod broker;
mod by_hand;
mod check;
mod customers;
mod embedded;
mod expect;
mod faults;
mod hard_urls;
mod hits;
pub(crate) mod http;
pub(crate) mod judge;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod proxy;
mod queue;
pub(crate) mod redis;
mod seen;
mod sqs;
pub(crate) mod tasks;
mod vault;
pub(crate) mod way;
pub(crate) mod world;

mod bad_input;
mod broker_restarts;
mod chaos;
mod crowds;
mod dead_letters;
mod hostile;
mod hygiene;
mod killed;
mod long_download;
mod matrix;
mod memory;
mod mixed;
mod outages;
mod points;
mod poison;
mod races;
mod refused_store;
mod roles;
mod same_task;
mod shared_limits;
mod slow_hosts;
mod sqs_load;
mod way_out;
