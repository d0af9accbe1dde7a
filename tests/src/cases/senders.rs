//! Packets that no container sends: the sender is the kernel, or a process of the host.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use podtrace::lab::{Lab, LabPod, LabSpec};
use podtrace::netns::NetNs;
use serde_json::Value;
use socket2::SockRef;

use super::scenarios::lab;
use super::tracer::{Tracer, is_path};
use crate::cri_lab::cgroup::{self, Hierarchy, hierarchies};

/// Groups of cgroup v2, named as by systemd, until they are dropped.
struct Slices {
    hierarchy: Hierarchy,
    top: PathBuf,
}

impl Slices {
    fn new() -> Option<Self> {
        let mut all = hierarchies().unwrap().into_iter();
        let hierarchy = all.find(Hierarchy::is_v2)?;
        let top = PathBuf::from(format!("podtrace-{}", std::process::id()));
        hierarchy.make(&top).ok()?;
        Some(Self { hierarchy, top })
    }

    fn make(&self, below: &str) -> PathBuf {
        self.hierarchy.make(&self.top.join(below)).unwrap()
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        // Inner groups first.
        let mut groups = vec![self.hierarchy.own.join(&self.top)];
        let mut at = 0;
        while let Some(group) = groups.get(at) {
            let inside = fs::read_dir(group).into_iter().flatten().flatten();
            let inside: Vec<_> = inside.map(|entry| entry.path()).collect();
            groups.extend(inside.into_iter().filter(|path| path.is_dir()));
            at += 1;
        }
        for group in groups.iter().rev() {
            cgroup::remove(group).unwrap();
        }
    }
}

/// Moves a process into a group; 0 is the calling process.
fn enter(group: &Path, pid: u32) {
    fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
}

fn is_of(value: &Value, pod: &LabPod) -> bool {
    value["hops"][0]["pod"] == pod.name.as_str()
}

/// Makes the kernel solicit routers and report its groups, as for a new interface.
fn renew_ipv6(netns: &NetNs) {
    let setting = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
    for value in ["1", "0"] {
        netns.run(|| fs::write(setting, value)).unwrap().unwrap();
    }
}

const PORT: &str = "9009";

/// `lab-peer` with these arguments.
fn peer(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("PODTRACE_LAB_PEER").unwrap());
    command.args(words);
    command
}

/// A service that answers datagrams, in a process of this group.
fn serve_from(group: &Path, netns: &NetNs) -> Child {
    let mut command = peer(&["udp-serve", PORT]);
    let processes = group.join("cgroup.procs");
    // SAFETY: the child opens and writes a file, whose path is made already.
    unsafe { command.pre_exec(move || fs::write(&processes, "0")) };
    netns.run(|| command.spawn()).unwrap().unwrap()
}

/// Sends requests until it answers: the kernel refuses them until it listens.
fn ask(netns: &NetNs, of: &LabPod) {
    let address = of.ipv4.to_string();
    let ask = || peer(&["udp", &address, PORT, "1", "8"]).status();
    let has_answered = || netns.run(ask).unwrap().unwrap().success();
    assert!((0..1000).any(|_| has_answered()));
}

#[test]
fn kernel_and_host_processes_are_distinguished() {
    let Some(slices) = Slices::new() else {
        println!("skipped: no cgroup v2");
        return;
    };
    // The kernel's sockets of a namespace belong to the group of the process that created it.
    let maker = slices.make("system.slice/maker.service");
    let session = slices.make("user.slice/user-1000.slice/session-3.scope");
    enter(&maker, 0);
    let lab = Lab::new(LabSpec {
        nodes: 1,
        pods_per_node: 2,
        ipv6: true,
    })
    .unwrap();
    enter(&slices.hierarchy.own, 0);
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let mut tracer = Tracer::start(&lab, &[0], &[]);
    // Nobody listens yet, which the kernel reports.
    let mut refused = peer(&["udp", &from.ipv4.to_string(), PORT, "1", "8"]);
    let refused = to.netns.run(|| refused.status());
    assert!(!refused.unwrap().unwrap().success());
    let mut server = serve_from(&session, &from.netns);
    ask(&to.netns, from);
    let answer = format!("UDP {PORT} > ");
    let sent = tracer.wait_for(|value| is_path(value, &answer) && is_of(value, from));
    let sender = &sent["sender"];
    assert_eq!(sender["owner"], "process", "{sent}");
    assert_eq!(sender["unit"], "session-3.scope", "{sent}");
    assert_eq!(sender["user"], 1000, "{sent}");
    assert_eq!(sender["processes"], 1, "{sent}");
    assert_eq!(sender["command"], "lab-peer", "{sent}");
    assert_eq!(sender["pid"], server.id(), "{sent}");
    renew_ipv6(&from.netns);
    for what in [
        "ICMPv6 multicast listener report",
        "ICMPv6 router solicitation",
    ] {
        let path = tracer.wait_for(|value| is_path(value, what) && is_of(value, from));
        assert_eq!(path["sender"]["owner"], "kernel", "{path}");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let values = tracer.finish();
    let refused = values
        .iter()
        .find(|value| is_path(value, "ICMP destination unreachable") && is_of(value, from));
    assert_eq!(refused.unwrap()["sender"]["owner"], "kernel");
}

/// The kernel copies what it sends to many for its own sockets. Such a copy enters at the
/// interface without a link header, and is no packet of it.
#[test]
fn copies_for_own_sockets_are_no_packets() {
    let lab = lab();
    let pod = &lab.nodes[0].pods[0];
    let group: IpAddr = Ipv4Addr::new(239, 1, 2, 4).into();
    let broadcast: IpAddr = Ipv4Addr::new(10, 244, 1, 255).into();
    let tracer = Tracer::start(&lab, &[0], &[]);
    let send = || {
        let socket = UdpSocket::bind((pod.ipv4, 0))?;
        socket.join_multicast_v4(&Ipv4Addr::new(239, 1, 2, 4), &pod.ipv4)?;
        SockRef::from(&socket).set_multicast_if_v4(&pod.ipv4)?;
        socket.set_broadcast(true)?;
        for to in [group, broadcast] {
            socket.send_to(b"to all", (to, 7001))?;
        }
        std::io::Result::Ok(())
    };
    pod.netns.run(send).unwrap().unwrap();
    let values = tracer.finish();
    let paths: Vec<_> = values.iter().filter(|v| v["type"] == "path").collect();
    for to in [group, broadcast] {
        let is_to = |path: &&&Value| path["destination"] == to.to_string();
        let sent = paths.iter().filter(is_to).count();
        assert!(sent > 0, "{values:?}");
    }
    for path in paths {
        let what = path["what"].as_str().unwrap();
        let is_known = ["UDP", "IGMP", "ARP", "ICMPv6"]
            .iter()
            .any(|p| what.starts_with(p));
        assert!(is_known, "{path}");
    }
}
