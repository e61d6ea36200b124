//! Remembers the last few names, and forgets the oldest first.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Mutex;

/// At most so many names, the latest.
#[derive(Debug)]
pub struct Recent<K> {
    most: usize,
    known: Mutex<(HashSet<K>, VecDeque<K>)>,
}

impl<K: Eq + Hash + Clone> Recent<K> {
    /// Remembers `most` names.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// Remembers `name`.
    pub fn note(&self, name: &K) {
        let mut known = self.known.lock().expect("nothing panics while it holds this lock");
        let (names, order) = &mut *known;
        if names.insert(name.clone()) {
            order.push_back(name.clone());
        }
        if order.len() > self.most
            && let Some(oldest) = order.pop_front()
        {
            names.remove(&oldest);
        }
    }

    /// Whether `name` is remembered.
    #[must_use]
    pub fn knows(&self, name: &K) -> bool {
        self.known.lock().expect("nothing panics while it holds this lock").0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_name_is_forgotten_first_and_repeats_cost_nothing() {
        let recent = Recent::new(2);
        for name in ["a", "b", "b", "c"] {
            recent.note(&name);
        }
        assert_eq!(["a", "b", "c"].map(|name| recent.knows(&name)), [false, true, true]);
    }
}
