//! The rooms of podtrace/src, line by line.

/// For each line, its rooms.
pub(super) type Lines<'a> = &'a [&'a [&'a str]];

/// From the highest line to the lowest. A room imports only rooms on lower lines; the lib of
/// podtrace-ebpf is below all of them.
pub(super) const LINES: Lines<'_> = &[
    &["main"],
    &["command", "tests"],
    &["cli"],
    &["lake", "report", "tui"],
    &["export", "metrics", "output", "schema"],
    &["diagnosis", "projection", "stats"],
    &["live", "queue", "replay"],
    &["pipeline"],
    &["findings"],
    &["select", "verdict"],
    &["path"],
    &["bucket", "session", "wire"],
    &["world"],
    &["update"],
    &["agent", "identity", "lab", "node", "probe", "prober"],
    &["cgroup", "netns", "ruleset"],
    &["rules"],
    &["clock", "model"],
    &["packet", "sink"],
    &["filter"],
    &[
        "backoff",
        "cause",
        "field",
        "map",
        "nfnetlink",
        "order",
        "privilege",
        "signals",
        "text",
    ],
];

/// The number of a room's line, 0 for the highest.
pub(super) fn line_of(lines: Lines<'_>, room: &str) -> Option<usize> {
    lines.iter().position(|line| line.contains(&room))
}
