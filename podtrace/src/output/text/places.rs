//! Names of interfaces that stand beside each other.
use crate::{model::tap_point::TapPoint, world::World};

/// The names of interfaces, as short as they tell them apart: `mypod1/eth0`, `cni0`,
/// `worker1/eth0`.
pub(super) fn names(points: &[Option<&TapPoint>], world: &World) -> Vec<String> {
    let is_unique = |point: &TapPoint| {
        let named = points
            .iter()
            .flatten()
            .filter(|other| other.name == point.name);
        named.count() == 1
    };
    let named = |point: &TapPoint, is_whole: bool| {
        let owner = world.owner_of(point);
        let short = owner.rsplit('/').next().unwrap_or_default();
        match (is_whole, point.in_pod) {
            (false, true) => format!("{short}/{}", point.name),
            (false, false) if is_unique(point) => point.name.to_string(),
            _ => format!("{owner}/{}", point.name),
        }
    };
    let short: Vec<_> = points
        .iter()
        .map(|point| point.map_or_else(|| "?".to_owned(), |point| named(point, false)))
        .collect();
    let names = points.iter().zip(&short).map(|(point, name)| match point {
        Some(point) if short.iter().filter(|other| *other == name).count() > 1 => {
            named(point, true)
        }
        _ => name.clone(),
    });
    names.collect()
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
            names(&points.collect::<Vec<_>>(), &world).join(" ")
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
