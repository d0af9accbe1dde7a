//! Circles: modules that import each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet};

/// The imports of each module.
pub(super) type Arrows<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The modules of each circle, the largest circle first: each module can be reached from each
/// other.
pub(super) fn circles<'a>(arrows: &Arrows<'a>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|module| (*module, reach(arrows, module)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (module, others) in &reached {
        if !others.contains(module) || seen.contains(module) {
            continue;
        }
        let goes_back = |other: &&&str| {
            reached
                .get(**other)
                .is_some_and(|back| back.contains(module))
        };
        let circle: Vec<_> = others.iter().filter(goes_back).copied().collect();
        seen.extend(circle.iter().copied());
        circles.push(circle);
    }
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

/// All modules that a module imports, directly or through others.
fn reach<'a>(arrows: &Arrows<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = vec![from];
    while let Some(module) = next.pop() {
        for other in arrows.get(module).into_iter().flatten() {
            if reached.insert(*other) {
                next.push(other);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_circle_is_reported_once_the_largest_first() {
        let arrows = [
            ("a", vec!["b", "x"]),
            ("b", vec!["a"]),
            ("c", vec!["d"]),
            ("d", vec!["e", "a"]),
            ("e", vec!["c"]),
        ];
        let arrows = arrows.map(|(from, to)| (from, to.into_iter().collect()));
        let found = circles(&arrows.into());
        assert_eq!(found, [vec!["c", "d", "e"], vec!["a", "b"]]);
    }
}
