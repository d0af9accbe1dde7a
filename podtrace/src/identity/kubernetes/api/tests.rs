//! The API client against a server that the test controls.
mod outages;
mod plugins;
mod server;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use self::server::{Authority, DEADLINE, Server, TOKEN, Watch};
use super::{
    ClusterNode, ClusterPod, ClusterService, ClusterServicePort, ClusterUpdate, Resource,
    config::ClusterConfig,
    watch::{Pace, watch_at},
};
use crate::identity::kubernetes::Cluster;

/// A pace with short delays.
const PACE: Pace = Pace {
    deadline: DEADLINE,
    first_delay: Duration::from_millis(50),
    last_delay: Duration::from_millis(200),
    silence: DEADLINE,
    page: 2,
};

/// The updates of a watch, one resource at a time.
struct Updates {
    receiver: mpsc::Receiver<ClusterUpdate>,
    /// Updates of the resource that was not asked for.
    later: Vec<ClusterUpdate>,
}

impl Updates {
    fn follow(config: ClusterConfig, pace: Pace) -> Self {
        let (updates, receiver) = mpsc::channel(4);
        watch_at(config, updates, pace);
        Self {
            receiver,
            later: Vec::new(),
        }
    }

    /// The next update of a resource.
    async fn next(&mut self, resource: Resource) -> ClusterUpdate {
        let mut later = self.later.iter();
        if let Some(at) = later.position(|update| resource_of(update) == resource) {
            return self.later.remove(at);
        }
        loop {
            let update = timeout(DEADLINE, self.receiver.recv()).await;
            let update = update.expect("no update in time").unwrap();
            if resource_of(&update) == resource {
                return update;
            }
            self.later.push(update);
        }
    }

    async fn pods(&mut self, expected: &[ClusterUpdate]) {
        for expected in expected {
            assert_eq!(&self.next(Resource::Pods).await, expected);
        }
    }

    async fn outage(&mut self, resource: Resource) -> String {
        match self.next(resource).await {
            ClusterUpdate::Unavailable { reason, .. } => reason,
            update => panic!("no outage but {update:?}"),
        }
    }
}

fn resource_of(update: &ClusterUpdate) -> Resource {
    match update {
        ClusterUpdate::Restart(resource)
        | ClusterUpdate::Synced(resource)
        | ClusterUpdate::Available(resource)
        | ClusterUpdate::Unavailable { resource, .. } => *resource,
        ClusterUpdate::Pod(_) | ClusterUpdate::PodDeleted { .. } => Resource::Pods,
        ClusterUpdate::Service(_) | ClusterUpdate::ServiceDeleted { .. } => Resource::Services,
        ClusterUpdate::Endpoints(_) | ClusterUpdate::EndpointsDeleted { .. } => {
            Resource::EndpointSlices
        }
        ClusterUpdate::Node(_) | ClusterUpdate::NodeDeleted { .. } => Resource::Nodes,
    }
}

fn restart() -> ClusterUpdate {
    ClusterUpdate::Restart(Resource::Pods)
}

fn synced() -> ClusterUpdate {
    ClusterUpdate::Synced(Resource::Pods)
}

fn available() -> ClusterUpdate {
    ClusterUpdate::Available(Resource::Pods)
}

/// A pod as the server has it, with the last digit of its address.
fn pod(name: &str, version: &str) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "uid": format!("uid-{name}"), "namespace": "default", "name": name,
            "resourceVersion": version, "creationTimestamp": "2026-11-24T20:00:00Z",
        },
        "spec": {"nodeName": "worker2", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": "10.244.2.7", "podIPs": [{"ip": "10.244.2.7"}]},
    })
}

fn present(name: &str) -> ClusterUpdate {
    ClusterUpdate::Pod(ClusterPod {
        uid: format!("uid-{name}"),
        namespace: "default".into(),
        name: name.into(),
        node: Some("worker2".into()),
        addresses: vec!["10.244.2.7".parse().unwrap()],
        phase_running: true,
        created_ns: 1_795_550_400_000_000_000,
        ..ClusterPod::default()
    })
}

fn removed(name: &str) -> ClusterUpdate {
    ClusterUpdate::PodDeleted {
        uid: format!("uid-{name}"),
    }
}

async fn started(pace: Pace) -> (Server, Updates) {
    let authority = Authority::new();
    let server = authority.serve();
    let user = format!("{{token: {TOKEN}}}");
    let config = authority.config(server.address, &user);
    (server, Updates::follow(config, pace))
}

/// A server with one pod, `a`, whose pods are watched from version 10.
async fn watched(pace: Pace) -> (Server, Updates, Watch) {
    let (mut server, mut updates) = started(pace).await;
    let list = server.pods.list().await;
    list.answer("10", "", vec![pod("a", "9")]).await;
    updates.pods(&[restart(), present("a"), synced()]).await;
    let watch = server.pods.watch("10").await.open().await;
    (server, updates, watch)
}

#[tokio::test]
async fn pods_are_listed_in_pages_then_watched() {
    let (mut server, mut updates) = started(PACE).await;
    let list = server.pods.list().await;
    assert_eq!(list.query("limit"), Some("2"));
    assert_eq!(list.query("continue"), None);
    list.answer("10", "more", vec![pod("a", "1"), pod("b", "2")])
        .await;
    let list = server.pods.list().await;
    assert_eq!(list.query("continue"), Some("more"));
    list.answer("10", "", vec![pod("c", "3")]).await;
    updates
        .pods(&[
            restart(),
            present("a"),
            present("b"),
            present("c"),
            synced(),
        ])
        .await;

    let mut watch = server.pods.watch("10").await.open().await;
    watch.event("ADDED", pod("d", "11")).await;
    watch.event("MODIFIED", pod("a", "12")).await;
    watch.event("DELETED", pod("b", "13")).await;
    updates
        .pods(&[present("d"), present("a"), removed("b")])
        .await;

    drop(updates);
    watch.left().await;
}

#[tokio::test]
async fn nodes_are_followed_beside_pods() {
    let (mut server, mut updates) = started(PACE).await;
    let node = |name: &str, version: &str| {
        json!({
            "metadata": {"name": name, "resourceVersion": version},
            "spec": {"podCIDR": "10.244.2.0/24"},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.168.56.12"}]},
        })
    };
    let list = server.nodes.list().await;
    list.answer("7", "", vec![node("worker2", "6")]).await;
    let mut watch = server.nodes.watch("7").await.open().await;
    watch.event("DELETED", node("worker2", "8")).await;
    let worker2 = ClusterNode {
        name: "worker2".into(),
        addresses: vec!["192.168.56.12".parse().unwrap()],
        pod_cidrs: vec!["10.244.2.0/24".into()],
    };
    for expected in [
        ClusterUpdate::Restart(Resource::Nodes),
        ClusterUpdate::Node(worker2),
        ClusterUpdate::Synced(Resource::Nodes),
        ClusterUpdate::NodeDeleted {
            name: "worker2".into(),
        },
    ] {
        assert_eq!(updates.next(Resource::Nodes).await, expected);
    }
}

#[tokio::test]
async fn services_are_followed_where_that_is_permitted() {
    let (mut server, mut updates) = started(PACE).await;
    let message = "services is forbidden: User \"lab\" cannot list resource \"services\"";
    for _ in 0..2 {
        server.services.list().await.refuse(403, message).await;
    }
    let reason = updates.outage(Resource::Services).await;
    assert!(
        reason.contains("pods, nodes, services and endpointslices"),
        "{reason}"
    );
    // Pods are followed without nodes.
    let list = server.pods.list().await;
    list.answer("10", "", vec![pod("a", "9")]).await;
    updates.pods(&[restart(), present("a"), synced()]).await;

    let web = |version: &str| {
        json!({
            "metadata": {"uid": "s1", "namespace": "default", "name": "web",
                "resourceVersion": version},
            "spec": {"clusterIPs": ["10.96.0.10"], "ports": [{"port": 80, "nodePort": 30080}]},
            "status": {"loadBalancer": {}},
        })
    };
    let list = server.services.list().await;
    list.answer("7", "", vec![web("6")]).await;
    let mut watch = server.services.watch("7").await.open().await;
    watch.event("DELETED", web("8")).await;
    let service = ClusterService {
        uid: "s1".into(),
        namespace: "default".into(),
        name: "web".into(),
        addresses: vec!["10.96.0.10".parse().unwrap()],
        ports: vec![ClusterServicePort {
            name: None,
            protocol: 6,
            port: 80,
            node_port: Some(30080),
        }],
        created_ns: 0,
    };
    for expected in [
        ClusterUpdate::Restart(Resource::Services),
        ClusterUpdate::Service(service),
        ClusterUpdate::Synced(Resource::Services),
    ] {
        assert_eq!(updates.next(Resource::Services).await, expected);
    }
    // The outage is over after a time without a failure, whatever comes meanwhile.
    let next = [
        updates.next(Resource::Services).await,
        updates.next(Resource::Services).await,
    ];
    assert!(next.contains(&ClusterUpdate::ServiceDeleted { uid: "s1".into() }));
    assert!(next.contains(&ClusterUpdate::Available(Resource::Services)));
}

#[tokio::test]
async fn endpoints_are_followed_in_their_own_group() {
    let (mut server, mut updates) = started(PACE).await;
    let slice = json!({
        "metadata": {"uid": "e1", "namespace": "default", "name": "web-x7k2p",
            "labels": {"kubernetes.io/service-name": "web"}, "resourceVersion": "6"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.2.7"]}],
        "ports": [{"protocol": "TCP", "port": 8080}],
    });
    server
        .slices
        .list()
        .await
        .answer("7", "", vec![slice.clone()])
        .await;
    let mut watch = server.slices.watch("7").await.open().await;
    watch.event("DELETED", slice).await;
    let mut cluster = Cluster::new(0);
    let mut behind = Vec::new();
    for second in 1..=4 {
        let now_ns = second * 1_000_000_000;
        cluster.apply(updates.next(Resource::EndpointSlices).await, now_ns);
        let at = |port| {
            let found = cluster.service_behind(6, "10.244.2.7".parse().unwrap(), port, now_ns);
            found.map(|found| found.service().to_owned())
        };
        behind.push((at(8080), at(8081)));
    }
    let web = (Some("default/web".to_owned()), None);
    assert_eq!(behind, [(None, None), web.clone(), web, (None, None)]);
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_from_the_last_version() {
    let (mut server, mut updates, mut watch) = watched(PACE).await;
    watch.event("ADDED", pod("b", "11")).await;
    updates.pods(&[present("b")]).await;
    watch.end().await;

    let mut watch = server.pods.watch("11").await.open().await;
    let bookmark =
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "20"}});
    watch.event("BOOKMARK", bookmark).await;
    // Cut in the middle of a line, without a word of TLS.
    let line = json!({"type": "ADDED", "object": pod("c", "21")}).to_string();
    watch.text(&line[..40]).await;
    drop(watch);

    let mut watch = server.pods.watch("20").await.open().await;
    watch.event("ADDED", pod("c", "21")).await;
    // Neither a list nor an outage in between.
    updates.pods(&[present("c")]).await;
}

#[tokio::test]
async fn expired_version_leads_to_a_new_list() {
    // As an event.
    let (mut server, mut updates, mut watch) = watched(PACE).await;
    watch.event("ERROR", server::status(410, "too old")).await;
    let list = server.pods.list().await;
    list.answer("30", "", vec![pod("b", "29")]).await;
    updates.pods(&[restart(), present("b"), synced()]).await;

    // As the answer to a watch.
    let watch = server.pods.watch("30").await;
    watch.refuse(410, "too old").await;
    let list = server.pods.list().await;
    list.answer("40", "page", vec![pod("b", "29")]).await;
    updates.pods(&[restart(), present("b")]).await;

    // As the answer to a further page: the list begins again.
    let list = server.pods.list().await;
    assert_eq!(list.query("continue"), Some("page"));
    list.refuse(410, "too old").await;
    let list = server.pods.list().await;
    assert_eq!(list.query("continue"), None);
    list.answer("50", "", vec![pod("c", "49")]).await;
    updates.pods(&[restart(), present("c"), synced()]).await;
    server.pods.watch("50").await;
}

#[tokio::test]
async fn the_state_follows_the_server() {
    let (mut server, mut updates) = started(PACE).await;
    let mut cluster = Cluster::new(1_795_550_000_000_000_000);
    let list = server.pods.list().await;
    list.answer("10", "", vec![pod("a", "9")]).await;
    let mut watch = server.pods.watch("10").await.open().await;
    watch.event("DELETED", pod("a", "11")).await;
    let mut successor = pod("b", "12");
    successor["metadata"]["creationTimestamp"] = json!("2026-11-24T20:00:10Z");
    watch.event("ADDED", successor).await;
    for second in [401, 402, 403, 405, 412] {
        let update = updates.next(Resource::Pods).await;
        cluster.apply(update, second * 1_000_000_000);
    }
    let owner = |second: u64| {
        let found = cluster.pod_by_address("10.244.2.7".parse().unwrap(), second * 1_000_000_000);
        found.map(|pod| pod.name.to_string())
    };
    assert_eq!(owner(404).as_deref(), Some("default/a"));
    assert_eq!(owner(406), None);
    assert_eq!(owner(411).as_deref(), Some("default/b"));
}
