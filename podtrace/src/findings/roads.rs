//! Packets that come back another way than they went.
use super::{
    Finding, Kind,
    conversation::Conversation,
    side::{Of, Side},
};
use crate::{
    model::{facts::Device, tap_point::TapPoint},
    world::World,
};

/// A conversation whose packets leave a node by one uplink, and come back by another.
pub(super) fn asymmetric(talk: &Conversation, world: &World) -> Option<Finding> {
    let sides = [Of::Client, Of::Server].map(|of| talk.side(of));
    let ([asked, answered], of_client) = (sides, uplinks(sides[0], world));
    let mut pairs = of_client.flat_map(|one| {
        let others = uplinks(answered, world).filter(move |other| other.node == one.node);
        others.map(move |other| (one, other))
    });
    let (one, other) = pairs.find(|(one, other)| one.ifindex != other.ifindex)?;
    // The ports of a bond or a bridge share what passes.
    let is_alone = |point| device(point, world).is_some_and(|device| device.master.is_none());
    if !is_alone(one) || !is_alone(other) {
        return None;
    }
    let (client, server) = (talk.sender(Of::Client), talk.sender(Of::Server));
    let node = &one.node_name;
    let (way, back) = (&one.name, &other.name);
    let sentence = format!(
        "asymmetric route: on {node}, what {client} sends to {server} passes {way}, and the \
         answers pass {back}"
    );
    Some(Finding {
        evidence: vec![
            format!("{} packets pass {way}", asked.through()),
            format!("{} packets pass {back}", answered.through()),
        ],
        advice: Some(format!(
            "ip route get {}; ip rule; rp_filter of {back}, and firewalls that see one direction, \
             may drop it",
            server.address
        )),
        ..talk.finding(Kind::AsymmetricRoute, Of::Client, sentence)
    })
}

fn uplinks<'a>(side: &Side, world: &'a World) -> impl Iterator<Item = &'a TapPoint> {
    let numbers = side.uplinks.into_iter().flatten();
    numbers.filter_map(|number| world.tap_points.get(number))
}

fn device<'a>(point: &TapPoint, world: &'a World) -> Option<&'a Device> {
    let facts = world.facts.get(&point.node)?;
    let mut spaces = facts.spaces.iter();
    let space = spaces.find(|space| space.netns == point.netns_id)?;
    space.device(point.ifindex)
}
