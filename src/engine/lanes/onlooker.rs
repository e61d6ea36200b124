//! Who looks on when turns are given: a test may, and sees how all teams stood at that moment. A release has nothing of it.

use tokio::time::Instant;

use super::turns::{Next, Turns};

/// Says who begins, and tells the onlooker of this thread, if there is one.
pub(super) fn next(turns: &mut Turns, now: Instant) -> Next {
    #[cfg(feature = "testing")]
    if looking::is_there() {
        let before = turns.accounts(now);
        let next = turns.next(now);
        if let Next::Start(start) = &next {
            looking::tell(&start.team, &before);
        }
        return next;
    }
    turns.next(now)
}

/// How a team stands.
#[cfg(feature = "testing")]
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The team.
    pub team: crate::domain::id::TeamId,
    /// Its weight.
    pub weight: u32,
    /// Bytes that it was given so far, for its weight.
    pub given: f64,
    /// Its attachments in flight.
    pub in_flight: usize,
    /// Whether one of its lanes may run.
    pub may_run: bool,
}

#[cfg(feature = "testing")]
pub use looking::look_on;

#[cfg(feature = "testing")]
mod looking {
    use std::cell::RefCell;

    use super::Account;
    use crate::domain::id::TeamId;

    type Onlooker = Box<dyn Fn(&TeamId, &[Account])>;

    thread_local! {
        static ONLOOKER: RefCell<Option<Onlooker>> = const { RefCell::new(None) };
    }

    pub(super) fn is_there() -> bool {
        ONLOOKER.with_borrow(Option::is_some)
    }

    pub(super) fn tell(team: &TeamId, before: &[Account]) {
        ONLOOKER.with_borrow(|onlooker| onlooker.iter().for_each(|onlooker| onlooker(team, before)));
    }

    /// Tells `onlooker` from now on of each turn that is given on this thread: whose it is, and how all stood before it.
    pub fn look_on(onlooker: impl Fn(&TeamId, &[Account]) + 'static) {
        ONLOOKER.set(Some(Box::new(onlooker)));
    }
}
