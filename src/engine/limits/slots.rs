//! Slots in time: the generic cell rate algorithm, as a value.

use std::time::Duration;

use tokio::time::Instant;

/// How many of the slots of one second may be taken at once by whoever comes after a pause: a twentieth, as the limits allow.
const BURST_OF_SECOND: f64 = 0.05;

/// How far slots are apart, and how far one may reach back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spacing {
    /// Between two slots.
    pub(super) interval: Duration,
    /// How much of the time that went by unused may still be used.
    pub(super) slack: Duration,
}

impl Spacing {
    /// Of `rate` slots a second; `None` for a rate that is no limit.
    pub(super) fn of_rate(rate: f64) -> Option<Self> {
        let interval = 1.0 / rate;
        // More than a slot in a nanosecond is no limit; less than one in a year is one in a year.
        let interval = Duration::try_from_secs_f64(interval.min(31_536_000.0)).ok().filter(|long| !long.is_zero())?;
        let burst = (rate * BURST_OF_SECOND).floor().max(1.0) - 1.0;
        Some(Self { interval, slack: interval.mul_f64(burst.min(1e6)) })
    }
}

/// When the next slot is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    next: Instant,
}

impl Slots {
    pub(super) fn from(now: Instant) -> Self {
        Self { next: now }
    }

    /// Takes `number` slots and returns when the first of them is: whoever takes several waits for the first and then keeps to
    /// the spacing, or leaves the rest to those who come after.
    pub(super) fn take(&mut self, now: Instant, number: u32, spacing: Spacing) -> Instant {
        let earliest = now.checked_sub(spacing.slack).unwrap_or(now);
        let first = self.next.max(earliest);
        self.next = first + spacing.interval * number;
        first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_has_more_slots_than_the_rate_and_five_per_cent(
            rate in 0.5f64..5000.0, pauses in prop::collection::vec(0u64..400, 1..200), numbers in prop::collection::vec(1u32..40, 200),
        ) {
            let spacing = Spacing::of_rate(rate).expect("a limit");
            let start = Instant::now();
            let (mut now, mut slots, mut taken) = (start, Slots::from(start), Vec::new());
            for (pause, number) in pauses.iter().zip(&numbers) {
                now += Duration::from_millis(*pause);
                let first = slots.take(now, *number, spacing);
                // Nobody can use a slot before having asked for it.
                taken.extend((0..*number).map(|nth| (first + spacing.interval * nth).max(now)));
            }
            let most = (rate * 1.05).max(rate + 1.0);
            for (index, from) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|at| **at < *from + Duration::from_secs(1)).count();
                prop_assert!(within as f64 <= most.ceil(), "{within} in a second, {rate} allowed");
            }
        }
    }

    #[test]
    fn what_is_no_limit_has_no_spacing() {
        assert_eq!(Spacing::of_rate(f64::INFINITY), None);
        assert_eq!(Spacing::of_rate(1e10), None);
        assert_eq!(Spacing::of_rate(0.5).expect("a limit").interval, Duration::from_secs(2));
        assert_eq!(Spacing::of_rate(0.0).expect("a limit").interval, Duration::from_secs(31_536_000));
    }
}
