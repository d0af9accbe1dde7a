//! What conversations show at the end of a trace, live and from its recording.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use podtrace::lab::traffic::{ping, tcp_exchange, udp_exchange};
use podtrace::lab::{Lab, LabPod};
use podtrace::netns::NetNs;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, replayed};

/// Before a SYN is sent again.
const TIMEOUT: Duration = Duration::from_millis(300);

/// Traces both nodes meanwhile; returns the findings, live and from the recording.
fn traced(lab: &Lab, meanwhile: impl FnOnce(&mut Tracer)) -> [Vec<Value>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.pcapng");
    let mut tracer = Tracer::start(lab, &[0, 1], &["-w", file.to_str().unwrap()]);
    meanwhile(&mut tracer);
    [tracer.finish(), replayed(&file)].map(|mut values| {
        values.retain(|value| value["type"] == "finding");
        values
    })
}

/// What is asked: an address, and a port if there is one.
type Server = (Ipv4Addr, Option<u16>);

/// Exactly one finding is about a server; it is of this kind, and its texts have these words.
#[track_caller]
fn check(found: &[Vec<Value>; 2], kind: &str, server: Server, words: &[&str]) {
    for all in found {
        let is_it = |finding: &&Value| {
            let port = finding["server"]["port"].as_u64();
            finding["server"]["address"] == server.0.to_string() && port == server.1.map(Into::into)
        };
        let about: Vec<_> = all.iter().filter(is_it).collect();
        let [finding] = &about[..] else {
            panic!("{} findings about {server:?}: {all:#?}", about.len());
        };
        assert_eq!(finding["kind"], kind, "{finding:#}");
        let text = finding.to_string();
        for word in words {
            assert!(text.contains(word), "{word}: {finding:#}");
        }
    }
}

/// Asks for a connection.
fn connect(from: &LabPod, to: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let to = SocketAddr::from((to, port));
    let connect = || TcpStream::connect_timeout(&to, TIMEOUT);
    from.netns.run(connect).unwrap()
}

fn udp_socket(netns: &NetNs, port: u16) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind(("0.0.0.0", port)));
    socket.unwrap().unwrap()
}

/// Sends a datagram.
fn datagram(from: &LabPod, to: Ipv4Addr, port: u16, bytes: &[u8]) {
    let socket = udp_socket(&from.netns, 0);
    socket.send_to(bytes, (to, port)).unwrap();
}

/// A query for the address of `web`.
const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";

/// A socket that takes up no connection, and has room for one.
fn full(server: &LabPod, port: u16) -> Socket {
    let listen = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into())?;
        socket.listen(0)?;
        Ok::<_, io::Error>(socket)
    };
    server.netns.run(listen).unwrap().unwrap()
}

/// The faults are between different ends, so that one trace has all of them.
#[test]
fn faults_of_conversations_are_found() {
    let lab = lab();
    let [node, other] = [0, 1].map(|node| &lab.nodes[node]);
    let (client, near) = (&node.pods[0], &node.pods[1]);
    let (far, last) = (&other.pods[0], &other.pods[1]);
    let nobody = Ipv4Addr::new(10, 244, 2, 200);
    let both = Ipv4Addr::new(10, 244, 1, 200);
    for pod in [client, near] {
        on(&pod.netns, &format!("ip addr add {both}/32 dev eth0"));
    }
    on(
        &far.netns,
        "iptables -w -A INPUT -p tcp --dport 8081 -j DROP
         iptables -w -A INPUT -p udp --dport 53 -j DROP",
    );
    // One reply has no way back, large packets find a small MTU, and nobody is told of it.
    on(
        &other.netns,
        &format!(
            "ip route add unreachable {}/32
             ip link set cni0 mtu 1300
             iptables -w -A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP",
            near.ipv4
        ),
    );
    let _sink = udp_socket(&last.netns, 9000);
    let _full = full(far, 8083);
    let found = traced(&lab, |tracer| {
        connect(client, near.ipv4, 8080).unwrap_err();
        connect(client, far.ipv4, 8081).unwrap_err();
        connect(client, nobody, 8082).unwrap_err();
        let _first = connect(client, far.ipv4, 8083).unwrap();
        connect(client, far.ipv4, 8083).unwrap_err();
        ping(&near.netns, last.ipv4.into(), 61, 1, 56).unwrap_err();
        ping(&node.netns, both.into(), 62, 1, 56).unwrap();
        datagram(client, far.ipv4, 53, QUERY);
        for bytes in [100, 1400, 1400, 200] {
            datagram(client, last.ipv4, 9000, &vec![7; bytes]);
        }
        // The kernel asks once a second.
        let is_unanswered = |value: &Value| {
            value["outcome"] == "unanswered"
                && value["what"]
                    .as_str()
                    .unwrap_or_default()
                    .contains("10.244.2.200")
        };
        tracer.wait_until_all(3, is_unanswered);
    });
    check(&found, "refused", (near.ipv4, Some(8080)), &["reset"]);
    check(
        &found,
        "syn_unanswered",
        (far.ipv4, Some(8081)),
        &["eth0 ingress", "lost"],
    );
    check(
        &found,
        "neighbour_unanswered",
        (nobody, None),
        &["for it waits", "8082"],
    );
    check(
        &found,
        "accept_queue_full",
        (far.ipv4, Some(8083)),
        &["answered 1 other"],
    );
    check(
        &found,
        "reply_lost",
        (last.ipv4, None),
        &["cni0 ingress", "1 request"],
    );
    check(&found, "duplicate_address", (both, None), &["both answer"]);
    check(
        &found,
        "dns_unanswered",
        (far.ipv4, Some(53)),
        &["A web", "eth0 ingress"],
    );
    check(
        &found,
        "pmtu_black_hole",
        (last.ipv4, Some(9000)),
        &["1300", "flannel.1 ingress"],
    );
    for all in &found {
        assert_eq!(all.len(), 8, "{all:#?}");
    }
}

/// Nothing is found where nothing is wrong: also behind a slow link, and where nobody answers by
/// design.
#[test]
fn healthy_conversations_show_nothing() {
    let lab = lab();
    let [node, other] = [0, 1].map(|node| &lab.nodes[node]);
    let client = &node.pods[0];
    on(
        &node.netns,
        "tc qdisc add dev eth0 root tbf rate 20mbit burst 8kb limit 12kb",
    );
    let _syslog = udp_socket(&other.pods[0].netns, 514);
    let found = traced(&lab, |_| {
        for server in [&node.pods[1], &other.pods[0]] {
            for (number, to) in (70..).zip([IpAddr::from(server.ipv4), server.ipv6.into()]) {
                ping(&client.netns, to, number, 3, 56).unwrap();
                let to = SocketAddr::new(to, 0);
                tcp_exchange(&client.netns, &server.netns, to, 200_000).unwrap();
                udp_exchange(&client.netns, &server.netns, to, 3, b"podtrace").unwrap();
            }
        }
        for _ in 0..10 {
            datagram(client, other.pods[0].ipv4, 514, b"<13>podtrace");
        }
    });
    assert!(found.iter().all(Vec::is_empty), "{found:#?}");
}
