//! Keys and tokens for what teams granted on each cloud.

pub mod aws;
pub mod azure;
pub mod gcp;
mod kept;
