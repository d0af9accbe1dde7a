//! What decides the way of packets on a node: interfaces, tables and settings of its network
//! namespaces, as they were at one time.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{
    subnet::AddressPrefix,
    tables::{Rule, Tables},
};
use crate::{packet::Mac, text::sanitize::sanitize};

/// The facts of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFacts {
    /// Number of the node.
    pub node: usize,
    /// Its name.
    pub name: String,
    /// Its network namespace, then those of its pods.
    pub spaces: Vec<Space>,
    /// Whether entries are left out, as there are more than [`ENTRIES_MAX`], or as a table could not
    /// be read: what is missing proves nothing.
    pub is_cut: bool,
}

/// Upper bound of the entries of one node: interfaces, rules, routes, neighbours and
/// forwarding entries of all its namespaces.
pub const ENTRIES_MAX: usize = 16_384;

/// The facts of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Space {
    /// Its id ([`crate::netns::Ids`]).
    pub netns: u64,
    /// Whether it is a pod's, not the node's own.
    pub in_pod: bool,
    /// A path that opens it on its node, of characters that no shell reads in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its interfaces.
    pub devices: Vec<Device>,
    /// Its policy rules, in order of their priority; empty if they could not be read.
    pub rules: Vec<Rule>,
    /// Its tables.
    pub tables: Tables,
    /// Its settings.
    pub settings: Settings,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Index in its namespace.
    pub ifindex: u32,
    /// Name in its namespace.
    pub name: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Whether it was set up.
    pub up: bool,
    /// Whether it can carry packets, if it was set up.
    pub carrier: bool,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Its MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Whether it neither asks for MAC addresses nor answers such questions (`IFF_NOARP`); none in
    /// recordings that do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_arp: Option<bool>,
    /// Index of the bridge, bond or VRF that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<u32>,
    /// The other end of a veth between node and pod: its namespace and its index there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<(u64, u32)>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressPrefix>,
    /// Its settings as a port of a bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The settings of a VXLAN interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vxlan: Option<Vxlan>,
    /// Its `net.ipv4.conf` and `net.ipv6.conf`.
    pub settings: DeviceSettings,
    /// Its queueing disciplines, but for those that queue nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub qdiscs: Vec<Qdisc>,
}

/// The kind of an interface, as far as packets take another way through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// One end of a veth or netkit pair.
    Veth,
    /// A bridge.
    Bridge,
    /// A VXLAN tunnel.
    Vxlan,
    /// Another tunnel.
    Tunnel,
    /// A loopback interface.
    Loopback,
    /// By which no packet leaves: a dummy, an ifb, a VRF.
    Internal,
    /// Any other.
    #[default]
    Other,
}

/// The settings of a port of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Whether it forwards; others listen, learn or are disabled.
    pub is_forwarding: bool,
    /// Whether frames may go back to the port that they came in by.
    pub hairpin: bool,
    /// Whether it exchanges no frames with other isolated ports.
    pub isolated: bool,
    /// Whether the bridge learns addresses from it.
    pub learning: bool,
    /// Whether it gets frames for unknown addresses.
    pub flood: bool,
}

impl Default for Port {
    /// The kernel's defaults.
    fn default() -> Self {
        Self {
            is_forwarding: true,
            hairpin: false,
            isolated: false,
            learning: true,
            flood: true,
        }
    }
}

/// A VXLAN interface's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vxlan {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// UDP destination port.
    pub port: u16,
    /// Index of the interface below it.
    pub underlay: Option<u32>,
    /// Source address of its packets: the node's VTEP.
    pub local: Option<IpAddr>,
    /// Whether it learns from packets which VTEP leads to which address; flannel's does
    /// not.
    pub learning: bool,
}

/// Settings of a namespace; none where it could not be read, or does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `net.ipv4.ip_forward`
    pub ipv4_forward: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`
    pub ipv6_forward: Option<bool>,
    /// `net.ipv4.conf.all.rp_filter`
    pub rp_filter: Option<u8>,
    /// `net.ipv4.conf.all.arp_ignore`
    pub arp_ignore: Option<u8>,
    /// `net.ipv4.icmp_echo_ignore_all`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_echo_ignored: Option<bool>,
    /// `net.ipv6.icmp.echo_ignore_all`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_echo_ignored: Option<bool>,
    /// `net.bridge.bridge-nf-call-iptables`
    pub bridge_calls_iptables: Option<bool>,
    /// `net.netfilter.nf_conntrack_count`
    pub conntrack_count: Option<u32>,
    /// `net.netfilter.nf_conntrack_max`
    pub conntrack_max: Option<u32>,
    /// What its listening sockets have not taken so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<ListenCounters>,
}

/// How many connections the listening sockets of a namespace have not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenCounters {
    /// As a queue was full (`ListenOverflows` of `TcpExt` in netstat).
    pub overflows: u64,
    /// For that or any other reason (`ListenDrops`).
    pub drops: u64,
}

/// Settings of an interface; none where it could not be read, or does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceSettings {
    /// `net.ipv4.conf.<name>.forwarding`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_forward: Option<bool>,
    /// `net.ipv6.conf.<name>.forwarding`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_forward: Option<bool>,
    /// `net.ipv4.conf.<name>.rp_filter`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rp_filter: Option<u8>,
    /// `net.ipv4.conf.<name>.arp_ignore`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arp_ignore: Option<u8>,
    /// `net.ipv6.conf.<name>.disable_ipv6`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_disabled: Option<bool>,
}

/// A queueing discipline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Qdisc {
    /// Its kind, such as `fq_codel`.
    pub kind: String,
    /// Packets that it has dropped.
    pub drops: u32,
}

impl NodeFacts {
    /// Leaves out what is beyond [`ENTRIES_MAX`].
    pub fn bound(&mut self) {
        let mut left = ENTRIES_MAX;
        for space in &mut self.spaces {
            let lists = [
                cut(&mut space.devices, &mut left),
                cut(&mut space.rules, &mut left),
                cut(&mut space.tables.routes, &mut left),
                cut(&mut space.tables.neighbours, &mut left),
                cut(&mut space.tables.fdb, &mut left),
            ];
            self.is_cut |= lists.contains(&true);
        }
    }

    /// Whether they differ from others in more than counters.
    #[must_use]
    pub fn differ(&self, others: &Self) -> bool {
        let without_counters = |facts: &Self| {
            let mut facts = facts.clone();
            for space in &mut facts.spaces {
                space.settings.conntrack_count = None;
                // A queue that was full is worth to be told.
                let listen = space.settings.listen.iter_mut();
                listen.for_each(|listen| listen.drops = 0);
                let qdiscs = space
                    .devices
                    .iter_mut()
                    .flat_map(|device| &mut device.qdiscs);
                qdiscs.for_each(|qdisc| qdisc.drops = 0);
            }
            facts
        };
        self != others && without_counters(self) != without_counters(others)
    }

    /// Maps the ids of its namespaces.
    pub fn map_netns(&mut self, map: impl Fn(u64) -> u64) {
        for space in &mut self.spaces {
            space.netns = map(space.netns);
            let peers = space
                .devices
                .iter_mut()
                .filter_map(|device| device.peer.as_mut());
            peers.for_each(|(netns, _)| *netns = map(*netns));
        }
    }

    /// Makes its names safe for a terminal: a file can hold anything.
    pub fn make_safe(&mut self) {
        self.name = sanitize(&self.name);
        for space in &mut self.spaces {
            space.path = space.path.take().filter(|path| is_plain(path));
            for device in &mut space.devices {
                device.name = sanitize(&device.name);
                for qdisc in &mut device.qdiscs {
                    qdisc.kind = sanitize(&qdisc.kind);
                }
            }
            for input in space
                .rules
                .iter_mut()
                .filter_map(|rule| rule.input.as_mut())
            {
                *input = sanitize(input);
            }
        }
    }
}

/// Whether a shell takes a path as it is.
#[must_use]
pub fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    path.bytes().all(is_plain)
}

/// Cuts a list to what is left; whether it was longer.
fn cut<T>(list: &mut Vec<T>, left: &mut usize) -> bool {
    let is_longer = list.len() > *left;
    list.truncate(*left);
    *left -= list.len();
    is_longer
}

impl Space {
    /// The interface with this index.
    #[must_use]
    pub fn device(&self, ifindex: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.ifindex == ifindex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_bounded_and_the_nodes_own_come_first() {
        let devices = |count: usize| vec![Device::default(); count];
        let space = |count| Space {
            devices: devices(count),
            ..Space::default()
        };
        let mut facts = NodeFacts {
            spaces: vec![space(ENTRIES_MAX - 1), space(1)],
            ..NodeFacts::default()
        };
        facts.bound();
        assert!(!facts.is_cut);
        facts.spaces.push(space(1));
        facts.bound();
        assert!(facts.is_cut && facts.spaces[2].devices.is_empty());
    }

    #[test]
    fn paths_are_kept_only_where_a_shell_takes_them_as_they_are() {
        for (path, is_kept) in [
            ("/run/netns/cni-0a1b", true),
            ("/proc/12/ns/net", true),
            ("/run/netns/a;reboot", false),
            ("/run/netns/a b", false),
            ("/run/netns/$(x)", false),
        ] {
            let mut facts = NodeFacts {
                spaces: vec![Space {
                    path: Some(path.into()),
                    ..Space::default()
                }],
                ..NodeFacts::default()
            };
            facts.make_safe();
            assert_eq!(facts.spaces[0].path.is_some(), is_kept, "{path}");
        }
    }

    #[test]
    fn counters_make_no_difference() {
        let facts = |count, drops: u32, mtu| NodeFacts {
            spaces: vec![Space {
                settings: Settings {
                    conntrack_count: Some(count),
                    listen: Some(ListenCounters {
                        overflows: 0,
                        drops: drops.into(),
                    }),
                    ..Settings::default()
                },
                devices: vec![Device {
                    mtu,
                    qdiscs: vec![Qdisc {
                        kind: "tbf".into(),
                        drops,
                    }],
                    ..Device::default()
                }],
                ..Space::default()
            }],
            ..NodeFacts::default()
        };
        assert!(!facts(1, 2, 1450).differ(&facts(3, 4, 1450)));
        assert!(facts(1, 2, 1450).differ(&facts(1, 2, 1500)));
        let mut full = facts(1, 2, 1450);
        let listen = full.spaces[0].settings.listen.iter_mut();
        listen.for_each(|listen| listen.overflows = 1);
        assert!(facts(1, 2, 1450).differ(&full));
    }
}
