//! Chance, which keeps those apart who would otherwise try again together. A test may seed it, so that a run can be had again.

/// A number from 0 to 1.
pub(super) fn draw() -> f64 {
    #[cfg(feature = "testing")]
    if let Some(drawn) = seeded::draw() {
        return drawn;
    }
    rand::random()
}

/// Lets chance on this thread follow from `seed` from now on.
#[cfg(feature = "testing")]
pub fn seed(seed: u64) {
    seeded::seed(seed);
}

#[cfg(feature = "testing")]
mod seeded {
    use std::cell::RefCell;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    thread_local! {
        static DICE: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    }

    pub(super) fn draw() -> Option<f64> {
        DICE.with_borrow_mut(|dice| dice.as_mut().map(|dice| dice.random()))
    }

    pub(super) fn seed(seed: u64) {
        DICE.set(Some(StdRng::seed_from_u64(seed)));
    }
}
