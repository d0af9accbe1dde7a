//! The pods of a real container runtime: correct names, kept current while pods come and go
//! and while the runtime is down.
use std::{
    fs,
    net::IpAddr,
    time::{Duration, Instant},
};

use podtrace::{
    identity::{
        cri::{CriError, PodList, Runtime},
        runtime::{FollowConfig, Follower, RuntimeState, follow},
    },
    model::pod::Pod,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::cri_lab::{CriLab, CriLabSpec, CriNode, CriPod, PodSpec};

const ONE_NODE: CriLabSpec = CriLabSpec {
    nodes: 1,
    ipv6: true,
};
const DEADLINE: Duration = Duration::from_secs(10);

fn named(name: &str) -> PodSpec<'_> {
    PodSpec {
        name,
        ..PodSpec::default()
    }
}

/// A follower of a node's runtime without prompts from outside: it learns only from the
/// runtime's events.
struct Watched {
    runtime: tokio::runtime::Runtime,
    follower: Follower,
    _prompt: mpsc::Sender<()>,
}

impl Watched {
    fn new(node: &CriNode) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (prompt, prompts) = mpsc::channel(1);
        let config = FollowConfig {
            socket: Some(node.socket.clone()),
        };
        let follower = runtime.block_on(async {
            let mut follower = follow(config, prompts);
            follower.ready(Duration::from_secs(3)).await.unwrap();
            follower
        });
        Self {
            runtime,
            follower,
            _prompt: prompt,
        }
    }

    /// The moment at which the list first satisfies a condition, and the list.
    fn when(
        &self,
        shows: impl FnMut(&PodList) -> bool + Send + 'static,
    ) -> JoinHandle<(Instant, PodList)> {
        let pods = self.follower.pods.clone();
        self.runtime.spawn(first(pods, shows))
    }

    fn get<T>(&self, moment: JoinHandle<T>) -> T {
        self.runtime.block_on(moment).unwrap()
    }

    fn state(&mut self) -> RuntimeState {
        let states = &mut self.follower.states;
        let next = async { timeout(DEADLINE, states.recv()).await.unwrap().unwrap() };
        self.runtime.block_on(next)
    }
}

async fn first(
    mut pods: watch::Receiver<std::sync::Arc<PodList>>,
    mut shows: impl FnMut(&PodList) -> bool,
) -> (Instant, PodList) {
    let list = timeout(DEADLINE, pods.wait_for(|list| shows(list)));
    let list = list.await.unwrap().unwrap().as_ref().clone();
    (Instant::now(), list)
}

fn find<'a>(list: &'a PodList, name: &str) -> Option<&'a Pod> {
    list.pods.iter().find(|pod| pod.name == name)
}

/// Whether a pod is up, with all of its containers.
fn runs(list: &PodList, name: &str) -> bool {
    find(list, name).is_some_and(|pod| {
        pod.ready && pod.containers.len() == 2 && pod.containers.iter().all(|c| c.running)
    })
}

fn check_pod(known: &Pod, made: &CriPod) {
    assert_eq!(
        known.full_name(),
        format!("{}/{}", made.namespace, made.name)
    );
    assert_eq!(known.uid, made.uid);
    assert_eq!(known.sandbox_id, made.sandbox_id);
    assert_eq!(known.netns_id, made.netns_id);
    assert_eq!(known.netns_inode, made.netns_inode);
    assert_eq!(known.netns_path, made.netns_path);
    assert_eq!(known.addresses, made.addresses);
    assert_eq!(
        known.cgroup_parent.as_deref(),
        Some(made.cgroup_parent.as_str())
    );
    let containers: Vec<_> = known
        .containers
        .iter()
        .map(|container| (&container.name, &container.id))
        .collect();
    assert_eq!(containers, made.containers.iter().collect::<Vec<_>>());
}

#[test]
fn pods_are_listed_as_they_were_made() {
    let lab = CriLab::new(ONE_NODE).unwrap();
    let node = &lab.nodes[0];
    let my_pod = PodSpec {
        labels: &[("app", "web")],
        ..PodSpec::default()
    };
    let my_pod = node.run_pod(&my_pod).unwrap();
    let other = node.run_pod(&named("mypod1")).unwrap();
    let on_node = PodSpec {
        host_network: true,
        ..named("on-node")
    };
    let on_node = node.run_pod(&on_node).unwrap();
    let watched = Watched::new(node);
    let (_, list) = watched.get(watched.when(|list| !list.pods.is_empty()));
    assert_eq!((list.pods.len(), list.unreadable), (3, 0), "{list:#?}");
    for made in [&my_pod, &other, &on_node] {
        check_pod(find(&list, &made.name).unwrap(), made);
    }
    let pod = find(&list, "my-pod").unwrap();
    assert_eq!(pod.labels["app"], "web");
    assert!(pod.ready && !pod.host_network && pod.netns_id.is_some());
    assert!(pod.addresses.iter().any(IpAddr::is_ipv6));
    assert!(pod.created_ns > 1_700_000_000_000_000_000);
    assert!(pod.containers[0].image.contains("podtrace"), "{pod:?}");
    let pod = find(&list, "on-node").unwrap();
    assert!(pod.host_network && pod.addresses.is_empty() && pod.netns_id.is_none());
}

#[test]
fn the_runtime_is_known_by_its_process_and_node() {
    let lab = CriLab::new(ONE_NODE).unwrap();
    let node = &lab.nodes[0];
    let executor = tokio::runtime::Runtime::new().unwrap();
    let runtime = executor.block_on(Runtime::connect(&node.socket)).unwrap();
    let about = runtime.about();
    assert_eq!(about.name, "containerd");
    assert_eq!(about.peer_pid, Some(node.containerd_pid().unwrap()));
    assert_eq!(about.netns_inode, Some(node.netns.inode));
    node.kill_containerd().unwrap();
    let error = executor
        .block_on(Runtime::connect(&node.socket))
        .unwrap_err();
    assert!(
        matches!(error, CriError::Refused { .. } | CriError::NoSocket { .. }),
        "{error}"
    );
}

#[test]
fn pods_come_and_go_by_the_runtimes_events() {
    let lab = CriLab::new(ONE_NODE).unwrap();
    let node = &lab.nodes[0];
    let watched = Watched::new(node);
    for name in ["a", "b", "c", "d", "e"] {
        let requested = Instant::now();
        let named_at =
            watched.when(move |list| find(list, name).is_some_and(|pod| pod.netns_id.is_some()));
        let running_at = watched.when(move |list| runs(list, name));
        let pod = node.run_pod(&named(name)).unwrap();
        let started = Instant::now();
        let (named_at, _) = watched.get(named_at);
        let (running_at, list) = watched.get(running_at);
        eprintln!(
            "{name}: named {:?} after the order, {:?} before it is up; \
             listed as running {:?} after StartContainer",
            named_at - requested,
            started.saturating_duration_since(named_at),
            running_at.saturating_duration_since(started),
        );
        check_pod(find(&list, name).unwrap(), &pod);
        assert!(running_at.saturating_duration_since(started) < Duration::from_secs(1));
        let stopped_at = watched.when(move |list| {
            find(list, name).is_some_and(|pod| !pod.ready && pod.addresses.is_empty())
        });
        pod.stop().unwrap();
        let (_, list) = watched.get(stopped_at);
        // The id, which is never reused, stays known for a pod that is down.
        assert_eq!(find(&list, name).unwrap().netns_id, pod.netns_id);
        assert!(!holds(pod.netns_inode.unwrap()));
        let removed_at = watched.when(move |list| find(list, name).is_none());
        pod.stop_and_remove().unwrap();
        watched.get(removed_at);
    }
}

/// Whether this process holds a network namespace open.
fn holds(inode: u64) -> bool {
    let target = format!("net:[{inode}]");
    let mut links = fs::read_dir("/proc/self/fd").unwrap();
    links.any(|fd| fs::read_link(fd.unwrap().path()).is_ok_and(|link| link.as_os_str() == &*target))
}

#[test]
fn a_restarted_runtime_is_followed_again() {
    let lab = CriLab::new(ONE_NODE).unwrap();
    let node = &lab.nodes[0];
    let mut watched = Watched::new(node);
    let pod = node.run_pod(&PodSpec::default()).unwrap();
    watched.get(watched.when(|list| runs(list, "my-pod")));
    assert!(matches!(watched.state(), RuntimeState::Connected(_)));

    let killed = Instant::now();
    node.kill_containerd().unwrap();
    let RuntimeState::Lost { reason } = watched.state() else {
        panic!("not lost");
    };
    eprintln!("lost after {:?}: {reason}", killed.elapsed());
    // The last list stays.
    check_pod(
        find(&watched.follower.pods.borrow(), "my-pod").unwrap(),
        &pod,
    );

    node.start_containerd().unwrap();
    let started = Instant::now();
    let RuntimeState::Connected(about) = watched.state() else {
        panic!("not connected");
    };
    eprintln!("{about}, {:?} after it answers others", started.elapsed());
    let after = node.run_pod(&named("after")).unwrap();
    let (_, list) = watched.get(watched.when(|list| runs(list, "after")));
    check_pod(find(&list, "after").unwrap(), &after);
    check_pod(find(&list, "my-pod").unwrap(), &pod);
    assert!(watched.follower.states.try_recv().is_err());
}
