//! The text exposition format, version 0.0.4.
use std::fmt::{self, Display, Write as _};

use super::{
    counts::Counts,
    hops::{BOUNDS_NS, Histogram, Labels},
};
use crate::{path::Outcome, session::progress::Progress};

/// The type of what is served.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, each with its help and its type before it.
pub(super) fn text(counts: &Counts, recording: Option<&Progress>) -> String {
    let mut page = Page(String::with_capacity(8192));
    page.begin(
        "podtrace_build_info",
        Kind::Gauge,
        "Version of podtrace, always 1.",
    );
    page.sample(
        "podtrace_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
    events(&mut page, counts);
    paths(&mut page, counts);
    page.begin(
        LATENCY,
        Kind::Histogram,
        "Time from one hop to the next on certain paths, by the workload of the first pod on \
         the path and by the roles of both interfaces.",
    );
    let bounds = BOUNDS_NS.map(|ns| Seconds(ns).to_string());
    for (labels, histogram) in counts.hops.each() {
        latency(&mut page, &bounds, &labels, histogram);
    }
    if let Some(progress) = recording {
        recorded(&mut page, progress);
    }
    page.0
}

const LATENCY: &str = "podtrace_hop_latency_seconds";

fn events(page: &mut Page, counts: &Counts) {
    let taps = &counts.taps;
    for (name, help, value) in [
        (
            "podtrace_events_seen_total",
            "Packets that taps have seen: once for each tap on their way.",
            taps.seen,
        ),
        (
            "podtrace_events_emitted_total",
            "Events: packets at taps that podtrace has read.",
            taps.emitted,
        ),
        (
            "podtrace_events_filtered_total",
            "Packets at taps that were not asked for.",
            taps.filtered,
        ),
    ] {
        page.counter(name, help, value);
    }
    let name = "podtrace_events_lost_total";
    page.begin(
        name,
        Kind::Counter,
        "Packets at taps that podtrace has lost, by reason.",
    );
    page.sample(name, &[("reason", "no_room")], taps.lost_ring);
    page.sample(name, &[("reason", "undecodable")], taps.undecodable);
}

fn paths(page: &mut Page, counts: &Counts) {
    let name = "podtrace_paths_total";
    page.begin(
        name,
        Kind::Counter,
        "Paths of packets that have ended, by outcome, and by cause where one did not arrive or was refused.",
    );
    for (outcome, count) in Outcome::NAMES.iter().zip(counts.paths) {
        page.sample(name, &[("outcome", outcome), ("cause", "")], count);
    }
    for ((outcome, cause), count) in &counts.caused {
        let outcome = Outcome::NAMES.get(*outcome).copied().unwrap_or_default();
        page.sample(name, &[("outcome", outcome), ("cause", cause)], *count);
    }
    let name = "podtrace_paths_corrected_total";
    page.begin(
        name,
        Kind::Counter,
        "Paths that were counted again with what became of them later, by the outcome that they \
         were first counted with.",
    );
    for (outcome, count) in Outcome::NAMES.iter().zip(counts.corrected) {
        page.sample(name, &[("outcome", outcome)], count);
    }
    page.counter(
        "podtrace_paths_incomplete_total",
        "Paths that may lack hops.",
        counts.incomplete,
    );
}

fn latency(page: &mut Page, bounds: &[String], labels: &Labels<'_>, histogram: &Histogram) {
    let own = [
        ("namespace", labels.namespace),
        ("workload", labels.workload),
        ("from", labels.from),
        ("to", labels.to),
    ];
    let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
    let mut until = 0;
    for (bound, count) in bounds.zip(histogram.buckets) {
        until += count;
        let [namespace, workload, from, to] = own;
        let labels = [namespace, workload, from, to, ("le", bound)];
        page.sample("podtrace_hop_latency_seconds_bucket", &labels, until);
    }
    let sum = Seconds(histogram.sum_ns);
    page.sample("podtrace_hop_latency_seconds_sum", &own, sum);
    page.sample("podtrace_hop_latency_seconds_count", &own, until);
}

fn recorded(page: &mut Page, progress: &Progress) {
    for (name, help, value) in [
        (
            "podtrace_recording_events_total",
            "Events recorded, or queued for that.",
            progress.events,
        ),
        (
            "podtrace_recording_lost_events_total",
            "Events that are not in the recording: its disk was full or too slow.",
            progress.not_recorded,
        ),
        (
            "podtrace_recording_written_bytes_total",
            "Bytes written to the files of the recording.",
            progress.bytes,
        ),
        (
            "podtrace_recording_files_total",
            "Files of the recording that were begun.",
            progress.files,
        ),
        (
            "podtrace_recording_deleted_files_total",
            "Old files that were deleted, for the limits or on a full disk.",
            progress.deleted,
        ),
    ] {
        page.counter(name, help, value);
    }
}

/// The type of a metric.
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far.
struct Page(String);

// Writing to a String cannot fail.
impl Page {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", Escaped(text));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, Kind::Counter, help);
        self.sample(name, &[], value);
    }
}

/// Nanoseconds as seconds, with all their digits.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ns) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let digits = format!("{seconds}.{ns:09}");
        f.write_str(digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The value of a label, as the format has it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
