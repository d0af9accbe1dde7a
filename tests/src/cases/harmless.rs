//! podtrace changes no packet, and no other program's verdict.
mod packets;
mod verdicts;
mod wire;

use std::fs;
use std::path::Path;

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabSpec};
use podtrace::netns::NetNs;

use super::attach_methods::each_attach_method;
use super::tracer::Tracer;
use packets::{from_pod, raw};
pub(super) use wire::mac;
use wire::{Far, Frame, Sender};

/// The packets of a fixed sequence that arrive at a pod of the same node, over the bridge, and
/// at a pod of another node, routed and through VXLAN.
fn arrivals(lab: &Lab) -> [Vec<Frame>; 2] {
    let (one, two) = (&lab.nodes[0], &lab.nodes[1]);
    let (from, near, far) = (&one.pods[0], &one.pods[1], &two.pods[0]);
    // Resolves the addresses in advance.
    for to in [near, far] {
        ping(&from.netns, to.ipv4.into(), 1, 1, 56).unwrap();
    }
    let sender = Sender::new(&from.netns, "eth0");
    let bridged = Far::new(&near.netns, "eth0");
    raw(mac(&near.netns, "eth0"))
        .iter()
        .for_each(|packet| sender.send(packet));
    let bridged = bridged.until_the_last();
    let routed = Far::new(&far.netns, "eth0");
    let gateway = mac(&one.netns, "cni0");
    let packets = from_pod(gateway, from.ipv4, far.ipv4);
    packets.iter().for_each(|packet| sender.send(packet));
    [bridged, routed.until_the_last()]
}

/// Disables netfilter for bridged packets: it drops those with a wrong IP header.
fn bridge_all(netns: &NetNs) {
    let dir = Path::new("/proc/sys/net/bridge");
    netns
        .run(|| {
            for name in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
                if dir.exists() {
                    fs::write(dir.join(name), "0").unwrap();
                }
            }
        })
        .unwrap();
}

#[test]
fn tracing_changes_no_packet() {
    let lab = Lab::new(LabSpec {
        nodes: 2,
        pods_per_node: 2,
        ipv6: false,
    })
    .unwrap();
    lab.nodes.iter().for_each(|node| bridge_all(&node.netns));
    let [bridged, routed] = arrivals(&lab);
    println!("{} bridged, {} routed arrive", bridged.len(), routed.len());
    assert!(bridged.len() > 30 && routed.len() > 5);
    // The compared packets do not change by themselves.
    assert_eq!(arrivals(&lab), [&*bridged, &*routed]);
    each_attach_method(|method| {
        let whole: &[&str] = &["--snaplen", "9216"];
        for options in [&[], whole, &["--headers-only"]] {
            println!("{method} {options:?}");
            let options = [&["--attach", method], options].concat();
            let tracer = Tracer::start(&lab, &[0, 1], &options);
            assert_eq!(arrivals(&lab), [&*bridged, &*routed]);
            let values = tracer.finish();
            let taps = values.last().unwrap()["taps"].as_array().unwrap();
            let seen = |name: &str| {
                let taps = taps.iter().filter(|tap| tap["interface"] == name);
                taps.map(|tap| tap["seen"].as_u64().unwrap()).sum::<u64>()
            };
            let least = (bridged.len() + routed.len()) as u64;
            assert!(
                seen("veth0101") >= least && seen("flannel.1") >= 2,
                "{taps:?}"
            );
        }
        assert_eq!(arrivals(&lab), [&*bridged, &*routed]);
    });
}
