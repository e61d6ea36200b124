//! Internal storage on a folder or in an S3 bucket: see [`crate::ports::store`] for what both promise.

pub mod file;
pub mod probe;
pub mod s3;
