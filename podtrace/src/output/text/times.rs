//! The times in front of packets.
use jiff::{Timestamp, tz::TimeZone};

use crate::text::write;

const SECOND_NS: i128 = 1_000_000_000;

/// How times are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `20:18:42.324298`, in the local time zone.
    #[default]
    Local,
    /// `20:18:42.324298Z`
    Utc,
    /// Seconds since the first packet shown: `+1.234567`
    Relative,
    /// Seconds since the packet shown before.
    Delta,
    /// Seconds since 1970 (UTC): `1763929122.324298`
    Epoch,
    /// `2026-11-24 20:18:42.324298`, in the local time zone.
    Date,
    /// Nothing.
    None,
}

/// Writes times. The time of day is computed again only when the second changes.
pub(super) struct Times {
    format: TimeFormat,
    zone: TimeZone,
    /// The second since 1970 (UTC) that was last shown, and its text.
    last: Option<(i128, Box<str>)>,
    /// The time from which the next one is counted.
    since_ns: Option<i128>,
}

impl Times {
    /// `zone`: the local one.
    pub(super) fn new(format: TimeFormat, zone: TimeZone) -> Self {
        Self {
            format,
            zone: match format {
                TimeFormat::Utc => TimeZone::UTC,
                _ => zone,
            },
            last: None,
            since_ns: None,
        }
    }

    /// Appends a time in nanoseconds since 1970 (UTC); false when it is beyond all calendars.
    pub(super) fn write(&mut self, out: &mut String, utc_ns: i128) -> bool {
        match self.format {
            TimeFormat::Local | TimeFormat::Date => self.time_of_day(out, utc_ns),
            TimeFormat::Utc => {
                let is_written = self.time_of_day(out, utc_ns);
                if is_written {
                    out.push('Z');
                }
                is_written
            }
            TimeFormat::Relative => {
                let since_ns = *self.since_ns.get_or_insert(utc_ns);
                signed_seconds(out, utc_ns - since_ns);
                true
            }
            TimeFormat::Delta => {
                let since_ns = self.since_ns.replace(utc_ns).unwrap_or(utc_ns);
                signed_seconds(out, utc_ns - since_ns);
                true
            }
            TimeFormat::Epoch => {
                seconds(out, utc_ns);
                true
            }
            TimeFormat::None => true,
        }
    }

    fn time_of_day(&mut self, out: &mut String, utc_ns: i128) -> bool {
        let second = utc_ns.div_euclid(SECOND_NS);
        if self.last.as_ref().is_none_or(|(last, _)| *last != second) {
            let calendar = match self.format {
                TimeFormat::Date => "%Y-%m-%d %H:%M:%S",
                _ => "%H:%M:%S",
            };
            self.last = Timestamp::from_nanosecond(second * SECOND_NS)
                .ok()
                .map(|time| {
                    let time = time.to_zoned(self.zone.clone());
                    (second, time.strftime(calendar).to_string().into())
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

/// Appends a span with its sign: paths are shown as they end, and may begin earlier than the
/// one before.
fn signed_seconds(out: &mut String, ns: i128) {
    out.push(if ns < 0 { '-' } else { '+' });
    seconds(out, ns.abs());
}

fn seconds(out: &mut String, ns: i128) {
    write::number(out, ns.div_euclid(SECOND_NS));
    fraction(out, ns);
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
        let mut clock = Times::new(TimeFormat::Local, zone.clone());
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

    #[test]
    fn each_format_counts_from_its_own_begin() {
        let start = 1_700_000_000_000_001_999;
        let written = |format| {
            let mut times = Times::new(format, TimeZone::UTC);
            let at = [0, 1_500_000_000, 1_250_000_000];
            at.map(|after| {
                let mut out = String::new();
                assert!(times.write(&mut out, start + after));
                out
            })
        };
        assert_eq!(
            written(TimeFormat::Utc),
            ["22:13:20.000001Z", "22:13:21.500001Z", "22:13:21.250001Z"]
        );
        assert_eq!(
            written(TimeFormat::Date),
            [
                "2023-11-14 22:13:20.000001",
                "2023-11-14 22:13:21.500001",
                "2023-11-14 22:13:21.250001"
            ]
        );
        assert_eq!(written(TimeFormat::None), [""; 3]);
        assert_eq!(
            written(TimeFormat::Relative),
            ["+0.000000", "+1.500000", "+1.250000"]
        );
        assert_eq!(
            written(TimeFormat::Delta),
            ["+0.000000", "+1.500000", "-0.250000"]
        );
        assert_eq!(
            written(TimeFormat::Epoch),
            [
                "1700000000.000001",
                "1700000001.500001",
                "1700000001.250001"
            ]
        );
    }
}
