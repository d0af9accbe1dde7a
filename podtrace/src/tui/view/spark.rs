//! The latest times of a leg, as bars.
use crate::tui::{
    entry::{Entry, Tap},
    store::Store,
};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Paths that are looked at for their legs.
const PATHS_MAX: usize = 4096;
/// Legs of a path that have bars.
const LEGS_MAX: usize = 64;

/// The times of each leg of a path, the newest last.
pub(super) struct Sparks(Vec<((Tap, Tap), Vec<u64>)>);

impl Sparks {
    /// Those of a path and of the paths before it, at most `count` of each leg.
    pub(super) fn of(chosen: &Entry, place: u64, store: &Store, count: usize) -> Self {
        let mut legs: Vec<((Tap, Tap), Vec<u64>)> = Vec::new();
        for (leg, _) in chosen.legs() {
            if legs.len() < LEGS_MAX && !legs.iter().any(|(known, _)| *known == leg) {
                legs.push((leg, Vec::new()));
            }
        }
        let mut open = legs.len();
        for entry in store.until(place).take(PATHS_MAX) {
            for (leg, ns) in entry.legs() {
                let known = legs.iter_mut().find(|(known, _)| *known == leg);
                if let Some((_, times)) = known
                    && times.len() < count
                {
                    times.push(ns);
                    open -= usize::from(times.len() == count);
                }
            }
            if open == 0 {
                break;
            }
        }
        for (_, times) in &mut legs {
            times.reverse();
        }
        Self(legs)
    }

    /// The bars of a leg, to the right in so many columns.
    pub(super) fn bars(&self, leg: (Tap, Tap), columns: usize) -> String {
        let times = self.0.iter().find(|(known, _)| *known == leg);
        let times = times.map_or(&[][..], |(_, times)| times);
        let shown = &times[times.len().saturating_sub(columns)..];
        let bars = bars(shown);
        format!("{}{bars}", " ".repeat(columns - shown.len()))
    }
}

/// A bar for each time; the highest is the longest time.
fn bars(times: &[u64]) -> String {
    let most = times.iter().max().copied().unwrap_or(0).max(1);
    let bars = times.iter().map(|ns| {
        let level = u128::from(*ns) * (BARS.len() as u128 - 1) / u128::from(most);
        BARS.get(level as usize).copied().unwrap_or('█')
    });
    bars.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_time_has_the_highest_bar() {
        assert_eq!(bars(&[0, 50, 100, 1]), "▁▄█▁");
        assert_eq!(bars(&[u64::MAX, 0]), "█▁");
        assert_eq!(bars(&[0, 0]), "▁▁");
        assert_eq!(bars(&[]), "");
    }
}
