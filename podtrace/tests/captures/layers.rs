//! What is around a packet: check sequences, 802.3, tunnels.
use super::{
    Files, RunOutput,
    bytes::{
        begin_us, cooked, flagged_packet, frame, in_ip, in_udp, in_vxlan, packet, pcap, ping,
        section, section_with,
    },
    of_type,
};

const CHECK: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

#[test]
fn check_sequence_is_no_part_of_a_frame() {
    let checked = [&frame(1)[..], &CHECK].concat();
    let section_of_4 = section_with(1, &[13, 0, 1, 0, 4, 0, 0, 0]);
    let files = Files::new();
    for (name, bytes) in [
        ("pcap", pcap(0x2400_0001, &[(0, checked.clone())])),
        (
            "interface",
            [section_of_4, packet(6, begin_us(), &checked)].concat(),
        ),
        (
            "flags",
            [section(1, 6), flagged_packet(begin_us(), &checked, 4 << 5)].concat(),
        ),
    ] {
        let lines = files.add(name, &bytes).json(&[name]);
        let path = of_type(&lines, "path")[0];
        assert_eq!(path["length"], ping(1).len(), "{name}");
        assert_eq!(path["hops"][0]["bytes"], frame(1).len(), "{name}");
        let arguments = ["export", "--format", "pcapng", "-w", "exported", name];
        assert_eq!(files.run(&arguments).code, Some(0));
        let exported = std::fs::read(files.path("exported")).unwrap();
        assert!(!exported.windows(4).any(|bytes| bytes == CHECK), "{name}");
        std::fs::remove_file(files.path("exported")).unwrap();
    }
}

/// The first line of each packet of a capture.
fn shown(output: &RunOutput) -> Vec<&str> {
    let lines = output.stdout.lines().filter(|line| line.contains(" B   "));
    lines.map(|line| line.split_once("  ").unwrap().1).collect()
}

#[test]
fn cooked_802_3_is_read() {
    let stp = [&[0x42, 0x42, 3][..], &[0; 35]].concat();
    let of = |protocol: u8, content: &[u8]| {
        let mut frame = cooked(1, 2, 0)[..20].to_vec();
        frame[..2].copy_from_slice(&[0, protocol]);
        [&frame[..], content].concat()
    };
    let packets = [(0, of(4, &stp)), (1, of(0x0c, &stp))];
    let files = Files::new();
    let output = files
        .add("any", &pcap(276, &packets))
        .run(&["replay", "any"]);
    let [bridge, bus] = shown(&output)[..] else {
        panic!("{output:?}");
    };
    assert!(bridge.starts_with("STP  38 B"), "{bridge}");
    assert!(bus.starts_with("ethertype 0x000c  38 B"), "{bus}");
}

#[test]
fn ports_of_vxlan_are_the_usual_and_those_given() {
    let files = Files::new();
    for port in [4789, 8472, 9999, 10_000] {
        let tunnelled = in_udp(port, &in_vxlan(&frame(1)));
        files.add(&port.to_string(), &pcap(1, &[(0, tunnelled)]));
    }
    let is_ping = |arguments: &[&str]| {
        let output = files.run(&[&["replay", "-n"], arguments].concat());
        shown(&output)[0].starts_with("ICMP echo request id 7 seq 1  44 B   10.0.0.1 -> 10.0.0.2")
    };
    assert!(is_ping(&["4789"]) && is_ping(&["8472"]) && !is_ping(&["9999"]));
    let given = ["--vxlan-port", "9999", "--vxlan-port", "10000"];
    for port in ["4789", "8472", "9999", "10000"] {
        assert!(is_ping(&[&given[..], &[port]].concat()), "{port}");
    }
}

/// An export is read as the file that it was made of.
#[test]
fn exports_keep_the_ports_of_vxlan() {
    let files = Files::new();
    let export = |from: &[&str]| {
        let to = ["export", "--format", "pcapng", "--force", "-w", "exported"];
        let output = files.run(&[&to[..], from].concat());
        assert_eq!(output.code, Some(0), "{output:?}");
    };
    let is_ping = || {
        let output = files.run(&["replay", "-n", "exported"]);
        shown(&output)[0].starts_with("ICMP echo request id 7 seq 1  44 B")
    };
    for (port, options) in [
        ("4789", &[][..]),
        ("8472", &[]),
        ("9999", &["--vxlan-port", "9999"]),
    ] {
        let tunnelled = in_udp(port.parse().unwrap(), &in_vxlan(&frame(1)));
        files.add(port, &pcap(1, &[(0, tunnelled)]));
        export(&[options, &[port]].concat());
        assert!(is_ping(), "{port}");
        // And the export of the export.
        std::fs::rename(files.path("exported"), files.path("first")).unwrap();
        export(&["first"]);
        assert!(is_ping(), "{port}");
    }
}

#[test]
fn nested_and_truncated_tunnels_are_shown() {
    let ipip = in_ip(4, &ping(1));
    let nested = in_udp(4789, &in_vxlan(&ipip));
    let files = Files::new();
    for (name, frame, expected) in [
        ("nested", &nested[..], "ICMP echo request id 7 seq 1  44 B"),
        ("cut", &ipip[..40], "IPv4 in IPv4  64 B"),
        ("cut-in-vxlan", &nested[..60], "UDP 5000 > 4789 len 86"),
    ] {
        let output = files
            .add(name, &pcap(1, &[(0, frame.to_vec())]))
            .run(&["replay", name]);
        assert!(
            shown(&output)[0].starts_with(expected),
            "{name}: {output:?}"
        );
    }
}
