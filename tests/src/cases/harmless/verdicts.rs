//! Other programs before and after ours see every packet, and their verdicts hold.

use std::collections::BTreeSet;
use std::fs;

use aya::programs::TcAttachType;
use podtrace::lab::Lab;
use podtrace::netns::NetNs;
use podtrace::probe::AttachMethod;
use serde_json::Value;

use super::super::attach_methods::each_attach_method;
use super::super::foreign::{Foreign, OK, REDIRECT, SHOT, Spot, UNSPEC};
use super::super::tracer::{Tracer, hops};
use super::packets::{datagram_to, last_to};
use super::wire::{Far, Sender, index, mac};
use crate::cases::one_node;

const PACKETS: u64 = 5;
const VERDICTS: [i64; 4] = [UNSPEC, OK, SHOT, REDIRECT];

/// The place of another program, and whether ours comes before it.
#[derive(Clone, Copy, Debug)]
struct Neighbour {
    spot: Spot,
    /// Whether it was attached before podtrace started.
    was_before: bool,
    ours_is_first: bool,
}

fn is_behind(value: &Value) -> bool {
    let text = value["text"].as_str().unwrap_or_default();
    text.contains("other tools' programs come before podtrace's")
}

fn neighbours(method: &str) -> Vec<Neighbour> {
    let one = |spot, was_before, ours_is_first| Neighbour {
        spot,
        was_before,
        ours_is_first,
    };
    let ours_is_tcx = method == "tcx";
    let mut all = vec![
        one(Spot::Clsact(1), true, true),
        one(Spot::Clsact(100), true, true),
        one(Spot::Clsact(1), false, ours_is_tcx),
        one(Spot::Clsact(100), false, true),
    ];
    if AttachMethod::best() == AttachMethod::Tcx {
        // TCX programs come before filters of clsact.
        all.extend([
            one(Spot::TcxFirst, true, ours_is_tcx),
            one(Spot::TcxLast, true, ours_is_tcx),
            one(Spot::TcxFirst, false, false),
            one(Spot::TcxLast, false, ours_is_tcx),
        ]);
    }
    all
}

/// A node with three pods: packets go from the first to the second, or to the third if they
/// are redirected.
struct Site {
    lab: Lab,
    sender: Sender,
    /// Makes the packets of each turn unique.
    turn: u16,
}

impl Site {
    fn new() -> Self {
        let lab = one_node(3);
        // Keeps the bridge from sending multicast reports, which would be counted.
        let setting = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
        let node = &lab.nodes[0].netns;
        node.run(|| fs::write(setting, "0")).unwrap().unwrap();
        let sender = Sender::new(&lab.nodes[0].pods[0].netns, "eth0");
        let turn = 0;
        Self { lab, sender, turn }
    }

    fn node(&self) -> &NetNs {
        &self.lab.nodes[0].netns
    }

    /// Sends packets past a program with a verdict and checks the result there. Returns their
    /// port, by which the caller checks whether ours has seen them.
    fn check(&mut self, program: &Foreign, verdict: i64) -> u16 {
        self.turn += 1;
        let port = 7000 + self.turn;
        let pods = &self.lab.nodes[0].pods;
        let (to, other) = (&pods[1].netns, &pods[2].netns);
        program.set(verdict, index(self.node(), &pods[2].veth));
        let fars = [to, other].map(|netns| Far::new(netns, "eth0"));
        for _ in 0..PACKETS {
            self.sender.send(&datagram_to(mac(to, "eth0"), port));
        }
        for netns in [to, other] {
            self.sender.send(&last_to(mac(netns, "eth0")));
        }
        let arrived = fars.map(|far| far.until_the_last().len() as u64);
        assert_eq!(program.count(), PACKETS, "verdict {verdict}");
        let expected = match verdict {
            SHOT => [0, 0],
            REDIRECT => [0, PACKETS],
            _ => [PACKETS, 0],
        };
        assert_eq!(arrived, expected, "verdict {verdict}");
        port
    }
}

/// The ports of packets that were seen at an interface and direction.
fn seen(values: &[Value], point: &str) -> BTreeSet<u16> {
    let paths = values.iter().filter(|value| value["type"] == "path");
    let there = paths.filter(|path| hops(path).iter().any(|hop| hop == point));
    let ports = there.filter_map(|path| {
        let what = path["what"].as_str()?.strip_prefix("UDP ")?;
        let port = what.split_once("> ")?.1.split(' ').next()?;
        port.parse().ok()
    });
    ports.collect()
}

#[test]
fn other_programs_see_every_packet_and_their_verdicts_hold() {
    let hooks = [
        ("veth0101", TcAttachType::Ingress, "1/veth0101 ingress"),
        ("veth0102", TcAttachType::Egress, "1/veth0102 egress"),
    ];
    each_attach_method(|method| {
        let mut site = Site::new();
        for neighbour in neighbours(method) {
            for (interface, hook, point) in hooks {
                println!("{method}, {neighbour:?}, {point}");
                let mut program = Foreign::new();
                let node = site.node().clone();
                let mut attach = || program.attach(&node, interface, hook, neighbour.spot);
                let before = neighbour.was_before.then(&mut attach);
                let only = ["--attach", method, "-i", interface];
                let mut tracer = Tracer::start(&site.lab, &[0], &only);
                let link = before.unwrap_or_else(attach);
                let ports = VERDICTS.map(|verdict| site.check(&program, verdict));
                if !neighbour.ours_is_first {
                    tracer.wait_until_all(1, is_behind);
                }
                drop(link);
                let values = tracer.finish();
                assert_eq!(values.iter().any(is_behind), !neighbour.ours_is_first);
                let expected = ports
                    .into_iter()
                    .zip(VERDICTS)
                    .filter(|(_, verdict)| neighbour.ours_is_first || *verdict == UNSPEC);
                let expected: BTreeSet<_> = expected.map(|(port, _)| port).collect();
                assert_eq!(seen(&values, point), expected);
            }
        }
    });
}
