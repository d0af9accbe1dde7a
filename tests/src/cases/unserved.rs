//! Packets that reach a pod, and that nobody there takes.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use super::on;
use super::tracer::{Tracer, hops, paths_of};
use crate::cri_lab::{CriLab, CriLabSpec, CriPod, PodSpec};

/// A lab and a pod in it.
fn served() -> (CriLab, CriPod) {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    });
    let lab = lab.unwrap();
    let pod = lab.nodes[0].run_pod(&PodSpec::default()).unwrap();
    (lab, pod)
}

/// The paths to a port of the pod.
fn to_port<'a>(values: &'a [Value], what: &str, port: u16) -> Vec<&'a Value> {
    let port = port.to_string();
    let mut paths = paths_of(values, what);
    paths.retain(|path| {
        let text = path["what"].as_str().unwrap();
        let mut words = text.split(' ').skip_while(|word| *word != ">");
        words.nth(1) == Some(&port)
    });
    paths
}

#[test]
fn what_the_pods_own_firewall_drops_is_taken_by_no_socket() {
    let (lab, pod) = served();
    pod.serve_udp("container2", 5353).unwrap();
    let (netns, node) = (pod.netns().unwrap(), &lab.nodes[0].netns);
    let address = pod.ipv4().unwrap();
    let mut tracer = Tracer::on(&lab.nodes[0], &[]);
    let socket = node.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    let limit = Some(Duration::from_secs(5));
    socket.set_read_timeout(limit).unwrap();
    socket.connect((address, 5353)).unwrap();
    socket.send(b"before").unwrap();
    socket.recv(&mut [0; 16]).unwrap();
    on(&netns, "iptables -w -I INPUT -p udp --dport 5353 -j DROP");
    socket.send(b"after").unwrap();
    tracer.wait_for(|value| value["outcome"] == "dropped");
    let values = tracer.finish();
    let paths = to_port(&values, "UDP", 5353);
    let [before, after] = paths[..] else {
        panic!("{paths:#?}");
    };
    assert_eq!(before["outcome"], "delivered", "{before}");
    assert_eq!(after["outcome"], "dropped", "{after}");
    assert_eq!(hops(after).last(), hops(before).iter().rev().nth(1));
}

/// The kernel asks the socket's filters before it looks at the queue: the socket has had the
/// packet, and has not answered it.
#[test]
fn what_a_full_accept_queue_drops_is_not_answered() {
    let (lab, pod) = served();
    let netns = pod.netns().unwrap();
    on(
        &netns,
        "sysctl -qw net.core.somaxconn=1
         sysctl -qw net.ipv4.tcp_syncookies=0",
    );
    pod.serve_tcp("container2", 8080).unwrap();
    let stop = "for dir in /proc/[0-9]*; do grep -q [l]ab-peer $dir/cmdline && \
                kill -STOP ${dir#/proc/}; done; true";
    let stopped = pod.exec("container2", &["sh", "-c", stop]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let to = SocketAddr::new(pod.ipv4().unwrap().into(), 8080);
    let tracer = Tracer::on(&lab.nodes[0], &[]);
    let limit = Duration::from_millis(500);
    let connect = || TcpStream::connect_timeout(&to, limit);
    let connected: Vec<_> = (0..4)
        .map(|_| lab.nodes[0].netns.run(connect).unwrap())
        .collect();
    let values = tracer.finish();
    let refused = connected.iter().filter(|stream| stream.is_err()).count();
    assert!(refused > 0, "the queue takes all");
    let syns = to_port(&values, "TCP", 8080);
    let syns: Vec<_> = syns
        .into_iter()
        .filter(|path| path["what"].as_str().unwrap().contains("SYN"))
        .collect();
    assert!(syns.len() >= 4, "{syns:#?}");
    let mut unanswered = 0;
    for path in syns {
        assert!(hops(path).last().unwrap().ends_with(" socket"), "{path}");
        match path["outcome"].as_str().unwrap() {
            "delivered" => {}
            // Where the kernel tells that it has dropped it.
            "unanswered" | "dropped" => unanswered += 1,
            _ => panic!("{path}"),
        }
    }
    assert!(unanswered >= refused, "{unanswered} of {refused} refused");
}
