//! The lines below an outcome that say why, and what to do.
use std::fmt::Write as _;

use crate::{
    output::paint::{BOLD, DIM, Painter},
    path::{Outcome, Path},
    rules::Cause,
    verdict::{Confidence, Verdict, verdict},
    world::World,
};

/// A line each for the cause, the next hop and the advice, as far as they say more than the
/// outcome does.
pub(super) fn lines(out: &mut String, indent: &str, path: &Path, world: &World, painter: Painter) {
    let Some(verdict) = verdict(path, world).filter(says_more) else {
        return;
    };
    out.push_str(indent);
    painter.on(out, BOLD);
    let _ = write!(out, "cause: {}", verdict.cause);
    painter.off(out, BOLD);
    if verdict.confidence != Confidence::Unknown {
        let _ = write!(out, " ({})", verdict.confidence.as_str());
    }
    out.push('\n');
    if let Some(next) = &verdict.expected_next {
        let (interface, owner) = (&next.place.interface, next.place.owner());
        let direction = next.direction.as_str();
        let _ = writeln!(
            out,
            "{indent}expected next: {interface} {direction} of {owner}"
        );
    }
    if let Some(advice) = &verdict.advice {
        out.push_str(indent);
        painter.on(out, DIM);
        let _ = write!(out, "try: {advice}");
        painter.off(out, DIM);
        out.push('\n');
    }
}

fn says_more(verdict: &Verdict) -> bool {
    match verdict.cause {
        Cause::Loop | Cause::Refused { .. } => false,
        Cause::Unknown { .. } => matches!(
            verdict.outcome,
            Outcome::NotSeenFurther | Outcome::Unanswered | Outcome::NoSocket
        ),
        _ => true,
    }
}
