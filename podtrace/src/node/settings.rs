//! The settings of a network namespace that decide where packets go: sysctls and queueing
//! disciplines.
use std::{collections::HashMap, fs, str::FromStr};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage, TcStats2};

use super::links::Link;
use crate::{
    model::facts::{DeviceSettings, Qdisc, Settings},
    netns::{NetNs, netstat::listen_counters},
    text::sanitize::sanitize,
};

/// Where sysctls of the network are. They are those of the thread's namespace.
const ROOT: &str = "/proc/sys/net";

/// The sysctls of a namespace and of its interfaces, by index; empty if it cannot be entered.
pub(super) fn read(netns: &NetNs, links: &[Link]) -> (Settings, HashMap<u32, DeviceSettings>) {
    let read_all = || {
        let of_link = |link: &Link| (link.ifindex, device(&link.name));
        (of_namespace(), links.iter().map(of_link).collect())
    };
    netns.run(read_all).unwrap_or_default()
}

fn of_namespace() -> Settings {
    Settings {
        ipv4_forward: switch("ipv4/ip_forward"),
        ipv6_forward: switch("ipv6/conf/all/forwarding"),
        rp_filter: number("ipv4/conf/all/rp_filter"),
        arp_ignore: number("ipv4/conf/all/arp_ignore"),
        ipv4_echo_ignored: switch("ipv4/icmp_echo_ignore_all"),
        ipv6_echo_ignored: switch("ipv6/icmp/echo_ignore_all"),
        bridge_calls_iptables: switch("bridge/bridge-nf-call-iptables"),
        conntrack_count: number("netfilter/nf_conntrack_count"),
        conntrack_max: number("netfilter/nf_conntrack_max"),
        listen: listen_counters(),
    }
}

fn device(name: &str) -> DeviceSettings {
    DeviceSettings {
        ipv4_forward: switch(&format!("ipv4/conf/{name}/forwarding")),
        ipv6_forward: switch(&format!("ipv6/conf/{name}/forwarding")),
        rp_filter: number(&format!("ipv4/conf/{name}/rp_filter")),
        arp_ignore: number(&format!("ipv4/conf/{name}/arp_ignore")),
        ipv6_disabled: switch(&format!("ipv6/conf/{name}/disable_ipv6")),
    }
}

fn number<T: FromStr>(path: &str) -> Option<T> {
    let text = fs::read_to_string(format!("{ROOT}/{path}")).ok()?;
    text.trim().parse().ok()
}

fn switch(path: &str) -> Option<bool> {
    number::<i64>(path).map(|value| value != 0)
}

/// The queueing disciplines of a namespace by the index of their interface; empty if the kernel
/// refuses. Those that queue nothing are left out.
pub(super) async fn qdiscs(netns: &NetNs) -> HashMap<u32, Vec<Qdisc>> {
    let mut found: HashMap<u32, Vec<Qdisc>> = HashMap::new();
    let Ok(handle) = netns.netlink() else {
        return found;
    };
    let mut dump = handle.qdisc().get().execute();
    while let Ok(Some(message)) = dump.try_next().await {
        let ifindex = u32::try_from(message.header.index).ok();
        if let (Some(ifindex), Some(qdisc)) = (ifindex, qdisc(&message)) {
            found.entry(ifindex).or_default().push(qdisc);
        }
    }
    found
}

fn qdisc(message: &TcMessage) -> Option<Qdisc> {
    let mut qdisc = Qdisc::default();
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => qdisc.kind = sanitize(kind),
            TcAttribute::Stats2(stats) => {
                let drops = stats.iter().find_map(|one| match one {
                    TcStats2::Queue(queue) => Some(queue.drops),
                    _ => None,
                });
                qdisc.drops = drops.unwrap_or(qdisc.drops);
            }
            _ => {}
        }
    }
    let queues = !matches!(qdisc.kind.as_str(), "noqueue" | "clsact" | "ingress" | "");
    queues.then_some(qdisc)
}
