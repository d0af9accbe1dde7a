//! What explains a conclusion that no verdict on a packet does: what its packets tell together, the
//! facts about the addresses of the two, the socket that was asked.
use std::net::IpAddr;

use super::{Decision, Diagnosis, Way, by_facts};
use crate::{
    diagnosis::report::Conclusion,
    findings::{Finding, Kind},
    path::Outcome,
    rules::{Cause, link},
    select::Peer,
    verdict::{Confidence, Verdict, first_hop, with_view},
    world::{
        World,
        locate::{Kind as End, Located},
    },
};

impl Diagnosis {
    /// Takes what the packets of the two tell together, and those of neighbours as far as they are
    /// about the two.
    pub fn find(&mut self, found: Vec<Finding>, world: &World) {
        let ends = self.ends(world);
        let addresses = self.addresses(&ends, world);
        let is_of_the_two = |finding: &Finding| match finding.kind {
            Kind::NeighbourUnanswered | Kind::DuplicateAddress => {
                addresses.contains(&finding.server.address)
            }
            _ => true,
        };
        self.found = found.into_iter().filter(is_of_the_two).collect();
    }

    /// The addresses that questions for neighbours are about where they concern the two: their own,
    /// what those are translated to, the source's gateway, and what their packets may wait for.
    fn addresses(&self, ends: &[Option<Located>; 2], world: &World) -> Vec<IpAddr> {
        let own = ends.iter().flatten().flat_map(|end| &end.addresses);
        let mut all: Vec<_> = own.copied().collect();
        let seen = [&self.request, &self.reply];
        let seen = seen.into_iter().filter_map(|half| half.any()?.ends());
        all.extend(seen.map(|ends| ends.destination));
        let source = ends[0].as_ref().and_then(|source| source.netns);
        let gateways = source.map_or_else(Vec::new, |netns| {
            let gateway = |to: &IpAddr| first_hop(netns, *to, world).0;
            all.iter().filter_map(gateway).collect()
        });
        all.extend(gateways);
        let groups = [&self.request, &self.reply].map(|half| &half.groups);
        let verdicts = groups
            .into_iter()
            .flatten()
            .filter_map(|group| group.verdict.as_ref());
        all.extend(verdicts.filter_map(Verdict::waits_for));
        all
    }

    /// What the packets tell together that says why they die.
    pub(super) fn explaining(&self) -> Option<&Finding> {
        let explains = |kind| {
            matches!(
                kind,
                Kind::OneWayNat
                    | Kind::PmtuBlackHole
                    | Kind::AcceptQueueFull
                    | Kind::ReceiveBufferFull
                    | Kind::ConntrackRace
                    | Kind::DnsUnanswered
                    | Kind::NeighbourUnanswered
                    | Kind::DuplicateAddress
            )
        };
        self.found.iter().find(|finding| explains(finding.kind))
    }

    /// The decision with what explains it, where no verdict on a packet does.
    pub(super) fn explained<'a>(
        &'a self,
        decision: Decision<'a>,
        duplicate: Option<&Cause>,
    ) -> Decision<'a> {
        let verdict = decision.verdict.as_ref();
        let is_open = verdict.is_none_or(|verdict| matches!(verdict.cause, Cause::Unknown { .. }));
        if !is_open || decision.conclusion != Conclusion::Lost {
            return decision;
        }
        match (self.explaining(), duplicate) {
            (Some(found), _) => Decision {
                found: Some(found),
                ..decision
            },
            (None, Some(cause)) => Decision {
                verdict: Some(Verdict {
                    confidence: Confidence::Likely,
                    ..by_facts(cause.clone())
                }),
                ..decision
            },
            (None, None) => decision,
        }
    }

    /// Packets have gone to another than the one that was asked about: to a pod that has its
    /// address too, or to a node, which takes it for its own.
    pub(super) fn astray(
        &self,
        ends: &[Option<Located>; 2],
        world: &World,
    ) -> Option<Decision<'_>> {
        let [source, destination] = ends;
        let there = (Way::Request, &self.request, destination);
        let back = (Way::Reply, &self.reply, source);
        [there, back].into_iter().find_map(|(way, half, end)| {
            let end = end.as_ref().filter(|end| end.kind == End::Pod)?;
            let wanted = end.netns?;
            let path = half.any()?;
            let last = path.last_point(world)?;
            let is_there = last.netns_id == wanted || last.nearest_pod() == Some(wanted);
            let is_nodes = !last.in_pod && path.outcome == Outcome::Delivered;
            if is_there || !last.in_pod && !is_nodes {
                return None;
            }
            let address = path.ends()?.destination;
            let cause = with_view(world, |view| link::duplicates(view, address));
            if cause.is_none() && !is_nodes {
                return None;
            }
            let (other, name, way_name) = (world.owner_of(last), &end.name, way.as_str());
            let answerer = self.answers_from(last.netns_id, world);
            let sentence = format!("the {way_name} came to {other}, not to {name}");
            let decision = Decision::new(Conclusion::Lost, sentence).about(way, Some(path));
            Some(Decision {
                verdict: cause.map(by_facts),
                advice: is_nodes.then(|| format!("on {other}: ip route get {address}")),
                answerer: answerer.then_some(other),
                ..decision
            })
        })
    }

    /// That one of the two pods has no IPv4 address, and the other has one, in words.
    pub(super) fn without_ipv4(&self, ends: &[Option<Located>; 2]) -> Option<String> {
        let asked = [&self.pair.source.peer, &self.pair.destination.peer];
        let [Some(source), Some(destination)] = ends else {
            return None;
        };
        // Of an address that is asked about, the others of its pod are not looked up.
        if asked.iter().any(|peer| matches!(peer, Peer::Address(_))) {
            return None;
        }
        let is_known = |end: &&Located| end.kind == End::Pod && end.netns.is_some();
        let has = |end: &Located| end.addresses.iter().any(IpAddr::is_ipv4);
        let lacks = |end: &&Located| is_known(end) && !has(end);
        let without = [source, destination].into_iter().find(lacks)?;
        let name = &without.name;
        (has(source) || has(destination))
            .then(|| format!("no interface of {name} has an IPv4 address"))
    }

    /// An address of one of the two that another has, too.
    pub(super) fn duplicate(&self, ends: &[Option<Located>; 2], world: &World) -> Option<Cause> {
        // Whose address it is cannot be told where several have it.
        let held = ends.iter().flatten();
        let held = held.filter(|end| matches!(end.kind, End::Pod | End::Address));
        let mut addresses = held.flat_map(|end| &end.addresses);
        with_view(world, |view| {
            addresses.find_map(|address| link::duplicates(view, *address))
        })
    }
}
