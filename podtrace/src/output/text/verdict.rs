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
    for candidate in verdict.cause.could_be() {
        let _ = writeln!(out, "{indent}{candidate}");
    }
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
        Cause::Loop => false,
        Cause::Refused { ref rules, .. } => !rules.is_empty(),
        Cause::Unknown { .. } => matches!(
            verdict.outcome,
            Outcome::NotSeenFurther | Outcome::Unanswered | Outcome::NoSocket
        ),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rules::fixture::healthy,
        verdict::tests::roads::{road, world},
    };

    fn shown(path: &Path, world: &World) -> String {
        let mut out = String::new();
        lines(&mut out, "  ", path, world, Painter { color: false });
        out
    }

    #[test]
    fn cause_next_hop_and_advice_have_a_line_each() {
        let mut facts = healthy();
        for device in &mut facts[0].spaces[0].devices {
            device.settings.ipv4_forward = Some(false);
        }
        facts[0].spaces[0].settings.ipv4_forward = Some(false);
        insta::assert_snapshot!(shown(&road(3).path(), &world(facts)));
    }

    #[test]
    fn what_could_be_the_cause_is_said() {
        insta::assert_snapshot!(shown(&road(3).path(), &world(healthy())));
    }

    #[test]
    fn nothing_is_said_twice_nor_without_facts() {
        let world = world(healthy());
        for outcome in [Outcome::Delivered, Outcome::InFlight, Outcome::Loop] {
            assert_eq!(shown(&road(3).ended(outcome).path(), &world), "");
        }
        let unknown = crate::verdict::tests::roads::world(Vec::new());
        assert_eq!(shown(&road(3).path(), &unknown), "");
    }
}
