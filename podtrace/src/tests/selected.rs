//! Selectors of what only a runtime or the API tells: containers, labels and Services, in a
//! recording.
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use podtrace_ebpf::record::{
    CGROUP_NONE,
    Direction::{Egress, Ingress, Socket},
};

use super::{
    sample::*,
    services::{SERVICE, SERVICE_PORT, ask, dns},
};
use crate::{
    identity::kubernetes::{ClusterUpdate, Resource},
    model::event::Event,
    path::Path,
    pipeline::{
        Asked,
        consumer::{Consumer, Events, Tick},
    },
    replay::{
        options::{PlayerOptions, Span},
        player::Player,
    },
    select::{Selector, Term},
    signals::Stop,
    text::glob::Glob,
    world::World,
};

/// The question of a client to a Service, the answer, a packet from the client to the server, and
/// one from the server to another node.
fn recorded() -> Recorded {
    let mut tape = Tape::new(1, How::default(), text());
    let pods = [0, 1].map(|number| {
        let mut pod = tape.pod(number);
        let app = ["client", "server"][number as usize];
        pod.labels.insert("app".into(), app.into());
        pod
    });
    tape.report(pods.into());
    tape.cluster(ClusterUpdate::Restart(Resource::Services));
    tape.cluster(ClusterUpdate::Service(dns()));
    tape.cluster(ClusterUpdate::Synced(Resource::Services));
    tape.tick(1_000_000_000);
    ask(&mut tape, 1, (SERVICE.parse().unwrap(), SERVICE_PORT));
    tape.ping(2, 5);
    tape.tick(30_000_000);
    let beyond = frame(pod_address(1, 1), pod_address(2, 0), 3, mac(1));
    for (interface, direction, cgroup) in [
        (POD2, Egress, 12),
        (VETH2, Ingress, CGROUP_NONE),
        (UPLINK, Egress, CGROUP_NONE),
    ] {
        tape.event(interface, direction, &beyond, cgroup, (None, 0));
    }
    tape.tick(1_000_000_000);
    tape.finish()
}

#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u64>>>);

impl Consumer for Shown {
    fn on_path(&mut self, path: &Path, _: &World) {
        self.0.lock().unwrap().push(path.id);
    }
}

/// The numbers of the packets that are shown.
fn shown(files: &[PathBuf], is_negated: bool, term: Term) -> anyhow::Result<Vec<u64>> {
    let options = PlayerOptions {
        files: files.to_vec(),
        asked: Asked {
            selector: Selector::new([(is_negated, term)]).map(Arc::new),
            ..Asked::default()
        },
        ..PlayerOptions::default()
    };
    let shown = Shown::default();
    let player = Player::new(&options, false, Stop::default())?;
    player.run(|_| Ok(vec![Box::new(shown.clone())]))?;
    let numbers = shown.0.lock().unwrap();
    Ok(numbers.clone())
}

#[test]
fn recording_knows_containers_labels_and_services() {
    let recorded = recorded();
    let container = |name| Term::Container(Glob::new(name));
    let labels = |text: &str| Term::Labels(text.parse().unwrap());
    let service = |name: &str| Term::Service(name.parse().unwrap());
    for (term, expected) in [
        (container("container1-0"), &[1, 2, 3][..]),
        (container("*-1"), &[1, 2, 3, 4]),
        (labels("app=client"), &[1, 2, 3]),
        (labels("app in (server, web)"), &[1, 2, 3, 4]),
        (labels("app!=server"), &[1, 2, 3]),
        (service("dns"), &[1, 2]),
        (service("kube-system/*"), &[1, 2]),
    ] {
        let found = shown(&recorded.files, false, term.clone()).unwrap();
        assert_eq!(found, expected, "{term:?}");
        let others = shown(&recorded.files, true, term.clone()).unwrap();
        let all = 1..=4;
        let expected: Vec<_> = all.filter(|number| !expected.contains(number)).collect();
        assert_eq!(others, expected, "not {term:?}");
    }
    for (term, words) in [
        (container("web"), "container1-0, container1-1"),
        (labels("app=web"), "app=client, app=server"),
        (service("web"), "kube-system/dns"),
    ] {
        let error = shown(&recorded.files, false, term).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The times of events and ticks as a recorder gets them.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(&'static str, u64)>>>);

impl Consumer for Log {
    fn events(&self) -> Events {
        Events::All
    }

    fn ticks_in_order(&self) -> bool {
        true
    }

    fn on_event(&mut self, event: &Event, _: u64, _: &World) {
        self.0.lock().unwrap().push(("event", event.ts_ns));
    }

    fn on_tick(&mut self, tick: &Tick<'_>, _: &World) -> Vec<String> {
        self.0.lock().unwrap().push(("tick", tick.now_ns));
        Vec::new()
    }
}

/// What a recorder gets of a recording's replay.
fn log(recorded: &Recorded, first: Option<Span>, term: Option<Term>) -> Vec<(&'static str, u64)> {
    let options = PlayerOptions {
        files: recorded.files.clone(),
        first,
        asked: Asked {
            selector: term.and_then(|term| Selector::new([(false, term)]).map(Arc::new)),
            ..Asked::default()
        },
        ..PlayerOptions::default()
    };
    let log = Log::default();
    let player = Player::new(&options, false, Stop::default()).unwrap();
    player.run(|_| Ok(vec![Box::new(log.clone())])).unwrap();
    let log = log.0.lock().unwrap();
    log.clone()
}

/// Where packets are asked for, events wait until their paths are known: a recording of them that
/// had the ticks first would end its paths at other times than the trace.
#[test]
fn ticks_wait_behind_the_events_that_wait() {
    let mut tape = Tape::new(1, How::default(), text());
    tape.report([0, 1].map(|number| tape.pod(number)).into());
    // It is waited for until it is called lost.
    let lost = frame(pod_address(1, 1), pod_address(2, 0), 3, mac(1));
    tape.event(POD2, Egress, &lost, 12, (None, 0));
    for number in 1..9 {
        tape.tick(30_000_000);
        tape.ping(number, 5);
    }
    tape.tick(1_000_000_000);
    let recorded = tape.finish();
    let log = |first, term| log(&recorded, first, term);
    let all = log(None, None);
    let client = Term::Container(Glob::new("container*"));
    for (first, term) in [(Some(Span::Packets(9)), None), (None, Some(client))] {
        assert_eq!(log(first, term.clone()), all, "{first:?} {term:?}");
    }
    let first = log(Some(Span::Packets(2)), None);
    assert!(
        first.len() > 2 && first.is_sorted_by_key(|(_, ns)| *ns),
        "{first:?}"
    );
}

/// A packet that was called lost before it went on is exported with all its hops.
#[test]
fn corrected_path_is_recorded_from_its_begin() {
    let mut tape = Tape::new(1, How::default(), text());
    let slow = frame(pod_address(1, 0), pod_address(1, 1), 3, mac(3));
    tape.event(POD1, Egress, &slow, 11, (None, 0));
    tape.event(VETH1, Ingress, &slow, CGROUP_NONE, (None, 0));
    for number in 4..70 {
        tape.tick(30_000_000);
        tape.ping(number, 5);
    }
    tape.event(VETH2, Egress, &slow, CGROUP_NONE, (None, 0));
    tape.event(POD2, Ingress, &slow, CGROUP_NONE, (None, 0));
    tape.event(POD2, Socket, &slow[14..], 12, (None, 0));
    tape.tick(2_000_000_000);
    let recorded = tape.finish();
    for term in [Term::MinLatency(1_000_000_000), Term::Outcome("delivered")] {
        let is_slow = matches!(term, Term::MinLatency(_));
        let log = log(&recorded, None, Some(term));
        let events = log.iter().filter(|(kind, _)| *kind == "event").count();
        assert_eq!(events, if is_slow { 5 } else { 5 + 66 * 5 });
    }
}
