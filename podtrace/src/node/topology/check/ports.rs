//! Checks of the ports of bridges that lead to pods.
use super::{Found, Severity};
use crate::{
    model::facts::{DeviceKind, NodeFacts},
    rules::{At, Cause, View, all_of, link, port},
    text::names::list,
};

pub(super) fn check<'a>(view: View<'a>, node: &'a NodeFacts, found: &mut Found) {
    // The ports of a bridge that is down are disabled: that is the problem, which others report.
    let bridges = all_of(node).filter(|at| at.device.kind == DeviceKind::Bridge && at.device.up);
    for bridge in bridges {
        let pod = |port: At<'a>| view.peer(port).filter(|peer| peer.space.in_pod);
        let ports = || link::ports(bridge).filter(|port| pod(*port).is_some());
        for port in ports().filter(|port| link::down(view, *port).is_none()) {
            check_port(view, port, found);
            let mute = pod(port).filter(|pod| pod.device.no_arp == Some(true));
            if let Some(mute) = mute {
                let cause = Cause::ArpOff {
                    at: view.place(mute),
                };
                found.cause(Severity::Error, &view.owner(mute).name, &cause);
            }
        }
        let isolated = ports().filter(|port| port.device.port.is_some_and(|port| port.isolated));
        let isolated: Vec<_> = isolated.map(|port| &port.device.name).collect();
        if let [first, _, ..] = &isolated[..] {
            found.warning(
                &bridge.device.name,
                format!(
                    "ports {} are isolated: their pods do not reach each other by the bridge",
                    list(&isolated)
                ),
                format!("bridge link set dev {first} isolated off, unless it is meant so"),
            );
        }
    }
}

fn check_port(view: View<'_>, at: At<'_>, found: &mut Found) {
    let name = &at.device.name;
    if let Some(cause) = link::from_port(view, at) {
        found.cause(Severity::Error, name, &cause);
        return;
    }
    if let Some(cause) = port::unlearned(view, at) {
        // Until its pod sends something.
        let severity = match cause {
            Cause::FloodOff { learns: true, .. } => Severity::Warning,
            _ => Severity::Error,
        };
        found.cause(severity, name, &cause);
    }
}
