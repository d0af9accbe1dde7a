//! A runtime that comes, goes, hangs and stays silent.
use std::{fs, path::Path};

use k8s_cri::v1::{PodSandbox, PodSandboxMetadata};
use tempfile::TempDir;

use super::*;
use crate::identity::cri::fake::{Fake, Script};

const DEADLINE: Duration = Duration::from_secs(10);

fn socket_in_tempdir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    (dir, socket)
}

fn start(socket: &Path) -> (Follower, mpsc::Sender<()>) {
    let (prompt, prompts) = mpsc::channel(1);
    let config = FollowConfig {
        socket: Some(socket.to_owned()),
    };
    (follow(config, prompts), prompt)
}

fn pod(name: &str) -> PodSandbox {
    PodSandbox {
        id: name.to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            ..PodSandboxMetadata::default()
        }),
        // A sandbox that is down needs no further requests.
        state: 1,
        ..PodSandbox::default()
    }
}

fn script(names: &[&str]) -> Script {
    Script {
        sandboxes: names.iter().map(|name| pod(name)).collect(),
        status: Some(k8s_cri::v1::PodSandboxStatusResponse::default()),
        ..Script::default()
    }
}

async fn state(follower: &mut Follower) -> RuntimeState {
    timeout(DEADLINE, follower.states.recv())
        .await
        .unwrap()
        .unwrap()
}

async fn shown(follower: &mut Follower, names: &[&str]) {
    let is_there = |list: &Arc<PodList>| list.pods.iter().map(|pod| &pod.name).eq(names);
    timeout(DEADLINE, follower.pods.wait_for(is_there))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn the_first_list_is_ready_and_a_prompt_makes_the_next() {
    let (_dir, socket) = socket_in_tempdir();
    let fake = Fake::listen(&socket, script(&["a"]));
    let (mut follower, prompt) = start(&socket);
    follower.ready(DEADLINE).await.unwrap();
    shown(&mut follower, &["a"]).await;
    assert!(matches!(
        state(&mut follower).await,
        RuntimeState::Connected(_)
    ));
    fake.script().sandboxes.push(pod("b"));
    let started = Instant::now();
    prompt.send(()).await.unwrap();
    shown(&mut follower, &["a", "b"]).await;
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_restart_is_said_once_and_ends_with_a_fresh_list() {
    let (_dir, socket) = socket_in_tempdir();
    let fake = Fake::listen(&socket, script(&["a"]));
    let (mut follower, prompt) = start(&socket);
    follower.ready(DEADLINE).await.unwrap();
    state(&mut follower).await;
    drop(fake);
    prompt.send(()).await.unwrap();
    let RuntimeState::Lost { reason } = state(&mut follower).await else {
        panic!("not lost");
    };
    assert!(reason.contains("closed the connection"), "{reason}");
    shown(&mut follower, &["a"]).await;
    fs::remove_file(&socket).unwrap();
    let _fake = Fake::listen(&socket, script(&["b"]));
    let started = Instant::now();
    // The next state is the return: no second loss.
    assert!(matches!(
        state(&mut follower).await,
        RuntimeState::Connected(_)
    ));
    shown(&mut follower, &["b"]).await;
    // The directory reports it, not the clock.
    assert!(started.elapsed() < RETRY[0]);
}

#[tokio::test]
async fn no_runtime_is_said_and_waited_for() {
    let (_dir, socket) = socket_in_tempdir();
    let (mut follower, _prompt) = start(&socket);
    let error = follower.ready(DEADLINE).await.unwrap_err();
    assert!(matches!(error, CriError::NoSocket { .. }));
    assert!(matches!(
        state(&mut follower).await,
        RuntimeState::Lost { .. }
    ));
    let _fake = Fake::listen(&socket, script(&["a"]));
    shown(&mut follower, &["a"]).await;
}

#[tokio::test]
async fn hanging_runtime_is_lost_and_retried_rarely() {
    let (_dir, socket) = socket_in_tempdir();
    let fake = Fake::listen(&socket, script(&["a"]));
    let (mut follower, prompt) = start(&socket);
    follower.ready(DEADLINE).await.unwrap();
    state(&mut follower).await;
    fake.script().hangs = true;
    let before = fake.script().lists;
    prompt.send(()).await.unwrap();
    assert!(matches!(
        state(&mut follower).await,
        RuntimeState::Lost { .. }
    ));
    assert!(fake.script().lists <= before + 4);
    fake.script().hangs = false;
    assert!(matches!(
        state(&mut follower).await,
        RuntimeState::Connected(_)
    ));
}

#[tokio::test]
async fn a_caller_does_not_wait_longer_than_it_wants() {
    let (_dir, socket) = socket_in_tempdir();
    let mut hanging = script(&[]);
    hanging.hangs = true;
    let _fake = Fake::listen(&socket, hanging);
    let (mut follower, _prompt) = start(&socket);
    let error = follower.ready(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, CriError::NotReady { .. }));
}

#[test]
fn attempts_are_rare_unless_the_socket_has_just_changed() {
    let millis = |waits: &mut Waits, count| -> Vec<_> {
        (0..count).map(|_| waits.next().as_millis()).collect()
    };
    let mut waits = Waits::default();
    assert_eq!(millis(&mut waits, 4), [2000, 4000, 8000, 10_000]);
    waits.socket_changed();
    assert_eq!(millis(&mut waits, 6), [50, 100, 200, 400, 800, 2000]);
}
