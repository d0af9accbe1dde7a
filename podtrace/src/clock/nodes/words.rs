//! Describes clocks for people.
use super::{Basis, Clock};
use crate::text::count::counted;

impl Clock {
    /// Describes the clock of `session` at its time `ts_ns` in one line, as `clock of b: 184.2
    /// µs ahead of a's, ± 12.0 µs, drift +3.1 ± 0.4 ppm, …`.
    /// The names, one for each session, must be safe for a terminal already.
    #[must_use]
    pub fn describe<N: AsRef<str>>(&self, session: usize, names: &[N], ts_ns: u64) -> String {
        let name = |session: usize| names.get(session).map_or("?", AsRef::as_ref);
        let (own, reference) = (name(session), name(0));
        let offset = || offset(self.line.offset_ns(ts_ns));
        let what = match self.basis {
            Basis::Reference => "the reference".to_owned(),
            Basis::Given => format!("{} {reference}'s, as given", offset()),
            Basis::Measured { via, .. } | Basis::OneWay { via, .. }
                if self.is_without_reference() =>
            {
                let via = name(via);
                format!("unknown: measured only against that of {via}, which is unknown")
            }
            Basis::Measured {
                via,
                there,
                back,
                outliers,
            } => {
                let mut text = format!(
                    "{} {reference}'s, {}, from {} there and {back} back",
                    offset(),
                    self.accuracy(ts_ns),
                    packets(there)
                );
                if via != 0 {
                    text += &format!(", by way of {}", name(via));
                }
                if outliers > 0 {
                    text += &format!(", {outliers} of them set aside as contradictory");
                }
                text
            }
            Basis::Inconsistent {
                via,
                there,
                back,
                worst_ns,
            } => format!(
                "unknown: {} from {} and {back} back contradict each other (was a clock set?); \
                 taken as {} {reference}'s, which leaves packets up to {} too early",
                packets(there),
                name(via),
                offset(),
                duration(worst_ns.into()),
            ),
            Basis::OneWay {
                via,
                back,
                bound_ns,
                ..
            } => {
                let (from, to) = if back == 0 {
                    (name(via), own)
                } else {
                    (own, name(via))
                };
                let bound = bound_ns.map_or_else(String::new, |bound_ns| {
                    format!("; {} {reference}'s", limit(bound_ns.into(), back == 0))
                });
                format!("unknown: packets went only from {from} to {to}{bound}")
            }
            Basis::Likely => format!(
                "unknown: only packets that have equals were seen both there and at another \
                 node; taken as {} {reference}'s, as if they had kept their order",
                offset()
            ),
            Basis::Unmeasured => {
                "unknown: no packet was seen both there and at another node".to_owned()
            }
            Basis::WithoutDirections => format!(
                "unknown: packets were seen both there and at another node, but the files do \
                 not show which way they went; taken as {reference}'s \
                 (--clock-offset {own}=TIME sets it)"
            ),
        };
        format!("clock of {own}: {what}")
    }

    /// Whether it was measured against a clock that is not known.
    fn is_without_reference(&self) -> bool {
        match self.basis {
            Basis::Measured { .. } => !self.is_known(),
            Basis::OneWay { bound_ns, .. } => bound_ns.is_none(),
            _ => false,
        }
    }

    fn accuracy(&self, ts_ns: u64) -> String {
        let uncertainty = self.line.uncertainty_ns(ts_ns).unwrap_or(u64::MAX);
        format!(
            "± {}, drift {:+.1} ± {:.1} ppm",
            duration(uncertainty.into()),
            // Without the sign of a zero.
            (self.line.drift_ppm() * 10.0).round() / 10.0 + 0.0,
            // Rounded up, as it is a bound.
            (self.line.drift_uncertainty_ppm().unwrap_or(f64::INFINITY) * 10.0).ceil() / 10.0,
        )
    }
}

fn packets(count: usize) -> String {
    counted(count as u64, "packet")
}

fn offset(ns: i128) -> String {
    let side = if ns < 0 { "behind" } else { "ahead of" };
    format!("{} {side}", duration(ns.unsigned_abs()))
}

/// `at most 3.0 µs ahead of`: a bound on how far it is ahead.
fn limit(ns: i128, upper: bool) -> String {
    let bound = if upper == (ns >= 0) {
        "at most"
    } else {
        "at least"
    };
    format!("{bound} {}", offset(ns))
}

/// A time that may be negative, with its sign.
#[must_use]
pub fn signed_duration(ns: i128) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    format!("{sign}{}", duration(ns.unsigned_abs()))
}

/// A duration in the unit that keeps it short.
#[must_use]
pub fn duration(ns: u128) -> String {
    const MINUTE: u128 = 60_000_000_000;
    let (hours, minutes, rest) = (ns / (60 * MINUTE), ns / MINUTE % 60, ns % MINUTE);
    let seconds = format!(
        "{}.{:06} s",
        rest / 1_000_000_000,
        rest % 1_000_000_000 / 1000
    );
    match ns {
        0..1_000_000 => format!("{}.{} µs", ns / 1000, ns % 1000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{:03} ms", ns / 1_000_000, ns % 1_000_000 / 1000),
        _ if hours > 0 => format!("{hours} h {minutes} min {seconds}"),
        _ if minutes > 0 => format!("{minutes} min {seconds}"),
        _ => seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_of_their_size() {
        for (ns, text) in [
            (0, "0.0 µs"),
            (184_250, "184.2 µs"),
            (1_500_000, "1.500 ms"),
            (3_214_567_000, "3.214567 s"),
            (60_000_184_000, "1 min 0.000184 s"),
            (7_380_000_184_999, "2 h 3 min 0.000184 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn bounds_are_worded_by_their_sign() {
        assert_eq!(limit(3000, true), "at most 3.0 µs ahead of");
        assert_eq!(limit(-3000, true), "at least 3.0 µs behind");
        assert_eq!(limit(3000, false), "at least 3.0 µs ahead of");
        assert_eq!(limit(-3000, false), "at most 3.0 µs behind");
    }
}
