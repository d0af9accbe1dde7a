//! One line for each hop, as it happens.
use super::{
    Text,
    hops::style_of,
    remarks::{message, remarks},
};
use crate::{
    model::{event::Event, frame::Frame},
    output::paint::{BOLD, DIM},
    path::Hop,
    text::write,
    world::World,
};

impl Text {
    /// `20:18:42.324298  #7  worker1 veth0101 ingress  ICMP echo request …  10.244.1.2 -> …`
    pub(super) fn event_line(
        &mut self,
        out: &mut String,
        event: &Event,
        packet: u64,
        world: &World,
    ) {
        let Some(point) = world.tap_points.get(event.interface) else {
            return;
        };
        let painter = self.painter();
        let frame = self.options.bytes.any().then(|| Frame::of(event));
        self.time(out, event.ts_ns);
        painter.on(out, DIM);
        out.push('#');
        write::number(out, packet);
        painter.off(out, DIM);
        out.push_str("  ");
        painter.paint(out, style_of(point), &world.owner_of(point));
        out.push(' ');
        out.push_str(&point.name);
        out.push(' ');
        out.push_str(event.direction.as_str());
        out.push_str("  ");
        if let Some(frame) = &frame {
            self.link_level(out, frame);
        }
        painter.on(out, BOLD);
        self.words(out, &event.packet, None);
        painter.off(out, BOLD);
        if let (Some(source), Some(destination)) =
            (event.packet.source(), event.packet.destination())
        {
            out.push_str("  ");
            write::address(out, source);
            out.push_str(" -> ");
            write::address(out, destination);
        }
        if let Some(payload) = event.payload.as_deref() {
            message(out, payload);
        }
        let hop = Hop::of(event);
        remarks(out, hop.ttl, &hop);
        out.push('\n');
        if let Some(frame) = &frame {
            self.bytes(out, frame);
        }
    }
}
