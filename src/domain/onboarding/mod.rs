//! What a customer must set up so that a team's objects can be read, ready to hand on: instructions, templates and policies.
//!
//! Everything here is text made of facts: who we are, and the ids that were made for the team. Nothing is taken from a customer
//! but names of buckets, which the team's record has already been checked for.

pub mod aws;
pub mod azure;
pub mod gcp;

/// What stands for something that only the customer knows.
#[must_use]
pub fn listed_or(names: &[String], unknown: &str) -> Vec<String> {
    if names.is_empty() { vec![unknown.to_owned()] } else { names.to_vec() }
}
