//! Lists of names in hints.

/// Names that are listed; how many more there are is told.
const LISTED: usize = 10;

/// The names without repetition, those most like `wanted` first, otherwise in alphabetical
/// order: `a, b and 12 more`.
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>, wanted: Option<&str>) -> String {
    let distance =
        |name: &str| wanted.map_or(0, |wanted| strsim::damerau_levenshtein(wanted, name));
    let mut names: Vec<_> = names
        .into_iter()
        .map(|name| (distance(name), name))
        .collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(LISTED);
    let shown: Vec<_> = names.iter().take(LISTED).map(|(_, name)| *name).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        _ => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_named_or_counted_in_a_fixed_order() {
        assert_eq!(listed([], None), "");
        assert_eq!(listed(["b", "a", "b"], None), "a, b");
        assert_eq!(
            listed(["veth1", "cni0", "cni1"], Some("cni1")),
            "cni1, cni0, veth1"
        );
        let names: Vec<_> = (0..12).map(|number| format!("n{number:02}")).collect();
        let listed = listed(names.iter().map(String::as_str), None);
        assert_eq!(
            listed,
            "n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 2 more"
        );
    }
}
