//! Interfaces and namespaces whose names are not text are traced like others.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use podtrace::netns::{NETNS_DIR, NetNs};

use super::attach_methods::each_attach_method;
use super::one_node;
use super::tracer::{Tracer, hops};

/// A namespace with a name of its own, until it is dropped.
struct Named {
    path: PathBuf,
    netns: NetNs,
}

impl Named {
    fn new(name: &OsStr) -> Self {
        let path = Path::new(NETNS_DIR).join(name);
        File::create_new(&path).unwrap();
        thread::scope(|scope| {
            let maker = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                let own = Path::new("/proc/thread-self/ns/net");
                let none = None::<&str>;
                mount(Some(own), &path, none, MsFlags::MS_BIND, none).unwrap();
            });
            maker.join().unwrap();
        });
        let netns = NetNs::open(&path).unwrap();
        Self { path, netns }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.path);
    }
}

/// Runs `ip` in a namespace, with arguments of any bytes.
fn ip(netns: &NetNs, words: &[&[u8]]) {
    let words: Vec<_> = words.iter().map(|word| OsStr::from_bytes(word)).collect();
    let status = netns.run(|| Command::new("ip").args(&words).status());
    assert!(status.unwrap().unwrap().success(), "{words:?}");
}

#[test]
fn names_that_are_no_text_are_traced_and_shown_escaped() {
    each_attach_method(|method| {
        let lab = one_node(1);
        let node = &lab.nodes[0];
        let name = [lab.id.as_bytes(), b"-pod\xff"].concat();
        let pod = Named::new(OsStr::from_bytes(&name));
        let veth = b"veth\xfe\xff";
        ip(
            &node.netns,
            &[
                b"link", b"add", veth, b"type", b"veth", b"peer", b"name", b"end",
            ],
        );
        // Moves its other end by the id of a process in the namespace.
        let mut holder = pod
            .netns
            .run(|| Command::new("sleep").arg("60").spawn())
            .unwrap()
            .unwrap();
        let pid = holder.id().to_string();
        ip(
            &node.netns,
            &[
                b"link",
                b"set",
                b"end",
                b"name",
                b"eth0",
                b"netns",
                pid.as_bytes(),
            ],
        );
        ip(
            &node.netns,
            &[b"link", b"set", veth, b"master", b"cni0", b"up"],
        );
        ip(
            &pod.netns,
            &[b"addr", b"add", b"10.244.1.77/24", b"dev", b"eth0"],
        );
        ip(&pod.netns, &[b"link", b"set", b"eth0", b"up"]);
        let tracer = Tracer::start(&lab, &[0], &["--attach", method]);
        let sent = pod.netns.run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            socket.send_to(b"x", (node.pods[0].ipv4, 9))
        });
        sent.unwrap().unwrap();
        let values = tracer.finish();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let path = values.iter().find(|value| {
            value["type"] == "path" && value["source"] == "10.244.1.77" && {
                value["what"].as_str().unwrap().starts_with("UDP ")
            }
        });
        let hops = hops(path.unwrap());
        let shown = [r"pod\xff/eth0 egress", r"1/veth\xfe\xff ingress"];
        assert!(hops[0].ends_with(shown[0]), "{hops:?}");
        assert_eq!(hops[1], shown[1], "{hops:?}");
    });
}
