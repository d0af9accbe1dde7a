//! What the rules of firewalls say of a packet that was dropped, or may have been.
use super::{Verdict, question::Question, step::Filtered};
use crate::{
    model::{
        drop::{DropRule, KernelDrop},
        hook::HookPoint,
        ruleset::Ruleset,
    },
    packet::{IPPROTO_UDP, Network},
    rules::{
        Candidate, Cause, Owner,
        firewall::{Asked, Found, candidates, tell},
        route,
    },
};

/// How many may have forwarded a packet since its last tap: interfaces without taps are few.
const FORWARDED_MAX: u8 = 2;

impl<'a> Question<'a> {
    /// Concludes from a rule that was traced.
    pub(super) fn ruled(&self, verdict: &mut Verdict, drop: &KernelDrop, steps: &[Filtered<'a>]) {
        let Some(rule) = &drop.rule else {
            return;
        };
        let mut rule = rule.clone();
        let ruleset = self.world.rulesets.get(&drop.netns);
        if let Some(ruleset) = ruleset.filter(|_| rule.text.is_none()) {
            rule.look_up(ruleset);
        }
        let found = self.found(steps, drop);
        let known = found.iter().find(|(_, found)| is_of(found, &rule));
        let is_tracked = match known {
            Some((_, found)) => found.hook.is_behind_tracking(found.priority()),
            None => is_behind_tracking(drop.hook, &found),
        };
        let cause = Cause::FirewallRule {
            owner: self.owner_in(drop.netns),
            rule,
            rejects: self.path.was_refused(),
        };
        self.conclude(verdict, cause, false);
        if is_tracked {
            verdict.evidence.extend(self.tracked(drop));
        }
    }

    /// Concludes from a drop by a firewall whose rule is not known.
    pub(super) fn filtered(
        &self,
        verdict: &mut Verdict,
        drop: &KernelDrop,
        steps: &[Filtered<'a>],
    ) {
        let found = self.found(steps, drop);
        let is_tracked = is_behind_tracking(drop.hook, &found);
        let mut candidates = tell(found);
        if candidates.is_empty() {
            let mut there = steps.iter().filter(|one| one.netns == drop.netns);
            let unknown = match (there.next(), drop.hook) {
                (Some(one), hook) => Some(self.unknown_rules(one, hook)),
                (None, Some(hook)) => {
                    Some(self.unknown_rules(&self.elsewhere(drop, hook), Some(hook)))
                }
                (None, None) => None,
            };
            candidates.extend(unknown);
        }
        self.dropped(verdict, drop, candidates);
        if let Some(hook) = drop.hook {
            let owner = self.owner_of(drop.netns);
            verdict
                .evidence
                .push(format!("dropped at hook {hook} of {owner}"));
        }
        if is_tracked {
            verdict.evidence.extend(self.tracked(drop));
        }
        verdict.evidence.extend(self.unread(drop.netns));
    }

    /// The rules that could have stopped it on a step, where nothing says that one has.
    pub(super) fn rules(&self, steps: &[Filtered<'a>]) -> Vec<Candidate> {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for one in steps {
            found.extend(self.found_on(one));
            // What is not read may do it.
            if !self.is_read(one.netns) {
                unknown.push(self.unknown_rules(one, None));
            }
        }
        unknown.extend(tell(found));
        unknown
    }

    /// That no rule could have stopped it on a step, of each namespace there, where that is known.
    pub(super) fn without_rules(&self, steps: &[Filtered<'a>]) -> Vec<String> {
        let is_free = |one: &Filtered<'a>| self.is_read(one.netns) && self.found_on(one).is_empty();
        let mut spaces: Vec<u64> = steps.iter().map(|one| one.netns).collect();
        spaces.dedup();
        match steps.iter().all(is_free) {
            true => spaces
                .into_iter()
                .map(|netns| no_rule(&self.owner_of(netns), "it"))
                .collect(),
            false => Vec::new(),
        }
    }

    /// Whether all rules of a namespace are known.
    pub(super) fn is_read(&self, netns: u64) -> bool {
        let ruleset = self.world.rulesets.get(&netns);
        ruleset.is_some_and(|ruleset| ruleset.is_whole())
    }

    /// The rules of a step that could have stopped it.
    pub(super) fn found_on(&self, one: &Filtered<'a>) -> Vec<(String, Found<'a>)> {
        let ruleset = self.world.rulesets.get(&one.netns);
        ruleset.map_or_else(Vec::new, |ruleset| {
            self.found_in(ruleset, one, one.hooks(None))
        })
    }

    /// The rules that could have dropped it where a firewall has.
    pub(super) fn found(
        &self,
        steps: &[Filtered<'a>],
        drop: &KernelDrop,
    ) -> Vec<(String, Found<'a>)> {
        let Some(ruleset) = self.world.rulesets.get(&drop.netns) else {
            return Vec::new();
        };
        let is_there =
            |one: &&Filtered<'a>| one.netns == drop.netns && one.hooks(drop.hook).next().is_some();
        let steps: Vec<_> = steps.iter().filter(is_there).collect();
        if let (Some(hook), true) = (drop.hook, steps.is_empty()) {
            return self.found_in(ruleset, &self.elsewhere(drop, hook), [hook]);
        }
        let found = steps.into_iter();
        let found = found.map(|one| self.found_in(ruleset, one, one.hooks(drop.hook)));
        found.collect::<Vec<_>>().concat()
    }

    /// Where it was dropped, if that is not on the way that the tables say, or they are not known.
    fn elsewhere(&self, drop: &KernelDrop, hook: HookPoint) -> Filtered<'a> {
        let name = |ifindex| {
            let point = self.world.tap_points.at(drop.netns, ifindex);
            point.map(|point| &*point.name)
        };
        Filtered::dropped(drop.netns, hook, name(drop.ifindex), name(drop.came_by))
    }

    fn found_in(
        &self,
        ruleset: &'a Ruleset,
        one: &Filtered<'a>,
        hooks: impl IntoIterator<Item = HookPoint>,
    ) -> Vec<(String, Found<'a>)> {
        let owner = self.owner_of(one.netns);
        let hooks = hooks.into_iter();
        let found = hooks.flat_map(|hook| candidates(ruleset, hook, &self.asked(one, hook)));
        found.map(|found| (owner.clone(), found)).collect()
    }

    /// That there may be rules which are not known.
    pub(super) fn unknown_rules(&self, one: &Filtered<'a>, hook: Option<HookPoint>) -> Candidate {
        let hook = hook.unwrap_or_else(|| one.main_hook());
        let by = one.interfaces(hook);
        Candidate::Firewall {
            owner: self.owner_of(one.netns),
            hook,
            which: match (one.outer, by.input, by.output) {
                (Some((_, to, port)), ..) => Some(format!("for UDP port {port} to {to}")),
                (None, Some(from), Some(to)) => Some(format!("between {from} and {to}")),
                _ => None,
            },
        }
    }

    /// The pod or node of a namespace.
    pub(super) fn owner_in(&self, netns: u64) -> Owner {
        let by_facts = self.view.within(netns).map(|at| self.view.owner(at));
        let mut points = self.world.tap_points.iter();
        let point = points.find(|point| point.netns_id == netns);
        match (point, by_facts) {
            (Some(point), by_facts) => Owner {
                name: self.world.owner_of(point),
                is_pod: point.in_pod,
                path: by_facts.and_then(|owner| owner.path),
            },
            (None, by_facts) => by_facts.unwrap_or_else(|| Owner::unnamed(netns)),
        }
    }

    /// The same by name.
    fn owner_of(&self, netns: u64) -> String {
        self.owner_in(netns).to_string()
    }

    /// What connection tracking knew of the flow, and whether it was full.
    fn tracked(&self, drop: &KernelDrop) -> Vec<String> {
        let flow = drop.tracked.map(|tracked| tracked.to_string());
        let full = self
            .state
            .and_then(|state| route::full_conntrack(state.at.space));
        let full =
            full.map(|(count, max)| format!("connection tracking has {count} of {max} entries"));
        flow.into_iter().chain(full).collect()
    }

    /// What of the firewall in a namespace is not read.
    fn unread(&self, netns: u64) -> Option<String> {
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
    fn asked(&self, filtered: &Filtered<'a>, hook: HookPoint) -> Asked<'a> {
        let by = filtered.interfaces(hook);
        let (input, output) = (by.input, by.output);
        if let Some((source, destination, port)) = filtered.outer {
            return Asked {
                is_ipv4: destination.is_ipv4(),
                source,
                destination: Some(destination),
                protocol: Some(IPPROTO_UDP),
                source_port: None,
                destination_port: Some(port),
                ttl: None,
                message_type: None,
                input,
                output,
            };
        }
        let packet = &self.path.packet;
        let ports = match self.translated() {
            Some(ends) => ends.ports,
            None => packet.ports(),
        };
        let ends = self.ends();
        Asked {
            is_ipv4: ends.is_some_and(|(_, destination)| destination.is_ipv4()),
            source: ends.map(|(source, _)| source),
            destination: ends.map(|(_, destination)| destination),
            protocol: match &packet.network {
                Network::Ip(ip) => Some(ip.protocol),
                _ => None,
            },
            source_port: ports.map(|(source, _)| source),
            destination_port: ports.map(|(_, destination)| destination),
            // Who forwards it has counted it down before its hooks forward and postrouting.
            ttl: self
                .state
                .and_then(|state| state.ttl)
                .map(|ttl| (ttl.saturating_sub(FORWARDED_MAX), ttl)),
            message_type: packet.message_type(),
            input,
            output,
        }
    }
}

/// Whether connection tracking knew a packet by the time that a firewall dropped it, as far as its
/// hook and the rules that could have done it tell.
fn is_behind_tracking(hook: Option<HookPoint>, found: &[(String, Found<'_>)]) -> bool {
    let is_behind =
        |(_, found): &(String, Found<'_>)| found.hook.is_behind_tracking(found.priority());
    match found {
        // Chains of any priority may have done it.
        [] => hook.is_none_or(|hook| hook.is_behind_tracking(i32::MIN)),
        found => found.iter().any(is_behind),
    }
}

/// That no rule of a pod or node drops something, in words.
pub(crate) fn no_rule(owner: &str, what: &str) -> String {
    format!("no firewall rule of {owner} drops {what}")
}

/// Whether that is this rule.
fn is_of(found: &Found<'_>, rule: &DropRule) -> bool {
    let chain = found.chain;
    let is_chain =
        chain.family == rule.family && chain.table == rule.table && chain.name == rule.chain;
    is_chain && found.rule.map(|rule| rule.handle) == rule.handle
}
