//! A capture that comes through a pipe is shown as it comes.
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use super::{Files, pcap};

/// Raw IPv4 of libpcap.
const LINK_RAW: u32 = 101;

/// One UDP datagram a second.
fn capture(packets: u32) -> Vec<u8> {
    let packets = (0..packets).map(|second| {
        let mut packet = vec![0x45, 0, 0, 28, 0, second as u8, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 9, 0, 8, 0, 0]);
        (second * 1_000_000, packet)
    });
    pcap(LINK_RAW, &packets.collect::<Vec<_>>())
}

#[test]
fn packets_of_a_pipe_are_shown_before_its_end() {
    let files = Files::new();
    for options in [&["replay", "-"][..], &["replay", "--follow", "-"]] {
        let mut podtrace = files
            .command(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = podtrace.stdin.take().unwrap();
        let mut lines = BufReader::new(podtrace.stdout.take().unwrap()).lines();
        input.write_all(&capture(3)).unwrap();
        // A packet ends when the next is later than it may go on: the third waits for more.
        for packet in 0..2 {
            let found = lines.find(|line| line.as_ref().unwrap().contains("UDP 7 > 9"));
            assert!(found.is_some(), "{options:?}: packet {packet}");
        }
        drop(input);
        let rest: Vec<_> = lines.map(Result::unwrap).collect();
        let end = "3 packets · 3 unknown";
        assert!(rest.iter().any(|line| line.starts_with(end)), "{rest:?}");
        assert!(podtrace.wait().unwrap().success());
    }
}
