//! Whether and when one attachment is tried again within a delivery: one decision, made here and nowhere else.

use std::time::Duration;

use crate::domain::fault::Fault;

/// How often and how soon an attachment is tried again in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// The longest first wait; doubled for each further one.
    pub base: Duration,
    /// The longest wait of all. A longer `Retry-After` ends the tries of this delivery.
    pub max: Duration,
    /// How many tries again a hundred first tries pay for: see [`super::retry_budget`].
    pub budget_percent: u32,
}

/// What follows from a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Again after this wait.
    After(Duration),
    /// Not in this delivery.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after the `tried`th try. `random` is between 0 and 1 and spreads the wait over its whole range (full jitter),
    /// so that tries which failed together do not come back together.
    #[must_use]
    pub fn next(&self, fault: Fault, tried: u32, random: f64) -> Next {
        let retry_after = match fault {
            Fault::Permanent => return Next::GiveUp,
            Fault::Transient { retry_after } => retry_after,
        };
        if tried >= self.tries {
            return Next::GiveUp;
        }
        let longest = self.base.saturating_mul(1 << tried.saturating_sub(1).min(30)).min(self.max);
        let jittered = longest.mul_f64(random.clamp(0.0, 1.0));
        match retry_after {
            Some(asked) if asked > self.max => Next::GiveUp,
            Some(asked) => Next::After(asked.saturating_add(jittered.min(self.base))),
            None => Next::After(jittered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { tries: 5, base: Duration::from_millis(200), max: Duration::from_secs(30), budget_percent: 20 };

    fn asked(secs: u64) -> Fault {
        Fault::Transient { retry_after: Some(Duration::from_secs(secs)) }
    }

    #[test]
    fn waits_double_and_never_pass_the_longest() {
        let longest = |tried| RetryPolicy { tries: 99, ..POLICY }.next(Fault::PASSING, tried, 1.0);
        assert_eq!(longest(1), Next::After(Duration::from_millis(200)));
        assert_eq!(longest(3), Next::After(Duration::from_millis(800)));
        assert_eq!(longest(60), Next::After(Duration::from_secs(30)));
        assert_eq!(POLICY.next(Fault::PASSING, 1, 0.0), Next::After(Duration::ZERO));
    }

    #[test]
    fn what_is_permanent_or_used_up_is_given_up() {
        assert_eq!(POLICY.next(Fault::Permanent, 1, 0.5), Next::GiveUp);
        assert_eq!(POLICY.next(Fault::PASSING, 5, 0.5), Next::GiveUp);
    }

    #[test]
    fn the_other_sides_wish_is_kept_unless_it_is_too_long_to_wait_here() {
        let Next::After(wait) = POLICY.next(asked(7), 1, 1.0) else { panic!("seven seconds are waited") };
        assert!(wait >= Duration::from_secs(7) && wait <= Duration::from_millis(7_200), "{wait:?}");
        assert_eq!(POLICY.next(asked(31), 1, 1.0), Next::GiveUp);
    }
}
