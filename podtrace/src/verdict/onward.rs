//! The rest of a packet's way, and the begin of its answer's, as the facts have them.
use std::{iter, net::IpAddr};

use super::{Tap, question::Question, with_view};
use crate::{
    model::hook::Hook,
    packet::Transport,
    path::Path,
    rules::{
        At, Candidate, Cause, View, link,
        route::{self, Wanted},
    },
    world::World,
};

/// Upper bound of the steps: a road between two nodes has some ten.
const STEPS_MAX: usize = 32;

/// The taps that should have seen a packet after its last hop, as far as the facts tell.
#[must_use]
pub fn onward(path: &Path, world: &World) -> Vec<Tap> {
    with_view(world, |view| {
        let question = Question::of(path, view, world);
        let states = iter::successors(question.state, |state| state.step(view).next);
        let mut taps: Vec<Tap> = Vec::new();
        for state in states.skip(1).take(STEPS_MAX) {
            let tap = question.tap(&state);
            if taps.contains(&tap) {
                break;
            }
            if question.is_tapped(&state) {
                taps.push(tap);
            }
        }
        taps
    })
}

/// Why nobody answers a packet that has arrived, as far as the facts of its receiver tell, and what
/// they do not show.
#[must_use]
pub fn unanswered(path: &Path, world: &World) -> (Option<Cause>, Vec<Candidate>) {
    with_view(world, |view| {
        let question = Question::of(path, view, world);
        let Some(state) = question.state else {
            return (None, Vec::new());
        };
        if let Some(cause) = link::own_source(view, state.at, state.source) {
            return (Some(cause), Vec::new());
        }
        let owner = view.owner(state.at);
        let mut candidates = vec![Candidate::Firewall {
            owner: owner.to_string(),
            hook: Hook::Output.of_ip(),
            which: None,
        }];
        if matches!(path.packet.transport, Transport::Echo { .. }) {
            let (settings, is_ipv4) = (state.at.space.settings, state.destination.is_ipv4());
            let is_ignored = match is_ipv4 {
                true => settings.ipv4_echo_ignored,
                false => settings.ipv6_echo_ignored,
            };
            candidates.push(Candidate::Unseen(match is_ignored {
                Some(true) => return (Some(Cause::EchoIgnored { owner, is_ipv4 }), Vec::new()),
                // Nothing tells when it changes.
                Some(false) => {
                    format!("icmp_echo_ignore_all of {owner}, 0 when it was last read")
                }
                None => format!("icmp_echo_ignore_all of {owner}"),
            }));
        }
        let (_, cause) = sent(view, state.at, state.source, Some(state.destination));
        (cause, candidates)
    })
}

/// The next hop of what a namespace sends to an address, which is the address itself or a gateway,
/// and why it does not get there, as far as the facts tell.
#[must_use]
pub fn first_hop(netns: u64, to: IpAddr, world: &World) -> (Option<IpAddr>, Option<Cause>) {
    with_view(world, |view| {
        let at = view.within(netns);
        at.map_or((None, None), |at| sent(view, at, to, None))
    })
}

/// The next hop of what a namespace sends, and why it does not get there.
fn sent(
    view: View<'_>,
    at: At<'_>,
    to: IpAddr,
    from: Option<IpAddr>,
) -> (Option<IpAddr>, Option<Cause>) {
    let wanted = Wanted {
        to,
        from,
        input: None,
    };
    match route::onward(view, at, wanted) {
        Err((cause, is_doubtful)) => (None, (!is_doubtful).then_some(cause)),
        Ok(onward) => {
            let stop =
                |by| link::down(view, by).or_else(|| route::neighbour(view, by, onward.next));
            (Some(onward.next), onward.by.and_then(stop))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        path::Outcome,
        rules::fixture::{healthy, netns_of_pod},
        verdict::tests::roads::{road, world},
    };

    fn shown(taps: &[Tap]) -> Vec<String> {
        let taps = taps.iter();
        taps.map(|tap| format!("{} {}", tap.place, tap.direction.as_str()))
            .collect()
    }

    #[test]
    fn rest_of_the_way_is_known_also_behind_what_stops_it() {
        let mut facts = healthy();
        facts[0].spaces[0].tables.fdb.retain(|entry| !entry.own);
        let rest = onward(&road(4).path(), &world(facts));
        assert_eq!(
            shown(&rest),
            [
                "eth0 of worker1 egress",
                "eth0 of worker2 ingress",
                "flannel.1 of worker2 ingress",
                "cni0 of worker2 egress",
                "veth1 of worker2 egress",
                "eth0 of default/pod21 ingress",
            ]
        );
        assert_eq!(onward(&road(10).path(), &world(healthy())), []);
        assert_eq!(onward(&road(4).path(), &world(Vec::new())), []);
    }

    #[test]
    fn next_hop_is_the_gateway_or_the_receiver() {
        let world = world(healthy());
        for (to, next) in [("10.244.1.3", "10.244.1.3"), ("10.244.2.2", "10.244.1.1")] {
            let found = first_hop(netns_of_pod(1, 1), to.parse().unwrap(), &world);
            assert_eq!(found.0, next.parse().ok(), "{to}");
        }
        let nowhere = first_hop(99, "10.244.1.3".parse().unwrap(), &world);
        assert_eq!(nowhere, (None, None));
    }

    #[test]
    fn receiver_without_a_route_back_cannot_answer() {
        let path = road(10).ended(Outcome::Delivered).path();
        let (cause, candidates) = unanswered(&path, &world(healthy()));
        assert_eq!((cause, candidates.len()), (None, 1));
        let mut facts = healthy();
        let mut spaces = facts[1].spaces.iter_mut();
        let pod = spaces
            .find(|space| space.netns == netns_of_pod(2, 1))
            .unwrap();
        pod.tables.routes.retain(|route| route.gateway.is_none());
        let (cause, _) = unanswered(&path, &world(facts));
        let words = cause.unwrap().to_string();
        assert_eq!(words, "default/pod21 has no route to 10.244.1.2");
    }
}
