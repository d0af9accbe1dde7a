//! What the rules of firewalls say of a packet that was dropped, or may have been.
use super::{Verdict, question::Question, step::Filtered};
use crate::{
    model::drop::KernelDrop,
    packet::{IPPROTO_UDP, Network},
    rules::{
        Cause,
        firewall::{Asked, candidates, describe},
        route,
    },
};

impl<'a> Question<'a> {
    /// Concludes from a rule that was traced.
    pub(super) fn ruled(&self, verdict: &mut Verdict, drop: &KernelDrop) {
        let Some(rule) = &drop.rule else {
            return;
        };
        let mut rule = rule.clone();
        if let Some(ruleset) = self
            .world
            .rulesets
            .get(&drop.netns)
            .filter(|_| rule.text.is_none())
        {
            rule.look_up(ruleset);
        }
        let points = self.world.tap_points.iter();
        let mut here = points.filter(|point| point.netns_id == drop.netns);
        let owner = here.next().map(|point| self.world.owner_of(point));
        let owner = owner.map_or_else(|| format!("netns:{}", drop.netns), |name| name.to_string());
        self.conclude(verdict, Cause::FirewallRule { owner, rule }, false);
        verdict.evidence.extend(self.tracked(drop));
    }

    /// The rules that could have dropped it on a step. `netns`: the namespace that it was dropped
    /// in, if that is known.
    pub(super) fn rules(&self, filtered: &[Filtered<'a>], netns: Option<u64>) -> Vec<String> {
        let is_there = |one: &&Filtered<'a>| netns.is_none_or(|netns| one.at.space.netns == netns);
        let mut found = Vec::new();
        for one in filtered.iter().filter(is_there) {
            let Some(ruleset) = self.world.rulesets.get(&one.at.space.netns) else {
                continue;
            };
            let asked = self.asked(one);
            let hooks = one.hooks.iter();
            found.extend(hooks.flat_map(|hook| candidates(ruleset, *hook, &asked)));
        }
        describe(found)
    }

    /// What connection tracking knew of the flow, and whether it was full.
    pub(super) fn tracked(&self, drop: &KernelDrop) -> Vec<String> {
        let flow = drop.tracked.map(|tracked| tracked.to_string());
        let full = self
            .state
            .and_then(|state| route::full_conntrack(state.at.space));
        let full =
            full.map(|(count, max)| format!("connection tracking has {count} of {max} entries"));
        flow.into_iter().chain(full).collect()
    }

    /// What of the firewall in a namespace is not read.
    pub(super) fn unread(&self, netns: u64) -> Option<String> {
        let ruleset = self.world.rulesets.get(&netns)?;
        if !ruleset.legacy.is_empty() {
            let tables = ruleset.legacy.join(", ");
            return Some(format!(
                "legacy iptables is in use, its rules are not read: {tables}"
            ));
        }
        let is_cut = ruleset.is_cut;
        is_cut.then(|| "there are more firewall rules than podtrace keeps".to_owned())
    }

    /// The packet as a hook sees it.
    fn asked(&self, filtered: &Filtered<'a>) -> Asked<'a> {
        let (input, output) = (filtered.input, filtered.output);
        if let Some((source, destination, port)) = filtered.outer {
            return Asked {
                is_ipv4: destination.is_ipv4(),
                source,
                destination: Some(destination),
                protocol: Some(IPPROTO_UDP),
                source_port: None,
                destination_port: Some(port),
                input,
                output,
            };
        }
        let packet = &self.path.packet;
        let translated = self.path.translations.last().map(|last| last.after);
        let ports = match translated {
            Some(ends) => ends.ports,
            None => packet.ports(),
        };
        let state = self.state;
        Asked {
            is_ipv4: state.is_some_and(|state| state.destination.is_ipv4()),
            source: state.map(|state| state.source),
            destination: state.map(|state| state.destination),
            protocol: match &packet.network {
                Network::Ip(ip) => Some(ip.protocol),
                _ => None,
            },
            source_port: ports.map(|(source, _)| source),
            destination_port: ports.map(|(_, destination)| destination),
            input,
            output,
        }
    }
}
