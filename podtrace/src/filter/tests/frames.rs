//! Frames as networks have them, whole, cut, and changed.
use proptest::{collection::vec, prelude::*, sample::select};

fn address4() -> BoxedStrategy<[u8; 4]> {
    prop_oneof![
        select(vec![
            [10, 244, 1, 2],
            [10, 244, 1, 3],
            [10, 0, 0, 1],
            [192, 168, 77, 11],
            [10, 0, 0, 254],
            [224, 0, 0, 251],
            [255, 255, 255, 255],
        ]),
        any::<[u8; 4]>(),
    ]
    .boxed()
}

fn address6() -> BoxedStrategy<[u8; 16]> {
    let short = |first: [u8; 2], last| {
        let mut address = [0; 16];
        address[..2].copy_from_slice(&first);
        address[15] = last;
        address
    };
    prop_oneof![
        select(vec![
            short([0xfd, 0], 1),
            short([0xfe, 0x80], 1),
            short([0xff, 2], 0xfb),
            short([0xfd, 0], 9),
        ]),
        any::<[u8; 16]>(),
    ]
    .boxed()
}

fn port() -> BoxedStrategy<u16> {
    prop_oneof![
        select(vec![22, 53, 80, 443, 8472, 8005, 1014]),
        any::<u16>()
    ]
    .boxed()
}

/// Transport protocol, and header with payload.
fn transport() -> BoxedStrategy<(u8, Vec<u8>)> {
    let payload = || vec(any::<u8>(), 0..60);
    let tcp = (
        port(),
        port(),
        any::<u32>(),
        any::<u8>(),
        5_u8..9,
        payload(),
    )
        .prop_map(|(from, to, number, flags, words, payload)| {
            let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
            bytes.extend(number.to_be_bytes());
            bytes.extend([0, 0, 0, 1, words << 4, flags, 1, 0, 0, 0, 0, 0]);
            bytes.resize(usize::from(words) * 4, 1);
            (6, [bytes, payload].concat())
        });
    let udp = (port(), port(), payload()).prop_map(|(from, to, payload)| {
        let len = u16::try_from(payload.len() + 8).unwrap();
        let parts = [from, to, len, 0].map(u16::to_be_bytes).concat();
        (17, [parts, payload].concat())
    });
    let icmp = |number, types: Vec<u8>| {
        (select(types), any::<[u8; 7]>(), payload()).prop_map(move |(kind, rest, payload)| {
            (number, [&[kind][..], &rest, &payload].concat())
        })
    };
    prop_oneof![
        3 => tcp,
        3 => udp,
        2 => icmp(1, vec![0, 3, 8, 11]),
        2 => icmp(58, vec![1, 128, 129, 135, 136]),
        1 => (select(vec![2, 47, 50, 51, 89, 103, 112, 132, 255]), payload()),
    ]
    .boxed()
}

fn ipv4(content: BoxedStrategy<(u8, Vec<u8>)>) -> BoxedStrategy<(u16, Vec<u8>)> {
    let fragment = prop_oneof![5 => Just(0_u16), 1 => Just(0x4000), 1 => any::<u16>()];
    let head = (address4(), address4(), fragment, 5_u8..8, any::<[u8; 3]>());
    (head, content)
        .prop_map(
            |((from, to, fragment, words, [id, ttl, tos]), (number, content))| {
                let len = u16::try_from(usize::from(words) * 4 + content.len()).unwrap();
                let mut bytes = vec![0x40 | words, tos & 4];
                bytes.extend(len.to_be_bytes());
                bytes.extend([0, id]);
                bytes.extend(fragment.to_be_bytes());
                bytes.extend([if ttl < 128 { 64 } else { ttl }, number, 0, 0]);
                bytes.extend([from, to].concat());
                bytes.resize(usize::from(words) * 4, 1);
                (0x0800, [bytes, content].concat())
            },
        )
        .boxed()
}

fn ipv6(content: BoxedStrategy<(u8, Vec<u8>)>) -> BoxedStrategy<(u16, Vec<u8>)> {
    let extension = (
        select(vec![0_u8, 43, 44, 51, 60]),
        0_u8..3,
        any::<[u8; 6]>(),
    );
    let extensions = prop_oneof![2 => Just(Vec::new()), 1 => vec(extension, 1..4)];
    let head = (address6(), address6(), any::<u8>(), extensions);
    (head, content)
        .prop_map(|((from, to, limit, extensions), (number, content))| {
            let mut next = number;
            let mut bytes = content;
            for (kind, units, rest) in extensions {
                let units = if kind == 44 { 0 } else { units };
                let mut header = vec![next, units];
                header.extend(rest);
                let len = match kind {
                    51 => (usize::from(units) + 2) * 4,
                    _ => (usize::from(units) + 1) * 8,
                };
                header.resize(len, 0);
                bytes = [header, bytes].concat();
                next = kind;
            }
            let len = u16::try_from(bytes.len()).unwrap();
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(len.to_be_bytes());
            header.extend([next, limit]);
            header.extend([from, to].concat());
            (0x86dd, [header, bytes].concat())
        })
        .boxed()
}

fn arp() -> BoxedStrategy<(u16, Vec<u8>)> {
    (address4(), address4(), 1_u8..3)
        .prop_map(|(from, to, operation)| {
            let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 1];
            bytes.extend(from);
            bytes.extend([0; 6]);
            bytes.extend(to);
            (0x0806, bytes)
        })
        .boxed()
}

fn mac() -> impl Strategy<Value = [u8; 6]> {
    select(vec![
        [2, 0, 0, 0, 0, 1],
        [2, 0, 0, 0, 0, 2],
        [0xff; 6],
        [0x33, 0x33, 0, 0, 0, 1],
    ])
}

/// An Ethernet frame with tags, labels or PPPoE in front of its content.
fn ethernet(content: BoxedStrategy<(u16, Vec<u8>)>) -> BoxedStrategy<Vec<u8>> {
    let tag = (
        select(vec![0x8100_u16, 0x88a8, 0x9100]),
        select(vec![0_u16, 5, 100, 4095, 0x6005]),
    );
    let tags = prop_oneof![4 => Just(Vec::new()), 2 => vec(tag, 1..4)];
    let shim = prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(2)];
    (mac(), mac(), tags, shim, content)
        .prop_map(|(to, from, tags, shim, (ethertype, content))| {
            let (ethertype, content) = match shim {
                1 => (0x8847, [&[0, 0x40, 1, 64][..], &content].concat()),
                2 => (
                    0x8864,
                    [&[0x11, 0, 0, 1, 0, 9, 0, 0x21][..], &content].concat(),
                ),
                _ => (ethertype, content),
            };
            let mut bytes = [to, from].concat();
            for (kind, tci) in tags {
                bytes.extend([kind, tci].map(u16::to_be_bytes).concat());
            }
            bytes.extend(ethertype.to_be_bytes());
            [bytes, content].concat()
        })
        .boxed()
}

/// VXLAN or Geneve around a frame, or IP in IP.
fn tunnelled(inner: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<(u8, Vec<u8>)> {
    (inner, 0..3)
        .prop_map(|(inner, kind)| match kind {
            0 => (17, udp_around(8472, &[8, 0, 0, 0, 0, 0, 1, 0], &inner)),
            1 => (
                17,
                udp_around(6081, &[0, 0, 0x65, 0x58, 0, 0, 7, 0], &inner),
            ),
            _ => (4, inner.get(14..).unwrap_or_default().to_vec()),
        })
        .boxed()
}

fn udp_around(port: u16, header: &[u8], inner: &[u8]) -> Vec<u8> {
    let len = u16::try_from(16 + inner.len()).unwrap();
    let udp = [50_000, port, len, 0].map(u16::to_be_bytes).concat();
    [&udp, header, inner].concat()
}

fn ip() -> BoxedStrategy<(u16, Vec<u8>)> {
    prop_oneof![ipv4(transport()), ipv6(transport())].boxed()
}

/// Any frame: most are whole, some are cut, some have changed bytes, some are noise.
pub(super) fn any_frame() -> BoxedStrategy<Vec<u8>> {
    let plain = prop_oneof![8 => ethernet(ip()), 1 => ethernet(arp())];
    let outer = prop_oneof![
        ipv4(tunnelled(ethernet(ip()))),
        ipv6(tunnelled(ethernet(ip())))
    ]
    .boxed();
    let other = (any::<u16>(), vec(any::<u8>(), 0..80)).boxed();
    let whole = prop_oneof![6 => plain, 2 => ethernet(outer), 1 => ethernet(other)];
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let whole = whole.boxed();
    prop_oneof![
        6 => whole.clone(),
        2 => (whole.clone(), any::<prop::sample::Index>()).prop_map(|(mut frame, at)| {
            frame.truncate(at.index(frame.len() + 1));
            frame
        }),
        2 => (whole, changes).prop_map(|(mut frame, changes)| {
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame
        }),
        1 => vec(any::<u8>(), 0..300),
    ]
    .boxed()
}
