//! Verdicts on paths that did not arrive.
use std::sync::Arc;

use crate::{
    field::object,
    path::Path,
    rules::candidate::RuleObject,
    verdict::{Tap, verdict},
    world::World,
};

object! {
    /// Why a packet did not arrive, by the interfaces, tables and settings of the nodes.
    pub(crate) VerdictObject as "verdict" {
        /// the cause: `device_down`, `mtu_exceeded`, `ttl_expired`, `no_route`,
        /// `refused_by_route`, `route_astray`, `reverse_path`, `forwarding_off`, `neighbour_missing`,
        /// `neighbour_asked` (it has not answered yet), `neighbour_failed`, `off_link`, `wrong_mac`,
        /// `arp_off`, `flood_off`, `wrong_port`, `no_forwarding_entry`, `wrong_vtep`, `vni_differs`,
        /// `port_differs`, `port_blocked`, `no_bridge`, `ports_isolated`, `hairpin_off`, `duplicate_address`,
        /// `no_owner`, `address_missing`, `echo_ignored`, `accept_queue_full`, `server_silent`,
        /// `refused`, `no_listener`, `loop`, `kernel_drop`, `firewall_rule` or `unknown`
        cause: &'static str,
        /// the cause in words
        what: String,
        /// how sure that is: `sure`, `likely` or `unknown`
        confidence: &'static str,
        /// the last tap that saw it on its way
        last_hop: Option<TapObject>,
        /// the tap that should have seen it next
        expected_next: Option<TapObject>,
        /// of an unknown cause: what podtrace does not see, and could be it; of a drop by a firewall
        /// or a refusal: the rules that could have done it
        candidates: Option<Vec<String>>,
        /// those of them that are rules
        rules: Option<Vec<RuleObject>>,
        /// what it is based on beside those tables
        evidence: Option<Vec<String>>,
        /// a command or words to check or mend it
        advice: Option<String>,
    }
}

object! {
    /// A tap of a verdict.
    pub(crate) TapObject as "verdict tap" {
        /// node of the tap
        node: Arc<str>,
        /// pod of the tap, `namespace/name`
        pod: Option<Arc<str>>,
        /// interface of the tap
        interface: Arc<str>,
        /// `ingress` or `egress`
        direction: &'static str,
    }
}

impl VerdictObject {
    /// The verdict on a path, if it is judged.
    pub(crate) fn of(path: &Path, world: &World) -> Option<Box<Self>> {
        let verdict = verdict(path, world)?;
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let candidates = verdict.cause.candidates();
        Some(Box::new(Self {
            cause: verdict.cause.name(),
            what: verdict.cause.to_string(),
            confidence: verdict.confidence.as_str(),
            last_hop: verdict.last_hop.map(Into::into),
            expected_next: verdict.expected_next.map(Into::into),
            candidates: some(candidates.iter().map(ToString::to_string).collect()),
            rules: RuleObject::all(verdict.cause.rules()),
            evidence: some(verdict.evidence),
            advice: verdict.advice,
        }))
    }
}

impl From<Tap> for TapObject {
    fn from(tap: Tap) -> Self {
        Self {
            node: tap.place.node,
            pod: tap.place.pod,
            interface: tap.place.interface,
            direction: tap.direction.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rules::fixture::healthy,
        verdict::tests::roads::{road, world},
    };

    #[test]
    fn verdict_is_as_documented() {
        let mut facts = healthy();
        facts[0].spaces[0].tables.fdb.clear();
        let worlds = [world(facts), world(healthy())];
        let objects = worlds.iter().map(|world| {
            let object = VerdictObject::of(&road(4).path(), world);
            serde_json::to_string_pretty(&object).unwrap()
        });
        insta::assert_snapshot!(objects.collect::<Vec<_>>().join("\n"));
    }
}
