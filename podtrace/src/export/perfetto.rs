//! Chrome's trace format (JSON), which Perfetto and `chrome://tracing` read: a process for each node
//! and pod, a track for each place, a slice for each hop until the packet's next one, and arrows from
//! hop to hop.
//!
//! Slices of a track must not overlap: packets that are at a place at once are on lanes of it, each a
//! track. Times count from the first hop written, whose time of day is in `otherData`.
use std::{collections::HashMap, io::Write, sync::Arc};

use serde::Serialize;

use super::ExportError;
use crate::{
    field::{IsoTime, TimeNs},
    path::{Path, flood::Copies},
    stats::TapPointName,
    text::sanitize::sanitize,
    world::World,
};

/// Upper bound of the lanes of a place.
const LANES_MAX: usize = 1024;

/// Writes the hops of paths as slices.
pub struct PerfettoTrace<W: Write> {
    writer: W,
    epoch_ns: i128,
    /// When the first hop was, once one is written.
    begin_ns: Option<u64>,
    /// Processes, by node and pod.
    owners: HashMap<(Arc<str>, Option<Arc<str>>), u64>,
    places: HashMap<TapPointName, Place>,
    tracks: u64,
    /// Slices for which there was no lane.
    beyond: u64,
    copies: u64,
}

struct Place {
    owner: u64,
    lanes: Vec<Lane>,
}

struct Lane {
    track: u64,
    /// When its last slice ends.
    end_ns: u64,
}

/// An event of the format. Times are in microseconds.
#[derive(Serialize)]
#[serde(tag = "ph")]
enum Event<'a> {
    /// What something is called.
    #[serde(rename = "M")]
    Name {
        name: &'static str,
        pid: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        tid: Option<u64>,
        args: Named<'a>,
    },
    /// A hop. `bind_id` is the packet's: a slice that flows out is joined to the next that flows in.
    #[serde(rename = "X")]
    Hop {
        name: &'a str,
        cat: &'a str,
        pid: u64,
        tid: u64,
        ts: f64,
        dur: f64,
        bind_id: String,
        flow_in: bool,
        flow_out: bool,
        args: About<'a>,
    },
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct About<'a> {
    packet: u64,
    outcome: &'a str,
    bytes: u32,
}

impl<W: Write> PerfettoTrace<W> {
    /// `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero.
    pub fn new(writer: W, epoch_ns: i128) -> Self {
        Self {
            writer,
            epoch_ns,
            begin_ns: None,
            owners: HashMap::new(),
            places: HashMap::new(),
            tracks: 0,
            beyond: 0,
            copies: 0,
        }
    }

    /// How many hops were left out so far, as copies for others.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// Writes the hops of a path that no earlier one has shown.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&mut self, path: &Path, world: &World) -> Result<(), ExportError> {
        let copies = Copies::of(path, world);
        let hops = path.hops.iter().enumerate();
        let known = path.late_of.map_or(0, |before| before.hops);
        let is_copy = |number: &usize| *number >= known && copies.has(*number);
        self.copies += (0..path.hops.len()).filter(is_copy).count() as u64;
        let hops: Vec<_> = hops.filter(|(number, _)| !copies.has(*number)).collect();
        let mut what = String::new();
        path.packet.describe(&mut what);
        let what = sanitize(&what);
        for (at, (number, hop)) in hops.iter().enumerate() {
            if *number < known || !path.shows(hop) {
                continue;
            }
            let next = hops.get(at + 1);
            let end_ns = next.map_or(hop.ts_ns, |(_, next)| next.ts_ns.max(hop.ts_ns));
            let place = TapPointName::of(hop, world);
            let begin_ns = self.begin(hop.ts_ns)?;
            let Some((pid, tid)) = self.lane(&place, hop.ts_ns, end_ns)? else {
                self.beyond += 1;
                continue;
            };
            self.event(&Event::Hop {
                name: &what,
                cat: path.packet.protocol().as_str(),
                pid,
                tid,
                ts: micros(i128::from(hop.ts_ns) - i128::from(begin_ns)),
                dur: micros(i128::from(end_ns - hop.ts_ns)),
                bind_id: format!("{:#x}", path.id),
                flow_in: at > 0,
                flow_out: next.is_some(),
                args: About {
                    packet: path.id,
                    outcome: path.outcome.name(),
                    bytes: hop.wire_len,
                },
            })?;
        }
        Ok(())
    }

    /// The time that others count from: that of the first hop.
    fn begin(&mut self, ts_ns: u64) -> Result<u64, ExportError> {
        if let Some(begin_ns) = self.begin_ns {
            return Ok(begin_ns);
        }
        self.head(Some(ts_ns))?;
        self.begin_ns = Some(ts_ns);
        Ok(ts_ns)
    }

    /// What stands before the events.
    fn head(&mut self, ts_ns: Option<u64>) -> Result<(), ExportError> {
        let begin = ts_ns.map(|ts_ns| IsoTime(TimeNs::new(self.epoch_ns, ts_ns)));
        let begin = begin.map(|begin| begin.to_string()).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        write!(
            self.writer,
            r#"{{"displayTimeUnit":"ns","otherData":{{"podtrace":"{version}","begin":"{begin}"}},"traceEvents":["#
        )?;
        // Events follow each with a comma before it: this one has none.
        let first = serde_json::json!({"ph": "M", "name": "podtrace", "pid": 0, "args": {}});
        write!(self.writer, "\n{first}")?;
        Ok(())
    }

    /// The process and the track of a place that has room for a slice; none if there is no lane.
    fn lane(
        &mut self,
        place: &TapPointName,
        begin_ns: u64,
        end_ns: u64,
    ) -> Result<Option<(u64, u64)>, ExportError> {
        if !self.places.contains_key(place) {
            let owner = self.owner(place)?;
            let lanes = Vec::new();
            self.places.insert(place.clone(), Place { owner, lanes });
        }
        let Some(found) = self.places.get_mut(place) else {
            return Ok(None);
        };
        let pid = found.owner;
        let mut lanes = found.lanes.iter_mut();
        if let Some(lane) = lanes.find(|lane| lane.end_ns <= begin_ns) {
            lane.end_ns = end_ns;
            return Ok(Some((pid, lane.track)));
        }
        if found.lanes.len() >= LANES_MAX {
            return Ok(None);
        }
        self.tracks += 1;
        let track = self.tracks;
        found.lanes.push(Lane { track, end_ns });
        let mut name = format!("{} {}", place.interface, place.direction.as_str());
        if found.lanes.len() > 1 {
            name += &format!(" ({})", found.lanes.len());
        }
        self.name("thread_name", pid, Some(track), &name)?;
        Ok(Some((pid, track)))
    }

    /// The process of the node or pod that a place is in.
    fn owner(&mut self, place: &TapPointName) -> Result<u64, ExportError> {
        let key = (Arc::clone(&place.node), place.pod.clone());
        if let Some(pid) = self.owners.get(&key) {
            return Ok(*pid);
        }
        let pid = self.owners.len() as u64 + 1;
        self.owners.insert(key, pid);
        let name = match &place.pod {
            Some(pod) => format!("pod {pod} on {}", place.node),
            None => format!("node {}", place.node),
        };
        self.name("process_name", pid, None, &name)?;
        Ok(pid)
    }

    fn name(
        &mut self,
        what: &'static str,
        pid: u64,
        tid: Option<u64>,
        name: &str,
    ) -> Result<(), ExportError> {
        self.event(&Event::Name {
            name: what,
            pid,
            tid,
            args: Named { name },
        })
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), ExportError> {
        let text = serde_json::to_string(event).map_err(std::io::Error::from)?;
        write!(self.writer, ",\n{text}")?;
        Ok(())
    }

    /// How many slices were left out, as too many packets were at a place at once.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Writes the end and returns the writer.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(mut self) -> Result<W, ExportError> {
        if self.begin_ns.is_none() {
            self.head(None)?;
        }
        self.writer.write_all(b"\n]}\n")?;
        Ok(self.writer)
    }
}

/// Nanoseconds in microseconds.
fn micros(ns: i128) -> f64 {
    ns as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{
        path::Hop,
        rules::fixture::healthy,
        verdict::tests::roads::{road, world},
    };

    fn written(paths: &[Path]) -> Value {
        let world = world(healthy());
        let mut trace = PerfettoTrace::new(Vec::new(), 0);
        for path in paths {
            trace.write(path, &world).unwrap();
        }
        assert_eq!(trace.beyond(), 0);
        serde_json::from_slice(&trace.finish().unwrap()).unwrap()
    }

    #[test]
    fn hops_are_slices_of_named_tracks() {
        let trace = written(&[road(4).path()]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&trace).unwrap());
        assert_eq!(written(&[])["traceEvents"].as_array().unwrap().len(), 1);
    }

    proptest! {
        /// No two slices of a track overlap, and none is left out.
        #[test]
        fn slices_of_a_track_do_not_overlap(starts in prop::collection::vec(0..50_000_u64, 1..40)) {
            let paths: Vec<_> = starts
                .iter()
                .map(|start| {
                    let mut path = road(5).path();
                    path.hops = path
                        .hops
                        .iter()
                        .map(|hop| Hop { ts_ns: hop.ts_ns + start, ..hop.clone() })
                        .collect();
                    path
                })
                .collect();
            let trace = written(&paths);
            let events = trace["traceEvents"].as_array().unwrap();
            let slices = events.iter().filter(|event| event["ph"] == "X");
            let mut tracks: HashMap<u64, Vec<(f64, f64)>> = HashMap::new();
            for slice in slices.clone() {
                let number = |name: &str| slice[name].as_f64().unwrap();
                let track = tracks.entry(slice["tid"].as_u64().unwrap()).or_default();
                track.push((number("ts"), number("ts") + number("dur")));
            }
            prop_assert_eq!(slices.count(), 5 * paths.len());
            for track in tracks.values_mut() {
                track.sort_by(|one, other| one.partial_cmp(other).unwrap());
                for pair in track.windows(2) {
                    prop_assert!(pair[0].1 <= pair[1].0 + 1e-6, "{:?}", pair);
                }
            }
        }
    }
}
