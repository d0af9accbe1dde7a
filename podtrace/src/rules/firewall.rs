//! Which rules of a firewall could drop a packet.
mod lookup;

use std::net::IpAddr;

use super::candidate::{Candidate, RuleCandidate};
use crate::{
    model::{
        drop::DropRule,
        hook::{Hook, HookPoint, Layer},
        ruleset::{Action, Base, Chain, Condition, Rule, Ruleset, Test, sets::Set},
    },
    order::Order as _,
};

/// Chains that jump to each other, at most: the kernel allows 16.
const DEPTH_MAX: usize = 16;
/// Rules that are looked at for a packet and a hook, at most.
const LOOKED_AT_MAX: usize = 65_536;
/// Candidates that are told of.
const TOLD_MAX: usize = 3;

/// A packet at a hook, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Whether it is IPv4.
    pub is_ipv4: bool,
    /// Its source address.
    pub source: Option<IpAddr>,
    /// Its destination address.
    pub destination: Option<IpAddr>,
    /// Its protocol.
    pub protocol: Option<u8>,
    /// Its source port.
    pub source_port: Option<u16>,
    /// Its destination port.
    pub destination_port: Option<u16>,
    /// The least and the greatest TTL or hop limit that it may have there.
    pub ttl: Option<(u8, u8)>,
    /// The type of its message of ICMP.
    pub message_type: Option<u8>,
    /// The interface that it came in by; none if the namespace has sent it.
    pub input: Option<&'a str>,
    /// The interface that it leaves by; none if the namespace keeps it.
    pub output: Option<&'a str>,
}

/// A rule, or the policy of a chain, that could have dropped a packet.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The hook.
    pub hook: HookPoint,
    /// The chain that the kernel calls.
    pub base: &'a Chain,
    /// The chain of the rule.
    pub chain: &'a Chain,
    /// The rule; none for the policy.
    pub rule: Option<&'a Rule>,
    /// Whether all conditions that lead to it are known and hold; of a policy, whether no rule
    /// before may have decided.
    pub is_certain: bool,
}

/// Whether something holds of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Maybe,
}

impl Holds {
    /// Whether both hold.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            _ => Self::Yes,
        }
    }

    /// Whether one of them holds.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            _ => Self::No,
        }
    }
}

/// How a chain ends for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// No rule decides: the caller goes on.
    Open,
    /// It is decided.
    Decided,
}

/// The rules and policies of a hook that could drop a packet, in the order of the kernel.
#[must_use]
pub fn candidates<'a>(ruleset: &'a Ruleset, hook: HookPoint, asked: &Asked<'_>) -> Vec<Found<'a>> {
    let asked = asked.at(hook);
    let sees = |chain: &&Chain| {
        chain.is_called(hook, asked.is_ipv4) && asked.is_at_device(hook, &chain.devices)
    };
    let mut bases: Vec<_> = ruleset.chains.iter().filter(sees).collect();
    bases.order_by_key(|chain| chain.base.map(|base| base.priority));
    let mut found = Vec::new();
    for base in bases {
        let mut walk = Walk {
            ruleset,
            asked: &asked,
            hook,
            base,
            is_certain: true,
            left: LOOKED_AT_MAX,
            found: &mut found,
        };
        let end = walk.follow(base, DEPTH_MAX, true);
        if end == End::Open && base.base.is_some_and(|base| base.drops) {
            let is_certain = walk.is_certain;
            walk.find(base, None, is_certain);
        }
    }
    found
}

/// Tells which rules and policies could drop a packet, the certain ones first, and how many more.
/// `owner`: the pod or node with the firewall.
#[must_use]
pub fn tell(mut found: Vec<(String, Found<'_>)>) -> Vec<Candidate> {
    found.order_by_key(|(_, found)| !found.is_certain);
    let more = found.len().saturating_sub(TOLD_MAX);
    let told = found.into_iter().take(TOLD_MAX);
    let told = told.map(|(owner, found)| Candidate::Rule(Box::new(found.tell(owner))));
    let more = (more > 0).then_some(Candidate::MoreRules(more));
    told.chain(more).collect()
}

impl Found<'_> {
    /// The priority of the chain that the kernel calls.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.base.base.map_or(0, |Base { priority, .. }| priority)
    }

    /// Its names.
    #[must_use]
    pub fn names(&self) -> DropRule {
        DropRule {
            family: self.chain.family,
            table: self.chain.table.clone(),
            chain: self.chain.name.clone(),
            handle: self.rule.map(|rule| rule.handle),
            number: self.rule.map(|rule| rule.number),
            text: self.rule.map(|rule| rule.text.clone()),
        }
    }

    fn tell(self, owner: String) -> RuleCandidate {
        let (base, chain) = (&self.base.name, &self.chain.name);
        RuleCandidate {
            owner,
            rule: self.names(),
            hook: self.hook,
            priority: self.priority(),
            from: (base != chain).then(|| base.clone()),
            is_certain: self.is_certain,
            sets: self.rule.map(|rule| rule.sets.clone()).unwrap_or_default(),
        }
    }
}

/// The way of a packet through the chains of a hook.
struct Walk<'a, 'b> {
    ruleset: &'a Ruleset,
    asked: &'b Asked<'b>,
    hook: HookPoint,
    base: &'a Chain,
    /// Whether no rule before may have decided.
    is_certain: bool,
    left: usize,
    found: &'b mut Vec<Found<'a>>,
}

impl<'a> Walk<'a, '_> {
    /// Follows a packet through a chain. `comes`: whether it surely comes there.
    fn follow(&mut self, chain: &'a Chain, depth: usize, comes: bool) -> End {
        for rule in &chain.rules {
            let holds = self.asked.holds(rule, chain, self.ruleset);
            self.left = self.left.saturating_sub(1);
            if holds == Holds::No || self.left == 0 {
                continue;
            }
            let end = match self.mapped(rule, chain) {
                Some(actions) => actions.into_iter().find_map(|(action, found)| {
                    self.act(chain, rule, action, (holds.and(found), comes), depth)
                }),
                None => self.act(chain, rule, &rule.action, (holds, comes), depth),
            };
            if let Some(end) = end {
                return end;
            }
        }
        End::Open
    }

    /// What a rule's map of verdicts does, if that is known.
    fn mapped(&self, rule: &'a Rule, chain: &Chain) -> Option<Vec<(&'a Action, Holds)>> {
        let map = rule.map.as_ref()?;
        let set = self.ruleset.set(chain.family, &chain.table, &map.set);
        self.asked.mapped(map, set)
    }

    /// Takes what a rule does with a packet; none if it goes on in the chain. `comes`: whether it holds,
    /// and whether the packet surely comes there.
    fn act(
        &mut self,
        chain: &'a Chain,
        rule: &'a Rule,
        action: &'a Action,
        (holds, comes): (Holds, bool),
        depth: usize,
    ) -> Option<End> {
        let is_sure = comes && holds == Holds::Yes;
        let end = match action {
            Action::Continue => End::Open,
            Action::Accept => self.decide(is_sure),
            Action::Drop | Action::Reject => {
                self.find(chain, Some(rule), is_sure);
                self.decide(is_sure)
            }
            Action::Return if holds == Holds::Yes => return Some(End::Open),
            Action::Return => {
                self.is_certain = false;
                End::Open
            }
            Action::Map => {
                self.find(chain, Some(rule), false);
                self.is_certain = false;
                End::Open
            }
            Action::Jump(name) | Action::Goto(name) => {
                let end = self.jump(chain, name, depth, is_sure);
                let is_last = matches!(action, Action::Goto(_)) && holds == Holds::Yes;
                if is_last {
                    return Some(end);
                }
                end
            }
        };
        // What may not have come here goes on.
        (end == End::Decided && holds == Holds::Yes).then_some(End::Decided)
    }

    fn jump(&mut self, from: &'a Chain, name: &str, depth: usize, is_sure: bool) -> End {
        let ruleset = self.ruleset;
        let to = ruleset.chain(from.family, &from.table, name);
        match (to, depth.checked_sub(1)) {
            (Some(to), Some(depth)) => self.follow(to, depth, is_sure),
            // What is left out decides nothing.
            (None, Some(_)) => End::Open,
            (_, None) => {
                self.is_certain = false;
                End::Open
            }
        }
    }

    fn decide(&mut self, is_sure: bool) -> End {
        if !is_sure {
            self.is_certain = false;
        }
        End::Decided
    }

    fn find(&mut self, chain: &'a Chain, rule: Option<&'a Rule>, is_sure: bool) {
        self.found.push(Found {
            hook: self.hook,
            base: self.base,
            chain,
            rule,
            is_certain: is_sure && !self.ruleset.is_cut && self.left > 0,
        });
    }
}

impl Asked<'_> {
    /// The same as a hook sees it: not all know both interfaces.
    fn at(&self, hook: HookPoint) -> Self {
        let knows_input = !matches!(hook.hook, Hook::Output | Hook::Egress);
        let knows_output = !matches!(hook.hook, Hook::Prerouting | Hook::Input | Hook::Ingress);
        Self {
            input: self.input.filter(|_| knows_input),
            output: self.output.filter(|_| knows_output),
            ..*self
        }
    }

    /// Whether a chain of these interfaces gets it.
    fn is_at_device(&self, hook: HookPoint, devices: &[String]) -> bool {
        let device = self.input.or(self.output);
        hook.layer != Layer::Device
            || device.is_none_or(|device| devices.iter().any(|name| is_named(device, name)))
    }

    fn holds(&self, rule: &Rule, chain: &Chain, ruleset: &Ruleset) -> Holds {
        let set = |name: &str| ruleset.set(chain.family, &chain.table, name);
        let conditions = rule.conditions.iter().map(|one| self.meets(one, &set));
        let first = match rule.is_conditional {
            true => Holds::Maybe,
            false => Holds::Yes,
        };
        conditions.fold(first, Holds::and)
    }

    fn meets<'a>(&self, condition: &Condition, set: &dyn Fn(&str) -> Option<&'a Set>) -> Holds {
        let within =
            |port: Option<u16>, from: u16, to: u16| port.map(|port| (from..=to).contains(&port));
        let known = match &condition.test {
            Test::Ipv4(is_ipv4) => Some(*is_ipv4 == self.is_ipv4),
            Test::Source(prefix) => self.source.map(|address| prefix.covers(address)),
            Test::Destination(prefix) => self.destination.map(|address| prefix.covers(address)),
            Test::Protocol(protocol) => self.protocol.map(|known| known == *protocol),
            Test::SourcePort(from, to) => within(self.source_port, *from, *to),
            Test::DestinationPort(from, to) => within(self.destination_port, *from, *to),
            Test::Ttl(least, greatest) => self.ttl.and_then(|(from, to)| {
                let (is_apart, is_within) = (
                    to < *least || from > *greatest,
                    from >= *least && to <= *greatest,
                );
                (is_apart || is_within).then_some(is_within)
            }),
            Test::MessageType(first, last) => {
                self.message_type.map(|own| (*first..=*last).contains(&own))
            }
            // Without an interface, no rule about it holds.
            Test::Input(name) => match self.input {
                Some(input) => Some(is_named(input, name)),
                None => return Holds::No,
            },
            Test::Output(name) => match self.output {
                Some(output) => Some(is_named(output, name)),
                None => return Holds::No,
            },
            Test::Set(lookup) => match self.is_in(lookup, set(&lookup.set)) {
                Some(Holds::Maybe) => None,
                Some(holds) => Some(holds == Holds::Yes),
                None => return Holds::No,
            },
        };
        match known {
            Some(holds) if holds != condition.is_not => Holds::Yes,
            Some(_) => Holds::No,
            None => Holds::Maybe,
        }
    }
}

fn is_named(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests;
