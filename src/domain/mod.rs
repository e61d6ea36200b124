//! Pure values and decisions: what a task is, what it is called, what became of it.
//!
//! Nothing here waits, reads a clock, logs or touches the world; whatever it needs to know is an argument.

pub mod access;
pub mod attachment_url;
pub mod azure_blob;
pub mod claim;
pub mod completion;
pub mod crc;
pub mod digest;
pub mod facts;
pub mod fault;
pub mod id;
pub mod integration;
pub mod manifest;
pub mod media_type;
pub mod message;
pub mod object_key;
pub mod onboarding;
pub mod plan;
pub mod receipt;
pub mod recognize;
pub mod settlement;
pub mod source;
pub mod task;
pub mod team;
pub mod webhook;
