//! The rooms of podtrace/src, line by line.

/// Rooms that are on one line, for each line.
pub(super) type Lines<'a> = &'a [&'a [&'a str]];

/// From the highest line to the lowest. A room imports those on lower lines only; below
/// them all is the lib of podtrace-ebpf.
pub(super) const LINES: Lines<'_> = &[
    &["main"],
    &["command", "tests"],
    &["cli"],
    &["export", "output"],
    &["projection", "stats"],
    &["live", "replay"],
    &["pipeline"],
    &["path"],
    &["session"],
    &["world"],
    &["update"],
    &["identity", "lab", "node", "probe"],
    &["cgroup", "netns"],
    &["clock", "model"],
    &["packet", "sink"],
    &[
        "backoff",
        "cause",
        "field",
        "map",
        "privilege",
        "signals",
        "text",
    ],
];

/// The number of a room's line, 0 for the highest.
pub(super) fn line_of(lines: Lines<'_>, room: &str) -> Option<usize> {
    lines.iter().position(|line| line.contains(&room))
}
