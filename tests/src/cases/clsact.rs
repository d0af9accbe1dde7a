//! Other tools' qdiscs and filters stay exactly as they were, whatever podtrace does.
mod removed;
mod shared;

use aya::programs::TcAttachType;
use podtrace::lab::Lab;
use podtrace::lab::traffic::ping;
use podtrace::netns::NetNs;
use serde_json::Value;

use super::attach_methods::each_attach_method;
use super::foreign::{Foreign, OK, Spot, dump, has_kind, tc};
use super::one_node;
use super::tracer::{Tracer, hops, run};

/// A node with two pods; one pod's interface is the object of the test.
struct Site(Lab);

const VETH: &str = "veth0101";
/// The notice if other tools' filters come first.
const BEHIND: &str = "other tools' programs come before podtrace's";

impl Site {
    fn new() -> Self {
        Self(one_node(2))
    }

    fn node(&self) -> &NetNs {
        &self.0.nodes[0].netns
    }

    fn tc(&self, args: &str) {
        tc(self.node(), args);
    }

    fn dump(&self) -> String {
        dump(self.node(), VETH)
    }

    fn trace(&self, method: &str, options: &[&str]) -> Tracer {
        let all = [&["--attach", method], options].concat();
        Tracer::start(&self.0, &[0], &all)
    }

    /// Whether pings through the interface, which are answered, are seen there in both
    /// directions.
    fn sees_pings(&self, tracer: &mut Tracer, id: u16) -> bool {
        self.ping(id);
        let begins = |value: &Value, what: &str| {
            let packet = value["what"].as_str().unwrap_or_default();
            value["type"] == "path" && packet.starts_with(&format!("ICMP echo {what} id {id} "))
        };
        let point = format!("1/{VETH}");
        let request = tracer.wait_for(|value| begins(value, "request"));
        let reply = tracer.wait_for(|value| begins(value, "reply"));
        hops(&request).contains(&format!("{point} ingress"))
            && hops(&reply).contains(&format!("{point} egress"))
    }

    fn ping(&self, id: u16) {
        let pods = &self.0.nodes[0].pods;
        ping(&pods[0].netns, pods[1].ipv4.into(), id, 1, 56).unwrap();
    }
}

fn notices(values: &[Value]) -> Vec<&str> {
    let notices = values.iter().filter(|value| value["type"] == "notice");
    notices.filter_map(|value| value["text"].as_str()).collect()
}

/// The part of a dump that existed before, in its order.
fn kept(dump: &str, before: &str) -> Vec<Value> {
    let all = objects(dump);
    let before = objects(before);
    all.into_iter().filter(|one| before.contains(one)).collect()
}

fn objects(dump: &str) -> Vec<Value> {
    let lines = dump.lines().filter(|line| !line.is_empty());
    let lists = lines.map(|line| serde_json::from_str::<Vec<Value>>(line).unwrap());
    lists.flatten().collect()
}

/// Traces an interface with these filters at both hooks.
fn check_filters(filters: &[&str], is_behind: bool) {
    each_attach_method(|method| {
        println!("{method} {filters:?}");
        let site = Site::new();
        site.tc(&format!("qdisc add dev {VETH} clsact"));
        for filter in filters {
            for hook in ["ingress", "egress"] {
                site.tc(&format!("filter add dev {VETH} {hook} {filter}"));
            }
        }
        let before = site.dump();
        let mut tracer = site.trace(method, &[]);
        let during = site.dump();
        assert_eq!(kept(&during, &before), objects(&before));
        assert_eq!(during.contains("podtrace/"), method == "clsact", "{during}");
        assert!(site.sees_pings(&mut tracer, 5));
        let values = tracer.finish();
        let behind = notices(&values).iter().any(|text| text.contains(BEHIND));
        assert_eq!(behind, is_behind && method == "clsact");
        assert_eq!(site.dump(), before);
    });
}

/// A filter that matches no packet.
const U32: &str = "u32 match u32 0x1 0xffffffff at 0 classid 1:1";

#[test]
fn filters_at_other_priorities_come_behind() {
    check_filters(
        &[&format!("prio 10 {U32}"), &format!("prio 73 {U32}")],
        false,
    );
    check_filters(
        &["prio 73 protocol ip u32 match ip dst 203.0.113.9 classid 1:1"],
        false,
    );
}

#[test]
fn filter_of_another_kind_at_the_first_priority_stays_before() {
    check_filters(&[&format!("prio 1 {U32}")], true);
    check_filters(&[&format!("prio 1 {U32}"), &format!("prio 2 {U32}")], true);
    let site = Site::new();
    let flower = "flower dst_mac 02:00:00:00:00:77 classid 1:1";
    if has_kind(
        site.node(),
        VETH,
        "flower",
        "dst_mac 02:00:00:00:00:77 classid 1:1",
    ) {
        check_filters(&[&format!("prio 1 protocol all {flower}")], true);
    }
}

/// It ends the chain for all packets, so that a filter behind it sees none.
#[test]
fn filter_that_matches_all_is_reported() {
    let site = Site::new();
    if !has_kind(site.node(), VETH, "matchall", "classid 1:1") {
        println!("skipped: there is no matchall");
        return;
    }
    each_attach_method(|method| {
        let site = Site::new();
        site.tc(&format!("qdisc add dev {VETH} clsact"));
        for hook in ["ingress", "egress"] {
            site.tc(&format!(
                "filter add dev {VETH} {hook} prio 1 matchall classid 1:1"
            ));
        }
        let before = site.dump();
        let mut tracer = site.trace(method, &[]);
        assert_eq!(site.sees_pings(&mut tracer, 6), method == "tcx");
        let values = tracer.finish();
        let behind = notices(&values).iter().any(|text| text.contains(BEHIND));
        assert_eq!(behind, method == "clsact");
        assert_eq!(site.dump(), before);
    });
}

#[test]
fn programs_at_the_first_priority_come_behind() {
    each_attach_method(|method| {
        let site = Site::new();
        let mut programs = [Foreign::new(), Foreign::new()];
        let hooks = [TcAttachType::Ingress, TcAttachType::Egress];
        let _links: Vec<_> = programs
            .iter_mut()
            .zip(hooks)
            .map(|(program, hook)| program.attach(site.node(), VETH, hook, Spot::Clsact(1)))
            .collect();
        // No program behind them sees a packet.
        programs.iter().for_each(|program| program.set(OK, 0));
        let before = site.dump();
        let mut tracer = site.trace(method, &[]);
        assert_eq!(kept(&site.dump(), &before), objects(&before));
        assert!(site.sees_pings(&mut tracer, 7));
        assert!(programs.iter().all(|program| program.count() > 0));
        let values = tracer.finish();
        assert!(!notices(&values).iter().any(|text| text.contains(BEHIND)));
        assert_eq!(site.dump(), before);
    });
}

#[test]
fn qdisc_of_another_kind_is_kept_and_reported() {
    each_attach_method(|method| {
        let site = Site::new();
        site.tc(&format!("qdisc add dev {VETH} ingress"));
        site.tc(&format!("filter add dev {VETH} ingress prio 1 {U32}"));
        let before = site.dump();
        let mut tracer = site.trace(method, &[]);
        assert_eq!(site.dump(), before);
        assert_eq!(site.sees_pings(&mut tracer, 8), method == "tcx");
        let values = tracer.finish();
        let refused = notices(&values)
            .into_iter()
            .find(|text| text.contains("is not traced"));
        match (method, refused) {
            ("tcx", None) => {}
            ("clsact", Some(text)) => {
                let words = "it has a qdisc ingress in the place of clsact, which is left alone";
                assert!(text.starts_with(VETH) && text.ends_with(words), "{text}");
            }
            (_, refused) => panic!("{method}: {refused:?}"),
        }
        assert_eq!(site.dump(), before);
    });
}

#[test]
fn nothing_that_can_be_traced_is_an_error() {
    let site = Site::new();
    site.tc(&format!("qdisc add dev {VETH} ingress"));
    let node = &site.node().name;
    let output = run(&["trace", "--netns", node, "-i", VETH, "--attach", "clsact"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let why = format!("no interface can be traced: failed to attach to {VETH} in {node}: it has");
    assert!(stderr.contains(&why), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}

/// The interface counts as unwatched from then on: packets there are not reported as lost.
#[test]
fn packets_through_an_interface_that_is_refused_are_not_said_to_be_lost() {
    let site = Site::new();
    let to = site.0.nodes[0].pods[1].netns.clone();
    tc(&to, "qdisc add dev eth0 ingress");
    let mut tracer = site.trace("clsact", &[]);
    let text = "every interface is traced now, but 1 that cannot be: packets pass there unseen";
    tracer.wait_until_all(1, |value| value["text"] == text);
    site.ping(11);
    let request = tracer.wait_for(|value| {
        let what = value["what"].as_str().unwrap_or_default();
        value["type"] == "path" && what.starts_with("ICMP echo request id 11 ")
    });
    assert_eq!(request["outcome"], "unknown", "{request}");
    assert_eq!(request["incomplete"], true, "{request}");
    tracer.finish();
}

#[test]
fn chain_of_another_tool_stays_with_its_qdisc() {
    let site = Site::new();
    let tracer = site.trace("clsact", &[]);
    site.tc(&format!("chain add dev {VETH} ingress chain 3"));
    site.tc(&format!(
        "filter add dev {VETH} ingress prio 1 chain 7 {U32}"
    ));
    let values = tracer.finish();
    // Packets do not enter other chains by themselves.
    assert!(!notices(&values).iter().any(|text| text.contains(BEHIND)));
    let chains = tc(site.node(), &format!("chain show dev {VETH} ingress"));
    assert!(
        chains.contains("chain 3") && chains.contains("chain 7"),
        "{chains}"
    );
    assert!(!site.dump().contains("podtrace/"));
}

#[test]
fn qdisc_that_was_there_before_stays() {
    each_attach_method(|method| {
        let site = Site::new();
        site.tc(&format!("qdisc add dev {VETH} clsact"));
        let before = site.dump();
        let mut tracer = site.trace(method, &[]);
        assert!(site.sees_pings(&mut tracer, 9));
        tracer.finish();
        assert_eq!(site.dump(), before);
    });
}

#[test]
fn qdisc_that_another_tool_uses_meanwhile_stays_with_its_filter() {
    each_attach_method(|method| {
        let site = Site::new();
        let before = site.dump();
        let mut tracer = site.trace(method, &[]);
        if method == "tcx" {
            site.tc(&format!("qdisc add dev {VETH} clsact"));
        }
        site.tc(&format!("filter add dev {VETH} egress prio 5 {U32}"));
        let theirs = objects(&site.dump());
        assert!(site.sees_pings(&mut tracer, 10));
        tracer.finish();
        let after = site.dump();
        let left = objects(&after);
        assert!(!after.contains("podtrace/"), "{after}");
        assert!(left.iter().all(|one| theirs.contains(one)), "{after}");
        assert!(left.iter().any(|one| one["kind"] == "clsact"), "{after}");
        assert!(left.iter().any(|one| one["kind"] == "u32"), "{after}");
        site.tc(&format!("qdisc del dev {VETH} clsact"));
        assert_eq!(site.dump(), before);
    });
}
