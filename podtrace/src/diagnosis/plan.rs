//! What is to be sent to find out.
use std::net::IpAddr;

use super::{Diagnosis, Pair};
use crate::{
    model::{
        facts::Device,
        probes::{Ask, Probes},
    },
    packet::{IPPROTO_TCP, IPPROTO_UDP, Protocol},
    world::{
        World,
        locate::{Kind, Located},
    },
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Send these, from the source of this name and address.
    Send(Box<Probes>, String),
    /// Wait until the tables of the nodes are known.
    Wait,
}

/// Why nothing is sent, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The question is to be put in another way.
    Misasked(String),
    /// It cannot be sent from here.
    NotHere(String),
}

impl Diagnosis {
    /// What is to be sent. `echo_id`: for echo requests, not in use; `waits`: whether the tables of
    /// the nodes may still come.
    ///
    /// # Errors
    /// Why nothing can be sent.
    pub fn plan(&self, echo_id: u16, waits: bool, world: &World) -> Result<Plan, Unsent> {
        let [source, destination] = self.ends(world);
        let unknown = |text| Unsent::NotHere(unknown(text));
        let source = source.ok_or_else(|| unknown(&self.pair.source.text))?;
        let destination = destination.ok_or_else(|| unknown(&self.pair.destination.text))?;
        let ask = ask(&self.pair, &destination).map_err(Unsent::Misasked)?;
        let netns = source.netns;
        let netns = netns.ok_or_else(|| match shared(&source, world) {
            Some(words) => Unsent::Misasked(words),
            None => Unsent::NotHere(elsewhere(&source)),
        })?;
        let (from, to) = addresses(&source, &destination, world).map_err(Unsent::NotHere)?;
        if is_broadcast(netns, to, world) {
            let (text, name) = (&self.pair.destination.text, &source.name);
            return Err(Unsent::Misasked(format!(
                "{text} is a broadcast address of {name}, not one host's: give that of a host"
            )));
        }
        let is_service = destination.kind == Kind::Service;
        let mtu = mtu(netns, from, world);
        if mtu.is_none() && waits && !is_service {
            return Ok(Plan::Wait);
        }
        // A Service's address answers no echo request.
        let mtu = mtu.filter(|mtu| Probes::is_worth(*mtu) && !is_service);
        let probes = Probes {
            netns,
            to,
            ask,
            echo_id,
            ladder: mtu.map(Probes::ladder).unwrap_or_default(),
            server: destination.netns,
        };
        let name = match *source.name == *from.to_string() {
            true => from.to_string(),
            false => format!("{} ({from})", source.name),
        };
        Ok(Plan::Send(Box::new(probes), name))
    }
}

fn unknown(text: &str) -> String {
    format!("nothing is sent: it is not known where {text} is")
}

fn elsewhere(source: &Located) -> String {
    let name = &source.name;
    match &source.node {
        Some(node) => format!(
            "nothing is sent: {name} is on node {node}, where podtrace diagnose --probe would be run"
        ),
        None => format!("nothing is sent: {name} is on none of the nodes that are traced here"),
    }
}

/// That several have the address that the source was given by, in words.
fn shared(source: &Located, world: &World) -> Option<String> {
    let [address] = source.addresses[..] else {
        return None;
    };
    let holders = world.holders(address);
    (source.kind == Kind::Address && holders.len() > 1).then(|| {
        let name = &holders[0];
        let all = holders.join(" and ");
        format!(
            "{address} is the address of {all}: which of them is to send?\n\
             hint: give its name: podtrace diagnose --probe {name} DST"
        )
    })
}

/// Addresses of one family, IPv4 first: of those of the destination one that is not the source's,
/// too, which would answer itself.
fn addresses(
    source: &Located,
    destination: &Located,
    world: &World,
) -> Result<(IpAddr, IpAddr), String> {
    let mut ends = [source, destination].into_iter();
    if let Some(bare) = ends.find(|end| end.addresses.is_empty()) {
        let name = &bare.name;
        return Err(format!(
            "nothing is sent: no interface of {name} has an address"
        ));
    }
    let of = |end: &Located, is_ipv4: bool| {
        let mut addresses = end.addresses.iter().copied();
        addresses.find(|address| address.is_ipv4() == is_ipv4)
    };
    let (from, to) = (&source.name, &destination.name);
    // Who is asked for by an address is whoever has it.
    let is_another = destination.kind != Kind::Address && source.netns != destination.netns;
    let is_own = |address: &IpAddr| {
        let holds = |netns| world.has_address(netns, *address);
        is_another && source.netns.is_some_and(holds)
    };
    let theirs = |is_ipv4: bool| {
        let mut addresses = destination.addresses.iter().copied();
        addresses.find(|address| address.is_ipv4() == is_ipv4 && !is_own(address))
    };
    let both = |is_ipv4| Some((of(source, is_ipv4)?, theirs(is_ipv4)?));
    both(true).or_else(|| both(false)).ok_or_else(|| {
        match destination.addresses.iter().find(|address| is_own(address)) {
            Some(address) => format!(
                "nothing is sent: {from} has {address}, an address of {to}, too, so what it sends \
                 there does not leave it"
            ),
            None => format!("nothing is sent: {from} and {to} have no addresses of one family"),
        }
    })
}

fn ask(pair: &Pair, destination: &Located) -> Result<Ask, String> {
    let known = |protocol: u8| {
        let mut ports = destination.ports.iter();
        ports.find(|(of, _)| *of == protocol).map(|(_, port)| *port)
    };
    let first = destination.ports.first().map(|(protocol, _)| *protocol);
    let protocol = pair.protocol.unwrap_or(match first {
        Some(IPPROTO_TCP) => Protocol::Tcp,
        Some(IPPROTO_UDP) => Protocol::Udp,
        _ => Protocol::Icmp,
    });
    let needed = |number: u8| {
        let port = pair.port.or_else(|| known(number));
        port.ok_or_else(|| {
            let (name, example) = match protocol {
                Protocol::Udp => ("udp", "--protocol udp --port 53"),
                _ => ("tcp", "--port 80"),
            };
            let text = &pair.destination.text;
            format!(
                "--protocol {name} with --probe takes the port of {text}, too (--port)\n\
                 hint: {example}; without --protocol and --port, it sends pings"
            )
        })
    };
    match protocol {
        Protocol::Tcp => needed(IPPROTO_TCP).map(Ask::Connect),
        Protocol::Udp => needed(IPPROTO_UDP).map(Ask::Datagram),
        _ => Ok(Ask::Echo),
    }
}

/// Whether a namespace sends to an address as to all hosts of a subnet: the last of its addresses,
/// where there are more than two.
pub(super) fn is_broadcast(netns: u64, to: IpAddr, world: &World) -> bool {
    let IpAddr::V4(to) = to else {
        return false;
    };
    let mut own = devices(netns, world).flat_map(|device| &device.addresses);
    own.any(|own| {
        let hosts = u32::MAX.checked_shr(own.len.into()).unwrap_or(0);
        own.len < 31 && own.covers(to.into()) && to.to_bits() & hosts == hosts
    })
}

/// The interfaces of a namespace.
fn devices(netns: u64, world: &World) -> impl Iterator<Item = &Device> {
    let spaces = world.facts.values().flat_map(|facts| &facts.spaces);
    spaces
        .filter(move |space| space.netns == netns)
        .flat_map(|space| &space.devices)
}

/// The MTU of the interface with an address.
fn mtu(netns: u64, address: IpAddr, world: &World) -> Option<u32> {
    let mut devices = devices(netns, world);
    let device = devices.find(|device| device.addresses.iter().any(|own| own.address == address));
    device.map(|device| device.mtu)
}
