//! Which interfaces are needed first.
use std::sync::Arc;

use crate::{
    model::{
        tap_name::TapName,
        tap_point::{Role, TapPoint},
    },
    select::Selector,
    world::World,
};

/// How much an interface is needed for the packets that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Their packets pass it: a session begins with it.
    First,
    /// Their packets pass it if they are for its pod, too.
    Later,
    /// The user chose other interfaces.
    Never,
}

/// What was asked for.
pub(super) struct Needs {
    chosen: Vec<TapName>,
    selector: Option<Arc<Selector>>,
}

impl Needs {
    pub(super) fn new(chosen: &[TapName], selector: Option<&Arc<Selector>>) -> Self {
        Self {
            chosen: chosen.to_vec(),
            selector: selector.filter(|selector| selector.is_for_pods()).cloned(),
        }
    }

    /// How much an interface is needed, by what is known of its pod. One whose pod has no name
    /// yet may be any.
    pub(super) fn of(&self, point: &TapPoint, world: &World) -> Need {
        if !self.may_be_chosen(point, world) {
            return Need::Never;
        }
        let Some(selector) = &self.selector else {
            return Need::First;
        };
        let netns = point.nearest_pod();
        let is_of_pod = netns.is_some() || point.role == Role::Veth;
        let pod = netns.and_then(|netns| world.identities.known_pod(netns));
        let is_wanted = pod.is_some_and(|pod| {
            let labels = world.identities.labels(&pod);
            selector.is_for_pod(&pod, labels)
        });
        match is_of_pod && !is_wanted {
            true => Need::Later,
            false => Need::First,
        }
    }

    fn may_be_chosen(&self, point: &TapPoint, world: &World) -> bool {
        let has_no_name = || {
            let netns = point.pod_netns();
            netns.is_some_and(|netns| world.identities.known_pod(netns).is_none())
        };
        let may_be = |name: &TapName| {
            let is_of_node = || name.fits(&point.name, || &point.node_name);
            name.fits_device(&point.name) && has_no_name() && !is_of_node()
        };
        let is_meant = |name: &TapName| name.fits(&point.name, || world.owner_of(point));
        let mut chosen = self.chosen.iter();
        self.chosen.is_empty() || chosen.any(|name| is_meant(name) || may_be(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        select::Term,
        world::fixture::{CNI0, POD1, POD2, UPLINK, VETH1, VETH2, world},
    };

    const ALL: [u32; 6] = [POD1, VETH1, VETH2, POD2, CNI0, UPLINK];

    fn needs(chosen: &[&str], selector: Option<Term>) -> [Need; 6] {
        let chosen: Vec<TapName> = chosen.iter().map(|name| name.parse().unwrap()).collect();
        let selector = selector.and_then(|term| Selector::new([(false, term)]));
        let needs = Needs::new(&chosen, selector.map(Arc::new).as_ref());
        let world = world();
        ALL.map(|number| needs.of(world.tap_points.get(number).unwrap(), &world))
    }

    #[test]
    fn interfaces_of_other_pods_come_later() {
        use Need::{First, Later, Never};
        let pod = Term::Pod("mypod1".parse().unwrap());
        assert_eq!(needs(&[], None), [First; 6]);
        assert_eq!(needs(&[], Some(Term::Port(80))), [First; 6]);
        let of_pod1 = [First, First, Later, Later, First, First];
        assert_eq!(needs(&[], Some(pod.clone())), of_pod1);
        let chosen = needs(&["mypod*/eth0", "cni?"], Some(pod));
        assert_eq!(chosen, [First, Never, Never, Later, First, Never]);
    }
}
