//! What tries again may cost the source: a share of real traffic, so that an outage is not multiplied.
//!
//! Each first try of a team at a place pays a share of a try into an account, each try again takes a whole one out. A small
//! reserve lets a place with little traffic be tried again too. What is in the account fades within seconds, so that a quiet
//! hour saves up nothing for a storm. Accounts are kept per team and place, as the pace is: another team's broken addresses
//! must not use up the tries of this one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::chance;
use super::retry::{Next, RetryPolicy};
use crate::domain::fault::Fault;
use crate::domain::id::TeamId;
use crate::domain::source::Place;

/// Tries again that a place is always good for, in a second.
pub const RESERVE_PER_SECOND: f64 = 1.0;
/// What is in an account fades to a third in so long.
pub const FADES_IN: Duration = Duration::from_secs(10);
/// Above this many accounts, those that were not used for [`IDLE`] are forgotten: they hold the reserve and nothing else.
const ACCOUNTS_MAX: usize = 4096;
const IDLE: Duration = Duration::from_secs(60);

/// How many tries again one place is good for now.
#[derive(Debug, Clone, Copy)]
struct Account {
    tries: f64,
    at: Instant,
}

impl Account {
    /// An account that holds the whole reserve.
    fn new(now: Instant) -> Self {
        Self { tries: RESERVE_PER_SECOND * FADES_IN.as_secs_f64(), at: now }
    }

    /// Lets time pass: what is there fades, the reserve comes in. At rest the two are even, at the reserve of [`FADES_IN`].
    fn pass(&mut self, now: Instant) {
        let full = RESERVE_PER_SECOND * FADES_IN.as_secs_f64();
        let kept = (-(now.duration_since(self.at).as_secs_f64()) / FADES_IN.as_secs_f64()).exp();
        self.tries = full + (self.tries - full) * kept;
        self.at = now;
    }

    /// Pays in the share of one first try.
    fn pay_in(&mut self, share: f64, now: Instant) {
        self.pass(now);
        self.tries += share;
    }

    /// Takes one try out, if there is one.
    fn take_out(&mut self, now: Instant) -> bool {
        self.pass(now);
        let is_there = self.tries >= 1.0;
        if is_there {
            self.tries -= 1.0;
        }
        is_there
    }
}

/// Decides whether something is tried again in place, within the policy and the budget. Clones share the accounts.
#[derive(Debug, Clone)]
pub struct Retries {
    policy: RetryPolicy,
    accounts: Arc<Mutex<HashMap<(TeamId, Place), Account>>>,
}

impl Retries {
    /// Retries by this policy, with full reserves.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy, accounts: Arc::default() }
    }

    /// Notes a first try: traffic that there is without any failure.
    pub fn first_try(&self, team: &TeamId, place: &Place) {
        let share = f64::from(self.policy.budget_percent) / 100.0;
        self.with(team, place, |account, now| account.pay_in(share, now));
    }

    /// Notes that a try which broke had come forward: what asks for its rest is paid for.
    pub fn earned(&self, team: &TeamId, place: &Place) {
        self.with(team, place, |account, now| account.pay_in(1.0, now));
    }

    /// Decides after the `tried`th try. What is over the budget is given up here, and comes again with its message.
    #[must_use]
    pub fn next(&self, team: &TeamId, place: &Place, fault: Fault, tried: u32) -> Next {
        let next = self.policy.next(fault, tried, chance::draw());
        // This machine is nobody's outage.
        if next == Next::GiveUp || *place == Place::Local || self.with(team, place, Account::take_out) {
            return next;
        }
        debug!(%team, ?place, "the tries again at a place are used up for now");
        Next::GiveUp
    }

    fn with<T>(&self, team: &TeamId, place: &Place, act: impl FnOnce(&mut Account, Instant) -> T) -> T {
        let now = Instant::now();
        let mut accounts = self.accounts.lock().expect("nothing panics while it holds this lock");
        if accounts.len() >= ACCOUNTS_MAX {
            accounts.retain(|_, account| now.duration_since(account.at) < IDLE);
        }
        act(accounts.entry((team.clone(), place.clone())).or_insert_with(|| Account::new(now)), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { tries: 5, base: Duration::from_millis(200), max: Duration::from_secs(30), budget_percent: 20 };

    fn taken(account: &mut Account, now: Instant) -> usize {
        std::iter::from_fn(|| account.take_out(now).then_some(())).take(10_000).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_first_tries_and_a_reserve_can_be_taken_out() {
        let now = Instant::now();
        let mut account = Account::new(now);
        assert_eq!(taken(&mut account, now), 10, "the reserve of ten seconds");
        for _ in 0..1000 {
            account.pay_in(0.2, now);
        }
        assert!((199..=200).contains(&taken(&mut account, now)));
        let mut account = Account { tries: 0.0, at: now };
        assert_eq!(taken(&mut account, now + Duration::from_secs(1)), 0, "not quite one has come in and stayed");
        assert_eq!(taken(&mut account, now + Duration::from_secs(3)), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_saved_up_for_a_storm() {
        let now = Instant::now();
        let mut account = Account::new(now);
        for _ in 0..100_000 {
            account.pay_in(0.2, now);
        }
        let later = now + Duration::from_secs(200);
        assert_eq!(taken(&mut account, later), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn over_any_span_no_more_is_taken_out_than_was_paid_in() {
        // Steady traffic of 50 a second, all of which fails: whatever the moment, a fifth of it and the reserve.
        let start = Instant::now();
        let (mut account, mut again) = (Account::new(start), 0);
        for number in 1..=6000_u32 {
            let now = start + Duration::from_millis(20) * number;
            account.pay_in(0.2, now);
            again += usize::from(account.take_out(now));
            let bound = 0.2 * f64::from(number) + 10.0 + RESERVE_PER_SECOND * 0.02 * f64::from(number);
            assert!(again as f64 <= bound, "{again} after {number}");
        }
        assert!(again > 1200, "{again}: what may be used is used");
    }

    #[tokio::test(start_paused = true)]
    async fn each_team_and_place_has_its_own_and_this_machine_needs_none() {
        let retries = Retries::new(POLICY);
        let (acme, other) = (TeamId::new("acme").unwrap(), TeamId::new("other").unwrap());
        let (host, bucket) = (Place::Host("h".into()), Place::Bucket("h".into()));
        let again = |team: &TeamId, place: &Place| {
            (0..100).filter(|_| retries.next(team, place, Fault::PASSING, 1) != Next::GiveUp).count()
        };
        assert_eq!(again(&acme, &host), 10);
        assert_eq!(again(&acme, &bucket), 10);
        assert_eq!(again(&other, &host), 10);
        assert_eq!(again(&acme, &Place::Local), 100);
        for _ in 0..10 {
            retries.first_try(&acme, &host);
        }
        assert!((1..=2).contains(&again(&acme, &host)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_policy_gives_up_costs_nothing() {
        let retries = Retries::new(POLICY);
        let (team, host) = (TeamId::new("acme").unwrap(), Place::Host("h".into()));
        for _ in 0..50 {
            assert_eq!(retries.next(&team, &host, Fault::Permanent, 1), Next::GiveUp);
            assert_eq!(retries.next(&team, &host, Fault::PASSING, 5), Next::GiveUp);
        }
        assert_ne!(retries.next(&team, &host, Fault::PASSING, 4), Next::GiveUp);
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_that_are_idle_are_forgotten() {
        let retries = Retries::new(POLICY);
        let team = TeamId::new("acme").unwrap();
        for host in 0..ACCOUNTS_MAX {
            retries.first_try(&team, &Place::Host(host.to_string()));
        }
        tokio::time::advance(IDLE).await;
        retries.first_try(&team, &Place::Host("new".into()));
        assert_eq!(retries.accounts.lock().unwrap().len(), 1);
    }
}
