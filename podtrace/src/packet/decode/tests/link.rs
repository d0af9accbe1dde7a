//! The layers between Ethernet and the network layer.
use super::*;
use crate::packet::Protocol;

#[test]
fn frames_of_802_3_are_described() {
    let stp = [&[0x42, 0x42, 3][..], &[0; 35]].concat();
    let cases: [(&[u8], _); _] = [
        (&stp, "STP"),
        (&[0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b], "PVST+"),
        (&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0], "CDP"),
        (
            &[0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 7],
            "SNAP 0x0080c2 protocol 0x0007",
        ),
        (&[0xfe, 0xfe, 3, 0x83], "LLC 0xfe from 0xfe"),
        (&[0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0xcc], "ethertype 0x88cc"),
        (&[0x42, 0x42], "unreadable frame"),
    ];
    for (payload, expected) in cases {
        let length = u16::try_from(payload.len()).unwrap();
        let frame = ethernet(length, payload);
        let packet = decode(&frame);
        assert_eq!(what(&packet), expected);
        assert_eq!(packet.protocol(), Protocol::Other);
        let mut padded = frame.clone();
        padded.resize(60, 0);
        if expected != "unreadable frame" {
            assert_eq!(decode(&padded).key(), packet.key(), "{expected}");
        }
    }
}

#[test]
fn what_is_in_snap_is_read() {
    let plain = decode(&echo());
    for organisation in [0, 0xf8] {
        let snap = [0xaa, 0xaa, 3, 0, 0, organisation, 0x08, 0];
        let content = [&snap[..], &echo()[14..]].concat();
        let frame = ethernet(u16::try_from(content.len()).unwrap(), &content);
        let packet = decode(&frame);
        assert_eq!(what(&packet), "ICMP echo request id 23 seq 1");
        assert_eq!(packet.key(), plain.key());
    }
}

#[test]
fn shims_are_named_and_looked_behind() {
    let ip = &echo()[14..];
    let ping = "ICMP echo request id 23 seq 1";
    let tags = [0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 0x08, 0];
    let two_labels = [0, 1, 0, 64, 0, 1, 0x11, 64];
    let cases = [
        (0x88a8, [&tags[..], ip].concat(), format!("{ping} vlan 7")),
        (0x9100, [&tags[8..], ip].concat(), format!("{ping} vlan 7")),
        (
            0x8847,
            [&two_labels[..], ip].concat(),
            format!("{ping} mpls label 16"),
        ),
        (
            0x8864,
            [&[0x11, 0, 0, 9, 0, 50, 0, 0x21][..], ip].concat(),
            format!("{ping} pppoe session 9"),
        ),
    ];
    for (ethertype, behind, expected) in cases {
        let packet = decode(&ethernet(ethertype, &behind));
        assert_eq!(what(&packet), expected);
        assert_eq!(packet.key(), decode(&echo()).key(), "{expected}");
    }
    let unknown = [
        (
            0x8847,
            vec![0, 1, 1, 64, 0, 0],
            "ethertype 0x8847 mpls label 16",
        ),
        (0x8863, vec![0x11, 9, 0, 0, 0, 0], "PPPoE discovery"),
        (
            0x8864,
            vec![0x11, 0, 0, 9, 0, 4, 0xc0, 0x21, 1, 1],
            "PPP protocol 0xc021 pppoe session 9",
        ),
    ];
    for (ethertype, behind, expected) in unknown {
        assert_eq!(what(&decode(&ethernet(ethertype, &behind))), expected);
    }
}

#[test]
fn padding_is_no_part_of_a_size() {
    let content = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[7; 20]].concat();
    let arp = ethernet(ETHERTYPE_ARP, &content);
    let tagged = ethernet(0x8100, &[&[0, 5, 0x08, 0x06][..], &content].concat());
    let stp = ethernet(38, &[&[0x42, 0x42, 3][..], &[0; 35]].concat());
    for (frame, expected) in [(arp, 28), (tagged, 28), (stp, 38), (echo(), 48)] {
        let mut padded = frame.clone();
        padded.resize(64, 0);
        for frame in [frame, padded] {
            assert_eq!(decode(&frame).length, expected);
        }
    }
}

#[test]
fn size_is_the_same_in_a_tunnel() {
    let frame = echo();
    assert_eq!(decode(&in_vxlan(&frame)).length, decode(&frame).length);
}
