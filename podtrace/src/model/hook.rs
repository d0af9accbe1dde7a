//! Where the kernel asks firewalls about packets.
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// The place in the kernel at which the chains of a hook are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// What comes in, before it is routed.
    #[default]
    Prerouting,
    /// What is for the namespace itself.
    Input,
    /// What is forwarded.
    Forward,
    /// What the namespace sends itself.
    Output,
    /// What leaves, once it is routed.
    Postrouting,
    /// What an interface receives, before any other.
    Ingress,
    /// What an interface sends, behind all others.
    Egress,
    /// Another one.
    Other,
}

/// Which part of the kernel asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// IP, or a bridge in its place (`bridge-nf-call-iptables`).
    #[default]
    Ip,
    /// A bridge, about its frames.
    Bridge,
    /// ARP.
    Arp,
    /// An interface.
    Device,
}

/// A hook of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HookPoint {
    /// The layer.
    pub layer: Layer,
    /// The hook.
    pub hook: Hook,
}

impl Hook {
    /// Its name in `nft`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Other => "other",
        }
    }

    /// The same for IP.
    #[must_use]
    pub const fn of_ip(self) -> HookPoint {
        HookPoint {
            layer: Layer::Ip,
            hook: self,
        }
    }

    /// The same for a bridge.
    #[must_use]
    pub const fn of_bridge(self) -> HookPoint {
        HookPoint {
            layer: Layer::Bridge,
            hook: self,
        }
    }

    /// The same for an interface.
    #[must_use]
    pub const fn of_device(self) -> HookPoint {
        HookPoint {
            layer: Layer::Device,
            hook: self,
        }
    }
}

impl HookPoint {
    /// The hook in whose stack of calls the kernel is, by the names of the functions there, the
    /// innermost first.
    #[must_use]
    pub fn among<'a>(functions: impl Iterator<Item = &'a str>) -> Option<Self> {
        // Compilers make copies of functions.
        let mut functions = functions.filter_map(|name| name.split('.').next());
        let point = functions.find_map(|name| {
            let (_, point) = CALLERS.iter().find(|(names, _)| names.contains(&name))?;
            Some(*point)
        })?;
        // What a bridge sends itself takes the same way as what it forwards.
        let is_sent = point == Hook::Forward.of_bridge()
            && functions.find(|name| name.starts_with("br_handle") || *name == "br_dev_xmit")
                == Some("br_dev_xmit");
        Some(if is_sent {
            Hook::Output.of_bridge()
        } else {
            point
        })
    }

    /// Whether connection tracking knows the packet by then: a chain of this priority there is
    /// called behind it.
    #[must_use]
    pub fn is_behind_tracking(self, priority: i32) -> bool {
        match (self.layer, self.hook) {
            (Layer::Ip, Hook::Prerouting | Hook::Output) => priority > TRACKING,
            (Layer::Ip, hook) => !matches!(hook, Hook::Ingress | Hook::Egress),
            _ => false,
        }
    }
}

/// The priority of connection tracking in prerouting and output, `NF_IP_PRI_CONNTRACK`.
const TRACKING: i32 = -200;

/// The functions that call hooks, from which no other hook is called before.
const CALLERS: [(&[&str], HookPoint); 12] = [
    (
        &[
            "ip_rcv",
            "ip_list_rcv",
            "ip_sublist_rcv",
            "ipv6_rcv",
            "ipv6_list_rcv",
            "ip6_sublist_rcv",
            "br_nf_pre_routing",
            "br_nf_pre_routing_ipv6",
        ],
        Hook::Prerouting.of_ip(),
    ),
    (&["ip_local_deliver", "ip6_input"], Hook::Input.of_ip()),
    (
        &[
            "ip_forward",
            "ip6_forward",
            "ipmr_queue_xmit",
            "ip6mr_forward2",
            "br_nf_forward",
            "br_nf_forward_ip",
        ],
        Hook::Forward.of_ip(),
    ),
    (
        &[
            "__ip_local_out",
            "ip_local_out",
            "__ip6_local_out",
            "ip6_local_out",
            "ip6_xmit",
            "raw_sendmsg",
            "raw_send_hdrinc",
            "rawv6_sendmsg",
            "rawv6_send_hdrinc",
            "ndisc_send_skb",
            "mld_sendpack",
        ],
        Hook::Output.of_ip(),
    ),
    (
        &[
            "ip_output",
            "ip_mc_output",
            "ip6_output",
            "xfrm_output",
            "xfrm4_output",
            "xfrm6_output",
            "br_nf_post_routing",
        ],
        Hook::Postrouting.of_ip(),
    ),
    (&["br_handle_frame"], Hook::Prerouting.of_bridge()),
    (
        &["br_pass_frame_up", "br_handle_frame_finish"],
        Hook::Input.of_bridge(),
    ),
    (
        &["__br_forward", "br_forward", "maybe_deliver"],
        Hook::Forward.of_bridge(),
    ),
    (&["br_forward_finish"], Hook::Postrouting.of_bridge()),
    (
        &["arp_rcv"],
        HookPoint {
            layer: Layer::Arp,
            hook: Hook::Input,
        },
    ),
    (&["__netif_receive_skb_core"], Hook::Ingress.of_device()),
    (&["__dev_queue_xmit"], Hook::Egress.of_device()),
];

/// `forward`, `bridge forward`
impl Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer = match self.layer {
            Layer::Ip => "",
            Layer::Bridge => "bridge ",
            Layer::Arp => "arp ",
            Layer::Device => "netdev ",
        };
        write!(f, "{layer}{}", self.hook.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innermost_caller_names_the_hook() {
        for (functions, expected) in [
            (
                &["nft_do_chain", "nf_hook_slow", "ip_forward", "ip_rcv"][..],
                Some("forward"),
            ),
            (
                &["nf_hook_slow", "ip_sublist_rcv", "ip_list_rcv"],
                Some("prerouting"),
            ),
            (
                &[
                    "nf_hook_slow",
                    "br_nf_forward_ip.part.0",
                    "nf_hook_slow",
                    "__br_forward",
                ],
                Some("forward"),
            ),
            (
                &[
                    "nft_do_chain_bridge",
                    "nf_hook_slow",
                    "__br_forward",
                    "br_handle_frame",
                ],
                Some("bridge forward"),
            ),
            (
                &[
                    "nf_hook_slow",
                    "__br_forward",
                    "br_forward",
                    "br_dev_xmit",
                    "br_handle_frame",
                ],
                Some("bridge output"),
            ),
            (
                &["nf_hook_slow", "__netif_receive_skb_core.constprop.0"],
                Some("netdev ingress"),
            ),
            (&["nf_hook_slow", "tcp_v4_rcv"], None),
        ] {
            let found = HookPoint::among(functions.iter().copied());
            let found = found.map(|point| point.to_string());
            assert_eq!(found.as_deref(), expected, "{functions:?}");
        }
    }

    #[test]
    fn tracking_knows_nothing_before_its_priority() {
        let raw = Hook::Prerouting.of_ip();
        assert!(!raw.is_behind_tracking(-300) && raw.is_behind_tracking(-150));
        assert!(Hook::Forward.of_ip().is_behind_tracking(-300));
        assert!(!Hook::Ingress.of_device().is_behind_tracking(0));
        assert!(!Hook::Forward.of_bridge().is_behind_tracking(0));
    }
}
