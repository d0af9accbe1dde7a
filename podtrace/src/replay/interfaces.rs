//! Reads the files once in advance for their interfaces, by their final names.
use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;

use super::merge::Select;
use crate::{
    model::{event::Event, tap_name::TapName},
    packet::link,
    pipeline::Pipeline,
    session::recorder::{Description, Key, Outline},
    text::{escape::escape, names::listed},
    world::World,
};

/// The link layers of the packets, by interface. Selects no packet.
#[derive(Default)]
pub(super) struct Links(BTreeMap<Key, u16>);

impl Select for Links {
    fn wants(&mut self, event: &Event, _: &Pipeline) -> bool {
        self.0.entry(Key::of(event)).or_insert(event.link);
        false
    }

    fn is_over(&self, _: u64) -> bool {
        false
    }
}

/// The interfaces of the files.
pub(crate) struct Interfaces {
    interfaces: Vec<RecordedInterface>,
}

/// A tap point, and the sockets behind it if they have packets.
struct RecordedInterface {
    number: u32,
    device: String,
    /// `default/mypod1/eth0` or `worker1/veth1`.
    name: String,
    description: Description,
    sockets: Option<Description>,
}

impl RecordedInterface {
    fn is_meant(&self, name: &TapName) -> bool {
        let owner = || self.name.rsplit_once('/').map_or("", |(owner, _)| owner);
        name.fits(&self.device, owner)
    }
}

impl Interfaces {
    /// The interfaces of `world` after the last file. `links`: the link layers of their packets.
    pub(super) fn new(links: &Links, world: &World) -> Self {
        let interface = |number| {
            let describe = |sockets| {
                let key = Key { number, sockets };
                let link = links.0.get(&key).copied();
                let is_there = !sockets || link.is_some();
                is_there.then(|| Description::of(key, link, world))?
            };
            let point = world.tap_points.get(number)?;
            Some(RecordedInterface {
                number,
                device: point.name.to_string(),
                name: format!("{}/{}", world.owner_of(point), point.name),
                description: describe(false)?,
                sockets: describe(true),
            })
        };
        Self {
            interfaces: (0..world.tap_points.next_number())
                .filter_map(interface)
                .collect(),
        }
    }

    /// The numbers of the interface of that name.
    ///
    /// # Errors
    /// When no interface or more than one has that name.
    pub(super) fn find(&self, vantage: &str) -> anyhow::Result<BTreeSet<u32>> {
        let is_it = |interface: &&RecordedInterface| {
            interface.name == vantage
                || interface.device == vantage
                || interface.description.is_named(vantage)
        };
        let found: Vec<_> = self.interfaces.iter().filter(is_it).collect();
        let shown = escape(vantage);
        let names: BTreeSet<_> = found.iter().map(|interface| &*interface.name).collect();
        match names.len() {
            0 if self.interfaces.is_empty() => {
                bail!("--vantage {shown}: no interface {shown} in the files: they describe none")
            }
            0 => {
                let all = self.interfaces.iter().map(|interface| &*interface.name);
                bail!(
                    "--vantage {shown}: no interface {shown} in the files\nhint: there is {}",
                    listed(all, Some(vantage))
                );
            }
            // A pod that was replaced has the same name again.
            1 => Ok(found.iter().map(|interface| interface.number).collect()),
            many => bail!(
                "--vantage {shown}: {shown} is the name of {many} interfaces: {}\nhint: name one of them",
                listed(names, None)
            ),
        }
    }

    /// The outline of a recording of the selected interfaces, or of all if none is selected.
    /// `vantage`: the numbers of a single interface, without its sockets.
    pub(super) fn outline(
        &self,
        interfaces: &[TapName],
        vantage: Option<&BTreeSet<u32>>,
    ) -> Outline {
        let is_selected = |interface: &&RecordedInterface| {
            (interfaces.is_empty() || interfaces.iter().any(|name| interface.is_meant(name)))
                && vantage.is_none_or(|numbers| numbers.contains(&interface.number))
        };
        let selected = self.interfaces.iter().filter(is_selected);
        let descriptions: Vec<_> = selected
            .flat_map(|interface| {
                let sockets = interface.sockets.as_ref().filter(|_| vantage.is_none());
                std::iter::once(&interface.description).chain(sockets)
            })
            .cloned()
            .collect();
        let links: BTreeSet<_> = descriptions
            .iter()
            .filter_map(Description::file_link)
            .collect();
        Outline {
            link: match (&descriptions[..], links.len()) {
                ([only], _) => only.only_link(),
                (_, 0 | 1) => links.first().copied(),
                _ => Some(link::ETHERNET),
            },
            descriptions,
            is_part: !interfaces.is_empty() || vantage.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fixture::{CNI0, POD1, world};

    fn interfaces() -> Interfaces {
        let seen = [(POD1, false, 1), (POD1, true, link::RAW)];
        let seen = seen.map(|(number, sockets, link)| (Key { number, sockets }, link));
        Interfaces::new(&Links(seen.into()), &world())
    }

    #[test]
    fn vantage_is_one_interface() {
        let interfaces = interfaces();
        for name in [
            "default/mypod1/eth0",
            "mypod1.default/eth0",
            "cni0",
            "worker1/cni0",
        ] {
            assert_eq!(interfaces.find(name).unwrap().len(), 1, "{name}");
        }
        assert_eq!(interfaces.find("cni0").unwrap().first(), Some(&CNI0));
        let error = interfaces.find("eth0").unwrap_err().to_string();
        insta::assert_snapshot!(error, @r"
        --vantage eth0: eth0 is the name of 3 interfaces: default/mypod1/eth0, default/mypod2/eth0, worker1/eth0
        hint: name one of them
        ");
        let error = interfaces
            .find("default/mypod3/eth0")
            .unwrap_err()
            .to_string();
        insta::assert_snapshot!(error, @r"
        --vantage default/mypod3/eth0: no interface default/mypod3/eth0 in the files
        hint: there is default/mypod1/eth0, default/mypod2/eth0, worker1/eth0, worker1/veth1, worker1/veth2, worker1/cni0
        ");
    }

    #[test]
    fn outline_has_the_selected_interfaces() {
        let interfaces = interfaces();
        let all = interfaces.outline(&[], None);
        assert_eq!((all.descriptions.len(), all.is_part), (7, false));
        let named = interfaces.outline(&["eth0".parse().unwrap()], None);
        assert_eq!((named.descriptions.len(), named.is_part), (4, true));
        let numbers = interfaces.find("default/mypod1/eth0").unwrap();
        let one = interfaces.outline(&[], Some(&numbers));
        assert_eq!((one.descriptions.len(), one.is_part), (1, true));
        assert_eq!(one.link, Some(link::ETHERNET));
    }
}
