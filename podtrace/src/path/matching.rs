//! A path where only the hops that match the filter are shown.
//!
//! It stays whole: its times, its ends and its outcome are those of all hops.
use super::{Hop, Path, Translation};

impl Path {
    /// Whether it matches the filter at one hop at least.
    #[must_use]
    pub(crate) fn matches(&self) -> bool {
        self.hops.iter().any(|hop| hop.matches)
    }

    /// The hops that are shown, with their numbers from 0.
    pub fn shown_hops(&self) -> impl DoubleEndedIterator<Item = (usize, &Hop)> {
        let hops = self.hops.iter().enumerate();
        hops.filter(|(_, hop)| self.shows(hop))
    }

    /// Whether a hop of it is shown.
    #[must_use]
    pub fn shows(&self, hop: &Hop) -> bool {
        hop.matches || !self.is_narrowed
    }

    /// The translation since the last hop that is shown before this one; several are told as one.
    #[must_use]
    pub fn translation_at(&self, hop: usize) -> Option<Translation> {
        if self.translations.is_empty() {
            return None;
        }
        let mut shown = self.shown_hops().map(|(number, _)| number);
        let before = shown.rfind(|number| *number < hop);
        let mut since = self.translations.iter().filter(|translation| {
            translation.hop <= hop && before.is_none_or(|before| before < translation.hop)
        });
        let first = *since.next()?;
        let after = since.next_back().map_or(first.after, |last| last.after);
        Some(Translation { after, ..first })
    }
}

#[cfg(test)]
mod tests {
    use crate::path::{Hop, Path, Translation, builder::tests::path};

    /// A path of five hops, of which the second and the fourth match.
    fn five() -> Path {
        let mut path = path(1);
        let hop = path.hops[0].clone();
        path.hops = (0..5)
            .map(|ts_ns| Hop {
                ts_ns,
                matches: ts_ns % 2 == 1,
                ..hop.clone()
            })
            .collect();
        path
    }

    #[test]
    fn hops_that_match_are_shown_and_times_are_those_of_all() {
        let mut path = five();
        let numbers = |path: &Path| path.shown_hops().map(|(number, _)| number).collect();
        let all: Vec<_> = numbers(&path);
        assert_eq!(all, [0, 1, 2, 3, 4]);
        path.is_narrowed = true;
        let shown: Vec<_> = numbers(&path);
        assert_eq!(shown, [1, 3]);
        assert_eq!(
            (path.first_ns(), path.last_ns(), path.duration_ns()),
            (0, 4, 4)
        );
        assert!(path.matches() && !path.incomplete);
    }

    /// A translation is told at the hop that is the first to show it.
    #[test]
    fn translation_is_told_at_the_next_hop_that_is_shown() {
        for (is_narrowed, told) in [(false, [1, 2, 4].as_slice()), (true, &[1, 3])] {
            let mut path = five();
            path.is_narrowed = is_narrowed;
            let ends = path.packet.ends().unwrap();
            let translation = |hop| Translation {
                hop,
                before: ends,
                after: ends,
            };
            path.translations = [1, 2, 4].map(translation).to_vec();
            let hops = path.shown_hops().map(|(number, _)| number);
            let hops: Vec<_> = hops
                .filter(|number| path.translation_at(*number).is_some())
                .collect();
            assert_eq!(hops, told);
        }
    }
}
