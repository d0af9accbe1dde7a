//! Records of other kinds than a packet at a tap.
use std::collections::BTreeMap;

use podtrace_ebpf::record::{CGROUP_NONE, Direction, Kind, VERSION};

use super::{pipeline, point};
use crate::{model::tap_point::Role, pipeline::OTHERS, probe::batch::Batch, update::Update};

/// A record of that kind without a captured byte.
fn record(kind: u8) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(1_000_u64.to_le_bytes());
    record.extend(CGROUP_NONE.to_le_bytes());
    record.extend([0; 16]);
    record.extend([Direction::Egress as u8, 0, VERSION, kind]);
    record
}

#[test]
fn records_of_an_unknown_kind_are_counted_and_passed_over() {
    let (mut pipeline, origin) = pipeline();
    let point = point("veth1", Role::Veth);
    pipeline.apply(&origin, &Update::TapPoint { number: 0, point });
    let tap = Kind::Tap as u8;
    let records = [tap, 77, tap, 255].map(record);
    pipeline.push(&origin, &Batch::of(records.iter().map(Vec::as_slice)));
    let total = pipeline.finish(&BTreeMap::new(), 1).total();
    assert_eq!((total.emitted, total.undecodable), (2, 2));
    let others = pipeline.taps[&(OTHERS, Direction::Ingress)];
    assert_eq!(others.undecodable, 2);
}
