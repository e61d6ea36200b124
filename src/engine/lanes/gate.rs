//! So many a second, as one number: the moment from which the next one is due.

use std::time::Duration;

use tokio::time::Instant;

/// How much of a second may go through at once, beside two: what follows keeps the limit itself, request by request, and must
/// never have to wait for us.
const BURST: f64 = 0.05;
const AHEAD: f64 = 2.0;
/// Slower ones count as so many a second: one in eleven days.
const RATE_LEAST: f64 = 1e-6;

/// Lets so many a second through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    due: Option<Instant>,
}

impl Gate {
    /// When the next one may go through; `None`: now.
    pub(super) fn opens_at(&self, per_second: f64, now: Instant) -> Option<Instant> {
        let early = Duration::from_secs_f64(BURST + AHEAD / per_second.max(RATE_LEAST));
        self.due.and_then(|due| due.checked_sub(early)).filter(|opens| *opens > now)
    }

    /// One goes through.
    pub(super) fn pass(&mut self, per_second: f64, now: Instant) {
        let each = Duration::from_secs_f64(1.0 / per_second.max(RATE_LEAST));
        self.due = Some(self.due.map_or(now, |due| due.max(now)) + each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_keeps_its_rate_after_its_first_burst() {
        for (rate, most) in [(1u32, 13), (10, 103), (1000, 10_053)] {
            let per_second = f64::from(rate);
            let (mut gate, start, mut passed) = (Gate::default(), Instant::now(), 0);
            let mut now = start;
            while now < start + Duration::from_secs(10) {
                match gate.opens_at(per_second, now) {
                    Some(opens) => now = opens,
                    None => {
                        gate.pass(per_second, now);
                        passed += 1;
                    }
                }
            }
            assert!((rate * 10..=most).contains(&passed), "{passed} in ten seconds of {rate}");
        }
    }
}
