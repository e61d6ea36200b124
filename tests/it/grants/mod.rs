//! What teams granted, with the real program: whose rights are used, whose names are whose, and how that is checked.

mod checks;
mod claims;
pub(crate) mod office;
mod onboarding;
mod recognized;
