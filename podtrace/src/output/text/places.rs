//! Names of interfaces that stand beside each other.
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{model::tap_point::TapPoint, world::World};

/// Interfaces whose names stand beside each other.
pub(super) struct Places<'a>(SmallVec<[Option<Place<'a>>; 8]>);

struct Place<'a> {
    point: &'a TapPoint,
    owner: Arc<str>,
}

impl<'a> Places<'a> {
    /// None for interfaces that are not known.
    pub(super) fn new(points: impl Iterator<Item = Option<&'a TapPoint>>, world: &World) -> Self {
        let place = |point| Place {
            point,
            owner: world.owner_of(point),
        };
        Self(points.map(|point| point.map(place)).collect())
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Appends the name of one, as short as it tells them apart: `mypod1/eth0`, `cni0`,
    /// `worker1/eth0`.
    pub(super) fn write(&self, out: &mut String, number: usize) {
        let Some(place) = self.0.get(number).and_then(Option::as_ref) else {
            return out.push('?');
        };
        if !self.is_only(place) {
            let is_shared = self.known().filter(|other| other.is_like(place)).count() > 1;
            out.push_str(if is_shared {
                &place.owner
            } else {
                place.short_owner()
            });
            out.push('/');
        }
        out.push_str(&place.point.name);
    }

    fn known(&self) -> impl Iterator<Item = &Place<'a>> {
        self.0.iter().flatten()
    }

    /// Whether it is the node's, and no other has its name.
    fn is_only(&self, place: &Place<'_>) -> bool {
        let named = || {
            self.known()
                .filter(|other| other.point.name == place.point.name)
        };
        !place.point.in_pod && named().count() == 1
    }
}

impl Place<'_> {
    /// A pod without its namespace, or a node.
    fn short_owner(&self) -> &str {
        self.owner.rsplit('/').next().unwrap_or_default()
    }

    fn is_like(&self, other: &Place<'_>) -> bool {
        self.point.name == other.point.name && self.short_owner() == other.short_owner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fixture::{CNI0, POD1, POD2, UPLINK, VETH1, world};

    #[test]
    fn names_tell_interfaces_apart() {
        let mut world = world();
        // A pod of the same name in another namespace, and a bridge of another node.
        let elsewhere = world.tap_points.next_number();
        let bridge = world.tap_points.get(CNI0).unwrap().clone();
        world.tap_points.set(
            elsewhere,
            TapPoint {
                node: 1,
                node_name: "worker2".into(),
                ..bridge
            },
        );
        let joined = |interfaces: &[u32]| {
            let points = interfaces
                .iter()
                .map(|number| world.tap_points.get(*number));
            let places = Places::new(points, &world);
            let mut out = String::new();
            for number in 0..places.count() {
                out.push_str(if number == 0 { "" } else { " " });
                places.write(&mut out, number);
            }
            out
        };
        for (interfaces, shown) in [
            (&[POD1, VETH1, CNI0][..], "mypod1/eth0 veth1 cni0"),
            (&[POD1, POD2], "mypod1/eth0 mypod2/eth0"),
            (&[POD1, UPLINK], "mypod1/eth0 worker1/eth0"),
            (&[UPLINK, CNI0], "eth0 cni0"),
            (&[CNI0, elsewhere], "worker1/cni0 worker2/cni0"),
            (&[POD1, POD1], "default/mypod1/eth0 default/mypod1/eth0"),
            (&[POD1, 99], "mypod1/eth0 ?"),
        ] {
            assert_eq!(joined(interfaces), shown);
        }
    }
}
