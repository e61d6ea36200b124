//! Keys and tokens for what teams granted on each cloud.

pub mod aws;
mod kept;
