//! One thing for each key that is in use; forgotten when nobody holds it any more, so as many as there are keys in use.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

/// Things by key.
#[derive(Debug)]
pub struct Keyed<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V> Keyed<K, V> {
    /// The key's thing; made if nobody holds one.
    pub fn of(&self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut things = self.0.lock().expect("nothing panics while it holds this lock");
        if let Some(thing) = things.get(key).and_then(Weak::upgrade) {
            return thing;
        }
        things.retain(|_, thing| thing.strong_count() > 0);
        let thing = Arc::new(make());
        things.insert(key.clone(), Arc::downgrade(&thing));
        thing
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().expect("nothing panics while it holds this lock").len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_thing_as_long_as_somebody_holds_it() {
        let keyed = Keyed::default();
        let first = keyed.of(&"a", || 1);
        assert_eq!(*keyed.of(&"a", || 2), 1);
        drop(first);
        assert_eq!(*keyed.of(&"b", || 3), 3);
        assert_eq!(*keyed.of(&"a", || 4), 4);
        assert_eq!(keyed.len(), 1, "nobody holds b");
    }
}
