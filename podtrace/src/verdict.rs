//! Where a packet died, and why: the last hop, the next one that it should have reached, the
//! cause, and what to do.
//!
//! Pure: a path, the facts of the nodes and the kernel's records of drops in, a verdict out. The
//! facts decide where the next hop is; a cause that they do not show is unknown, with what
//! podtrace does not see as candidates.
mod answered;
mod firewall;
mod onward;
mod question;
pub mod reasons;
mod rejected;
mod step;

use std::{net::IpAddr, sync::Arc};

use podtrace_ebpf::record::Direction;

use crate::{
    model::{drop::KernelDrop, facts::NodeFacts, tables::RouteKind, tap_point::TapPoint},
    path::{Hop, Outcome, Path},
    rules::{Candidate, Cause, Owner, Place, View, link, route},
    world::World,
};
pub use answered::{refused_by, silent_owner};
pub(crate) use firewall::no_rule;
pub use onward::{first_hop, onward, unanswered};
use question::Question;
use step::{State, Step};

/// Steps beyond the last hop through interfaces without a tap.
const STEPS_MAX: usize = 8;

/// A tap by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The interface.
    pub place: Place,
    /// The direction there.
    pub direction: Direction,
}

impl Tap {
    /// The tap of a hop.
    pub(crate) fn of(hop: &Hop, point: &TapPoint, world: &World) -> Self {
        Self {
            place: Place {
                node: Arc::clone(&point.node_name),
                pod: world.pod_of(point),
                interface: Arc::clone(&point.name),
                path: None,
            },
            direction: hop.direction,
        }
    }
}

/// How sure a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Facts or the kernel say so, and nothing speaks against it.
    Sure,
    /// Facts say so, but another way was possible, or the view is not whole.
    Likely,
    /// The cause is not known.
    Unknown,
}

impl Confidence {
    /// Its name in text and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sure => "sure",
            Self::Likely => "likely",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How its path ended.
    pub outcome: Outcome,
    /// The last tap that saw it on its way, not counting copies for others.
    pub last_hop: Option<Tap>,
    /// The tap that should have seen it next.
    pub expected_next: Option<Tap>,
    /// Why it did not.
    pub cause: Cause,
    /// How sure that is.
    pub confidence: Confidence,
    /// What it is based on, one statement each.
    pub evidence: Vec<String>,
    /// A command or words to check or mend it.
    pub advice: Option<String>,
}

impl Verdict {
    /// The neighbour whose answer the packet may wait for, where no other cause is known.
    #[must_use]
    pub fn waits_for(&self) -> Option<IpAddr> {
        let Cause::Unknown { candidates, .. } = &self.cause else {
            return None;
        };
        candidates.iter().find_map(Candidate::neighbour)
    }

    /// Whether the packet may only wait where it was last: nothing says that it was dropped, and a
    /// shaper is there.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        let is_unknown = matches!(self.cause, Cause::Unknown { .. });
        is_unknown
            && self.outcome == Outcome::NotSeenFurther
            && self.cause.candidates().iter().any(Candidate::is_shaper)
    }
}

/// The verdict on a path by what is known of the network; none if it arrived or left, or if
/// nothing is known of its nodes.
#[must_use]
pub fn verdict(path: &Path, world: &World) -> Option<Verdict> {
    if !is_judged(path, world) {
        return None;
    }
    with_view(world, |view| judge(path, view, world))
}

/// Calls with the facts that the world has.
pub(crate) fn with_view<T>(world: &World, call: impl FnOnce(View<'_>) -> T) -> T {
    let nodes: Vec<&NodeFacts> = world.facts.values().map(Arc::as_ref).collect();
    let pods = |netns| Some(world.identities.pod(netns));
    call(View::new(&nodes, &pods))
}

/// Whether a path is to be judged: it did not arrive, and there is something to judge it by.
pub(crate) fn is_judged(path: &Path, world: &World) -> bool {
    match path.outcome {
        // Somebody else than the traced nodes, or a wrong address.
        Outcome::LeftForVtep(_) => world.facts.len() > 1,
        Outcome::Delivered | Outcome::LeftNode => path.was_refused(),
        Outcome::NoReceiver => false,
        _ => !world.facts.is_empty() || path.dropped.is_some(),
    }
}

/// Judges a path by these facts. `world`: the interfaces and names of its hops.
#[must_use]
pub fn judge(path: &Path, view: View<'_>, world: &World) -> Option<Verdict> {
    let question = Question::of(path, view, world);
    let mut verdict = Verdict {
        outcome: path.outcome,
        last_hop: question.last_tap.clone(),
        expected_next: None,
        cause: unknown(None, Vec::new()),
        confidence: Confidence::Unknown,
        evidence: Vec::new(),
        advice: None,
    };
    if let Some(why) = undecided(path) {
        verdict.cause = unknown(Some(why), Vec::new());
        return Some(verdict);
    }
    match path.outcome {
        Outcome::LeftForVtep(_) => {
            let cause = question.state.and_then(|state| state.wrong_vtep(view))?;
            question.conclude(&mut verdict, cause, false);
        }
        Outcome::Loop => question.conclude(&mut verdict, question.circle(), false),
        Outcome::Unanswered => question.unanswered(&mut verdict),
        _ if path.was_refused() => question.refused(&mut verdict),
        _ => {
            let step = question.walk();
            question.stopped(&mut verdict, step);
        }
    }
    Some(verdict)
}

/// Why the outcome of a path decides nothing.
fn undecided(path: &Path) -> Option<&'static str> {
    match path.outcome {
        Outcome::EventsLost => Some("events were lost, it may have gone on"),
        Outcome::GivenUp => Some("too many packets were under way at once"),
        Outcome::InFlight => Some("the trace ended while it was under way"),
        Outcome::Unknown if path.incomplete => Some("hops may be missing"),
        Outcome::Unknown if path.is_untold => Some(UNTOLD),
        Outcome::Unknown if path.is_unrecorded => Some("only some packets were recorded"),
        Outcome::Unknown if path.mixes_fragments => {
            Some("fragments of several packets with its identification were mixed there")
        }
        Outcome::Unknown if path.lacks_fragments => {
            Some("other fragments of its packet were not seen there")
        }
        Outcome::Unknown => Some("nothing shows how its path ended"),
        _ => None,
    }
}

/// Why nobody knows whether a packet has arrived.
pub(crate) const UNTOLD: &str = "the kernel dropped more packets like it than it tells of";

fn unknown(why: Option<&'static str>, candidates: Vec<Candidate>) -> Cause {
    Cause::Unknown { why, candidates }
}

impl<'a> Question<'a> {
    /// Takes the steps after the last hop until a tap should have seen the packet.
    fn walk(&self) -> Step<'a> {
        let Some(mut state) = self.state else {
            return Step::default();
        };
        let (mut candidates, mut is_doubtful) = (Vec::new(), false);
        let mut filtered = Vec::new();
        for _ in 0..STEPS_MAX {
            let mut step = state.step(self.view);
            candidates.append(&mut step.candidates);
            filtered.append(&mut step.filtered);
            is_doubtful |= step.is_doubtful;
            let untapped = step.next.filter(|next| !self.is_tapped(next));
            match untapped.filter(|_| step.cause.is_none()) {
                Some(next) => state = next,
                None => {
                    step.candidates = candidates;
                    step.filtered = filtered;
                    step.is_doubtful = is_doubtful;
                    return step;
                }
            }
        }
        Step::default()
    }

    /// Concludes from the step that was not taken, and from what the kernel says of it.
    fn stopped(&self, verdict: &mut Verdict, step: Step<'a>) {
        verdict.expected_next = step.next.map(|next| self.tap(&next));
        let drop = self.path.kernel_drop();
        let named = drop.and_then(KernelDrop::telling_reason);
        let meaning = named.and_then(reasons::reason);
        let may_be = |name| meaning.is_some_and(|reason| reason.may_be(name));
        if let Some(drop) = drop {
            verdict.evidence.push(self.describe(drop));
        }
        // Only what the kernel could not tell a neighbour is dropped so.
        let asked = step.next.and_then(|next| next.mac_from);
        let silent = asked.filter(|_| may_be("neighbour_failed"));
        let silent = silent.map(|(at, next)| route::silent(self.view, at, next));
        let cause = match may_be("neighbour_failed") {
            true => step.cause.map(|cause| cause.while_asked(false)),
            false => step.cause,
        };
        match (cause.or(silent), drop) {
            (_, Some(by)) if by.rule.is_some() => self.ruled(verdict, by, &step.filtered),
            (Some(cause), Some(_)) if may_be(cause.name()) => {
                self.conclude(verdict, cause, false);
            }
            // A drop without a reason speaks against nothing.
            (Some(cause), Some(by)) if named.is_none() && !by.is_by_firewall() => {
                let is_doubtful = step.is_doubtful || is_answered(&cause);
                self.conclude(verdict, cause, is_doubtful);
            }
            (_, Some(_)) if may_be("no_listener") && self.has_arrived() => {
                let owner = self.state.map(|state| self.view.owner(state.at));
                let owner = owner.unwrap_or_default();
                self.conclude(verdict, Cause::NoListener { owner }, false);
            }
            (_, Some(drop)) if drop.is_by_firewall() => {
                self.filtered(verdict, drop, &step.filtered);
            }
            (_, Some(_)) if step.is_stray && may_be("wrong_mac") => {
                verdict.cause = unknown(self.lacking(), step.candidates);
            }
            (_, Some(drop)) => self.dropped(verdict, drop, Vec::new()),
            (Some(cause), None) => {
                let is_asked = matches!(cause, Cause::NeighbourFailed { is_asked: true, .. });
                let is_doubtful = step.is_doubtful || is_answered(&cause) || is_asked;
                if is_answered(&cause) {
                    let text = "the sender got no answer, which the kernel sends as a rule";
                    verdict.evidence.push(text.to_owned());
                }
                self.conclude(verdict, cause, is_doubtful);
            }
            (None, None) => match self.duplicates() {
                Some(cause) => self.conclude(verdict, cause, true),
                None => {
                    // What the facts name comes before what may be anywhere.
                    let (mut candidates, others): (Vec<_>, Vec<_>) = step
                        .candidates
                        .into_iter()
                        .partition(|one| one.neighbour().is_some());
                    candidates.extend(self.rules(&step.filtered));
                    verdict.evidence.extend(self.without_rules(&step.filtered));
                    candidates.extend(others);
                    verdict.cause = unknown(self.lacking(), candidates);
                }
            },
        }
    }

    /// Concludes from what the kernel says of its drop.
    fn dropped(&self, verdict: &mut Verdict, drop: &KernelDrop, rules: Vec<Candidate>) {
        self.conclude(verdict, reasons::cause(drop, rules), false);
        let interface = self.world.tap_points.at(drop.netns, drop.ifindex);
        let ends = self.ends();
        let values = [
            ("<interface>", interface.map(|point| point.name.to_string())),
            ("<source>", ends.map(|(source, _)| source.to_string())),
            ("<destination>", ends.map(|(_, to)| to.to_string())),
        ];
        // Some are dropped when they have no device.
        let last = self.state.map(|state| state.at.space.netns);
        let netns = Some(drop.netns).filter(|netns| *netns != 0).or(last);
        let owner = netns.map_or_else(Owner::default, |netns| self.owner_in(netns));
        verdict.advice = reasons::advice(drop, &owner, &values);
    }

    /// Whether it was last seen coming in where its address is.
    fn has_arrived(&self) -> bool {
        self.state.is_some_and(|state| {
            state.direction == Direction::Ingress && state.at.is_local(state.destination)
        })
    }

    /// Whether several pods have its address.
    fn duplicates(&self) -> Option<Cause> {
        link::duplicates(self.view, self.state?.destination)
    }

    /// Sets the cause, with its evidence and advice.
    fn conclude(&self, verdict: &mut Verdict, cause: Cause, is_doubtful: bool) {
        let cause = self.with_translation(cause);
        let doubts = [
            (self.path.incomplete, "hops may be missing"),
            (self.path.ambiguous, "equal packets were under way at once"),
            (
                !self.view.is_whole(),
                "the tables of a node are not known whole",
            ),
        ];
        let doubts = doubts.iter().filter(|(applies, _)| *applies);
        let doubts: Vec<_> = doubts.map(|(_, text)| (*text).to_owned()).collect();
        let is_partial = !doubts.is_empty();
        verdict.evidence.extend(doubts);
        verdict.confidence = if is_doubtful || is_partial {
            Confidence::Likely
        } else {
            Confidence::Sure
        };
        verdict.advice = cause.advice();
        verdict.cause = cause;
    }

    /// `the kernel dropped it 12.3 µs after the last hop: NETFILTER_DROP in nf_hook_slow`
    fn describe(&self, drop: &KernelDrop) -> String {
        let after_us = drop.ts_ns.saturating_sub(self.path.last_ns()) / 1000;
        let mut text = format!("the kernel dropped it {after_us} µs after its last hop");
        text.push_str(": ");
        text.push_str(&drop.words());
        let node = self.last_node();
        let near = node.and_then(|node| self.view.find(node, drop.netns, drop.ifindex));
        if let Some(at) = near {
            text.push_str(" near ");
            text.push_str(&self.view.place(at).to_string());
        }
        text
    }

    fn tap(&self, state: &State<'a>) -> Tap {
        Tap {
            place: self.view.place(state.at),
            direction: state.direction,
        }
    }
}

/// Whether the kernel answers a packet that it drops for this cause.
fn is_answered(cause: &Cause) -> bool {
    match cause {
        Cause::NoRoute { .. } | Cause::TtlExpired { .. } | Cause::OffLink { .. } => true,
        // Once it gives up.
        Cause::NeighbourFailed { is_asked, .. } => !is_asked,
        Cause::RefusedByRoute { kind, .. } => *kind != RouteKind::Blackhole,
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests;
