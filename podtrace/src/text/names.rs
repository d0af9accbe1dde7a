//! Lists of names for people.
use super::escape::escape;

/// Upper bound of the names in a list.
const NAMES_MAX: usize = 10;

/// Lists names, safe for a terminal, and counts those beyond the bound: `a, b and 12 more`.
#[must_use]
pub fn list<N: AsRef<str>>(names: &[N]) -> String {
    let shown = names.iter().take(NAMES_MAX);
    let shown: Vec<_> = shown.map(|name| escape(name.as_ref())).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// [`list`] of names without repetition: those most like `wanted` first, otherwise in
/// alphabetical order.
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>, wanted: Option<&str>) -> String {
    listed_by(names, |name| {
        wanted.map_or(0, |wanted| strsim::damerau_levenshtein(wanted, name))
    })
}

/// The same with the least distance first.
#[must_use]
pub fn listed_by<'a>(
    names: impl IntoIterator<Item = &'a str>,
    distance: impl Fn(&str) -> usize,
) -> String {
    let names = names.into_iter().map(|name| (distance(name), name));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
    list(&names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_named_or_counted_in_a_fixed_order() {
        assert_eq!(listed([], None), "");
        assert_eq!(listed(["b", "a", "b"], None), "a, b");
        assert_eq!(
            listed(["lo\x1b", "veth7", "eth0"], Some("eth1")),
            "eth0, veth7, lo\\x1b"
        );
        let names: Vec<_> = (0..12).map(|number| format!("n{number:02}")).collect();
        let listed = listed(names.iter().map(String::as_str), None);
        assert_eq!(
            listed,
            "n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 2 more"
        );
    }
}
