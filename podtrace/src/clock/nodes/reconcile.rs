//! Makes clocks that satisfy the bounds of one other clock satisfy those of all.
use std::borrow::Cow;

use super::affine::Affine;
use super::edge::{Edge, Packets, between};
use super::hull::{Hulls, Slope};
use super::region::Region;

/// How many times each clock may move.
const ROUNDS: usize = 64;

/// A clock that may move.
pub(super) struct Movable {
    pub(super) session: usize,
    pub(super) limit: Slope,
}

/// Moves `lines` (one for each session) until no packet of `edges` (each with the session that
/// it measures) enters a node before or when it left the other.
///
/// Each line in turn moves to the middle of what the others allow, or as near to that as
/// possible. This converges quickly where lines exist that satisfy all bounds. None if it
/// does not converge.
pub(super) fn reconcile(
    mut lines: Vec<Affine>,
    movable: &[Movable],
    edges: &[(usize, Edge)],
) -> Option<Vec<Affine>> {
    for _ in 0..ROUNDS {
        let mut moved = false;
        for &Movable { session, limit } in movable {
            let hulls = hulls_of(session, &lines, edges);
            let line = lines.get_mut(session)?;
            if !keeps_to(*line, &hulls) {
                moved = true;
                *line = match Region::new(&hulls, limit) {
                    Some(Err(conflict)) => conflict.middle(),
                    _ => between(&hulls, limit)?,
                };
            }
        }
        if !moved {
            return Some(lines);
        }
    }
    None
}

/// The bounds on one clock if all others are right.
fn hulls_of(session: usize, lines: &[Affine], edges: &[(usize, Edge)]) -> Hulls {
    let hulls: Vec<Hulls> = edges
        .iter()
        .filter_map(|(child, edge)| {
            let (packets, other) = if *child == session {
                (Cow::Borrowed(&edge.kept), edge.via)
            } else if edge.via == session {
                (Cow::Owned(edge.kept.reversed()), *child)
            } else {
                return None;
            };
            let packets: &Packets = &packets;
            Some(packets.hulls(*lines.get(other)?))
        })
        .collect();
    Hulls::union(hulls.iter())
}

/// Whether the line satisfies the bounds in whole nanoseconds, as times are printed.
fn keeps_to(line: Affine, hulls: &Hulls) -> bool {
    let correction = |x: i64| line.to_reference(x.into()) - i128::from(x);
    let above = hulls
        .above
        .iter()
        .all(|point| correction(point.x) <= point.y.into());
    above
        && hulls
            .below
            .iter()
            .all(|point| correction(point.x) >= point.y.into())
}
