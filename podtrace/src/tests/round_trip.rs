//! A replay shows what the live session showed.
use podtrace_ebpf::record::{CGROUP_NONE, CGROUP_ROOT, Direction};
use proptest::{collection::vec, prelude::*};

use super::{
    sample::*,
    services::{behind_dns, dns},
    tracked::flows,
};
use crate::{
    identity::kubernetes::{ClusterUpdate, Resource},
    model::tap_point::Role,
    output::render::Render,
    update::Update,
};

/// Does what a number stands for.
fn act(tape: &mut Tape, action: u8, number: u16) {
    let (plain, word) = ((None, 0), u64::from(number));
    match action % 19 {
        0..=3 => tape.ping(number % 4, usize::from(number % 6)),
        4 => {
            let frame = frame(pod_address(1, 0), pod_address(2, 0), number, mac(1));
            let outer = tunnelled(&frame, uplink_address(1), uplink_address(2));
            tape.event(POD1, Direction::Egress, &frame, 11, plain);
            tape.event(UPLINK, Direction::Egress, &outer, CGROUP_NONE, plain);
        }
        5 => {
            let frame = frame(pod_address(1, 1), pod_address(1, 0), number, mac(2));
            let extras = (Some(number), number % 4);
            tape.event(VETH2, Direction::Ingress, &frame, word, extras);
            tape.event(BRIDGE, Direction::Ingress, &frame, CGROUP_ROOT, extras);
        }
        6 => {
            let frame = vec![action; usize::from(number % 90)];
            tape.event(VETH1, Direction::Egress, &frame, CGROUP_NONE, plain);
        }
        7 => tape.tick(1_000_000 * (1 + word % 700)),
        8 => {
            let point = u32::from(number) % 6;
            tape.count(point, Direction::Ingress, |counters| {
                counters.seen += 3;
                counters.lost += 1;
                counters.filtered += 2;
            });
        }
        9 => tape.take_snapshot(),
        10 => tape.pods(word % 3),
        11 => tape.cgroups(number.is_multiple_of(2)),
        12 => {
            let count = word % 8;
            tape.update(&Update::Changes { count });
        }
        13 => {
            if tape.tap_points.len() < 12 {
                tape.add_place("eth1", 4 + word % 3, None, Role::Pod);
            } else {
                tape.rename(u32::from(number) % 12);
            }
        }
        14 => tape.update(&Update::Removed {
            number: u32::from(number) % 8,
        }),
        15 => tape.update(&Update::Notice {
            text: format!("notice {number}"),
        }),
        16 => tape.cluster(match number % 7 {
            0 => ClusterUpdate::Restart(Resource::Pods),
            1 => ClusterUpdate::Synced(Resource::Pods),
            2 => ClusterUpdate::PodDeleted {
                uid: "uid-elsewhere".into(),
            },
            3 => ClusterUpdate::Service(dns()),
            4 => ClusterUpdate::ServiceDeleted { uid: dns().uid },
            5 if number.is_multiple_of(2) => ClusterUpdate::Endpoints(behind_dns()),
            5 => ClusterUpdate::EndpointsDeleted {
                uid: behind_dns().uid,
            },
            _ => ClusterUpdate::Pod(cluster_pod("elsewhere", "10.244.2.2")),
        }),
        17 => tape.update(&Update::Translations {
            node: 0,
            netns: 1,
            changes: flows(number),
            ts_ns: tape.now_ns,
        }),
        _ => tape.update(&Update::Runtime {
            runtime: 0,
            node: number.is_multiple_of(2).then_some(0),
        }),
    }
}

fn record(actions: &[(u8, u16)], how: How, output: Box<dyn Render>) -> Recorded {
    let mut tape = Tape::new(1, how, output);
    for (action, number) in actions {
        act(&mut tape, *action, *number);
    }
    tape.finish()
}

fn check(actions: &[(u8, u16)], how: How) {
    for (live, again) in outputs(EPOCH_NS).into_iter().zip(outputs(0)) {
        let recorded = record(actions, how, live);
        for (tap, count) in &recorded.taps {
            assert!(count.is_conserved(), "{tap:?} {count:?}");
        }
        let replayed = replay(&recorded.files, &["worker1"], again);
        assert_eq!(replayed.damage, []);
        assert!(!replayed.was_broken_off);
        assert_eq!(replayed.taps, recorded.taps);
        if replayed.text != recorded.text {
            let lines = replayed.text.lines().zip(recorded.text.lines());
            let (other, line) = lines.clone().find(|(one, other)| one != other).unwrap();
            panic!("live:     {line}\nreplayed: {other}");
        }
        if how.rotate_bytes.is_some() {
            each_alone(&recorded);
        }
    }
}

/// Each file of a chain reads alone.
fn each_alone(recorded: &Recorded) {
    let mut emitted = 0;
    for file in &recorded.files {
        let alone = replay(std::slice::from_ref(file), &["worker1"], text());
        assert_eq!(alone.damage, []);
        for (tap, count) in &alone.taps {
            assert!(count.is_conserved(), "{tap:?} {count:?}");
            emitted += count.emitted;
        }
        assert!(!alone.text.contains("netns-id:2"), "{}", alone.text);
    }
    let all = recorded.taps.values().map(|count| count.emitted);
    assert_eq!(emitted, all.sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn replay_shows_what_the_live_session_showed(
        actions in vec((any::<u8>(), any::<u16>()), 0..60),
        zstd in any::<bool>(),
    ) {
        check(&actions, How { zstd, ..How::default() });
    }

    #[test]
    fn rotated_files_replay_as_the_live_session(
        actions in vec((any::<u8>(), any::<u16>()), 0..60),
        size in 3_000_u64..20_000,
        zstd in any::<bool>(),
    ) {
        check(&actions, How { rotate_bytes: Some(size), zstd, ..How::default() });
    }
}

#[test]
fn many_packets_of_many_files_are_the_same() {
    let actions: Vec<_> = (0..900_u16)
        .map(|number| (number.to_le_bytes()[0], number))
        .collect();
    check(
        &actions,
        How {
            rotate_bytes: Some(30_000),
            ..How::default()
        },
    );
}
