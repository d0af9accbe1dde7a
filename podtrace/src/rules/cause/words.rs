//! Causes in words.
use std::{
    fmt::{self, Display},
    net::IpAddr,
};

use super::{Candidate, Cause, Owner, Place};
use crate::{
    model::{drop::tells, subnet::AddressPrefix, tables::RouteKind},
    packet::Mac,
};

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceDown { at, is_set: true } => write!(f, "{at} is down"),
            Self::DeviceDown { at, .. } => write!(f, "{at} has no carrier"),
            Self::MtuExceeded {
                at,
                mtu,
                length,
                sender,
            } => {
                let over = length.saturating_sub(*mtu);
                write!(f, "{length} B are {over} more than MTU {mtu} of {at}")?;
                match sender {
                    Some(sender) => {
                        let (place, mtu) = &**sender;
                        write!(f, ", sent with MTU {mtu} of {place}")
                    }
                    None => Ok(()),
                }
            }
            Self::TtlExpired { at } => write!(f, "its TTL has expired at {at}"),
            Self::NoRoute { owner, to } => write!(f, "{owner} has no route to {to}"),
            Self::RefusedByRoute {
                owner,
                subnet,
                kind,
                ..
            } => refused_by_route(f, owner, *subnet, *kind),
            Self::RouteAstray {
                owner,
                to,
                by,
                right,
            } => write!(f, "the route of {owner} to {to} leads to {by}, not {right}"),
            Self::ReversePath { at, source, back } => {
                write!(f, "rp_filter of {at}: ")?;
                match back {
                    Some(back) => write!(f, "the route back to {source} leads to {back}"),
                    None => write!(f, "no route leads back to {source}"),
                }
            }
            Self::ForwardingOff {
                at,
                is_all,
                is_ipv4,
            } => {
                let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
                let owner = at.owner();
                match is_all {
                    true => write!(f, "{family} forwarding is off on {owner}"),
                    false => write!(f, "{family} forwarding is off for {at}"),
                }
            }
            Self::NeighbourMissing { at, address, .. } => {
                write!(f, "no neighbour entry for {address} on {at}")
            }
            Self::NeighbourFailed {
                at,
                address,
                owner,
                is_asked,
            } => {
                let by = if address.is_ipv4() { "ARP" } else { "ND" };
                match is_asked {
                    true => write!(f, "{by} for {address} on {at} has no answer yet")?,
                    false => write!(f, "nobody answers {by} for {address} on {at}")?,
                }
                match owner {
                    Some(owner) => write!(f, ", and {owner} has it"),
                    None => Ok(()),
                }
            }
            Self::WrongMac {
                at,
                address,
                mac,
                right,
                is_own,
                entry: _,
            } => {
                wrong_mac(f, at, *address, *mac)?;
                match (right, is_own) {
                    (Some(right), false) => write!(f, "not {right}, the right one"),
                    (Some(right), true) => write!(f, "its own; the right one is {right}"),
                    (None, false) => f.write_str("nobody's"),
                    (None, true) => f.write_str("its own"),
                }
            }
            Self::OffLink { at, address, owner } => write!(
                f,
                "{at} asks for {address} on its link, and {owner} that has it is on another"
            ),
            Self::ArpOff { at } => write!(f, "ARP is off on {at} (NOARP)"),
            Self::FloodOff { at, mac, learns } => {
                let learning = match learns {
                    true => "has not learned",
                    false => "does not learn",
                };
                write!(
                    f,
                    "the bridge {learning} {mac} behind {at}, and floods nothing to it"
                )
            }
            Self::WrongPort { at, mac, ports } => {
                let (port, right) = &**ports;
                write!(
                    f,
                    "the forwarding entry of {at} for {mac} leads to {port}, not to {right}"
                )
            }
            Self::NoForwardingEntry { at, mac, .. } => {
                write!(f, "no forwarding entry for {mac} on {at}")
            }
            Self::WrongVtep {
                at,
                vtep,
                is_own,
                right,
                ..
            } => {
                let whose = if *is_own { "its own" } else { "no node's" };
                write!(f, "{at} sends to VTEP {vtep}, ")?;
                match right {
                    Some(right) if *is_own => write!(f, "its own; the right one is {right}"),
                    Some(right) => write!(f, "the right one is {right}"),
                    None => write!(f, "which is {whose}"),
                }
            }
            Self::VniDiffers { at, vni, here } => {
                write!(f, "no VXLAN interface has VNI {vni} behind {at}")?;
                list(f, here)
            }
            Self::PortDiffers { at, port, here } => {
                write!(f, "VXLAN packets come to UDP port {port}, {at} has {here}")
            }
            Self::PortBlocked { at } => write!(f, "the bridge's port {at} does not forward"),
            Self::NoBridge { at, .. } => {
                write!(f, "{at} is in no bridge, and no route leads to it")
            }
            Self::PortsIsolated { at } => {
                write!(f, "the bridge's port {at} and the one before are isolated")
            }
            Self::HairpinOff { at } => write!(
                f,
                "the frame would go back by {at}, whose hairpin mode is off"
            ),
            Self::DuplicateAddress { address, owners } => {
                write!(f, "{address} is the address of {}", owners.join(" and "))
            }
            Self::NoOwner { address, behind } => {
                write!(f, "nobody has {address}")?;
                match behind {
                    Some(behind) => write!(f, ", which {behind} was translated to"),
                    None => Ok(()),
                }
            }
            Self::AddressMissing {
                at,
                address,
                holder,
            } => {
                write!(f, "no interface of {} has {address}", at.owner())?;
                match holder {
                    Some(holder) => write!(f, ", but {holder} has it"),
                    None => Ok(()),
                }
            }
            Self::EchoIgnored { owner, is_ipv4 } => {
                write!(
                    f,
                    "{owner} answers no echo request: {}=1",
                    echo_sysctl(*is_ipv4)
                )
            }
            Self::AcceptQueueFull {
                owner,
                port,
                waiting,
            } => write!(
                f,
                "the accept queue of {owner} port {port} is full: {waiting} connections wait for \
                 the server to accept them"
            ),
            Self::ServerSilent { owner, port } => {
                write!(
                    f,
                    "the server of {owner} port {port} takes the query, and is silent"
                )
            }
            Self::Refused { by, reason, .. } => write!(f, "{by} refuses it: {reason}"),
            Self::NoListener { owner } => write!(f, "no socket of {owner} takes it"),
            Self::Loop => f.write_str("it goes in a circle"),
            Self::Kernel {
                reason,
                function,
                meaning,
                ..
            } => kernel(f, reason, function.as_deref(), *meaning),
            Self::FirewallRule {
                owner,
                rule,
                rejects,
            } => {
                let does = if *rejects { "rejected" } else { "dropped" };
                write!(f, "{does} by {} of {owner}", rule.place())?;
                match &rule.text {
                    Some(text) => write!(f, ": {text}"),
                    None => Ok(()),
                }
            }
            Self::Unknown { why, candidates } => unknown(f, *why, candidates),
        }
    }
}

/// The setting by which a namespace answers no echo requests.
pub(in crate::rules) fn echo_sysctl(is_ipv4: bool) -> &'static str {
    match is_ipv4 {
        true => "net.ipv4.icmp_echo_ignore_all",
        false => "net.ipv6.icmp.echo_ignore_all",
    }
}

fn refused_by_route(
    f: &mut fmt::Formatter<'_>,
    owner: &Owner,
    subnet: Option<AddressPrefix>,
    kind: RouteKind,
) -> fmt::Result {
    let kind = match kind {
        RouteKind::Blackhole => "blackhole",
        RouteKind::Unreachable => "unreachable",
        _ => "prohibit",
    };
    match subnet {
        Some(subnet) => write!(f, "{owner} has the route {kind} {subnet}"),
        None => write!(f, "a policy rule of {owner} says {kind}"),
    }
}

fn wrong_mac(
    f: &mut fmt::Formatter<'_>,
    at: &Place,
    address: Option<IpAddr>,
    mac: Mac,
) -> fmt::Result {
    match address {
        Some(address) => write!(f, "{at} has {mac} for {address}, which is "),
        None => write!(f, "the frame at {at} is for {mac}, which is "),
    }
}

fn list(f: &mut fmt::Formatter<'_>, numbers: &[u32]) -> fmt::Result {
    for (number, vni) in numbers.iter().enumerate() {
        let before = if number == 0 { ", but " } else { " and " };
        write!(f, "{before}{vni}")?;
    }
    Ok(())
}

fn kernel(
    f: &mut fmt::Formatter<'_>,
    reason: &str,
    function: Option<&str>,
    meaning: Option<&str>,
) -> fmt::Result {
    if let Some(meaning) = meaning {
        write!(f, "{meaning}, ")?;
    }
    f.write_str("dropped by the kernel")?;
    if tells(reason) {
        write!(f, " as {reason}")?;
    }
    if let Some(function) = function {
        write!(f, " in {function}")?;
    }
    match tells(reason) || meaning.is_some() {
        true => Ok(()),
        false => f.write_str(", which names no reason"),
    }
}

fn unknown(f: &mut fmt::Formatter<'_>, why: Option<&str>, candidates: &[Candidate]) -> fmt::Result {
    f.write_str("unknown")?;
    if let Some(why) = why {
        write!(f, ": {why}")?;
    }
    for (number, candidate) in candidates.iter().enumerate() {
        let before = match (number, why) {
            (0, None) => ": not visible to podtrace: ",
            (0, Some(_)) => "; not visible to podtrace: ",
            _ => ", ",
        };
        write!(f, "{before}{candidate}")?;
    }
    Ok(())
}
