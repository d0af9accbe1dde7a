//! Sizes for people.

/// `98 B`, `1.2 kB`, `3.4 MB`
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        let shown = [0, 999, 1000, 1_234_567, 999_999, u64::MAX].map(bytes);
        let expected = ["0 B", "999 B", "1.0 kB", "1.2 MB", "999.9 kB", "18446.7 PB"];
        assert_eq!(shown, expected);
    }
}
