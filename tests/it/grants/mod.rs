//! What teams granted, with the real program: whose rights are used, whose names are whose, and how that is checked.

mod claims;
mod office;
mod recognized;
