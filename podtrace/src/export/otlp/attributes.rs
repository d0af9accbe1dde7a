//! The attributes of spans: those of the semantic conventions where there is one for it.
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use crate::{
    packet::Network,
    path::{Hop, Path},
    projection::{hop::HopObject, packet::PathObject, row::role_name},
    text::sanitize::sanitize,
    world::World,
};

/// Attributes in order.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    /// Adds a text, if there is one, safe for a terminal.
    pub(super) fn text(&mut self, key: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            self.add(key, Value::StringValue(sanitize(&text.to_string())));
        }
    }

    /// Adds a number, if there is one.
    fn number(&mut self, key: &str, number: Option<impl Into<i64>>) {
        if let Some(number) = number {
            self.add(key, Value::IntValue(number.into()));
        }
    }

    /// Adds a flag that is set.
    fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.add(key, Value::BoolValue(true));
        }
    }

    pub(super) fn all(self) -> Vec<KeyValue> {
        self.0
    }
}

/// The attributes of a path, but for how it ended.
pub(super) fn of_path(object: &PathObject<'_>, path: &Path) -> Attributes {
    let headers = &object.headers;
    let mut all = Attributes::default();
    all.number("podtrace.packet", i64::try_from(object.packet).ok());
    all.text("podtrace.what", Some(&*object.what));
    all.number("podtrace.bytes", Some(object.length));
    all.text("source.address", object.source);
    all.number("source.port", headers.source_port);
    all.text("podtrace.source.pod", object.source_pod.as_ref());
    all.text(
        "podtrace.source.container",
        object.source_container.as_ref(),
    );
    all.text("podtrace.source.node", object.source_node.as_ref());
    all.text("destination.address", object.destination);
    all.number("destination.port", headers.destination_port);
    all.text("podtrace.destination.pod", object.destination_pod.as_ref());
    all.text(
        "podtrace.destination.container",
        object.destination_container.as_ref(),
    );
    all.text(
        "podtrace.destination.node",
        object.destination_node.as_ref(),
    );
    if let Network::Ip(ip) = &path.packet.network {
        let is_v4 = ip.source.is_ipv4();
        all.text("network.type", Some(if is_v4 { "ipv4" } else { "ipv6" }));
    }
    if matches!(headers.protocol, "tcp" | "udp") {
        all.text("network.transport", Some(headers.protocol));
    }
    all.number(
        "podtrace.round_trip_ns",
        object.rtt_ns.and_then(|ns| i64::try_from(ns).ok()),
    );
    all.number(
        "podtrace.also_seen_by",
        object
            .also_seen_by
            .and_then(|ports| i64::try_from(ports).ok()),
    );
    all.flag("podtrace.ambiguous", object.ambiguous);
    all.flag("podtrace.incomplete", object.incomplete);
    all
}

/// The attributes of a hop.
pub(super) fn of_hop(hop: &HopObject<'_>) -> Vec<KeyValue> {
    let mut all = Attributes::default();
    all.text("network.interface.name", Some(hop.interface));
    all.text("podtrace.direction", Some(hop.direction));
    all.number("podtrace.bytes", Some(hop.bytes));
    all.number("podtrace.ttl", hop.ttl);
    if let Some(socket) = &hop.socket {
        all.text("k8s.container.name", socket.container.as_ref());
        all.text("process.command", socket.command.as_ref());
        all.number("process.pid", socket.pid);
    }
    if let Some(tunnel) = &hop.tunnel {
        all.text("podtrace.tunnel.kind", Some(tunnel.kind));
        all.number("podtrace.tunnel.vni", tunnel.vni);
        all.text("podtrace.tunnel.source", Some(tunnel.source));
        all.text("podtrace.tunnel.destination", Some(tunnel.destination));
    }
    if let Some(translation) = &hop.translation {
        all.text("podtrace.translation.kind", Some(translation.kind));
        all.text("podtrace.translation.service", translation.service.as_ref());
    }
    all.all()
}

/// The name of a hop's span, of which there are few: the role of its interface, and the direction.
pub(super) fn name(object: &HopObject<'_>, hop: &Hop, world: &World) -> String {
    let point = world.tap_points.get(hop.interface);
    let role = point.map_or("interface", |point| role_name(point.role));
    format!("{role} {}", object.direction)
}
