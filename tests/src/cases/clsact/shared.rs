//! Several podtraces at an interface, and interfaces and namespaces that vanish.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, umount2};
use podtrace::lab::LabPod;
use serde_json::Value;

use super::super::attach_methods::each_attach_method;
use super::super::churn::netlink;
use super::{Site, VETH};
use crate::cases::tracer::Tracer;

/// Two podtraces, started in this order; `first_to_end` is the number of the first to end.
fn check_two(methods: [&str; 2], first_to_end: usize) {
    println!("{methods:?}, number {first_to_end} ends first");
    let site = Site::new();
    let before = site.dump();
    let mut tracers = methods.map(|method| Some(site.trace(method, &[])));
    for (tracer, id) in tracers.iter_mut().flatten().zip(20..) {
        assert!(site.sees_pings(tracer, id));
    }
    tracers[first_to_end].take().unwrap().finish();
    let last = methods[1 - first_to_end];
    let during = site.dump();
    assert_eq!(during.contains("podtrace/"), last == "clsact", "{during}");
    let mut tracer = tracers.into_iter().flatten().next().unwrap();
    assert!(site.sees_pings(&mut tracer, 22));
    tracer.finish();
    assert_eq!(site.dump(), before);
}

#[test]
fn last_of_two_podtraces_removes_what_the_first_has_made() {
    each_attach_method(|method| {
        check_two([method, method], 0);
        check_two([method, method], 1);
        if method == "tcx" {
            check_two(["tcx", "clsact"], 0);
            check_two(["clsact", "tcx"], 0);
        }
    });
}

fn wait_until_gone(tracer: &mut Tracer, interface: &str) {
    tracer.wait_for(|value: &Value| {
        let text = value["text"].as_str().unwrap_or_default();
        text.starts_with(&format!("{interface} of ")) && text.ends_with("is gone")
    });
}

#[test]
fn interface_that_vanishes_takes_its_taps_along() {
    each_attach_method(|method| {
        let site = Site::new();
        let mut tracer = site.trace(method, &[]);
        assert!(site.sees_pings(&mut tracer, 30));
        netlink(site.node(), async |handle| {
            let links = podtrace::node::links::list(site.node()).await.unwrap();
            let veth = links.iter().find(|link| link.name == VETH).unwrap();
            handle.link().del(veth.ifindex).execute().await.unwrap();
        });
        wait_until_gone(&mut tracer, VETH);
        let values = tracer.finish();
        let taps = values.last().unwrap()["taps"].as_array().unwrap();
        let removed = taps.iter().find(|tap| tap["interface"] == VETH);
        assert!(
            removed.unwrap()["seen"].as_u64().unwrap() >= 2,
            "{removed:?}"
        );
        assert!(!super::dump(site.node(), "cni0").contains("clsact"));
    });
}

#[test]
fn namespace_that_vanishes_is_not_kept() {
    each_attach_method(|method| {
        let mut site = Site::new();
        let mut tracer = site.trace(method, &[]);
        assert!(site.sees_pings(&mut tracer, 31));
        let LabPod { netns, veth, .. } = site.0.nodes[0].pods.remove(1);
        let name = Path::new("/run/netns").join(&netns.name);
        drop(netns);
        umount2(&name, MntFlags::MNT_DETACH).unwrap();
        fs::remove_file(&name).unwrap();
        wait_until_gone(&mut tracer, &veth);
        tracer.finish();
        assert!(!site.dump().contains("clsact"));
    });
}
