//! Interfaces that are added and removed during a trace.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use podtrace::lab::LabPod;
use podtrace::lab::traffic::ping;
use podtrace::netns::NetNs;
use rtnetlink::{LinkUnspec, LinkVeth};

use super::attach_methods::each_attach_method;
use super::one_node;
use super::tracer::Tracer;

/// Runs netlink requests in a namespace.
pub(super) fn netlink<T>(netns: &NetNs, work: impl AsyncFnOnce(rtnetlink::Handle) -> T) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { work(netns.netlink().unwrap()).await })
}

/// Adds a pair of veths.
fn add_pair(netns: &NetNs, one: &str, other: &str) {
    netlink(netns, async |handle| {
        let pair = LinkVeth::new(one, other).build();
        handle.link().add(pair).execute().await.unwrap();
    });
}

/// Runs a request for an interface, by its index.
fn with_link<T>(
    netns: &NetNs,
    name: &str,
    work: impl AsyncFnOnce(rtnetlink::Handle, u32) -> T,
) -> T {
    netlink(netns, async |handle| {
        let links = podtrace::node::links::list(netns).await.unwrap();
        let link = links.iter().find(|link| link.name == name).unwrap();
        work(handle, link.ifindex).await
    })
}

/// Deletes an interface.
fn delete(netns: &NetNs, name: &str) {
    with_link(netns, name, async |handle, ifindex| {
        handle.link().del(ifindex).execute().await.unwrap();
    });
}

#[test]
fn interface_that_appears_is_traced_and_one_that_vanishes_is_forgotten() {
    let lab = one_node(2);
    let node = &lab.nodes[0];
    let (from, to) = (&node.pods[0], &node.pods[1]);
    let mut tracer = Tracer::start(&lab, &[0], &[]);
    add_pair(&node.netns, "vethnew", "vethend");
    // In the order in which the kernel lists them.
    let mut traced: Vec<_> = (0..2)
        .map(|_| {
            let notice = tracer.wait_for(|value| value["type"] == "notice");
            notice["text"].as_str().unwrap().to_owned()
        })
        .collect();
    traced.sort();
    for (text, name) in traced.iter().zip(["vethend", "vethnew"]) {
        let expected = format!("{name} of {} is traced now", node.netns.name);
        assert_eq!(*text, expected);
    }
    // A pod's own pair vanishes with packets counted at its taps.
    ping(&from.netns, to.ipv4.into(), 3, 2, 56).unwrap();
    delete(&node.netns, &to.veth);
    tracer.wait_for(|value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with(&format!("{} of ", to.veth)) && text.ends_with("is gone")
    });
    let values = tracer.finish();
    let taps = values.last().unwrap()["taps"].as_array().unwrap();
    let removed = taps.iter().find(|tap| tap["interface"] == to.veth.as_str());
    assert!(
        removed.unwrap()["seen"].as_u64().unwrap() >= 2,
        "{removed:?}"
    );
}

/// podtrace must not keep the namespace of a pod that dies.
#[test]
fn pod_that_dies_takes_its_interfaces_along() {
    let mut lab = one_node(2);
    let mut tracer = Tracer::start(&lab, &[0], &[]);
    let LabPod { netns, veth, .. } = lab.nodes[0].pods.remove(1);
    let name = std::path::Path::new("/run/netns").join(&netns.name);
    drop(netns);
    nix::mount::umount2(&name, nix::mount::MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_file(&name).unwrap();
    tracer.wait_for(|value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with(&format!("{veth} of ")) && text.ends_with("is gone")
    });
    tracer.finish();
}

/// A TCX tap moves with its interface, which is attached again in its new namespace.
#[test]
fn interface_that_moves_into_a_pod_is_traced_there() {
    let lab = one_node(2);
    let node = &lab.nodes[0];
    let pod = &node.pods[0];
    each_attach_method(|method| {
        let mut tracer = Tracer::start(&lab, &[0], &["--attach", method]);
        for number in 0..10 {
            let (here, moves) = (format!("host{number}"), format!("moves{number}"));
            add_pair(&node.netns, &here, &moves);
            with_link(&node.netns, &moves, async |handle, ifindex| {
                // Sooner or later after attaching to it has begun.
                tokio::time::sleep(Duration::from_millis(7 * number)).await;
                let to = LinkUnspec::new_with_index(ifindex);
                let to = to.setns_by_fd(pod.netns.as_fd().as_raw_fd()).build();
                handle.link().change(to).execute().await.unwrap();
            });
            let expected = format!("{moves} of {} is traced now", pod.name);
            tracer.wait_for(|value| value["text"] == expected);
            delete(&node.netns, &here);
        }
        let values = tracer.finish();
        let refused = values.iter().find(|value| {
            let text = value["text"].as_str().unwrap_or_default();
            text.contains("is not traced")
        });
        assert_eq!(refused, None);
    });
}
