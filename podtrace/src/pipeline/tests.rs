//! A pipeline bounds its memory and counts what it cannot read, for any input.
mod churn;
mod ending;
mod kinds;
mod memory;

use super::Pipeline;
use crate::{
    model::{
        origin::Origin,
        tap_point::{Role, TapPoint},
    },
    packet::DecodeOptions,
    world::fixture::tap_point,
};

/// A pipeline without consumers, and the origin of its updates.
fn pipeline() -> (Pipeline, Origin) {
    let options = DecodeOptions {
        vxlan_ports: Vec::new(),
        key_payload: 0,
        filter: None,
    };
    let origin = Origin {
        session: 0,
        nodes: 0..1,
    };
    let pipeline = Pipeline::new(options, 1, None);
    (pipeline, origin)
}

fn point(name: &str, role: Role) -> TapPoint {
    tap_point(name, 1, None, role)
}
