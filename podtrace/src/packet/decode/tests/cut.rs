//! Frames whose headers alone were captured.
use podtrace_ebpf::{
    config::SNAPLEN_DEFAULT,
    sample::{self, InMemory},
};

use super::*;

/// The bytes of a frame that `--headers-only` captures, and those captured without it.
fn captured(frame: &[u8], framing: Framing) -> [&[u8]; 2] {
    let all = &frame[..frame.len().min(SNAPLEN_DEFAULT as usize)];
    let is_ethernet = framing == Framing::Ethernet;
    let whole = InMemory {
        bytes: frame,
        is_vxlan: |port| port == 8472,
    };
    let seen = sample::innermost(&whole, is_ethernet);
    let headers = seen.map_or(u32::MAX, |(network, seen)| {
        network.saturating_add(seen.headers)
    });
    [&all[..all.len().min(headers as usize)], all]
}

fn read(bytes: &[u8], frame: &[u8], framing: Framing) -> Packet {
    let len = u32::try_from(frame.len()).unwrap();
    Packet::decode(bytes, len, framing, &options())
}

/// Parts of frames, to be concatenated: EtherTypes and IP protocols lead to the next header by
/// chance and by mutation.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let protocol = || prop::sample::select(vec![0, 1, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60, 132]);
    prop_oneof![
        (protocol(), 0x44..=0x47_u8, any::<[u8; 2]>(), 0..3_u8).prop_map(
            |(protocol, first, id, fragment)| {
                let fragment = [0, 0x20, 0x20][usize::from(fragment)];
                let mut header = vec![first, 0, 0, 90, id[0], id[1], fragment, fragment & id[0]];
                header.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
                header.resize(usize::from(first & 0xf).max(5) * 4, 1);
                header
            }
        ),
        protocol().prop_map(|next| {
            let mut header = vec![0x60, 0, 0, 0, 0, 90, next, 64];
            header.resize(40, 7);
            header
        }),
        // An extension header.
        (protocol(), 0..3_u8).prop_map(|(next, len)| {
            let mut header = vec![next, len];
            header.resize(usize::from(len) * 8 + 8, 0);
            header
        }),
        any::<[u8; 3]>().prop_map(|[a, b, offset]| {
            let mut header = vec![a, b, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, offset, 0x18];
            header.resize(20, 3);
            header
        }),
        prop::sample::select(vec![8472, 6081, 53]).prop_map(|port: u16| {
            let [p0, p1] = port.to_be_bytes();
            vec![1, 2, p0, p1, 0, 60, 0, 0, 8, 0, 0x65, 0x58, 0, 0, 1, 0]
        }),
        prop::sample::select(vec![0x0800, 0x86dd, 0x6558]).prop_map(|ethertype: u16| {
            let [e0, e1] = ethertype.to_be_bytes();
            vec![0x20, 0, e0, e1, 0, 0, 0, 9]
        }),
        prop::sample::select(vec![
            0x0800, 0x0806, 0x86dd, 0x8100, 0x8847, 0x8864, 0x88cc, 0x0026,
        ])
        .prop_map(|ethertype| ethernet(ethertype, &[])),
        any::<[u8; 8]>().prop_map(Vec::from),
    ]
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let headers = prop::collection::vec(piece(), 1..7);
    let mutations = prop::collection::vec((0..150_usize, any::<u8>()), 0..3);
    (headers, 0..120_usize, mutations).prop_map(|(headers, payload, mutations)| {
        let mut frame = headers.concat();
        frame.extend((0..payload).map(|n| n as u8));
        for (at, value) in mutations {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn headers_tell_as_much_as_all(frame in frames()) {
        for framing in [Framing::Ethernet, Framing::Ip] {
            let [headers, all] = captured(&frame, framing);
            prop_assert_eq!(read(headers, &frame, framing), read(all, &frame, framing));
        }
    }
}

#[test]
fn payload_is_left_out() {
    let long = vec![9; 100];
    let frame = ethernet(ETHERTYPE_IPV4, &ipv4(17, &udp(53, &long)));
    let [headers, all] = captured(&frame, Framing::Ethernet);
    assert_eq!((headers.len(), all.len()), (14 + 20 + 8 + 16, 142));
    let [headers, _] = captured(&frame[14..], Framing::Ip);
    assert_eq!(headers.len(), 20 + 8 + 16);
    let tunnelled = in_vxlan(&frame);
    let [headers, _] = captured(&tunnelled, Framing::Ethernet);
    assert_eq!(headers.len(), 50 + 14 + 20 + 8 + 16);
}
