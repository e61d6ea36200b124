//! The fairness bound: what others are given while a team waits whose attachment may run.
//!
//! A turn costs 64 KiB for its request, and the bytes that it brings. Let g(i) be what team i was charged so far, divided by
//! its weight w(i), and C the most that one turn is charged: 64 KiB and the largest attachment, or the first guess of one.
//! "May run" says that one of its attachments waits, and that slot, team, host and lane have room for it. Each seed checks:
//!
//! 1. A turn goes to a team j only if g(j) ≤ g(i) for every team i that may run then.
//! 2. Accounts are true: between two moments at which nothing of a team is in flight, what it was charged is at least what
//!    we saw it use.
//! 3. Who may run waits for at most [`WAITS_AT_MOST`] of simulated time.
//!
//! So what others get before i's next turn is bounded. Let i have had its last turn at s, have been able to run ever since, and
//! have f(i) attachments in flight, j f(j). If j could run at s, it stood no lower than i before that turn (1), so after it
//! g(i) ≤ g(j) + C / w(i). Since then g(i) rises only where sizes were guessed too low, by f(i) · C / w(i) at most; g(j) falls
//! only where they were guessed too high, by f(j) · C / w(j) at most. Before the last turn that j gets, g(j) ≤ g(i) (1); that
//! turn costs at most C. By (2) what j is given from s until i's next turn is then at most
//!
//! > (1 + f(i)) · C · w(j) / w(i)  +  (1 + f(j)) · C
//!
//! bytes: a turn for a turn, by weight, and as much again for what is in flight and was guessed. Deficit round robin gives the
//! same with a quantum in the place of each C. A team j that could not run at s is owed something more: what i was given
//! beyond it, and never more than 64 MiB for its weight.
//!
//! For (3): each turn that passes i by brings j nearer to g(i) by 64 KiB / w(j) at least, so their number is bounded, and between
//! two of them passes no more than one request's life: two seconds and what the limits add, some more where an answer of the
//! store is lost. After one of 9 MiB the bound in bytes is more than the other team has in all, so at worst i waits until all of
//! that has had its turn: some sixty requests, two at a time. The longest wait in 3,000 seeds was 21 s.

use std::collections::HashMap;
use std::time::Duration;

use longshore::domain::id::TeamId;
use longshore::engine::lanes::Account;
use tokio::time::Instant;

/// What a request costs beside its bytes.
const REQUEST_BYTES: f64 = 64.0 * 1024.0;
/// The longest that a team waits which may run.
const WAITS_AT_MOST: Duration = Duration::from_secs(120);

/// The turns of one life.
#[derive(Default)]
pub(super) struct Turns {
    used: HashMap<TeamId, Used>,
    passed_over: HashMap<TeamId, Instant>,
    passes: u64,
}

/// What a team was seen to use since nothing of it was in flight.
struct Used {
    bytes: f64,
    /// What it had been given then, for its weight.
    given: f64,
}

impl Turns {
    /// A process begins, which knows nothing of earlier turns.
    pub(super) fn begin_life(&mut self) {
        self.used.clear();
        self.passed_over.clear();
    }

    /// How often a turn passed over a team that could run, in all lives.
    pub(super) fn passes(&self) -> u64 {
        self.passes
    }

    /// A body of `team` has come whole.
    pub(super) fn brought(&mut self, team: &TeamId, bytes: f64) {
        if let Some(used) = self.used.get_mut(team) {
            used.bytes += bytes;
        }
    }

    /// `team` is given a turn while all stand so. Returns what of the bound is broken by it.
    pub(super) fn given(&mut self, team: &TeamId, accounts: &[Account]) -> Vec<String> {
        let next = accounts.iter().find(|account| account.team == *team).expect("who is given a turn has an account");
        let mut broken = Vec::new();
        for account in accounts {
            broken.extend(self.check_account(account));
            broken.extend(self.check_wait(account));
            if account.team != *team && account.may_run {
                self.passes += 1;
                self.passed_over.entry(account.team.clone()).or_insert_with(Instant::now);
                if next.given > account.given {
                    broken.push(format!("{team} was given a turn before {}, which had less", account.team));
                }
            } else {
                self.passed_over.remove(&account.team);
            }
        }
        self.brought(team, REQUEST_BYTES);
        broken
    }

    /// A team with nothing in flight has been charged for all that it used.
    fn check_account(&mut self, account: &Account) -> Option<String> {
        if account.in_flight > 0 {
            return None;
        }
        let Used { bytes, given } =
            self.used.insert(account.team.clone(), Used { bytes: 0.0, given: account.given })?;
        let charged = (account.given - given) * f64::from(account.weight);
        // A byte for what fractions lose.
        (charged + 1.0 < bytes).then(|| format!("{} used {bytes} bytes and was charged {charged}", account.team))
    }

    fn check_wait(&self, account: &Account) -> Option<String> {
        let waited = self.passed_over.get(&account.team).filter(|_| account.may_run)?.elapsed();
        (waited > WAITS_AT_MOST).then(|| format!("{} could run and waited for {waited:?}", account.team))
    }
}
