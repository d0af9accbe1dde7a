//! Names of interfaces that stand beside each other.
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{model::tap_point::TapPoint, world::World};

/// Interfaces whose names stand beside each other.
pub(super) struct Places<'a>(SmallVec<[Option<Place<'a>>; 8]>);

struct Place<'a> {
    point: &'a TapPoint,
    owner: Arc<str>,
    /// Where the name of a pod begins, behind its namespace.
    short: usize,
    owner_shown: Shown,
}

/// How much of its owner's name an interface needs.
#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    Short,
    Whole,
}

impl<'a> Places<'a> {
    /// None for interfaces that are not known.
    pub(super) fn new(points: impl Iterator<Item = Option<&'a TapPoint>>, world: &World) -> Self {
        let place = |point: &'a TapPoint| {
            let owner = world.owner_of(point);
            Place {
                point,
                short: owner.rfind('/').map_or(0, |slash| slash + 1),
                owner,
                owner_shown: Shown::Nothing,
            }
        };
        let mut places = Self(points.map(|point| point.map(place)).collect());
        for number in 0..places.count() {
            let needed = places.needed(number);
            if let Some(place) = places.0.get_mut(number).and_then(Option::as_mut) {
                place.owner_shown = needed;
            }
        }
        places
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Appends the name of one, as short as it tells them apart: `mypod1/eth0`, `cni0`,
    /// `worker1/eth0`.
    pub(super) fn write(&self, out: &mut String, number: usize) {
        let Some(place) = self.get(number) else {
            return out.push('?');
        };
        match place.owner_shown {
            Shown::Nothing => {}
            Shown::Short => out.push_str(place.short_owner()),
            Shown::Whole => out.push_str(&place.owner),
        }
        if !matches!(place.owner_shown, Shown::Nothing) {
            out.push('/');
        }
        out.push_str(&place.point.name);
    }

    fn get(&self, number: usize) -> Option<&Place<'a>> {
        self.0.get(number).and_then(Option::as_ref)
    }

    /// How much of the owner's name tells one from all others.
    fn needed(&self, number: usize) -> Shown {
        let Some(place) = self.get(number) else {
            return Shown::Nothing;
        };
        let mut is_only = true;
        for (_, other) in self.0.iter().enumerate().filter(|(n, _)| *n != number) {
            let Some(other) = other
                .as_ref()
                .filter(|other| other.point.name == place.point.name)
            else {
                continue;
            };
            if other.short_owner() == place.short_owner() {
                return Shown::Whole;
            }
            is_only = false;
        }
        if is_only && !place.point.in_pod {
            Shown::Nothing
        } else {
            Shown::Short
        }
    }
}

impl Place<'_> {
    /// A pod without its namespace, or a node.
    fn short_owner(&self) -> &str {
        self.owner.get(self.short..).unwrap_or_default()
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
