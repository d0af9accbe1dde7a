//! Addresses that pods take, release, share and reuse.
use super::{
    super::{ClusterNode, ClusterPod, ClusterUpdate, Resource},
    claims::MAX_RELEASED,
    *,
};

const SECOND: u64 = 1_000_000_000;
/// UTC nanoseconds at the monotonic zero.
const EPOCH: i64 = 1_795_550_000_000_000_000;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A running pod with one address that was started at a monotonic second.
fn pod(uid: &str, address: &str, started: i64) -> ClusterPod {
    let started_ns = EPOCH + started * 1_000_000_000;
    ClusterPod {
        uid: uid.into(),
        namespace: "default".into(),
        name: format!("pod-{uid}"),
        node: Some("worker2".into()),
        addresses: vec![address.parse().unwrap()],
        phase_running: true,
        created_ns: started_ns - 1_000_000_000,
        started_ns: Some(started_ns),
        ..ClusterPod::default()
    }
}

/// A cluster that takes updates at whole seconds.
struct Check(Cluster);

impl Check {
    fn new() -> Self {
        Self(Cluster::new(EPOCH.into()))
    }

    fn pod(&mut self, pod: ClusterPod, second: u64) -> &mut Self {
        self.apply(ClusterUpdate::Pod(pod), second)
    }

    fn removed(&mut self, uid: &str, second: u64) -> &mut Self {
        self.apply(ClusterUpdate::PodDeleted { uid: uid.into() }, second)
    }

    fn apply(&mut self, update: ClusterUpdate, second: u64) -> &mut Self {
        self.0.apply(update, second * SECOND);
        self
    }

    /// Checks the owner of 10.244.2.7 at each second.
    #[track_caller]
    fn owner(&self, expected: &[(u64, Option<&str>)]) {
        for (second, uid) in expected {
            let found = self
                .0
                .pod_by_address(address("10.244.2.7"), second * SECOND);
            assert_eq!(found.map(|pod| pod.uid.as_ref()), *uid, "at {second} s");
        }
    }
}

#[test]
fn a_pod_has_its_address_from_its_start_and_is_shown_safely() {
    let mut check = Check::new();
    let mut strange = pod("a", "10.244.2.7", 100);
    strange.name = "a\x1b[31m".into();
    strange.node = Some("w\u{202e}".into());
    check.pod(strange, 105);
    check.owner(&[
        (99, None),
        (100, Some("a")),
        (105, Some("a")),
        (500, Some("a")),
    ]);
    let found = check
        .0
        .pod_by_address(address("10.244.2.7"), 101 * SECOND)
        .unwrap();
    assert_eq!(found.name.as_ref(), "default/a\u{fffd}[31m");
    assert_eq!(found.node.as_deref(), Some("w\u{fffd}"));
    assert_eq!(found.created_ns, EPOCH + 99_000_000_000);
    assert_eq!(
        check.0.pod_by_address(address("10.244.2.8"), 101 * SECOND),
        None
    );
}

#[test]
fn a_pod_from_before_the_boot_or_the_future_is_known() {
    let mut check = Check::new();
    check.pod(pod("a", "10.244.2.7", -100), 5);
    check.owner(&[(0, Some("a")), (5, Some("a"))]);
    check.removed("a", 10).pod(pod("b", "10.244.2.7", 1000), 20);
    check.owner(&[(9, Some("a")), (10, None), (19, None), (20, Some("b"))]);
}

#[test]
fn deleted_pod_is_remembered_for_a_minute() {
    let mut check = Check::new();
    check
        .pod(pod("a", "10.244.2.7", 100), 105)
        .removed("a", 110);
    check.owner(&[(109, Some("a")), (110, None)]);
    assert_eq!(check.0.pods.len(), 0);
    check.apply(ClusterUpdate::Available(Resource::Nodes), 169);
    check.owner(&[(109, Some("a"))]);
    check.apply(ClusterUpdate::Available(Resource::Nodes), 170);
    check.owner(&[(109, None)]);
    assert!(check.0.claims.by_key.is_empty() && check.0.claims.released.is_empty());
}

#[test]
fn a_reused_address_passes_on_and_has_no_owner_in_between() {
    // Released first, then taken.
    let mut check = Check::new();
    check
        .pod(pod("a", "10.244.2.7", 100), 105)
        .removed("a", 110);
    check.pod(pod("b", "10.244.2.7", 112), 115);
    check.owner(&[
        (109, Some("a")),
        (111, None),
        (112, Some("b")),
        (200, Some("b")),
    ]);

    // Taken before the end is reported: the owner of the packets in between is unknown.
    let mut check = Check::new();
    check.pod(pod("a", "10.244.2.7", 100), 105);
    check.pod(pod("b", "10.244.2.7", 108), 110);
    check.owner(&[(107, Some("a")), (108, None), (112, None)]);
    check.removed("a", 115);
    check.owner(&[(107, Some("a")), (114, None), (115, Some("b"))]);
}

#[test]
fn a_pod_that_is_being_deleted_yields_to_one_that_is_not() {
    let dying = || ClusterPod {
        deleted: true,
        ..pod("a", "10.244.2.7", 100)
    };
    let mut check = Check::new();
    check
        .pod(pod("a", "10.244.2.7", 100), 105)
        .pod(dying(), 106);
    check.owner(&[(106, Some("a")), (110, Some("a"))]);
    check.pod(pod("b", "10.244.2.7", 108), 110);
    check.owner(&[(107, Some("a")), (109, None), (110, Some("b"))]);
    // Its last reports do not bring it back.
    check.pod(dying(), 111).removed("a", 112);
    check.owner(&[(111, Some("b")), (113, Some("b"))]);

    // Its deletion is reported only after the other came.
    let mut check = Check::new();
    check.pod(pod("a", "10.244.2.7", 100), 105);
    check
        .pod(pod("b", "10.244.2.7", 108), 110)
        .pod(dying(), 112);
    check.owner(&[(111, None), (112, Some("b"))]);
}

#[test]
fn ended_pods_and_those_on_the_host_network_own_nothing() {
    let mut check = Check::new();
    check.pod(
        ClusterPod {
            host_network: true,
            ..pod("h", "10.244.2.7", 100)
        },
        105,
    );
    check.owner(&[(106, None)]);
    check.pod(pod("a", "10.244.2.7", 100), 107);
    check.owner(&[(107, Some("a"))]);
    check.pod(
        ClusterPod {
            phase_running: false,
            ..pod("a", "10.244.2.7", 100)
        },
        110,
    );
    check.owner(&[(109, Some("a")), (110, None)]);
    assert_eq!(check.0.pods.len(), 0);
}

#[test]
fn a_pod_that_changes_its_address_leaves_the_old_one() {
    let mut check = Check::new();
    check.pod(pod("a", "10.244.2.6", 100), 105);
    check.pod(pod("a", "10.244.2.7", 100), 110);
    check.owner(&[(109, None), (110, Some("a"))]);
    let old = |second| {
        check
            .0
            .pod_by_address(address("10.244.2.6"), second * SECOND)
    };
    assert!(old(109).is_some() && old(110).is_none());
    assert_eq!(check.0.pods.len(), 1);
}

#[test]
fn objects_missing_in_a_list_were_deleted_when_it_began() {
    let restart = || ClusterUpdate::Restart(Resource::Pods);
    let synced = || ClusterUpdate::Synced(Resource::Pods);
    let mut check = Check::new();
    check.apply(restart(), 100);
    check.pod(pod("a", "10.244.2.7", 50), 101);
    check.pod(pod("b", "10.244.2.8", 50), 101);
    check.apply(synced(), 102);

    // A list that breaks off removes nothing; the next one does.
    check
        .apply(restart(), 110)
        .pod(pod("a", "10.244.2.7", 50), 111);
    check
        .apply(restart(), 120)
        .pod(pod("b", "10.244.2.8", 50), 121);
    check.owner(&[(121, Some("a"))]);
    check.apply(synced(), 122);
    check.owner(&[(119, Some("a")), (120, None)]);
    assert_eq!(check.0.pods.len(), 1);
}

#[test]
fn pods_beyond_the_cap_are_counted_and_find_room_later() {
    let mut check = Check::new();
    check.0.max_pods = 1;
    check.pod(pod("a", "10.244.2.6", 100), 105);
    check.pod(pod("b", "10.244.2.7", 100), 105);
    check.owner(&[(105, None)]);
    assert_eq!(check.0.not_kept(), 1);
    check
        .removed("a", 106)
        .pod(pod("b", "10.244.2.7", 100), 107);
    check.owner(&[(107, Some("b"))]);
    assert_eq!((check.0.not_kept(), check.0.pods.len()), (1, 1));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut check = Check::new();
    for n in 0..MAX_RELEASED as u64 + 10 {
        let uid = n.to_string();
        let last = u32::try_from(n).unwrap();
        let address = IpAddr::V4((0x0a00_0000 + last).into());
        check.pod(pod(&uid, &address.to_string(), 100), 105);
        check.removed(&uid, 106);
    }
    assert!(check.0.claims.released.len() <= MAX_RELEASED + 1);
    assert!(check.0.claims.by_key.len() <= MAX_RELEASED + 1);
}

#[test]
fn outages_are_known_while_they_last() {
    let mut check = Check::new();
    let reason = "connection refused".to_owned();
    let resource = Resource::Pods;
    check.apply(ClusterUpdate::Unavailable { resource, reason }, 1);
    assert_eq!(check.0.unavailable(resource), Some("connection refused"));
    assert_eq!(check.0.unavailable(Resource::Nodes), None);
    check.apply(ClusterUpdate::Available(resource), 2);
    assert_eq!(check.0.unavailable(resource), None);
}

#[test]
fn nodes_are_found_by_their_addresses_and_ranges() {
    let node = |name: &str, ip: &str, range: &str| {
        ClusterUpdate::Node(ClusterNode {
            name: name.into(),
            addresses: vec![address(ip)],
            pod_cidrs: vec![range.into(), "fd00:2::/64".into(), "rubbish".into()],
        })
    };
    let mut check = Check::new();
    check.apply(node("w1\n", "192.168.56.11", "10.244.1.0/24"), 1);
    check.apply(node("w2", "192.168.56.12", "10.244.2.0/24"), 1);
    let by_address = |check: &Check, ip: &str| {
        let name = check.0.node_by_address(address(ip));
        name.map(|name| name.to_string())
    };
    let by_range = |check: &Check, ip: &str| {
        let name = check.0.node_by_pod_range(address(ip));
        name.map(|name| name.to_string())
    };
    assert_eq!(
        by_address(&check, "192.168.56.11").as_deref(),
        Some("w1\u{fffd}")
    );
    assert_eq!(by_range(&check, "10.244.2.200").as_deref(), Some("w2"));
    assert_eq!(by_range(&check, "10.244.3.1"), None);
    assert_eq!(by_range(&check, "fd00:2::1"), None, "two nodes");

    // Two nodes with one address; then one of them moves.
    check.apply(node("w2", "192.168.56.11", "10.244.2.0/24"), 2);
    assert_eq!(by_address(&check, "192.168.56.11"), None);
    assert_eq!(by_address(&check, "192.168.56.12"), None);
    check.apply(
        ClusterUpdate::NodeDeleted {
            name: "w1\n".into(),
        },
        3,
    );
    assert_eq!(by_address(&check, "192.168.56.11").as_deref(), Some("w2"));
    assert_eq!(by_range(&check, "fd00:2::1").as_deref(), Some("w2"));

    check.apply(ClusterUpdate::Restart(Resource::Nodes), 4);
    check.apply(node("w3", "192.168.56.13", "10.244.3.0/24"), 5);
    check.apply(ClusterUpdate::Synced(Resource::Nodes), 6);
    assert_eq!(by_address(&check, "192.168.56.11"), None);
    assert_eq!(by_address(&check, "192.168.56.13").as_deref(), Some("w3"));
}

/// Pod `a`, known since 105 s, and an outage from 200 s on.
fn outage() -> Check {
    let mut check = Check::new();
    check.apply(ClusterUpdate::Restart(Resource::Pods), 105);
    check.pod(pod("a", "10.244.2.7", 100), 105);
    check.apply(ClusterUpdate::Synced(Resource::Pods), 105);
    check.apply(unavailable(Resource::Pods), 200);
    check
}

fn unavailable(resource: Resource) -> ClusterUpdate {
    let reason = "no answer".into();
    ClusterUpdate::Unavailable { resource, reason }
}

#[test]
fn a_pod_gives_no_name_in_a_long_outage() {
    let mut check = outage();
    // A repeated report: the same outage.
    check.apply(unavailable(Resource::Pods), 250);
    check.owner(&[(105, Some("a")), (259, Some("a")), (260, None)]);
    check.owner(&[(3800, None)]);

    let mut check = Check::new();
    check.pod(pod("a", "10.244.2.7", 100), 105);
    check.apply(unavailable(Resource::Nodes), 200);
    check.owner(&[(3800, Some("a"))]);
}

#[test]
fn a_watch_that_goes_on_brings_the_names_back() {
    let mut check = outage();
    check.apply(ClusterUpdate::Available(Resource::Pods), 3800);
    check.owner(&[(260, Some("a")), (3700, Some("a")), (9000, Some("a"))]);
    // The next outage counts from its own start.
    check.apply(unavailable(Resource::Pods), 9000);
    check.owner(&[(9059, Some("a")), (9060, None)]);
}

#[test]
fn a_pod_that_was_deleted_in_an_outage_names_nothing_of_it() {
    // The continued watch reports it before the end of the outage.
    let mut check = outage();
    check.removed("a", 3799);
    check.pod(pod("b", "10.244.2.7", 3000), 3799);
    check.apply(ClusterUpdate::Available(Resource::Pods), 3800);
    check.owner(&[(260, None), (2999, None), (3000, Some("b"))]);

    // A list reports it.
    let mut check = outage();
    check.apply(ClusterUpdate::Restart(Resource::Pods), 3798);
    check.pod(pod("b", "10.244.2.7", 3000), 3799);
    check.owner(&[(3799, None)]);
    check.apply(ClusterUpdate::Synced(Resource::Pods), 3800);
    check.owner(&[(260, None), (2999, None), (3000, Some("b"))]);

    // A pod whose end is reported in time had its address until then.
    let mut check = outage();
    check.removed("a", 230);
    check.owner(&[(229, Some("a")), (230, None)]);
}

#[test]
fn a_list_in_an_outage_makes_names_certain_for_a_while() {
    let mut check = outage();
    check.apply(ClusterUpdate::Restart(Resource::Pods), 3800);
    check.pod(pod("a", "10.244.2.7", 100), 3801);
    check.apply(ClusterUpdate::Synced(Resource::Pods), 3802);
    check.owner(&[(3700, Some("a")), (3860, Some("a")), (3861, None)]);
}
