//! Directions by their names.
use podtrace_ebpf::record::Direction;

/// The direction that a name stands for.
#[must_use]
pub fn direction_named(name: &str) -> Option<Direction> {
    let mut all = Direction::ALL.into_iter();
    all.find(|direction| direction.as_str() == name)
}
