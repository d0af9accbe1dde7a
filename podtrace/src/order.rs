//! Sorting off the packets' way, for size: each use of `slice::sort_by` instantiates a whole sort,
//! of some 6 kB. All of these share one, which sorts numbers of places.
use std::cmp::Ordering;

/// Sorts what is short, or sorted once: each comparison is a call.
pub(crate) trait Order<T> {
    /// As `sort_by`.
    fn order_by(&mut self, compare: impl Fn(&T, &T) -> Ordering);

    /// As `sort_by_cached_key`.
    fn order_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K);
}

impl<T> Order<T> for [T] {
    fn order_by(&mut self, compare: impl Fn(&T, &T) -> Ordering) {
        let places = sorted(self.len(), &|one, other| compare(&self[one], &self[other]));
        put(places, &mut |one, other| self.swap(one, other));
    }

    fn order_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K) {
        let keys: Vec<K> = self.iter().map(key).collect();
        let places = sorted(keys.len(), &|one, other| keys[one].cmp(&keys[other]));
        put(places, &mut |one, other| self.swap(one, other));
    }
}

/// The places of `len` items in order.
#[inline(never)]
fn sorted(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<_> = (0..len).collect();
    places.sort_by(|one, other| compare(*one, *other));
    places
}

/// Puts each item where it belongs, circle by circle: the item at `places[n]` comes to the place `n`.
#[inline(never)]
fn put(mut places: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for first in 0..places.len() {
        let mut to = first;
        loop {
            let from = std::mem::replace(&mut places[to], to);
            if from == first {
                break;
            }
            swap(to, from);
            to = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_is_that_of_the_stable_sort(keys in prop::collection::vec(0..20_u8, 0..60)) {
            let items: Vec<_> = keys.into_iter().zip(0..).collect::<Vec<(u8, u32)>>();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            let mut by_key = items.clone();
            by_key.order_by_key(|item| item.0);
            prop_assert_eq!(&by_key, &expected);
            let mut by = items;
            by.order_by(|one, other| one.0.cmp(&other.0));
            prop_assert_eq!(&by, &expected);
        }
    }
}
