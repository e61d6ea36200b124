//! Stores as they really are: a folder on this disk and S3 spoken over a socket.

mod file;
mod measure;
mod s3;
mod s3_faults;
mod stand_in;
