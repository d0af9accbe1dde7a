//! The filter, in the kernel.
use podtrace::{
    filter::{Begin, Beyond, Block, Expression, Filter, Scope},
    packet::FLANNEL_PORT,
    probe::ProbeOptions,
};
use podtrace_ebpf::config::{FILTER_SLOTS, PROGRAM_EGRESS, PROGRAM_INGRESS};

use super::{Bench, options, sampling::encapsulations};
use crate::frames::{datagram, ipv6};

/// Takes nearly all of the room, with reads at offsets that the packet tells.
const LONG: &str = "udp and (port 1 or port 2 or port 3 or portrange 4000-65535) \
                    and ip[2:2] - ((ip[0] & 0xf) << 2) > 8 and udp[4:2] % 16 >= 0";

/// The expression as it is, for the innermost packet.
fn whole(text: &str) -> Option<Block> {
    let expression = Expression::compile(text).unwrap();
    let block = expression.translate(Begin::Ip, Beyond::Unknown).unwrap();
    block.inspect(|block| {
        assert!(
            block.code.len() <= FILTER_SLOTS,
            "{text}: {}",
            block.code.len()
        )
    })
}

/// A filter that takes nearly all of the room.
pub(in crate::cases) fn long() -> Option<Block> {
    whole(LONG)
}

/// What the kernel decides of an expression.
fn decided(text: &str) -> Option<Block> {
    let filter = Filter {
        expression: Expression::compile(text).unwrap(),
        scope: Scope::Inner,
    };
    filter.for_kernel()
}

#[test]
fn innermost_packet_decides_in_all_tunnels() {
    // The filter copies the short one whole, and reads the begin of the long one in place.
    let frames = [datagram(&[1; 20]), datagram(&[1; 64])];
    for (text, filter, passes) in [
        ("udp", decided("udp and port 7"), [true; 2]),
        ("tcp", decided("tcp port 80"), [false; 2]),
        ("tcp or udp", decided("tcp or udp"), [true; 2]),
        ("sctp", decided("sctp"), [false; 2]),
        ("udp port 1", whole("udp port 1"), [false; 2]),
        ("not udp", whole("not udp"), [false; 2]),
        ("not tcp", whole("not tcp"), [true; 2]),
        (
            "behind the short packet",
            whole("udp[40] = 1"),
            [false, true],
        ),
        ("behind both packets", whole("udp[1000] = 1"), [false, true]),
        (LONG, long(), [true; 2]),
    ] {
        assert!(filter.is_some(), "{text}");
        for (frame, passes) in frames.iter().zip(passes) {
            assert_decision(text, filter.clone(), frame, passes);
        }
    }
}

/// Runs the taps on the frame as it is and in all tunnels.
fn assert_decision(text: &str, filter: Option<Block>, frame: &[u8], passes: bool) {
    let mut bench = Bench::with(ProbeOptions {
        filter,
        ..options(160, 1 << 20)
    });
    bench.probe.set_vxlan_ports(&[FLANNEL_PORT]).unwrap();
    let mut frames = vec![frame.to_vec()];
    frames.extend(
        encapsulations()
            .iter()
            .map(|encapsulate| encapsulate(frame)),
    );
    for frame in &frames {
        bench.run(PROGRAM_INGRESS, frame, 1);
        bench.run(PROGRAM_EGRESS, frame, 1);
    }
    let (records, [ingress, egress, _]) = bench.finish();
    let count = frames.len() as u64;
    for counters in [ingress, egress] {
        assert_eq!((counters.seen, counters.lost), (count, 0), "{text}");
        let expected = if passes { 0 } else { count };
        assert_eq!(counters.filtered, expected, "{text}");
    }
    let expected = if passes { 2 * frames.len() } else { 0 };
    assert_eq!(records.len(), expected, "{text}");
}

#[test]
fn what_the_kernel_cannot_decide_passes() {
    // Longer than what a filter can read, and what is not IP.
    let long = datagram(&[1; 900]);
    let mut frames = super::frames();
    frames.push(long);
    let mut bench = Bench::with(ProbeOptions {
        filter: whole("udp[500] = 9"),
        ..options(160, 1 << 20)
    });
    for frame in &frames {
        bench.run(PROGRAM_INGRESS, frame, 1);
    }
    bench.run(PROGRAM_INGRESS, &ipv6(), 1);
    let (records, [ingress, ..]) = bench.finish();
    assert_eq!(ingress.filtered, 1);
    assert_eq!(records.len(), frames.len());
}
