//! In which order a task's attachments are offered to their lanes: its places take turns, and none fills the window, so that
//! those of a slow host do not stand before the others'.

use std::collections::VecDeque;

use crate::domain::source::Door;

/// The attachments of a task that were not offered yet, by place.
#[derive(Debug)]
pub(super) struct Offering<T> {
    places: Vec<Line<T>>,
    next: usize,
    window: usize,
    per_place: usize,
    offered: usize,
}

#[derive(Debug)]
struct Line<T> {
    door: Option<Door>,
    left: VecDeque<T>,
    offered: usize,
}

/// Names a place among those of one task.
pub(super) type Which = usize;

impl<T> Offering<T> {
    /// At most `window` at a time. What has no place, since nothing is fetched for it, is one place of its own.
    pub(super) fn new(all: impl Iterator<Item = (Option<Door>, T)>, window: usize) -> Self {
        let mut index: std::collections::HashMap<Option<Door>, usize> = std::collections::HashMap::new();
        let mut places: Vec<Line<T>> = Vec::new();
        for (door, one) in all {
            let at = *index.entry(door.clone()).or_insert_with(|| {
                places.push(Line { door, left: VecDeque::new(), offered: 0 });
                places.len() - 1
            });
            places[at].left.push_back(one);
        }
        let window = window.max(1);
        let per_place = (window / places.len().max(1)).max(4).min(window);
        Self { places, next: 0, window, per_place, offered: 0 }
    }

    /// The next one to offer, if there is room for it.
    pub(super) fn take(&mut self) -> Option<(Which, T)> {
        if self.offered >= self.window {
            return None;
        }
        for step in 0..self.places.len() {
            let which = (self.next + step) % self.places.len();
            let line = &mut self.places[which];
            if line.offered < self.per_place
                && let Some(one) = line.left.pop_front()
            {
                line.offered += 1;
                self.offered += 1;
                self.next = which + 1;
                return Some((which, one));
            }
        }
        None
    }

    /// One that was offered has ended.
    pub(super) fn ended(&mut self, which: Which) {
        self.offered -= 1;
        self.places[which].offered -= 1;
    }

    /// The doors of those that are offered now.
    pub(super) fn offered_doors(&self) -> impl Iterator<Item = &Door> {
        self.places.iter().filter(|line| line.offered > 0).filter_map(|line| line.door.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::Place;

    fn host(name: &str) -> Option<Door> {
        Some(Door { place: Place::Host(name.to_owned()), port: None })
    }

    fn taken(offering: &mut Offering<u32>) -> Vec<u32> {
        std::iter::from_fn(|| offering.take().map(|(_, one)| one)).collect()
    }

    #[test]
    fn places_take_turns_and_none_fills_the_window() {
        let all = (0..100).map(|n| (host("slow"), n)).chain((100..120).map(|n| (host("quick"), n)));
        let mut offering = Offering::new(all, 16);
        assert_eq!(taken(&mut offering)[..4], [0, 100, 1, 101]);
        for _ in 0..8 {
            offering.ended(1);
        }
        assert_eq!(taken(&mut offering), (108..116).collect::<Vec<_>>(), "the slow ones are still under way");
        assert_eq!(offering.offered_doors().count(), 2);
    }

    #[test]
    fn one_place_alone_has_the_whole_window_and_everything_comes_once() {
        let mut offering = Offering::new((0..50).map(|n| (host("h"), n)), 16);
        let mut all = taken(&mut offering);
        assert_eq!(all.len(), 16);
        while let Some((which, one)) = {
            offering.ended(0);
            offering.take()
        } {
            assert_eq!(which, 0);
            all.push(one);
        }
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
