//! A directory of teams over HTTP, asked by the real client: the contract, and what becomes of everything but good answers.

mod answers;
mod claims;
pub(crate) mod desk;
mod outages;
mod program;
