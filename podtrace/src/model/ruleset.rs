//! The rules of a network namespace's firewall that decide whether a packet is dropped, as they
//! were at one time.
pub mod sets;

use serde::{Deserialize, Serialize};

use self::sets::{Lookup, Set};
use super::{
    hook::{Hook, HookPoint, Layer},
    subnet::AddressPrefix,
};
use crate::text::sanitize::sanitize;

/// Upper bound of the rules kept of one namespace.
pub const RULES_MAX: usize = 4096;
/// Upper bound of the characters of a rule's text.
pub const TEXT_MAX: usize = 512;

/// The rules of one namespace by which packets can be dropped: chains that accept, mark or
/// translate only are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ruleset {
    /// Id of the namespace ([`crate::netns::Ids`]).
    pub netns: u64,
    /// Its chains, each after those of its table that were created before.
    pub chains: Vec<Chain>,
    /// The sets and maps that its rules ask, as far as their elements are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<Set>,
    /// Whether there were more than [`RULES_MAX`] rules: what is missing proves nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// Tables of legacy iptables that are in use; their rules are not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub legacy: Vec<String>,
}

/// The packets that a table is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    #[default]
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
    /// ARP.
    Arp,
    /// Frames that a bridge forwards.
    Bridge,
    /// Frames at an interface.
    Netdev,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chain {
    /// The family of its table.
    pub family: Family,
    /// The name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where the kernel calls it; none of a chain that rules jump to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The interfaces whose packets it gets, of the hooks ingress and egress; a `*` at the end stands
    /// for any rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Its rules, in order, without those that decide nothing.
    pub rules: Vec<Rule>,
}

/// Where the kernel calls a chain, and what becomes of packets that no rule decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Base {
    /// The hook.
    pub hook: Hook,
    /// Its place among the chains of the hook: less comes first.
    pub priority: i32,
    /// Whether its policy drops them.
    pub drops: bool,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its number in the chain, from 1.
    pub number: u32,
    /// Its handle, as `nft -a` shows it.
    pub handle: u64,
    /// What it says, in the words of `nft` as far as they are known.
    pub text: String,
    /// What a packet has to be like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Whether it depends on more than its conditions say: marks, sets, connections.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_conditional: bool,
    /// The names of sets and maps that it asks, as far as their elements are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<String>,
    /// Of a rule that a map of verdicts decides: what it looks up there, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<Lookup>,
    /// What it does.
    pub action: Action,
}

/// What a rule does with packets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The next rule decides.
    #[default]
    Continue,
    /// The chain's hook lets them pass.
    Accept,
    /// It drops them.
    Drop,
    /// It drops them, and says so to the sender.
    Reject,
    /// The rule behind the jump to its chain decides, or the policy.
    Return,
    /// Another chain decides, and then the next rule.
    Jump(String),
    /// Another chain decides.
    Goto(String),
    /// A map of verdicts decides.
    Map,
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is compared.
    pub test: Test,
    /// Whether it has to fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_not: bool,
}

/// What is compared with a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Whether it is IPv4, rather than IPv6.
    Ipv4(bool),
    /// The source address.
    Source(AddressPrefix),
    /// The destination address.
    Destination(AddressPrefix),
    /// The protocol.
    Protocol(u8),
    /// The first and the last source port.
    SourcePort(u16, u16),
    /// The first and the last destination port.
    DestinationPort(u16, u16),
    /// The least and the greatest TTL or hop limit.
    Ttl(u8, u8),
    /// The first and the last type of a message of ICMP.
    MessageType(u8, u8),
    /// The interface that it came in by; a `*` at the end stands for any rest.
    Input(String),
    /// The interface that it leaves by, in the same way.
    Output(String),
    /// Whether a set has it.
    Set(Lookup),
}

impl Family {
    /// Its name in `nft`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }

    /// Whether its tables see an IP packet there.
    #[must_use]
    pub fn sees(self, layer: Layer, is_ipv4: bool) -> bool {
        match (layer, self) {
            (Layer::Ip, Self::Ip) => is_ipv4,
            (Layer::Ip, Self::Ip6) => !is_ipv4,
            (Layer::Ip | Layer::Device, Self::Inet) => true,
            (Layer::Bridge, Self::Bridge) | (Layer::Device, Self::Netdev) => true,
            _ => false,
        }
    }
}

impl Chain {
    /// Whether the kernel calls it at a hook about an IP packet.
    #[must_use]
    pub fn is_called(&self, at: HookPoint, is_ipv4: bool) -> bool {
        let is_here = self.base.is_some_and(|base| base.hook == at.hook);
        is_here && self.family.sees(at.layer, is_ipv4)
    }
}

impl Action {
    fn is_none(&self) -> bool {
        *self == Self::Continue
    }

    fn make_safe(&mut self) {
        if let Self::Jump(name) | Self::Goto(name) = self {
            *name = safe(name);
        }
    }
}

impl Rule {
    /// What it looks up in sets and maps.
    pub fn lookups(&self) -> impl Iterator<Item = &Lookup> {
        let sets = self.conditions.iter().filter_map(|one| match &one.test {
            Test::Set(lookup) => Some(lookup),
            _ => None,
        });
        sets.chain(&self.map)
    }

    fn lookups_mut(&mut self) -> impl Iterator<Item = &mut Lookup> {
        let sets = self
            .conditions
            .iter_mut()
            .filter_map(|one| match &mut one.test {
                Test::Set(lookup) => Some(lookup),
                _ => None,
            });
        sets.chain(&mut self.map)
    }
}

/// The namespace whose rules are forgotten first: the oldest that has none, or else the oldest, as ids
/// grow.
pub fn least<'a>(all: impl Iterator<Item = &'a Ruleset> + Clone) -> Option<u64> {
    let mut without = all.clone().filter(|ruleset| ruleset.is_empty());
    let oldest = || all.clone().map(|ruleset| ruleset.netns).min();
    without.next().map(|ruleset| ruleset.netns).or_else(oldest)
}

impl Ruleset {
    /// Whether it is known that no rule drops packets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.is_whole()
    }

    /// Whether all rules are known.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.legacy.is_empty() && !self.is_cut
    }

    /// The chain of this name in a table.
    #[must_use]
    pub fn chain(&self, family: Family, table: &str, name: &str) -> Option<&Chain> {
        let is_it =
            |chain: &&Chain| chain.family == family && chain.table == table && chain.name == name;
        self.chains.iter().find(is_it)
    }

    /// The set of this name in a table, if its elements are known.
    #[must_use]
    pub fn set(&self, family: Family, table: &str, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.is(family, table, name))
    }

    /// Leaves out what is beyond [`RULES_MAX`], and sets beyond the bounds of theirs.
    pub fn bound(&mut self) {
        sets::bound(&mut self.sets);
        let mut left = RULES_MAX;
        for chain in &mut self.chains {
            self.is_cut |= chain.rules.len() > left;
            chain.rules.truncate(left);
            left -= chain.rules.len();
        }
        self.is_cut |= self.chains.len() > RULES_MAX;
        self.chains.truncate(RULES_MAX);
    }

    /// Makes its names safe for a terminal, and bounds it: a file can hold anything.
    pub fn make_safe(&mut self) {
        self.bound();
        let clean = |name: &mut String| *name = safe(name);
        self.legacy.iter_mut().for_each(clean);
        self.sets.iter_mut().for_each(Set::make_safe);
        for chain in &mut self.chains {
            clean(&mut chain.table);
            clean(&mut chain.name);
            chain.devices.iter_mut().for_each(clean);
            for rule in &mut chain.rules {
                clean(&mut rule.text);
                rule.sets.iter_mut().for_each(clean);
                for lookup in rule.lookups_mut() {
                    clean(&mut lookup.set);
                }
                rule.action.make_safe();
            }
        }
    }
}

/// A text without what a terminal obeys, and of bounded length.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut safe = sanitize(text);
    if let Some((at, _)) = safe.char_indices().nth(TEXT_MAX) {
        safe.truncate(at);
        safe.push('…');
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_rules_is_forgotten_before_others() {
        let of = |netns, has_rules: bool| Ruleset {
            netns,
            chains: vec![Chain::default(); usize::from(has_rules)],
            ..Ruleset::default()
        };
        for (all, expected) in [
            (vec![of(1, true), of(2, false), of(3, false)], Some(2)),
            (vec![of(1, true), of(2, true)], Some(1)),
            (Vec::new(), None),
        ] {
            assert_eq!(least(all.iter()), expected);
        }
    }
}
