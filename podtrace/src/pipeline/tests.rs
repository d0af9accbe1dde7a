//! A pipeline bounds what it keeps and counts what it cannot read, whatever comes.
mod churn;
mod kinds;
mod memory;

use super::Pipeline;
use crate::{
    model::{
        origin::Origin,
        tap_point::{Role, TapPoint},
    },
    packet::{DecodeOptions, Framing},
};

/// A pipeline without consumers, and the origin of its updates.
fn pipeline() -> (Pipeline, Origin) {
    let options = DecodeOptions {
        vxlan_ports: Vec::new(),
        key_payload: 0,
    };
    let origin = Origin {
        session: 0,
        nodes: 0..1,
    };
    let pipeline = Pipeline::new(options, 1, None);
    (pipeline, origin)
}

fn point(name: &str, role: Role) -> TapPoint {
    TapPoint {
        node: 0,
        node_name: "worker1".into(),
        in_pod: role == Role::Pod,
        leads_to: None,
        peer_name: None,
        netns_id: 1,
        ifindex: 2,
        name: name.into(),
        role,
        framing: Framing::Ethernet,
        is_port: false,
        mac: None,
    }
}
