//! Values of the command line: numbers, times and sizes.
use std::{
    fmt::Display, ops::RangeInclusive, os::unix::ffi::OsStrExt as _, str::FromStr, time::Duration,
};

use clap::builder::{OsStringValueParser, TypedValueParser};
use jiff::SignedDuration;
use podtrace_ebpf::config::{SNAPLEN_MAX, SNAPLEN_MIN};

use crate::{
    model::tap_name::TapName,
    replay::options::{Moment, Span},
    text::escape::escape_bytes,
};

/// The longest time that is accepted.
const TIME_MAX: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A whole number in a range.
pub(super) fn number<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("must be a whole number from {least} to {most}")
        })
    }
}

/// A whole number above 0.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        let is_too_large = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match is_too_large && text.bytes().any(|byte| byte != b'0') {
            true => format!("must be {} at most", u64::MAX),
            false => "must be a whole number above 0".into(),
        }
    })
}

/// How many bytes of a packet are captured; 0 for as many as can be.
pub(super) fn snaplen(text: &str) -> Result<u32, String> {
    if text == "0" {
        return Ok(SNAPLEN_MAX);
    }
    let number = number(SNAPLEN_MIN..=SNAPLEN_MAX)(text);
    number.map_err(|words| format!("{words}, or 0 for {SNAPLEN_MAX}"))
}

/// The name of a tap point.
pub(super) fn vantage(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must be a tap point: NODE/veth12, NAMESPACE/POD/eth0 or eth0".into());
    }
    Ok(text.to_owned())
}

const TIME: &str = "must be a time: a number with ns, us, ms, s, m or h, as 500ms or 1h30m, or \
                    a number of seconds";
const MOMENT: &str = "must be a point in time as 2026-11-24T12:00:00Z, a time of the day as \
                      12:00:00, or a time after the begin as +10s";
const SPAN: &str = "must be a number of packets above 0, as 100, or a time with ns, us, ms, s, m \
                    or h, as 10s or 1h30m";
const OFFSET: &str = "must be NODE=TIME, a time with ns, us, ms, s, m or h, as worker2=-1.5ms";
const OUT_OF_BOUNDS: &str = "must be more than nothing and less than a year, for example 10s";

/// A length of time: `500ms`, `10s`, `1h30m`; plain numbers are seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    positive(time(text).ok_or(TIME)?)
}

/// A length of time with a sign; none if the text is no such.
fn time(text: &str) -> Option<SignedDuration> {
    let is_plain = text.ends_with(|c: char| c.is_ascii_digit());
    let time = if is_plain {
        format!("{text}s").parse()
    } else {
        text.parse::<SignedDuration>()
    };
    time.ok()
}

fn positive(time: SignedDuration) -> Result<Duration, String> {
    Duration::try_from(time)
        .ok()
        .filter(|duration| !duration.is_zero() && time < TIME_MAX)
        .ok_or_else(|| OUT_OF_BOUNDS.into())
}

/// The name of an interface, which may be any bytes, as it is shown, or a pattern.
pub(super) fn interface() -> impl TypedValueParser<Value = TapName> {
    OsStringValueParser::new().try_map(|name| {
        let name = escape_bytes(name.as_bytes()).parse().ok();
        name.ok_or("must be an interface as ip link shows it, as cni0, 'veth*' or default/web/eth0")
    })
}

/// A power of two of MiB.
pub(super) fn mebibytes(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|mib: &u32| mib.is_power_of_two() && *mib <= 1024)
        .ok_or_else(|| "must be a power of two from 1 to 1024 (MiB)".into())
}

/// A UDP port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port: &u16| *port > 0)
        .ok_or_else(|| "must be a port from 1 to 65535".into())
}

/// A share of one in N, as `1/10` or `10`: returns N.
pub(super) fn share(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("1/").unwrap_or(text);
    number
        .parse()
        .ok()
        .filter(|share: &u32| *share > 0)
        .ok_or_else(|| "must be 1/N with N from 1 to 4294967295, for example 1/10".into())
}

/// A rate per second: `20000`, `50k`, `1M`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(factor))
        .filter(|rate| *rate > 0)
        .ok_or_else(|| "must be a whole number above 0, for example 20000, 50k or 1M".into())
}

/// A size in bytes: `64KiB`, `100MB`, `2GiB`; plain numbers are bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" | "K" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" | "M" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" | "G" => 1 << 30,
        _ => {
            let accepted = "must be a size: a number with kB, MB, GB, KiB, MiB or GiB, as 100MB, \
                            or a number of bytes";
            return Err(accepted.into());
        }
    };
    number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(factor))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "must be more than nothing and less than 16 EiB, for example 100MB".into())
}

/// The name of a pool of nodes, which becomes that of a folder.
pub(super) fn pool(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=63).contains(&text.len()) && text.bytes().all(is_plain);
    if is_name && !text.starts_with('.') {
        return Ok(text.into());
    }
    Err("must be letters, digits, '-', '_' and '.', 63 at most, for example workers".into())
}

/// The size at which a file rotates; large enough for the data that each file repeats.
pub(super) fn rotate_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|bytes| {
        let is_enough = bytes >= ROTATE_MIN;
        is_enough.then_some(bytes).ok_or_else(|| {
            "must be at least 100kB: each file repeats names and interfaces".to_owned()
        })
    })
}

/// A point in time: RFC 3339, a time of the day, or `+10s`.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(after) = text.strip_prefix('+') {
        return positive(time(after).ok_or(MOMENT)?).map(Moment::AfterBegin);
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(timestamp.as_nanosecond())
            .map(Moment::Utc)
            .map_err(|_too_far| "must be from 1970 to 2554".into());
    }
    let time = text.parse::<jiff::civil::Time>();
    time.map(Moment::OfDay).map_err(|_no_time| MOMENT.into())
}

/// A number of packets, or a length of time with its unit.
pub(super) fn span(text: &str) -> Result<Span, String> {
    if text.chars().all(|c| c.is_ascii_digit()) {
        let packets = text.parse().ok().filter(|packets| *packets > 0);
        return packets.map(Span::Packets).ok_or_else(|| SPAN.into());
    }
    positive(time(text).ok_or(SPAN)?).map(Span::Time)
}

/// `NODE=TIME`, the time with a sign: nanoseconds.
pub(super) fn offset(text: &str) -> Result<(String, i64), String> {
    let (node, offset) = text.rsplit_once('=').ok_or(OFFSET)?;
    let offset = time(offset).ok_or(OFFSET)?;
    let ns = i64::try_from(offset.as_nanos()).ok();
    let ns = ns.filter(|_| offset.abs() < TIME_MAX);
    Ok((node.to_owned(), ns.ok_or("must be less than a year")?))
}

/// A speed factor.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|factor: &f64| factor.is_finite() && *factor > 0.0)
        .ok_or_else(|| "must be a number above 0, for example 0.5".into())
}

const ROTATE_MIN: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_their_range() {
        let number = number(132..=9216_u32);
        assert_eq!((number("132"), number("9216")), (Ok(132), Ok(9216)));
        for bad in ["", "131", "9217", "x", "-1", "1e3", "99999999999999999999"] {
            let error = number(bad).unwrap_err();
            assert_eq!(error, "must be a whole number from 132 to 9216", "{bad}");
        }
        assert_eq!(count("18446744073709551615"), Ok(u64::MAX));
        for bad in ["", "0", "-1", "x", "18446744073709551616"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("500ms").unwrap().as_millis(), 500);
        assert_eq!(duration("1.5").unwrap().as_millis(), 1500);
        assert_eq!(duration("2m").unwrap().as_secs(), 120);
        for (text, ns) in [
            ("10s", 10_000_000_000),
            ("3h", 10_800_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5ms", 1_500_000),
            ("20us", 20_000),
            ("20µs", 20_000),
            ("7ns", 7),
        ] {
            assert_eq!(duration(text).unwrap().as_nanos(), ns, "{text}");
        }
        for bad in [
            "",
            "s",
            "1x",
            "0",
            "0s",
            "-1s",
            "1.2.3s",
            "9999999h",
            "99999999999999999999s",
            "1y",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_describe_the_accepted_values() {
        let message = [
            duration("abc").unwrap_err(),
            duration("").unwrap_err(),
            moment("2026-11-24").unwrap_err(),
            moment("+abc").unwrap_err(),
            moment("-10s").unwrap_err(),
            span("abc").unwrap_err(),
            span("0").unwrap_err(),
            span("").unwrap_err(),
            offset("abc").unwrap_err(),
            offset("node=abc").unwrap_err(),
            size("abc").unwrap_err(),
            rotate_size("1XB").unwrap_err(),
        ];
        for message in message {
            let (kind, example) = message.split_once(" as ").unwrap();
            assert!(
                kind.starts_with("must be ") && !example.is_empty(),
                "{message}"
            );
        }
    }

    #[test]
    fn offsets_have_signs() {
        for (text, ns) in [
            ("n=-1.5ms", -1_500_000),
            ("n=+2s", 2_000_000_000),
            ("n=3", 3_000_000_000),
            ("n=0", 0),
            ("n=-0", 0),
        ] {
            assert_eq!(offset(text), Ok(("n".to_owned(), ns)), "{text}");
        }
        for bad in ["n", "n=", "n=-", "n=--1s", "n=+-1s", "n=1x", "n=9000h"] {
            assert!(offset(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_read() {
        let after = Moment::AfterBegin(Duration::from_secs(10));
        assert_eq!(moment("+10s"), Ok(after));
        assert_eq!(
            moment("1970-01-01T00:00:01Z"),
            Ok(Moment::Utc(1_000_000_000))
        );
        assert!(matches!(moment("12:00:00"), Ok(Moment::OfDay(_))));
        for bad in ["", "+", "+-1s", "10s", "noon", "1969-01-01T00:00:00Z"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        assert_eq!(span("100"), Ok(Span::Packets(100)));
        assert_eq!(span("10s"), Ok(Span::Time(Duration::from_secs(10))));
        assert!(span("0").is_err() && span("x").is_err());
    }

    #[test]
    fn buffer_sizes_are_powers_of_two() {
        assert_eq!(mebibytes("16"), Ok(16));
        for bad in ["0", "3", "2048", "x"] {
            assert!(mebibytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_and_rates_are_read() {
        assert_eq!((share("1/10"), share("3")), (Ok(10), Ok(3)));
        assert_eq!((rate("500"), rate("50k")), (Ok(500), Ok(50_000)));
        assert_eq!(rate("2M"), Ok(2_000_000));
        for bad in ["", "0", "1/0", "2/3", "-1", "k", "ä", "1/99999999999"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "k", "1.5k", "-1", "9k9", "99999999999999999999M"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("100MB"), Ok(100_000_000));
        for bad in ["", "0", "1x", "99999999999GiB", "-1"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(rotate_size("99kB").is_err());
    }
}
