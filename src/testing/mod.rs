//! What tests of this crate and of its adapters are made of.

pub mod contracts;
