//! What could have stopped a packet, where nothing tells what did.
use std::{
    fmt::{self, Display},
    net::IpAddr,
};

use crate::{
    field::object,
    model::{drop::DropRule, hook::HookPoint},
};

/// Queueing disciplines that hold packets back, for seconds where the rate is low.
const SHAPERS: [&str; 5] = ["tbf", "htb", "hfsc", "cake", "netem"];

/// Something that could have stopped a packet. Names are safe for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// A rule of a firewall, or the policy of a chain.
    Rule(Box<RuleCandidate>),
    /// So many rules more.
    MoreRules(usize),
    /// Rules of a firewall that are not known.
    Firewall {
        /// The pod or node that it is in.
        owner: String,
        /// The hook.
        hook: HookPoint,
        /// Which packets, in words.
        which: Option<String>,
    },
    /// A queueing discipline.
    Queue {
        /// The interface and its owner, in words.
        at: String,
        /// Its kind.
        kind: String,
        /// How many packets it has dropped.
        drops: u32,
    },
    /// tc or BPF programs of others, there.
    Programs(String),
    /// Connection tracking, which is nearly full.
    Tracking {
        /// How many entries it has.
        count: u32,
        /// How many it may have.
        max: u32,
    },
    /// A neighbour that is asked for its MAC address while packets wait.
    Neighbour {
        /// The interface towards it and its owner, in words.
        at: String,
        /// Its address.
        address: IpAddr,
    },
    /// Anything else that podtrace does not look at, in words.
    Unseen(String),
}

/// A rule that could have dropped a packet, or the policy of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCandidate {
    /// The pod or node with the firewall.
    pub owner: String,
    /// The rule.
    pub rule: DropRule,
    /// The hook.
    pub hook: HookPoint,
    /// The place of the hook's chain among those of the hook.
    pub priority: i32,
    /// The hook's chain, if the rule is in one that it leads to.
    pub from: Option<String>,
    /// Whether all conditions that lead to it are known and hold.
    pub is_certain: bool,
    /// Sets and maps that it asks, whose elements podtrace does not know.
    pub sets: Vec<String>,
}

object! {
    /// A rule of a firewall that could have dropped a packet, or the policy of a chain.
    pub RuleObject as "candidate rule" {
        /// the pod or node with the firewall
        owner: String,
        /// the hook at which the kernel asks it: `prerouting`, `input`, `forward`, `output`,
        /// `postrouting`, `bridge forward` (and so on), `netdev ingress` or `netdev egress`
        hook: String,
        /// the priority of the chain that the kernel calls: less comes first
        priority: i32,
        /// family of its table
        family: &'static str,
        /// its table
        table: String,
        /// its chain
        chain: String,
        /// its number in the chain, from 1; none of the chain's policy
        number: Option<u32>,
        /// its handle, as `nft -a` shows it
        handle: Option<u64>,
        /// what it says
        text: Option<String>,
        /// whether all that leads to it is known, and holds for the packet
        is_certain: bool,
        /// sets and maps that it asks, whose elements podtrace does not know
        sets: Option<Vec<String>>,
    }
}

impl RuleObject {
    /// Those of candidates; none if there are none.
    pub(crate) fn all<'a>(rules: impl Iterator<Item = &'a RuleCandidate>) -> Option<Vec<Self>> {
        let all: Vec<_> = rules.map(Self::of).collect();
        (!all.is_empty()).then_some(all)
    }

    fn of(rule: &RuleCandidate) -> Self {
        let DropRule {
            family,
            table,
            chain,
            handle,
            number,
            text,
        } = rule.rule.clone();
        Self {
            owner: rule.owner.clone(),
            hook: rule.hook.to_string(),
            priority: rule.priority,
            family: family.as_str(),
            table,
            chain,
            number,
            handle,
            text,
            is_certain: rule.is_certain,
            sets: (!rule.sets.is_empty()).then(|| rule.sets.clone()),
        }
    }
}

impl Candidate {
    /// Whether packets may wait there for long.
    #[must_use]
    pub fn is_shaper(&self) -> bool {
        let Self::Queue { kind, .. } = self else {
            return false;
        };
        SHAPERS.iter().any(|shaper| kind.starts_with(shaper))
    }

    /// The rule, if it is one.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleCandidate> {
        match self {
            Self::Rule(rule) => Some(rule),
            _ => None,
        }
    }

    /// The neighbour that packets may wait for.
    #[must_use]
    pub fn neighbour(&self) -> Option<IpAddr> {
        match self {
            Self::Neighbour { address, .. } => Some(*address),
            _ => None,
        }
    }

    /// Whether it is of a firewall.
    #[must_use]
    pub fn is_of_firewall(&self) -> bool {
        matches!(
            self,
            Self::Rule(_) | Self::MoreRules(_) | Self::Firewall { .. }
        )
    }
}

impl Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::MoreRules(count) => write!(f, "{count} more rules"),
            Self::Firewall { owner, hook, which } => {
                write!(f, "firewall rules of hook {hook} of {owner}")?;
                match which {
                    Some(which) => write!(f, " {which}"),
                    None => Ok(()),
                }
            }
            Self::Queue { at, kind, drops: 0 } => write!(f, "qdisc {kind} of {at}"),
            Self::Queue { at, kind, drops } => {
                write!(f, "qdisc {kind} of {at}, which has dropped {drops} packets")
            }
            Self::Programs(at) => write!(f, "tc or BPF programs of others at {at}"),
            Self::Tracking { count, max } => {
                write!(f, "connection tracking, with {count} of {max} entries")
            }
            Self::Neighbour { at, address } => {
                let asked = if address.is_ipv4() { "ARP" } else { "ND" };
                write!(
                    f,
                    "{asked} for {address} on {at}, which has no neighbour entry for it"
                )
            }
            Self::Unseen(words) => f.write_str(words),
        }
    }
}

/// `rule 3 of chain KUBE-NWPLCY-X of table ip filter of worker1 (from FORWARD, priority 0): ip daddr
/// 10.244.1.3 drop`
impl Display for RuleCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} (", self.rule.place(), self.owner)?;
        match &self.from {
            Some(from) => write!(f, "from {from}")?,
            None => write!(f, "hook {}", self.hook)?,
        }
        write!(f, ", priority {})", self.priority)?;
        if let Some(text) = &self.rule.text {
            write!(f, ": {text}")?;
        }
        match &self.sets[..] {
            [] => Ok(()),
            [set] => write!(f, "; podtrace has not looked into set {set}"),
            sets => write!(f, "; podtrace has not looked into sets {}", sets.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{hook::Hook, ruleset::Family};

    #[test]
    fn rule_is_told_with_its_hook_and_what_is_not_known_of_it() {
        let rule = RuleCandidate {
            owner: "worker1".into(),
            rule: DropRule {
                family: Family::Ip,
                table: "raw".into(),
                chain: "pre".into(),
                handle: Some(4),
                number: Some(1),
                text: Some("ip saddr @blocked drop".into()),
            },
            hook: Hook::Prerouting.of_ip(),
            priority: -300,
            from: None,
            is_certain: false,
            sets: vec!["blocked".into()],
        };
        assert_eq!(
            Candidate::Rule(Box::new(rule)).to_string(),
            "rule 1 of chain pre of table ip raw of worker1 (hook prerouting, priority -300): \
             ip saddr @blocked drop; podtrace has not looked into set blocked"
        );
    }

    #[test]
    fn only_a_shaper_holds_packets_back() {
        let queue = |kind: &str| Candidate::Queue {
            at: "eth0 of worker1".into(),
            kind: kind.into(),
            drops: 0,
        };
        assert!(queue("tbf").is_shaper() && !queue("fq_codel").is_shaper());
        assert!(!Candidate::Unseen("qdisc tbf of eth0".into()).is_shaper());
    }
}
