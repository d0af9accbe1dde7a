//! Sizes for people.

/// `98 B`, `1.2 kB`, `3.4 MB`; rounded.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // A tenth of the unit, in bytes.
    let mut tenth: u64 = 100;
    let mut unit = 0;
    while tenths(bytes, tenth) >= 10_000 && unit + 1 < UNITS.len() {
        tenth *= 1000;
        unit += 1;
    }
    let tenths = tenths(bytes, tenth);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

fn tenths(bytes: u64, tenth: u64) -> u64 {
    bytes / tenth + u64::from(bytes % tenth >= tenth / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_and_are_rounded() {
        for (size, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (49_949, "49.9 kB"),
            (49_968, "50.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_234_567, "1.2 MB"),
            (1_250_000, "1.3 MB"),
            (999_999_999_999, "1.0 TB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }
}
