//! The time of day, computed again only when the second changes.
use jiff::{Timestamp, tz::TimeZone};

use crate::text::write;

const SECOND_NS: i128 = 1_000_000_000;

/// `HH:MM:SS` in a time zone.
pub(super) struct TimeOfDay {
    zone: TimeZone,
    /// The second since 1970 (UTC) that was last shown, and its text.
    last: Option<(i128, Box<str>)>,
}

impl TimeOfDay {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    /// Appends `HH:MM:SS.ffffff` of a time in nanoseconds since 1970 (UTC);
    /// false when it is beyond all calendars.
    pub(super) fn write(&mut self, out: &mut String, utc_ns: i128) -> bool {
        let second = utc_ns.div_euclid(SECOND_NS);
        if self.last.as_ref().is_none_or(|(last, _)| *last != second) {
            self.last = Timestamp::from_nanosecond(second * SECOND_NS)
                .ok()
                .map(|time| {
                    let time = time.to_zoned(self.zone.clone());
                    (second, time.strftime("%H:%M:%S").to_string().into())
                });
        }
        let Some((_, text)) = &self.last else {
            return false;
        };
        out.push_str(text);
        fraction(out, utc_ns);
        true
    }
}

/// Appends the microseconds of the second: `.012345`
fn fraction(out: &mut String, utc_ns: i128) {
    // The leading one makes it seven digits, and is cut off.
    let ns = u64::try_from(utc_ns.rem_euclid(SECOND_NS)).unwrap_or_default();
    let mark = out.len();
    write::number(out, ns / 1000 + 1_000_000);
    out.replace_range(mark..=mark, ".");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_the_calendar_formats_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(-3))
            .to_fixed_offset()
            .unwrap();
        let zone = TimeZone::fixed(zone);
        let mut clock = TimeOfDay::new(zone.clone());
        let start = 1_700_000_000_999_999_999;
        for utc_ns in [
            start,
            start + 1,
            start,
            -1,
            0,
            86_399 * SECOND_NS + 12_345_678,
        ] {
            let time = Timestamp::from_nanosecond(utc_ns).unwrap();
            let expected = time.to_zoned(zone.clone()).strftime("%H:%M:%S%.6f");
            let mut out = String::new();
            assert!(clock.write(&mut out, utc_ns));
            assert_eq!(out, expected.to_string());
        }
        assert!(!clock.write(&mut String::new(), i128::MAX / 2));
    }
}
