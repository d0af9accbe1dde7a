//! A healthy request to a Service is seen as a whole: through the node's address translation,
//! in both directions.

mod rules;
mod segments;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use podtrace::lab::traffic::{ping, udp_exchange_through};
use podtrace::lab::{LabNode, LabPod};
use podtrace::netns::NetNs;
use serde_json::{Value, json};
use socket2::SockRef;

use super::on;
use super::scenarios::lab;
use super::tracer::{Tracer, hops, paths_of};
use crate::api_server::ApiServer;

const SERVICE: &str = "10.96.0.10";
const SERVICE6: &str = "fd00:10:96::10";
const TIMEOUT: Duration = Duration::from_secs(5);

fn iptables(to: IpAddr) -> &'static str {
    if to.is_ipv4() {
        "iptables"
    } else {
        "ip6tables"
    }
}

/// Makes a node translate a Service's address to a backend's, as kube-proxy does.
fn serve(node: &LabNode, protocol: &str, service: SocketAddr, backend: SocketAddr) {
    serve_by(iptables(service.ip()), node, protocol, service, backend);
}

/// The same by one of the programs of that name.
fn serve_by(
    program: &str,
    node: &LabNode,
    protocol: &str,
    service: SocketAddr,
    backend: SocketAddr,
) {
    let (to, port) = (service.ip(), service.port());
    let what = format!("PREROUTING -p {protocol} -d {to} --dport {port}");
    on(
        &node.netns,
        &format!("{program} -w -t nat -A {what} -j DNAT --to-destination {backend}"),
    );
}

/// Makes a node send translated packets from an address of its own.
fn masquerade(node: &LabNode, to: IpAddr) {
    masquerade_by(iptables(to), node, to);
}

/// The same by one of the programs of that name.
fn masquerade_by(program: &str, node: &LabNode, to: IpAddr) {
    on(
        &node.netns,
        &format!("{program} -w -t nat -A POSTROUTING -d {to} -j MASQUERADE"),
    );
}

/// A request of `bytes` bytes, which the server echoes.
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

/// Equal datagrams, each with its answer.
fn udp_requests(client: &NetNs, to: SocketAddr, server: &NetNs, at: SocketAddr, count: usize) {
    udp_exchange_through(client, to, server, at, count, b"the same").unwrap();
}

/// The translated ends of a path: source, destination, or both. A node whose bridge calls its
/// firewall translates the destination before the source.
fn translated(path: &Value) -> (bool, bool) {
    let hops = path["hops"].as_array().unwrap().iter();
    let kinds = hops.filter_map(|hop| hop["translation"]["kind"].as_str());
    kinds.fold((false, false), |(source, destination), kind| {
        (source || kind != "dnat", destination || kind != "snat")
    })
}

/// Every packet was translated and delivered to a pod.
#[track_caller]
fn check(values: &[Value], protocol: &str, at_least: usize, is_both: bool) {
    let paths = paths_of(values, protocol);
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

/// Asks a Service by TCP and by UDP, and answers as its backend.
fn ask_both(client: &LabPod, server: &LabPod, service: &str, backend: IpAddr) {
    let (to, at) = (address(service, 80), (backend, 8080).into());
    tcp_request(&client.netns, to, &server.netns, at, 1000);
    let (to, at) = (address(service, 53), (backend, 5353).into());
    udp_requests(&client.netns, to, &server.netns, at, 5);
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
    let web = json!({
        "metadata": {"uid": "s1", "namespace": "default", "name": "web"},
        "spec": {"clusterIPs": [SERVICE, SERVICE6], "ports": [
            {"name": "http", "port": 80}, {"name": "dns", "protocol": "UDP", "port": 53},
        ]},
        "status": {"loadBalancer": {}},
    });
    let api = ApiServer::new(Vec::new(), Vec::new(), vec![web]).unwrap();
    let config = api.kubeconfig();
    let options = ["--kubeconfig", config.to_str().unwrap()];
    let tracer = Tracer::start(&lab, &[0, 1], &options);
    for (service, backend) in ends {
        ask_both(client, server, service, backend);
    }
    let values = tracer.finish();
    check(&values, "TCP", 2 * 9, false);
    check(&values, "UDP", 2 * 10, false);
    // Requests and answers name the Service.
    for (protocol, name, port) in [
        ("TCP", "default/web:80", "http"),
        ("UDP", "default/web:53", "dns"),
    ] {
        for path in paths_of(&values, protocol) {
            let mut hops = path["hops"].as_array().unwrap().iter();
            let translation = hops.find_map(|hop| hop.get("translation")).unwrap();
            assert_eq!(translation["service"], name, "{path}");
            assert_eq!(translation["service_port"], port, "{path}");
        }
    }
    let syn = paths_of(&values, "TCP")
        .into_iter()
        .find(|path| path["destination"] == SERVICE)
        .unwrap();
    assert_eq!(hops(syn), super::scenarios::TWO_NODES);
    let mut hops = syn["hops"].as_array().unwrap().iter();
    let translation = hops.find_map(|hop| hop.get("translation")).unwrap();
    assert_eq!(translation["destination"], server.ipv4.to_string());
    assert_eq!(translation["destination_port"], 8080);
}

/// The node masquerades packets that return to where they came from, even to the client
/// itself.
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
        let hairpin = format!("ip link set dev {} type bridge_slave hairpin on", pod.veth);
        on(&node.netns, &hairpin);
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

/// From another node to a port of this node.
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
    let paths = paths_of(&values, "TCP");
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
        let paths = paths_of(&values, "ICMP echo");
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

/// The flows that the node translates, from before the trace and during it, are in a recording.
#[test]
fn connection_tracking_is_recorded() {
    let lab = lab();
    let node = &lab.nodes[0];
    let [client, server] = &node.pods[..2] else {
        panic!("two pods");
    };
    let at = |port| SocketAddr::new(server.ipv4.into(), port);
    for port in [53, 54] {
        serve(node, "udp", address(SERVICE, port), at(5300 + port));
    }
    let ask = |port| {
        let (to, at) = (address(SERVICE, port), at(5300 + port));
        udp_requests(&client.netns, to, &server.netns, at, 1);
    };
    ask(53);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("s.pcapng");
    let options = ["--flush", "50ms", "-w", file.to_str().unwrap()];
    let tracer = Tracer::start(&lab, &[0], &options);
    ask(54);
    let is_tracked = |text: &str, port: u16| {
        let flow = format!("{port}]}},\"after\":{{");
        text.contains("\"type\":\"translations\"") && text.contains(&flow)
    };
    let deadline = Instant::now() + 2 * TIMEOUT;
    while Instant::now() < deadline {
        let text = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&text);
        if is_tracked(&text, 53) && is_tracked(&text, 54) {
            tracer.finish();
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the node's translations are not recorded");
}
