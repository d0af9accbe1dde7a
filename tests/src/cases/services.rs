//! A healthy request to a Service is seen whole: through the node's address translation, in
//! both directions.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use podtrace::lab::traffic::ping;
use podtrace::lab::{Lab, LabNode};
use podtrace::netns::NetNs;
use serde_json::Value;
use socket2::SockRef;

use super::scenarios::lab;
use super::tracer::{Tracer, hops};

const SERVICE: &str = "10.96.0.10";
const SERVICE6: &str = "fd00:10:96::10";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a command in a node's namespace.
fn on(node: &LabNode, command: &[&str]) {
    let (program, arguments) = command.split_first().unwrap();
    let run = || Command::new(program).args(arguments).output();
    let output = node.netns.run(run).unwrap().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn iptables(to: IpAddr) -> &'static str {
    if to.is_ipv4() {
        "iptables"
    } else {
        "ip6tables"
    }
}

/// Has a node translate a Service's address to a backend's, as kube-proxy does.
fn serve(node: &LabNode, protocol: &str, service: SocketAddr, backend: SocketAddr) {
    let (to, port) = (service.ip().to_string(), service.port().to_string());
    let (translation, backend) = (iptables(service.ip()), backend.to_string());
    let chain = ["-w", "-t", "nat", "-A", "PREROUTING"];
    let what = ["-p", protocol, "-d", &to, "--dport", &port];
    let target = ["-j", "DNAT", "--to-destination", &backend];
    on(node, &[&[translation][..], &chain, &what, &target].concat());
}

/// Has a node send what it translates from an address of its own.
fn masquerade(node: &LabNode, to: IpAddr) {
    let chain = ["-w", "-t", "nat", "-A", "POSTROUTING"];
    let what = ["-d", &to.to_string(), "-j", "MASQUERADE"];
    on(node, &[&[iptables(to)][..], &chain, &what].concat());
}

/// A server's answer to a request of `bytes` bytes is its echo.
fn tcp_request(client: &NetNs, to: SocketAddr, server: &NetNs, at: SocketAddr, bytes: usize) {
    let listener = server.run(|| TcpListener::bind(at)).unwrap().unwrap();
    SockRef::from(&listener)
        .set_read_timeout(Some(TIMEOUT))
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let mut request = vec![0; bytes];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&request).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut request).unwrap();
        });
        let connect = || TcpStream::connect_timeout(&to, TIMEOUT);
        let mut stream = client.run(connect).unwrap().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(&vec![7; bytes]).unwrap();
        let mut answer = Vec::new();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), bytes);
    });
}

/// Datagrams that are all alike, each with its answer.
fn udp_requests(client: &NetNs, to: SocketAddr, server: &NetNs, at: SocketAddr, count: usize) {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let server = server.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    let client = client.run(|| UdpSocket::bind(any)).unwrap().unwrap();
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    }
    client.connect(to).unwrap();
    let mut buffer = [0; 64];
    for _ in 0..count {
        client.send(b"the same").unwrap();
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&buffer[..length], from).unwrap();
        client.recv(&mut buffer).unwrap();
    }
}

/// The paths of a protocol.
fn of<'a>(values: &'a [Value], protocol: &'a str) -> Vec<&'a Value> {
    let is_it = |value: &&Value| {
        value["type"] == "path" && value["what"].as_str().unwrap().starts_with(protocol)
    };
    values.iter().filter(is_it).collect()
}

/// What was translated on a path: its source, its destination, or both. A node whose
/// bridge asks its firewall translates the destination before the source.
fn translated(path: &Value) -> (bool, bool) {
    let hops = path["hops"].as_array().unwrap().iter();
    let kinds = hops.filter_map(|hop| hop["translation"]["kind"].as_str());
    kinds.fold((false, false), |(source, destination), kind| {
        (source || kind != "dnat", destination || kind != "snat")
    })
}

/// Every packet is delivered to a pod, and was translated.
#[track_caller]
fn check(values: &[Value], protocol: &str, at_least: usize, is_both: bool) {
    let paths = of(values, protocol);
    assert!(paths.len() >= at_least, "{} paths", paths.len());
    for path in paths {
        assert_eq!(path["outcome"], "delivered", "{path}");
        assert_eq!(path["ambiguous"], false, "{path}");
        let (source, destination) = translated(path);
        assert!(source || destination, "{path}");
        assert_eq!(source && destination, is_both, "{path}");
        assert!(path["destination_pod"].is_string(), "{path}");
        assert!(path["source_pod"].is_string(), "{path}");
    }
}

fn address(service: &str, port: u16) -> SocketAddr {
    SocketAddr::new(service.parse().unwrap(), port)
}

#[test]
fn service_across_nodes() {
    let lab = lab();
    let (node, client, server) = (&lab.nodes[0], &lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let ends = [
        (SERVICE, IpAddr::from(server.ipv4)),
        (SERVICE6, server.ipv6.into()),
    ];
    for (service, backend) in ends {
        serve(node, "tcp", address(service, 80), (backend, 8080).into());
        serve(node, "udp", address(service, 53), (backend, 5353).into());
    }
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    for (service, backend) in ends {
        let (to, at) = (address(service, 80), (backend, 8080).into());
        tcp_request(&client.netns, to, &server.netns, at, 1000);
        let (to, at) = (address(service, 53), (backend, 5353).into());
        udp_requests(&client.netns, to, &server.netns, at, 5);
    }
    let values = tracer.finish();
    check(&values, "TCP", 2 * 9, false);
    check(&values, "UDP", 2 * 10, false);
    let syn = of(&values, "TCP")
        .into_iter()
        .find(|path| path["destination"] == SERVICE)
        .unwrap();
    assert_eq!(hops(syn), super::scenarios::TWO_NODES);
    let mut hops = syn["hops"].as_array().unwrap().iter();
    let translation = hops.find_map(|hop| hop.get("translation")).unwrap();
    assert_eq!(translation["destination"], server.ipv4.to_string());
    assert_eq!(translation["destination_port"], 8080);
}

/// The node masquerades what it sends back to where it came from, even to the client itself.
#[test]
fn service_on_one_node_and_hairpin() {
    let lab = lab();
    let node = &lab.nodes[0];
    let client = &node.pods[0];
    for (number, pod) in node.pods.iter().enumerate() {
        let port = 80 + number as u16;
        serve(node, "tcp", address(SERVICE, port), (pod.ipv4, 8080).into());
        serve(node, "udp", address(SERVICE, port), (pod.ipv4, 5353).into());
    }
    for pod in &node.pods {
        masquerade(node, pod.ipv4.into());
        let port = [
            "link",
            "set",
            "dev",
            &pod.veth,
            "type",
            "bridge_slave",
            "hairpin",
            "on",
        ];
        on(node, &[&["ip"][..], &port].concat());
    }
    let tracer = Tracer::start(&lab, &[0], &[]);
    for (number, server) in node.pods.iter().enumerate() {
        let to = address(SERVICE, 80 + number as u16);
        let at = (server.ipv4, 8080).into();
        tcp_request(&client.netns, to, &server.netns, at, 1000);
        let at = (server.ipv4, 5353).into();
        udp_requests(&client.netns, to, &server.netns, at, 5);
    }
    let values = tracer.finish();
    check(&values, "TCP", 2 * 9, true);
    check(&values, "UDP", 2 * 10, true);
}

/// From another node to a port of this one.
#[test]
fn node_port() {
    let lab = lab();
    let [node, other] = &lab.nodes[..] else {
        panic!("two nodes");
    };
    let server = &node.pods[0];
    let port = SocketAddr::new(node.underlay.into(), 30080);
    serve(node, "tcp", port, (server.ipv4, 8080).into());
    masquerade(node, server.ipv4.into());
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    let at = (server.ipv4, 8080).into();
    tcp_request(&other.netns, port, &server.netns, at, 1000);
    let values = tracer.finish();
    let paths = of(&values, "TCP");
    assert!(paths.len() >= 9);
    for path in paths {
        assert_eq!(path["outcome"], "delivered", "{path}");
        assert_eq!(translated(path), (true, true), "{path}");
    }
}

#[test]
fn masqueraded_ping() {
    let lab = lab();
    let (node, other) = (&lab.nodes[0], &lab.nodes[1]);
    let (client, to) = (&node.pods[0], IpAddr::from(other.underlay));
    masquerade(node, to);
    for nodes in [&[0][..], &[0, 1]] {
        let tracer = Tracer::start(&lab, nodes, &[]);
        ping(&client.netns, to, 77, 3, 56).unwrap();
        let values = tracer.finish();
        let paths = of(&values, "ICMP echo");
        assert_eq!(paths.len(), 6);
        for path in paths {
            let is_reply = path["what"].as_str().unwrap().contains("reply");
            let leaves = nodes.len() == 1 && !is_reply;
            let outcome = if leaves { "left_node" } else { "delivered" };
            assert_eq!(path["outcome"], outcome, "{path}");
            if is_reply {
                assert_eq!(path["destination_pod"], "default/mypod1", "{path}");
                let round_trips = path["rtt_at"].as_array().unwrap();
                assert_eq!(round_trips[0]["interface"], "eth0", "{path}");
                assert_eq!(round_trips.len(), if nodes.len() == 1 { 4 } else { 5 });
            }
        }
    }
}

/// A wire that takes no large packets, as every wire: the uplinks segment what they send.
#[test]
fn transfer_over_a_wire_that_segments() {
    let lab: Lab = lab();
    for node in &lab.nodes {
        let no_large = ["link", "set", "dev", "eth0", "gso_max_segs", "1"];
        on(node, &[&["ip"][..], &no_large].concat());
    }
    let (client, server) = (&lab.nodes[0].pods[0], &lab.nodes[1].pods[0]);
    let tracer = Tracer::start(&lab, &[0, 1], &[]);
    let at = SocketAddr::new(server.ipv4.into(), 8080);
    tcp_request(&client.netns, at, &server.netns, at, 1 << 20);
    let values = tracer.finish();
    let paths = of(&values, "TCP");
    let mut in_segments = 0;
    for path in &paths {
        assert_eq!(path["outcome"], "delivered", "{path}");
        let hops = path["hops"].as_array().unwrap();
        in_segments += usize::from(hops.iter().any(|hop| hop.get("segments").is_some()));
    }
    assert!(in_segments > 10, "{in_segments} of {}", paths.len());
}
