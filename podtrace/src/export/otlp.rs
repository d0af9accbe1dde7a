//! OTLP traces: a path is a trace with a span of its own, and each hop is a span below it, until
//! the packet's next hop.
//!
//! A span stands under the resource of the pod or node that saw it, with attributes of
//! OpenTelemetry's semantic conventions where there is one, else with those of `podtrace.`.
//! Ids are made of the sessions' names and the packet's number: another export gives the same.
//! A path that corrects an earlier one has its hops since in the trace of that one.
mod attributes;
mod batch;
mod collector;
mod error;
mod receiver;

use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use sha2::{Digest as _, Sha256};

use self::{
    attributes::{of_hop, of_path},
    batch::{Batch, Owner},
};
pub use self::{
    collector::{Collector, Endpoint},
    error::CollectorError,
    receiver::{Lines, Receiver},
};
use super::ExportError;
use crate::{
    field::TimeNs,
    map::Map,
    path::{Hop, Outcome, Path, flood::Copies},
    projection::packet::PathObject,
    text::sanitize::sanitize,
    world::World,
};

/// A batch is handed on once it has so many spans: receivers take 4 MiB at once.
const SPANS_AT_ONCE: usize = 512;
/// Upper bound of the corrected paths whose trace is remembered, for one that is corrected again.
const CORRECTED_MAX: usize = 32_768;

/// Writes paths as traces.
pub struct OtlpTraces {
    receiver: Box<dyn Receiver>,
    /// The names of the sessions that the paths are of.
    sessions: String,
    epoch_ns: i128,
    batch: Batch,
    /// The first path of the trace that a corrected one is in.
    firsts: Map<u64, u64>,
    rejected: u64,
    copies: u64,
}

/// Where a path is.
struct Ids {
    trace: [u8; 16],
    /// Id of the path's own span.
    root: u64,
}

impl OtlpTraces {
    /// `sessions`: the names of the sessions, which ids are made of; `epoch_ns`: UTC nanoseconds at
    /// CLOCK_MONOTONIC zero.
    #[must_use]
    pub fn new(receiver: Box<dyn Receiver>, sessions: String, epoch_ns: i128) -> Self {
        Self {
            receiver,
            sessions,
            epoch_ns,
            batch: Batch::default(),
            firsts: Map::default(),
            rejected: 0,
            copies: 0,
        }
    }

    /// How many hops were left out so far, as copies for others.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// Writes the spans of a path, without the hops that an earlier one has shown.
    ///
    /// # Errors
    /// When a full batch cannot be delivered.
    pub fn write(&mut self, path: &Path, world: &World) -> Result<(), ExportError> {
        let object = PathObject::new(path, world, self.epoch_ns);
        let copies = Copies::of(path, world);
        let known = path.late_of.map_or(0, |before| before.hops);
        let own = path.hops.iter().enumerate();
        let own: Vec<_> = own.filter(|(number, _)| !copies.has(*number)).collect();
        let new = own.iter().find(|(number, _)| *number >= known);
        // One that is refused later has no hop since.
        let (Some((_, first)), Some((_, last))) = (new.or(own.last()), own.last()) else {
            return Ok(());
        };
        let ids = self.ids(path);
        let trace = ids.trace.to_vec();
        let epoch_ns = self.epoch_ns;
        let time = |hop: &Hop| TimeNs::new(epoch_ns, hop.ts_ns).0;
        let root = Span {
            trace_id: trace.clone(),
            span_id: id(ids.root),
            parent_span_id: self.parent(path),
            start_time_unix_nano: time(first),
            end_time_unix_nano: time(last).max(time(first)),
            ..root(&object, path)
        };
        self.batch.add(&Owner::of(first, world), root);
        let shown = object.hops.iter().zip(path.shown_hops());
        for (hop, (number, seen)) in shown {
            if number < known {
                continue;
            }
            if copies.has(number) {
                self.copies += 1;
                continue;
            }
            let next = own.partition_point(|(other, _)| *other <= number);
            let end_ns = own.get(next).map_or(0, |(_, next)| time(next));
            let span = Span {
                trace_id: trace.clone(),
                span_id: id(ids.root.wrapping_add(number as u64 + 1)),
                parent_span_id: id(ids.root),
                name: attributes::name(hop, seen, world),
                kind: SpanKind::Internal.into(),
                start_time_unix_nano: hop.time_ns.0,
                end_time_unix_nano: end_ns.max(hop.time_ns.0),
                attributes: of_hop(hop),
                ..Span::default()
            };
            self.batch.add(&Owner::of(seen, world), span);
        }
        match self.batch.len() >= SPANS_AT_ONCE {
            true => self.deliver(),
            false => Ok(()),
        }
    }

    /// The id of the span of the path that this one corrects, if it corrects one.
    fn parent(&self, path: &Path) -> Vec<u8> {
        path.late_of.map_or_else(Vec::new, |before| {
            id(Ids::of(&self.sessions, before.id).root)
        })
    }

    fn ids(&mut self, path: &Path) -> Ids {
        let own = Ids::of(&self.sessions, path.id);
        let Some(before) = path.late_of else {
            return own;
        };
        let first = self.firsts.get(&before.id).copied().unwrap_or(before.id);
        if self.firsts.len() >= CORRECTED_MAX {
            self.firsts.clear();
        }
        self.firsts.insert(path.id, first);
        Ids {
            trace: Ids::of(&self.sessions, first).trace,
            ..own
        }
    }

    fn deliver(&mut self) -> Result<(), ExportError> {
        if let Some(batch) = self.batch.take() {
            self.rejected += self.receiver.take(batch)?;
        }
        Ok(())
    }

    /// Delivers the rest; returns how many spans the receiver has refused.
    ///
    /// # Errors
    /// When that fails.
    pub fn finish(mut self) -> Result<u64, ExportError> {
        self.deliver()?;
        self.receiver.finish()?;
        Ok(self.rejected)
    }
}

impl Ids {
    fn of(sessions: &str, path: u64) -> Self {
        let digest = Sha256::new()
            .chain_update(path.to_be_bytes())
            .chain_update(sessions)
            .finalize();
        let (mut trace, mut root) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&digest[..16]);
        root.copy_from_slice(&digest[16..24]);
        Self {
            trace,
            root: u64::from_be_bytes(root),
        }
    }
}

/// The id of a span: all zeroes would be none.
fn id(number: u64) -> Vec<u8> {
    number.max(1).to_be_bytes().to_vec()
}

/// The span of a path: what its packet is, how it ended, and why.
fn root(object: &PathObject<'_>, path: &Path) -> Span {
    let mut attributes = of_path(object, path);
    let verdict = object.verdict.as_deref();
    attributes.text("podtrace.outcome", Some(object.outcome));
    attributes.text("podtrace.cause", verdict.map(|verdict| verdict.cause));
    let is_error = path.was_refused() || is_failure(path.outcome);
    if is_error {
        attributes.text("error.type", Some(object.outcome));
    }
    Span {
        name: path.packet.protocol().as_str().to_owned(),
        kind: SpanKind::Internal.into(),
        attributes: attributes.all(),
        status: is_error.then(|| Status {
            message: verdict.map_or_else(String::new, |verdict| sanitize(&verdict.what)),
            code: StatusCode::Error.into(),
        }),
        ..Span::default()
    }
}

/// Whether it is known that the packet did not arrive.
fn is_failure(outcome: Outcome) -> bool {
    match outcome {
        Outcome::NoSocket
        | Outcome::NotSeenFurther
        | Outcome::Refused
        | Outcome::Unanswered
        | Outcome::Loop
        | Outcome::Dropped => true,
        Outcome::Delivered
        | Outcome::LeftForVtep(_)
        | Outcome::LeftNode
        | Outcome::EventsLost
        | Outcome::GivenUp
        | Outcome::InFlight
        | Outcome::Unknown
        | Outcome::NoReceiver => false,
    }
}

#[cfg(test)]
mod tests;
