//! Where replicas agree on their limits.

mod redis;

pub use redis::{RedisError, RedisSlots};
