//! What Longshore does: takes deliveries, copies their attachments, writes receipts, announces completions, settles.
//!
//! | module | holds |
//! |---|---|
//! | [`worker`] | all of the below wired to ports, run until stopped or empty |
//! | [`intake`] | room first, then messages; pauses while something it needs is away |
//! | [`pipeline`] | one delivery from its bytes to its settlement |
//! | [`transfer`] | one attachment from its source to its stored copy |
//! | [`receipts`] | earlier rounds, and the receipt that decides |
//! | [`lease`], [`lanes`], [`limits`], [`memory`] | what may run, for how long, how fast and in how much memory |
//! | [`retry`], [`retry_budget`], [`outage`], [`stop`] | what happens when things fail or end |
//! | [`chance`] | jitter |
//! | [`isolation`] | messages that may be what kills their processes, kept apart from the others |
//! | [`hands`], [`progress`], [`ahead`] | how many messages are in hand, how far they are, and what is looked past |
//! | [`in_work`], [`recent`] | tasks that are worked on now, and those that were begun before |
//! | [`records`] | what is kept of a team's rights ends with its record |
//! | [`webhooks`] | completions for customers, from a queue of their own |
//! | [`claims`] | which team a bucket, role or tenant belongs to |

pub mod ahead;
pub mod chance;
pub mod claims;
pub mod hands;
pub mod in_work;
pub mod intake;
pub mod integrations;
pub mod isolation;
pub mod keyed;
pub mod lanes;
pub mod lease;
pub mod limits;
pub mod looking;
pub mod memory;
pub mod outage;
pub mod pipeline;
pub mod progress;
pub mod receipts;
pub mod recent;
pub mod records;
pub mod retry;
pub mod retry_budget;
pub mod settings;
pub mod started;
pub mod stop;
pub mod tally;
pub mod transfer;
pub mod webhooks;
pub mod worker;
