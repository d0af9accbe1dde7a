//! What is to be sent to find out.
use std::net::IpAddr;

use super::{Diagnosis, Pair};
use crate::{
    model::probes::{Ask, Probes},
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

impl Diagnosis {
    /// What is to be sent. `echo_id`: for echo requests, not in use; `waits`: whether the tables of
    /// the nodes may still come.
    ///
    /// # Errors
    /// Why nothing can be sent, in words.
    pub fn plan(&self, echo_id: u16, waits: bool, world: &World) -> Result<Plan, String> {
        let [source, destination] = self.ends(world);
        let source = source.ok_or_else(|| unknown(&self.pair.source.text))?;
        let destination = destination.ok_or_else(|| unknown(&self.pair.destination.text))?;
        let netns = source.netns.ok_or_else(|| elsewhere(&source))?;
        let (from, to) = addresses(&source, &destination)?;
        let ask = ask(&self.pair, &destination)?;
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

/// Addresses of one family, IPv4 first.
fn addresses(source: &Located, destination: &Located) -> Result<(IpAddr, IpAddr), String> {
    let of = |end: &Located, is_ipv4: bool| {
        let mut addresses = end.addresses.iter().copied();
        addresses.find(|address| address.is_ipv4() == is_ipv4)
    };
    let both = |is_ipv4| Some((of(source, is_ipv4)?, of(destination, is_ipv4)?));
    both(true).or_else(|| both(false)).ok_or_else(|| {
        let (from, to) = (&source.name, &destination.name);
        format!("nothing is sent: {from} and {to} have no addresses of one family")
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
            let name = protocol.as_str();
            format!("nothing is sent: --protocol {name} takes a port, as --port 80")
        })
    };
    match protocol {
        Protocol::Tcp => needed(IPPROTO_TCP).map(Ask::Connect),
        Protocol::Udp => needed(IPPROTO_UDP).map(Ask::Datagram),
        _ => Ok(Ask::Echo),
    }
}

/// The MTU of the interface with an address.
fn mtu(netns: u64, address: IpAddr, world: &World) -> Option<u32> {
    let spaces = world.facts.values().flat_map(|facts| &facts.spaces);
    let mut devices = spaces
        .filter(|space| space.netns == netns)
        .flat_map(|space| &space.devices);
    let device = devices.find(|device| device.addresses.iter().any(|own| own.address == address));
    device.map(|device| device.mtu)
}
