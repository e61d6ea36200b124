//! Slots in time: the generic cell rate algorithm, as a value.

use std::time::Duration;

use tokio::time::Instant;

/// What a limit allows beyond itself in any one second: a twentieth of it, and one at the least.
const ALLOWED: f64 = 0.05;

/// No next slot is farther ahead than this, or than so many slots: one that says so was taken under a limit that is no more, or by
/// another clock, and is forgotten. Bytes are taken in pieces of some hundred cells at the most.
const FARTHEST: Duration = Duration::from_secs(60);
const FARTHEST_SLOTS: u32 = 1024;

/// How far slots are apart, and how far one may reach back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) struct Spacing {
    /// Between two slots.
    pub(in crate::engine) interval: Duration,
    /// How much of the time that went by unused may still be used, and how far ahead a slot may be taken together with one of
    /// another row: a quarter each of what the limit allows beyond itself. The rest is [`Spacing::lateness`].
    pub(in crate::engine) slack: Duration,
}

impl Spacing {
    /// Of `rate` slots a second; `None` for a rate that is no limit.
    pub(in crate::engine) fn of_rate(rate: f64) -> Option<Self> {
        let interval = 1.0 / rate;
        // More than a slot in a nanosecond is no limit; less than one in a year is one in a year.
        let interval = Duration::try_from_secs_f64(interval.min(31_536_000.0)).ok().filter(|long| !long.is_zero())?;
        Some(Self::of_interval(interval))
    }

    /// Of a slot in each `interval`.
    pub(in crate::engine) fn of_interval(interval: Duration) -> Self {
        Self { interval, slack: interval.max(Duration::from_secs_f64(ALLOWED)) / 4 }
    }

    /// How late a slot may be used.
    pub(in crate::engine) fn lateness(self) -> Duration {
        self.slack * 2
    }

    /// The same, for whoever stands before those that keep the limit itself, and must never let them wait: a twentieth of a
    /// second and two slots more at once.
    pub(in crate::engine) fn before_rate(rate: f64) -> Option<Self> {
        let Self { interval, slack: _ } = Self::of_rate(rate)?;
        Some(Self { interval, slack: Duration::from_secs_f64(ALLOWED) + interval * 2 })
    }

    fn earliest(self, now: Instant) -> Instant {
        now.checked_sub(self.slack).unwrap_or(now)
    }
}

/// When the next slot is; the first is when it is asked for, and there is no burst before it, so that whoever forgets what was
/// taken does not take it twice.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Slots {
    next: Option<Instant>,
}

impl Slots {
    /// When the next slot is, if that is not now.
    pub(in crate::engine) fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Takes `number` slots and returns when the first of them is: whoever takes several waits for the first and then keeps to
    /// the spacing, or leaves the rest to those who come after.
    pub(in crate::engine) fn take(&mut self, now: Instant, number: u32, spacing: Spacing) -> Instant {
        self.take_or_from(now, now, number, spacing)
    }

    /// The same, but whoever begins has all the slack at once, as after a pause.
    pub(in crate::engine) fn take_rested(&mut self, now: Instant, number: u32, spacing: Spacing) -> Instant {
        self.take_or_from(spacing.earliest(now), now, number, spacing)
    }

    fn take_or_from(&mut self, begin: Instant, now: Instant, number: u32, spacing: Spacing) -> Instant {
        let first = self.due(begin, now, spacing);
        self.next = Some(first + spacing.interval * number);
        first
    }

    /// Forgets what cannot have been taken by this limit.
    fn forget_incredible(&mut self, now: Instant, spacing: Spacing) {
        let farthest = spacing.slack + FARTHEST.max(spacing.interval.saturating_mul(FARTHEST_SLOTS));
        self.next = self.next.filter(|next| next.saturating_duration_since(now) <= farthest);
    }

    fn due(&self, begin: Instant, now: Instant, spacing: Spacing) -> Instant {
        self.next.map_or(begin, |next| next.max(spacing.earliest(now)))
    }
}

/// No slots were taken, since one of the rows is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// Which of them opens last.
    pub(super) by: usize,
    /// When it is worth asking again.
    pub(super) again: Instant,
}

/// Takes `number` slots of each of these rows, or none of any: one that was taken early and used late would stand beside its later
/// ones. Returns when the first may be used, which is no farther ahead than the slack of any of them.
pub(super) fn take_of_all(rows: &mut [(&mut Slots, Spacing)], now: Instant, number: u32) -> Result<Instant, Full> {
    rows.iter_mut().for_each(|(slots, spacing)| slots.forget_incredible(now, *spacing));
    let due = rows.iter().enumerate().map(|(by, (slots, spacing))| (slots.due(now, now, *spacing), by)).max();
    let slack = rows.iter().map(|(_, spacing)| spacing.slack).min();
    let (Some((due, by)), Some(slack)) = (due, slack) else {
        return Ok(now);
    };
    if due > now + slack {
        return Err(Full { by, again: due - slack });
    }
    for (slots, spacing) in rows {
        slots.take(now, number, *spacing);
    }
    Ok(due.max(now))
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
            let (mut now, mut slots, mut taken) = (start, Slots::default(), Vec::new());
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

    proptest! {
        /// A team's row and those of three hosts, asked for by whoever comes, and used as late as it may be.
        #[test]
        fn rows_that_are_taken_together_keep_every_limit(
            rates in prop::collection::vec(0.5f64..50.0, 4),
            asks in prop::collection::vec((0u64..40_000, 1usize..4, 0.0f64..1.0), 1..600),
        ) {
            let spacings: Vec<_> = rates.iter().map(|rate| Spacing::of_rate(*rate).expect("a limit")).collect();
            let (mut rows, mut used) = ([Slots::default(); 4], vec![Vec::new(); 4]);
            let mut now = Instant::now();
            for (pause, host, late) in asks {
                now += Duration::from_micros(pause);
                let (team, hosts) = rows.split_first_mut().expect("four");
                let mut both = [(team, spacings[0]), (&mut hosts[host - 1], spacings[host])];
                if let Ok(slot) = take_of_all(&mut both, now, 1) {
                    prop_assert!(slot >= now);
                    let most = spacings[0].lateness().min(spacings[host].lateness());
                    used[0].push(slot + most.mul_f64(late));
                    used[host].push(slot + most.mul_f64(late));
                }
            }
            for (rate, used) in rates.iter().zip(&mut used) {
                used.sort();
                let most = (rate * 1.05).max(rate + 1.0);
                for (index, from) in used.iter().enumerate() {
                    let within = used[index..].iter().take_while(|at| **at < *from + Duration::from_secs(1)).count();
                    prop_assert!(within as f64 <= most.ceil(), "{within} in a second, {rate} allowed");
                }
            }
        }
    }

    #[test]
    fn what_was_taken_under_a_limit_that_is_no_more_holds_nobody_up_for_long() {
        let (slow, quick) = (Spacing::of_rate(0.0001).expect("a limit"), Spacing::of_rate(100.0).expect("a limit"));
        let (now, mut slots) = (Instant::now(), Slots::default());
        assert_eq!(slots.take(now, 1, slow), now);
        assert_eq!(slots.due(now, now, slow), now + slow.interval);
        assert_eq!(take_of_all(&mut [(&mut slots, quick)], now, 1), Ok(now));
        // What was taken by the limit itself stays taken, however much it was.
        assert_eq!(slots.take(now, 1000, quick), now + quick.interval);
        assert_eq!(slots.due(now, now, quick), now + quick.interval * 1001);
    }

    #[test]
    fn whoever_finds_a_row_full_has_taken_of_none_and_is_told_when_to_come_again() {
        let (slow, quick) = (Spacing::of_rate(1.0).expect("a limit"), Spacing::of_rate(100.0).expect("a limit"));
        let (now, mut team, mut host) = (Instant::now(), Slots::default(), Slots::default());
        let mut take = |now| take_of_all(&mut [(&mut team, slow), (&mut host, quick)], now, 1);
        assert_eq!(take(now), Ok(now));
        let again = now + slow.interval - quick.slack;
        assert_eq!(take(now), Err(Full { by: 0, again }));
        assert_eq!(take(again), Ok(now + slow.interval));
        assert_eq!(
            host.next,
            Some(now + slow.interval - quick.slack * 2 + quick.interval),
            "one slot, and what was caught up"
        );
    }

    #[test]
    fn whoever_stands_before_a_limit_keeps_its_rate_after_a_burst() {
        for (rate, most) in [(1u32, 13), (10, 103), (1000, 10_053)] {
            let spacing = Spacing::before_rate(f64::from(rate)).expect("a limit");
            let (mut slots, start, mut passed) = (Slots::default(), Instant::now(), 0);
            let mut now = start;
            while now < start + Duration::from_secs(10) {
                match slots.opens_at(now) {
                    Some(opens) => now = opens,
                    None => {
                        slots.take(now, 1, spacing);
                        passed += 1;
                    }
                }
            }
            assert!((rate * 10..=most).contains(&passed), "{passed} in ten seconds of {rate}");
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
