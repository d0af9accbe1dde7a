//! The lines below the hops: how the packet ended, and its round trip.
use std::fmt::Write as _;

use anstyle::Style;

use super::{
    Text,
    dropped::{self, dropped},
    hops::INDENT,
    micros,
    places::Places,
    receivers::{delivered, reached, untaken},
    remarks::{clock_remarks, reason},
    verdict,
};
use crate::{
    output::paint::{BOLD, DIM, GREEN, LOSS, NUMBER, Painter, YELLOW},
    path::{
        Hop, Outcome, Path, RoundTrip,
        ends::{End, Who, node_at, refuser},
        flood::Copies,
    },
    text::names::list,
    verdict::UNTOLD,
    world::World,
};

impl Text {
    /// How it ended, and its round trip: a line for each.
    pub(super) fn outcome(&self, out: &mut String, path: &Path, world: &World) {
        self.outcome_lines(out, INDENT, path, world);
    }

    /// [`Self::outcome`] with something else before each line.
    pub(crate) fn outcome_lines(&self, out: &mut String, indent: &str, path: &Path, world: &World) {
        if has_words(path) {
            out.push_str(indent);
            self.painted_outcome(out, path, world);
            out.push('\n');
        }
        verdict::lines(out, indent, path, world, self.painter());
        // Also where the outcome is unknown: another tool's capture tells as much.
        if let Some(round_trip) = path.measured_trip() {
            let painter = self.painter();
            out.push_str(indent);
            painter.on(out, BOLD);
            round_trip_text(out, round_trip, world, painter);
            painter.off(out, BOLD);
            out.push('\n');
        }
    }

    /// The outcome in words, in its colour.
    pub(super) fn painted_outcome(&self, out: &mut String, path: &Path, world: &World) {
        let style = outcome_style(path.outcome);
        let painter = self.painter();
        painter.on(out, style);
        self.outcome_text(out, path, world);
        painter.off(out, style);
    }

    fn outcome_text(&self, out: &mut String, path: &Path, world: &World) {
        let _ = match path.outcome {
            Outcome::Delivered => {
                delivered(out, path, world);
                Ok(())
            }
            Outcome::NoSocket => {
                out.push_str("reached ");
                reached(out, path, world);
                out.push_str(", no container's socket took it");
                clock_remarks(out, path, world);
                Ok(())
            }
            Outcome::LeftForVtep(vtep) => {
                let last_ns = path.last_ns();
                match node_at(vtep, last_ns, world) {
                    Some(node) => write!(out, "left the node for {node} ({vtep})"),
                    None => write!(out, "left the node for VTEP {vtep}"),
                }
            }
            Outcome::LeftNode => out.write_str("left the node"),
            Outcome::NotSeenFurther => {
                write!(out, "not seen further after {}", last_place(path, world))
            }
            Outcome::Dropped => {
                dropped(out, path, &last_place(path, world), world);
                if path.late_of.is_some() && path.lateness_ns().is_none() {
                    out.push_str(" (corrects what was shown before)");
                }
                Ok(())
            }
            Outcome::Unknown if path.mixes_fragments && !path.incomplete => write!(
                out,
                "unknown: fragments of several packets with its identification were mixed at {}",
                last_place(path, world)
            ),
            Outcome::Unknown if path.lacks_fragments && !path.incomplete => write!(
                out,
                "unknown: other fragments of its packet were not seen at {}",
                last_place(path, world)
            ),
            Outcome::NoReceiver | Outcome::Unknown if path.is_untaken && !path.incomplete => {
                untaken(out, path, world);
                Ok(())
            }
            Outcome::NoReceiver => {
                write!(
                    out,
                    "no receiver expected after {}",
                    last_place(path, world)
                )
            }
            Outcome::EventsLost => {
                out.write_str("incomplete: events were lost, it may have gone on")
            }
            Outcome::GivenUp => {
                out.write_str("given up, it may have gone on: too many packets under way at once")
            }
            Outcome::InFlight => out.write_str("still under way when the trace ended"),
            Outcome::Refused => {
                self.refused(out, path, world);
                Ok(())
            }
            Outcome::Unanswered => {
                unanswered(out, path, world);
                Ok(())
            }
            Outcome::Loop => {
                out.push_str("loop: ");
                came_by(out, path, world);
                Ok(())
            }
            Outcome::Unknown if path.incomplete => out.write_str("unknown: hops may be missing"),
            Outcome::Unknown if path.is_reassembled => write!(
                out,
                "unknown: may be reassembled after {}",
                last_place(path, world)
            ),
            Outcome::Unknown if path.is_untold => write!(out, "unknown: {UNTOLD}"),
            Outcome::Unknown if path.is_unrecorded => {
                unrecorded(out, path, world);
                Ok(())
            }
            Outcome::Unknown => Ok(()),
        };
        if path.outcome != Outcome::Loop && path.circle.is_some() {
            out.push_str(", ");
            came_by(out, path, world);
        }
        let tells_so = matches!(
            path.outcome,
            Outcome::EventsLost | Outcome::GivenUp | Outcome::InFlight | Outcome::Unknown
        );
        if path.outcome != Outcome::Refused && path.refusal.is_some() {
            out.push_str(", ");
            self.refused(out, path, world);
        }
        if path.outcome == Outcome::Refused
            && let Some(dropped) = &path.dropped
        {
            out.push_str(" (dropped: ");
            dropped::reason(out, path, dropped, world);
            out.push(')');
        }
        if path.fragment_of.is_some_and(|of| of.is_lost_with_it) {
            out.push_str(" (with the first fragment)");
        }
        if let Some(ns) = path.lateness_ns() {
            let had_left = path.late_of.is_some_and(|before| before.outcome.has_left());
            out.push_str(if had_left {
                " (came back after "
            } else {
                " (seen again after "
            });
            micros(out, ns);
            out.push_str(if had_left {
                ", corrects what was shown before)"
            } else {
                ": was slow, not lost)"
            });
        } else if path.outcome == Outcome::Delivered
            && path.late_of.is_some()
            && path.refusal.is_none()
        {
            // The rest of its packet came later.
            out.push_str(" (was slow, not lost)");
        }
        if path.incomplete && !tells_so {
            out.push_str(" (hops may be missing)");
        }
    }

    /// `refused by worker1 (10.244.1.1) after cni0 ingress: fragmentation needed, MTU 1450`
    fn refused(&self, out: &mut String, path: &Path, world: &World) {
        let Some(refusal) = &path.refusal else {
            return;
        };
        let by = refuser(refusal, world);
        let is_reset = refusal.reason.is_reset();
        out.push_str(if refusal.reason.is_refusal() {
            "refused by "
        } else {
            "reported by "
        });
        self.end(out, &by, !is_reset, outcome_style(path.outcome));
        if path.outcome == Outcome::Refused {
            place(out, path, &by, world);
        }
        out.push_str(": ");
        reason(out, refusal);
        let is_slow = path.outcome != Outcome::Refused && path.lateness_ns().is_some();
        if path.late_of.is_some() && !is_slow {
            let last_ns = path.last_ns();
            out.push_str(" (after ");
            micros(out, refusal.ts_ns.saturating_sub(last_ns));
            out.push_str(", corrects what was shown before)");
        }
    }
}

/// What an outcome means to who looks for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    /// The packet was lost, or podtrace lost it.
    Lost,
    /// It was refused, or nobody took it.
    Refused,
    /// It arrived, or left.
    Arrived,
    /// Nothing is to be said of it.
    Open,
}

impl Tone {
    /// The tone of an outcome.
    pub(crate) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered | Outcome::LeftForVtep(_) | Outcome::LeftNode => Self::Arrived,
            Outcome::Dropped | Outcome::Loop | Outcome::NotSeenFurther | Outcome::EventsLost => {
                Self::Lost
            }
            Outcome::NoSocket | Outcome::Refused | Outcome::Unanswered | Outcome::GivenUp => {
                Self::Refused
            }
            Outcome::InFlight | Outcome::NoReceiver | Outcome::Unknown => Self::Open,
        }
    }
}

/// The style of an outcome.
pub(crate) fn outcome_style(outcome: Outcome) -> Style {
    match Tone::of(outcome) {
        Tone::Arrived => GREEN,
        Tone::Lost => LOSS,
        Tone::Refused => YELLOW,
        Tone::Open => DIM,
    }
}

/// Whether there is anything to say of how it ended.
pub(super) fn has_words(path: &Path) -> bool {
    path.outcome != Outcome::Unknown
        || path.incomplete
        || path.is_reassembled
        || path.is_untold
        || path.is_unrecorded
        || path.lacks_fragments
        || path.is_untaken
}

/// `unknown: only some packets were recorded at worker2`, which has not seen it.
fn unrecorded(out: &mut String, path: &Path, world: &World) {
    out.push_str("unknown: only some packets were recorded");
    let nodes = path.hops.iter().filter_map(|hop| {
        let point = world.tap_points.get(hop.interface)?;
        Some(point.node)
    });
    let mut others = world.partly_recorded.clone();
    for node in nodes {
        others.remove(&node);
    }
    let names = others.iter().filter_map(|node| world.nodes.get(*node));
    let names: Vec<_> = names.collect();
    if !names.is_empty() {
        let _ = write!(out, " at {}", list(&names));
    }
}

/// `nobody answered: default/web, who has 10.244.2.7, was not seen to be asked`
/// `reached default/web, its socket was not seen to answer: the accept queue may be full`
fn unanswered(out: &mut String, path: &Path, world: &World) {
    let Some(question) = path.packet.question() else {
        out.push_str("reached ");
        reached(out, path, world);
        out.push_str(", its socket was not seen to answer: the accept queue may be full");
        return clock_remarks(out, path, world);
    };
    out.push_str("nobody answered: ");
    let (about, last_ns) = (question.about, path.last_ns());
    let holder = world.identities.likely_holder_at(about, last_ns);
    let name = holder.and_then(|holder| match holder.netns {
        Some(netns) => Some(world.identities.pod(netns)),
        None => world.node_name(holder.node),
    });
    let _ = match name {
        Some(name) => write!(out, "{name}, who has {about}, was not seen to be asked"),
        None => write!(out, "nobody is known to have {about}"),
    };
}

/// `came by veth0101 ingress of worker1 31 times`
fn came_by(out: &mut String, path: &Path, world: &World) {
    let Some(circle) = path.circle else {
        return;
    };
    let tap = path.hops.get(circle.hop).and_then(|hop| tap(hop, world));
    if let Some(tap) = tap {
        let _ = write!(out, "came by {tap} {} times", circle.times);
    }
}

/// `veth0101 ingress of worker1`
fn tap(hop: &Hop, world: &World) -> Option<String> {
    world.tap_in_words(hop.interface, hop.direction)
}

/// Where the packet was seen last, unless that is in the pod that refused it.
fn place(out: &mut String, path: &Path, by: &End, world: &World) {
    let last = path.hops.last();
    let Some((hop, point)) = last.and_then(|hop| Some((hop, world.tap_points.get(hop.interface)?)))
    else {
        return;
    };
    let owner = world.owner_of(point);
    let is_there = match &by.who {
        Who::Pod(name) | Who::Node(name) => *name == owner,
        Who::On(_) | Who::Unknown => false,
    };
    if is_there && point.in_pod {
        return;
    }
    let _ = write!(out, " after {} {}", point.name, hop.direction.as_str());
    if !is_there {
        let _ = write!(out, " of {owner}");
    }
}

fn last_place(path: &Path, world: &World) -> String {
    let last = Copies::of(path, world).last(path);
    last.and_then(|hop| tap(hop, world)).unwrap_or_default()
}

/// `RTT 64.2 µs: mypod1/eth0~veth1 3.1 µs, veth1~cni0 2.0 µs, beyond cni0 59.1 µs`, amid a bold
/// text.
fn round_trip_text(out: &mut String, round_trip: &RoundTrip, world: &World, painter: Painter) {
    let points = round_trip.at.iter();
    let places = Places::new(
        points.map(|(interface, _)| world.tap_points.get(*interface)),
        world,
    );
    let mut text = String::new();
    let mut time = |out: &mut String, ns: u64| {
        text.clear();
        micros(&mut text, ns);
        painter.within(out, BOLD, NUMBER, &text);
    };
    out.push_str("RTT ");
    time(out, round_trip.total_ns());
    for (number, pair) in round_trip.at.windows(2).enumerate() {
        if let [(_, here_ns), (_, next_ns)] = pair {
            out.push_str(if number == 0 { ": " } else { ", " });
            places.write(out, number);
            out.push('~');
            places.write(out, number + 1);
            out.push(' ');
            time(out, here_ns.saturating_sub(*next_ns));
        }
    }
    if let [_, .., (_, rest)] = &round_trip.at[..] {
        out.push_str(", beyond ");
        places.write(out, places.count() - 1);
        out.push(' ');
        time(out, *rest);
    }
}
