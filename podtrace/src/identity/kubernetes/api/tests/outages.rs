//! Servers that refuse, hang, send invalid data or do not exist.
use std::time::Instant;

use super::{
    server::{self, Requests},
    *,
};
use crate::identity::kubernetes::watch;

/// Lists one pod, opens a watch, and waits for the end of the outage.
async fn recovers(server: &mut Server, updates: &mut Updates) {
    let list = server.pods.list().await;
    list.answer("60", "", vec![pod("z", "59")]).await;
    updates.pods(&[restart(), present("z"), synced()]).await;
    let _watch = server.pods.watch("60").await.open().await;
    updates.pods(&[available()]).await;
}

#[tokio::test]
async fn permission_that_is_missing_for_nodes_does_not_stop_pods() {
    let (mut server, mut updates) = started(PACE).await;
    let message = "nodes is forbidden: User \"lab\" cannot list resource \"nodes\"";
    for _ in 0..3 {
        let list = server.nodes.list().await;
        list.refuse(403, message).await;
    }
    let reason = updates.outage(Resource::Nodes).await;
    assert_eq!(
        reason,
        format!(
            "not permitted (403): a ClusterRole must allow the verbs list and watch \
             on pods, nodes, services and endpointslices; the server says: {message}"
        )
    );
    let list = server.pods.list().await;
    list.answer("10", "", vec![pod("a", "9")]).await;
    updates.pods(&[restart(), present("a"), synced()]).await;

    // Allowed by now; the outage was reported once.
    let list = server.nodes.list().await;
    list.answer("10", "", Vec::new()).await;
    let _watch = server.nodes.watch("10").await.open().await;
    for expected in [
        ClusterUpdate::Restart(Resource::Nodes),
        ClusterUpdate::Synced(Resource::Nodes),
        ClusterUpdate::Available(Resource::Nodes),
    ] {
        assert_eq!(updates.next(Resource::Nodes).await, expected);
    }
}

#[tokio::test]
async fn an_outage_is_said_again_only_when_somebody_must_act() {
    let (mut server, mut updates) = started(PACE).await;
    for code in [503, 500, 403, 403, 503] {
        let list = server.pods.list().await;
        list.refuse(code, "later").await;
    }
    let reason = updates.outage(Resource::Pods).await;
    assert_eq!(reason, "the server answers 503: later");
    let reason = updates.outage(Resource::Pods).await;
    assert!(reason.starts_with("not permitted (403)"), "{reason}");
    recovers(&mut server, &mut updates).await;
}

#[tokio::test]
async fn a_watch_that_is_refused_keeps_the_list() {
    // Time enough for an event to come before a watch is known to work.
    let pace = Pace {
        first_delay: Duration::from_secs(1),
        last_delay: Duration::from_secs(1),
        ..PACE
    };
    let (mut server, mut updates, watch) = watched(pace).await;
    watch.end().await;
    let watch = server.pods.watch("10").await;
    watch.refuse(403, "no watch").await;
    let reason = updates.outage(Resource::Pods).await;
    assert!(reason.ends_with("the server says: no watch"), "{reason}");
    let mut watch = server.pods.watch("10").await.open().await;
    watch.event("DELETED", pod("a", "11")).await;
    // Missed changes come before the end of the outage.
    updates.pods(&[removed("a"), available()]).await;
}

#[tokio::test]
async fn a_version_the_server_may_never_have_is_listed_anew() {
    let (mut server, mut updates, watch) = watched(PACE).await;
    watch.end().await;
    let watch = server.pods.watch("10").await;
    watch.refuse(504, "Too large resource version").await;
    updates.outage(Resource::Pods).await;
    recovers(&mut server, &mut updates).await;
}

#[tokio::test]
async fn a_line_that_cannot_be_read_leads_to_a_new_list() {
    let (mut server, mut updates, mut watch) = watched(PACE).await;
    watch.text("{\"type\": \"DELETED\", rubbish}\n").await;
    let reason = updates.outage(Resource::Pods).await;
    let expected = format!("{} does not speak the Kubernetes API: ", server.address);
    assert!(reason.starts_with(&expected), "{reason}");
    recovers(&mut server, &mut updates).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_lead_to_a_new_list() {
    let (mut server, mut updates, mut watch) = watched(PACE).await;
    watch.bytes(b"\xff\xfe\n").await;
    let reason = updates.outage(Resource::Pods).await;
    assert!(
        reason.contains("UTF8") || reason.contains("UTF-8"),
        "{reason}"
    );
    recovers(&mut server, &mut updates).await;
}

#[tokio::test]
async fn answers_that_are_no_lists_are_reported() {
    for (body, says) in [
        ("<html>", "does not speak the Kubernetes API"),
        ("{\"items\": 1}", "does not speak the Kubernetes API"),
        (
            "{\"metadata\": {}, \"items\": []}",
            "an object without a version",
        ),
    ] {
        let (mut server, mut updates) = started(PACE).await;
        server.pods.list().await.send(200, body).await;
        let mut update = updates.next(Resource::Pods).await;
        if update == restart() {
            update = updates.next(Resource::Pods).await;
        }
        let ClusterUpdate::Unavailable { reason, .. } = update else {
            panic!("no outage but {update:?}");
        };
        assert!(reason.contains(says), "{reason}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_asked_again() {
    let pace = Pace {
        deadline: Duration::from_secs(3),
        ..PACE
    };
    let (mut server, mut updates) = started(pace).await;
    let list_lock = server.pods.list().await;
    let reason = updates.outage(Resource::Pods).await;
    assert_eq!(
        reason,
        format!("{} does not answer within 3 s", server.address)
    );
    recovers(&mut server, &mut updates).await;
    drop(list_lock);
}

#[tokio::test]
async fn a_watch_that_is_silent_for_too_long_is_reopened() {
    let pace = Pace {
        silence: Duration::from_millis(200),
        ..PACE
    };
    let (mut server, mut updates) = started(pace).await;
    server.pods.list().await.answer("10", "", Vec::new()).await;
    let watch = server.pods.watch("10").await.open().await;
    server.pods.watch("10").await;
    watch.left().await;
    updates.pods(&[restart(), synced()]).await;
}

#[tokio::test]
async fn a_server_that_comes_up_later_is_found() {
    let authority = Authority::new();
    let socket = server::bound();
    let address = socket.local_addr().unwrap();
    let config = authority.config(address, &format!("{{token: {TOKEN}}}"));
    let mut updates = Updates::follow(config, PACE);
    let reason = updates.outage(Resource::Pods).await;
    assert_eq!(
        reason,
        format!("{address} cannot be reached: connection refused")
    );
    let mut server = authority.serve_at(socket);
    recovers(&mut server, &mut updates).await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let server = Authority::new().serve();
    let config = Authority::new().config(server.address, &format!("{{token: {TOKEN}}}"));
    let mut updates = Updates::follow(config, PACE);
    assert_eq!(
        updates.outage(Resource::Pods).await,
        format!(
            "the certificate of {} is not signed by the authority of the kubeconfig: \
             check server and certificate-authority",
            server.address
        )
    );
}

#[tokio::test]
async fn wrong_token_is_reported_but_not_shown() {
    let authority = Authority::new();
    let server = authority.serve();
    let config = authority.config(server.address, "{token: wr0ng}");
    let mut updates = Updates::follow(config, PACE);
    let reason = updates.outage(Resource::Pods).await;
    assert!(
        reason.contains("(401)") && !reason.contains("wr0ng"),
        "{reason}"
    );
}

/// When the next requests came.
async fn times(requests: &mut Requests, count: usize) -> Vec<Instant> {
    let mut times = Vec::new();
    for _ in 0..count {
        let request = requests.next().await;
        times.push(Instant::now());
        if request.query("watch").is_some() {
            request.open().await.end().await;
        } else {
            request.refuse(500, "no").await;
        }
    }
    times
}

#[tokio::test]
async fn a_watch_that_is_closed_at_once_is_reopened_ever_more_rarely() {
    let pace = Pace {
        first_delay: Duration::from_millis(500),
        last_delay: Duration::from_secs(1),
        ..PACE
    };
    let (mut server, _updates) = started(pace).await;
    server.pods.list().await.answer("10", "", Vec::new()).await;
    let times = times(&mut server.pods, 4).await;
    // After delays of 500, 1000 and 1000 ms, each counted from the try before.
    assert!(times[3] - times[0] >= Duration::from_secs(2));
}

#[tokio::test]
async fn nothing_is_asked_twice_within_two_seconds() {
    let authority = Authority::new();
    let mut server = authority.serve();
    let config = authority.config(server.address, &format!("{{token: {TOKEN}}}"));
    let (updates, _receiver) = mpsc::channel(4);
    watch(config, updates);
    let times = times(&mut server.pods, 2).await;
    assert!(times[1] - times[0] >= Duration::from_secs(2));
}
