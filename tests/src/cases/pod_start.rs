//! A pod that starts during a trace: its first packet has its name, without delay.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::pods_churn::now_ns;
use super::tracer::{Tracer, paths};
use crate::cri_lab::{CriLab, CriLabSpec, PodSpec};

/// How long after its first packet a pod's name may come; a busy machine takes a good part of
/// that.
const NAMED_WITHIN: Duration = Duration::from_secs(2);
const PODS: usize = 5;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn millis(from_ns: u64, to_ns: u64) -> u128 {
    Duration::from_nanos(to_ns.saturating_sub(from_ns)).as_millis()
}

#[test]
fn first_packet_of_a_pod_that_starts_has_its_name() {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: false,
    })
    .unwrap();
    let node = &lab.nodes[0];
    let target = PodSpec {
        name: "target",
        ..PodSpec::default()
    };
    let target = node.run_pod(&target).unwrap();
    let host = target.ipv4().unwrap().to_string();
    let mut tracer = Tracer::on(node, &[]);
    let mut pods = Vec::new();
    for number in 0..PODS {
        let name = format!("new-{number}");
        let full = format!("default/{name}");
        let spec = PodSpec {
            name: &name,
            containers: &["main"],
            command: Some(&["ping", "-q", "-i", "0.05", &host]),
            ..PodSpec::default()
        };
        let ordered_ns = now_ns();
        let is_event = |value: &Value| value["type"] == "event" && text(value, "pod") == full;
        let (pod, named_ns, first_ping, pinged_ns) = thread::scope(|scope| {
            let pod = scope.spawn(|| node.run_pod(&spec).unwrap());
            tracer.wait_for(is_event);
            let named_ns = now_ns();
            let first_ping = tracer.wait_for(|value| {
                is_event(value) && text(value, "what").starts_with("ICMP echo request")
            });
            let pinged_ns = now_ns();
            (pod.join().unwrap(), named_ns, first_ping, pinged_ns)
        });
        let sent_ns = first_ping["time_ns"].as_u64().unwrap();
        eprintln!(
            "{name}: order {} ms before its first named event is out; first packet of its \
             container {} ms after the order, out {} ms after it was sent",
            millis(ordered_ns, named_ns),
            millis(ordered_ns, sent_ns),
            millis(sent_ns, pinged_ns),
        );
        assert!(millis(sent_ns, pinged_ns) < NAMED_WITHIN.as_millis());
        assert_eq!(first_ping["socket"]["container"], "main", "{first_ping}");
        pods.push(pod);
    }
    let values = tracer.finish();
    let mut from_the_first = 0;
    for pod in &pods {
        let source = pod.ipv4().unwrap().to_string();
        let mut pings = paths(&values, "ICMP echo request", &source, &host);
        let first = pings.next().unwrap();
        from_the_first += usize::from(text(first, "what").ends_with("seq 0"));
        let at = |hop: &Value| {
            ["pod", "interface", "direction"].map(|field| text(hop, field).to_owned())
        };
        let expected = [pod.full_name(), "eth0".into(), "egress".into()];
        assert_eq!(at(&first["hops"][0]), expected, "{first}");
        assert_eq!(text(first, "source_pod"), pod.full_name());
        assert_eq!(first["source_container"], "main");
        assert_eq!(first["destination_pod"], "default/target");
        assert_eq!(first["outcome"], "delivered");
    }
    // Attaching to a pod's eth0 takes the kernel some 30 ms; on a busy machine, a container
    // may be faster.
    eprintln!("{from_the_first} of {PODS} seen from their first packet on");
    assert!(from_the_first > PODS / 2, "{from_the_first} of {PODS}");
}
