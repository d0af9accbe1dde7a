//! The description of the JSON that podtrace writes: its objects, and their JSON Schema.
mod document;

pub use document::{Kind, document};

use crate::{
    diagnosis as found,
    field::{Field, Object},
    model::left_out,
    node::topology,
    projection::{finding, headers, hop, packet, session, verdict},
    rules::candidate::RuleObject,
    stats,
};

/// An object of the JSON output, as its type describes it.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) fields: Vec<&'static Field>,
}

fn of<T: Object>() -> Described {
    Described {
        name: T::NAME,
        doc: T::DOC,
        fields: T::fields(),
    }
}

/// The objects of JSON lines, those that are lines first.
pub(crate) fn lines() -> Vec<Described> {
    vec![
        of::<session::StartObject<'_>>(),
        of::<packet::EventObject<'_>>(),
        of::<packet::PathObject<'_>>(),
        of::<session::LossObject<'_>>(),
        of::<session::NoticeObject<'_>>(),
        of::<finding::FindingObject<'_>>(),
        of::<session::SummaryObject<'_>>(),
        of::<hop::HopObject<'_>>(),
        of::<headers::DnsObject>(),
        of::<headers::HttpObject>(),
        of::<hop::SocketObject>(),
        of::<hop::TunnelObject>(),
        of::<hop::TranslationObject>(),
        of::<packet::RoundTripObject<'_>>(),
        of::<packet::RefusalObject>(),
        of::<packet::DropObject>(),
        of::<verdict::VerdictObject>(),
        of::<verdict::TapObject>(),
        of::<RuleObject>(),
        of::<finding::PartyObject<'_>>(),
        of::<packet::ClockObject>(),
        of::<session::LossTapObject<'_>>(),
        of::<session::CountTapObject<'_>>(),
        of::<session::CountObject>(),
        of::<left_out::Count>(),
        of::<session::NotShownObject>(),
    ]
}

/// The objects of the statistics, the document first.
pub(crate) fn statistics() -> Vec<Described> {
    vec![
        of::<stats::Report>(),
        of::<stats::Count>(),
        of::<stats::Top>(),
        of::<stats::Talker>(),
        of::<stats::Pair>(),
        of::<stats::Segment>(),
        of::<stats::TapPointCount>(),
        of::<stats::TapPointName>(),
        of::<stats::EndObject>(),
        of::<stats::Latency>(),
        of::<stats::Volume>(),
    ]
}

/// The objects of flows, the line first.
pub(crate) fn flows() -> Vec<Described> {
    vec![
        of::<stats::Flow>(),
        of::<stats::FlowEnd>(),
        of::<stats::EndObject>(),
        of::<stats::Volume>(),
        of::<stats::Latency>(),
    ]
}

/// The objects of a diagnosis, the document first.
pub(crate) fn diagnosis() -> Vec<Described> {
    vec![
        of::<found::Report>(),
        of::<found::ReportedEnd>(),
        of::<found::HalfReport>(),
        of::<found::Stop>(),
        of::<found::Rung>(),
        of::<RuleObject>(),
    ]
}

/// The objects of the topology, the document first.
pub(crate) fn topology() -> Vec<Described> {
    vec![
        of::<topology::Topology>(),
        of::<topology::NodeTopology>(),
        of::<topology::Forwarding>(),
        of::<topology::Interface>(),
        of::<topology::Tunnel>(),
        of::<topology::TunnelRoute>(),
        of::<topology::FdbEntry>(),
        of::<topology::Bridge>(),
        of::<topology::Route>(),
        of::<topology::Pod>(),
        of::<topology::PodInterface>(),
        of::<topology::HostEnd>(),
        of::<topology::Container>(),
        of::<topology::Sharing>(),
        of::<topology::Problem>(),
    ]
}
