//! What waits to go out together, and how many carriers there are.
//!
//! Whoever hands something in is told what became of it. A carrier is started with the first things, takes one batch after the
//! other and ends when nothing waits: so batches form by themselves when more comes than there are carriers.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::trouble::Trouble;

/// Things that wait, for at most so many carriers.
pub(super) struct Pile<T> {
    waiting: VecDeque<Waiting<T>>,
    carriers: usize,
    carriers_max: usize,
}

/// A thing, and who waits for word of it.
pub(super) struct Waiting<T> {
    pub(super) what: T,
    pub(super) told: oneshot::Sender<Result<(), Trouble>>,
}

/// Word of what was handed in.
pub(super) struct Word(oneshot::Receiver<Result<(), Trouble>>);

impl Word {
    /// Waits for it. Dropped, what was handed in may or may not go out.
    pub(super) async fn heard(self) -> Result<(), Trouble> {
        self.0.await.unwrap_or_else(|_| Err(Trouble::Away("the worker ended before the broker answered".to_owned())))
    }
}

impl<T> Pile<T> {
    /// An empty one.
    pub(super) fn new(carriers_max: usize) -> Self {
        Self { waiting: VecDeque::new(), carriers: 0, carriers_max }
    }

    /// Takes something; true when one more carrier is wanted, which then counts as there.
    pub(super) fn hand_in(&mut self, what: T) -> (Word, bool) {
        let (told, word) = oneshot::channel();
        self.waiting.push_back(Waiting { what, told });
        let wanted = self.carriers < self.carriers_max;
        self.carriers += usize::from(wanted);
        (Word(word), wanted)
    }

    /// What a carrier takes next: the first that waits, and what `add` takes to it of the others. With nothing the carrier ends.
    pub(super) fn next_batch(
        &mut self, add: impl FnOnce(&mut Vec<Waiting<T>>, &mut VecDeque<Waiting<T>>),
    ) -> Option<Vec<Waiting<T>>> {
        // Nobody waits for some of them any more.
        self.waiting.retain(|waiting| !waiting.told.is_closed());
        let Some(first) = self.waiting.pop_front() else {
            self.carriers -= 1;
            return None;
        };
        let mut batch = vec![first];
        add(&mut batch, &mut self.waiting);
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_any_more_stays_behind_and_the_carrier_ends() {
        let mut pile = Pile::new(1);
        let (word, wanted) = pile.hand_in("a");
        let (_other, one_more) = pile.hand_in("b");
        assert_eq!((wanted, one_more), (true, false));
        drop(word);
        let batch = pile.next_batch(|batch, others| batch.extend(others.pop_front())).unwrap();
        assert_eq!(batch.iter().map(|waiting| waiting.what).collect::<Vec<_>>(), ["b"]);
        assert!(pile.next_batch(|_, _| ()).is_none());
        assert!(pile.hand_in("c").1, "the next one needs a carrier again");
    }
}
