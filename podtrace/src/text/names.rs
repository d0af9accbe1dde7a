//! Lists of names for people.
use super::sanitize::sanitize;

/// Upper bound of the names in a list.
const NAMES_MAX: usize = 10;

/// Names in a list; of many, how many more there are.
#[must_use]
pub(crate) fn list<N: AsRef<str>>(names: &[N]) -> String {
    let shown = names.iter().take(NAMES_MAX);
    let shown: Vec<_> = shown.map(|name| sanitize(name.as_ref())).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// [`list`] of names, the most similar ones first.
#[must_use]
pub(crate) fn list_near<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |other: &'a str| (strsim::damerau_levenshtein(name, other), other);
    let mut near: Vec<_> = others.into_iter().map(distance).collect();
    near.sort_unstable();
    let near: Vec<_> = near.into_iter().map(|(_, other)| other).collect();
    list(&near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_come_first_and_others_are_counted() {
        assert_eq!(
            list_near("eth1", ["lo\x1b", "veth7", "eth0"]),
            "eth0, veth7, lo\u{fffd}"
        );
        let names: Vec<_> = (0..20).map(|number| format!("n{number:02}")).collect();
        let listed = list_near("n00", names.iter().map(String::as_str));
        assert!(listed.starts_with("n00, n01, n02, "), "{listed}");
        assert!(listed.ends_with(" and 10 more"), "{listed}");
    }
}
