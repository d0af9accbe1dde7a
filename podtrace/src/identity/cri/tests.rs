//! Failures of a runtime, and the requests to one that answers.
use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
};

use k8s_cri::v1::{
    PodSandbox, PodSandboxMetadata, PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus,
};
use tempfile::TempDir;

use super::{
    fake::{Fake, Script},
    *,
};

fn socket_in_tempdir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("cri.sock");
    (dir, socket)
}

async fn failure(socket: &Path) -> CriError {
    Runtime::connect(socket).await.unwrap_err()
}

/// Answers each connection with these bytes and leaves it open.
fn answering(socket: &Path, bytes: &'static [u8]) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let mut open: Vec<UnixStream> = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The other side may have closed.
            let _ = stream.write_all(bytes);
            open.push(stream);
        }
    });
}

fn ready_pod(id: &str) -> PodSandbox {
    PodSandbox {
        id: id.to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: format!("pod-{id}"),
            namespace: "default".to_owned(),
            ..PodSandboxMetadata::default()
        }),
        ..PodSandbox::default()
    }
}

fn status(ip: &str, info: &str) -> PodSandboxStatusResponse {
    PodSandboxStatusResponse {
        status: Some(PodSandboxStatus {
            network: Some(PodSandboxNetworkStatus {
                ip: ip.to_owned(),
                ..PodSandboxNetworkStatus::default()
            }),
            ..PodSandboxStatus::default()
        }),
        info: HashMap::from([("info".to_owned(), info.to_owned())]),
        ..PodSandboxStatusResponse::default()
    }
}

#[tokio::test]
async fn missing_socket_and_other_file_are_distinguished() {
    let (dir, socket) = socket_in_tempdir();
    assert!(matches!(failure(&socket).await, CriError::NoSocket { .. }));
    fs::write(&socket, "").unwrap();
    assert!(matches!(
        failure(&socket).await,
        CriError::NotASocket { .. }
    ));
    assert!(matches!(
        failure(dir.path()).await,
        CriError::NotASocket { .. }
    ));
}

#[tokio::test]
async fn a_stale_socket_says_that_the_runtime_is_not_running() {
    let (_dir, socket) = socket_in_tempdir();
    drop(UnixListener::bind(&socket).unwrap());
    let error = failure(&socket).await;
    assert!(matches!(error, CriError::Refused { .. }));
    assert!(error.to_string().contains("not running"));
}

#[tokio::test]
async fn no_permission_says_to_run_as_root() {
    let (_dir, socket) = socket_in_tempdir();
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
    // Root is permitted everything.
    let error = if nix::unistd::geteuid().is_root() {
        CriError::from_io(&socket, io::ErrorKind::PermissionDenied.into())
    } else {
        failure(&socket).await
    };
    assert!(error.to_string().ends_with("run as root"));
}

#[tokio::test]
async fn hanging_runtime_times_out() {
    let (_dir, socket) = socket_in_tempdir();
    answering(&socket, b"");
    let started = Instant::now();
    assert!(matches!(failure(&socket).await, CriError::Silent { .. }));
    assert!(started.elapsed() < CONNECT_TIMEOUT + Duration::from_secs(1));
}

#[tokio::test]
async fn full_accept_queue_counts_as_hanging() {
    let (_dir, socket) = socket_in_tempdir();
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&socket2::SockAddr::unix(&socket).unwrap())
        .unwrap();
    listener.listen(0).unwrap();
    let _first = UnixStream::connect(&socket).unwrap();
    assert!(matches!(failure(&socket).await, CriError::Busy { .. }));
}

#[tokio::test]
async fn rubbish_is_no_runtime() {
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".as_slice(),
        &[0xff; 64],
        &[0; 64],
    ] {
        let (_dir, socket) = socket_in_tempdir();
        answering(&socket, bytes);
        let error = failure(&socket).await;
        assert!(matches!(error, CriError::NotCri { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_the_service_says_how_to_enable_it() {
    let (_dir, socket) = socket_in_tempdir();
    let _fake = Fake::listen_without_cri(&socket);
    let error = failure(&socket).await;
    assert!(matches!(error, CriError::NoCri { .. }), "{error}");
    assert!(error.to_string().contains("disabled_plugins"));
}

#[tokio::test]
async fn a_runtime_tells_about_itself() {
    let (_dir, socket) = socket_in_tempdir();
    let _fake = Fake::listen(&socket, Script::default());
    let runtime = Runtime::connect(&socket).await.unwrap();
    let about = runtime.about();
    assert_eq!(about.name, "fake\u{fffd}[31m");
    assert_eq!(about.peer_pid, Some(std::process::id()));
    assert_eq!(about.netns_inode, netns_inode(std::process::id()));
    assert!(about.to_string().starts_with("fake\u{fffd}[31m 1 at /"));
}

#[tokio::test]
async fn the_first_that_answers_is_taken() {
    let (dir, socket) = socket_in_tempdir();
    let (stale, hanging) = (dir.path().join("a"), dir.path().join("b"));
    drop(UnixListener::bind(&stale).unwrap());
    let _fake = Fake::listen(&socket, Script::default());
    answering(&hanging, b"");
    let all = [stale.as_path(), &socket, &hanging];
    let started = Instant::now();
    let runtime = Runtime::find_among(all.into_iter()).await.unwrap();
    assert_eq!(runtime.about().socket, socket);
    assert!(started.elapsed() < CONNECT_TIMEOUT);
    let error = Runtime::find_among([stale.as_path()].into_iter()).await;
    assert!(matches!(error, Err(CriError::Refused { .. })));
    let none = [dir.path().join("c")];
    let error = Runtime::find_among(none.iter().map(PathBuf::as_path)).await;
    assert!(matches!(error, Err(CriError::NoRuntime { .. })));
}

/// The first list of a runtime with this script.
async fn listed(script: Script) -> Result<PodList, CriError> {
    let (_dir, socket) = socket_in_tempdir();
    let _fake = Fake::listen(&socket, script);
    Runtime::connect(&socket).await?.list().await
}

#[tokio::test]
async fn garbage_in_a_status_leaves_fields_empty() {
    let script = Script {
        sandboxes: vec![ready_pod("1")],
        status: Some(status("not an address", "{\"runtimeSpec\":")),
        ..Script::default()
    };
    let list = listed(script).await.unwrap();
    assert_eq!(list.pods[0].full_name(), "default/pod-1");
    assert!(list.pods[0].ready && list.pods[0].addresses.is_empty());
    assert_eq!(list.pods[0].netns_path, None);
    assert_eq!(list.unreadable, 2);
}

#[tokio::test]
async fn details_are_asked_for_once_and_again_on_a_change() {
    let (_dir, socket) = socket_in_tempdir();
    let netns = format!("/proc/{}/task/{0}/ns/net", std::process::id());
    let info = format!(
        r#"{{"runtimeSpec":{{"linux":{{"namespaces":[{{"type":"network","path":"{netns}"}}]}}}}}}"#
    );
    let script = Script {
        sandboxes: vec![ready_pod("1")],
        status: Some(status("10.0.0.1", &info)),
        ..Script::default()
    };
    let fake = Fake::listen(&socket, script);
    let mut runtime = Runtime::connect(&socket).await.unwrap();
    // The pod is to have another namespace than the runtime.
    runtime.about.netns_inode = None;
    for _ in 0..3 {
        let list = runtime.list().await.unwrap();
        assert_eq!(list.pods[0].addresses.len(), 1);
        assert_eq!(list.pods[0].netns_inode, netns_inode(std::process::id()));
    }
    assert_eq!(fake.script().statuses, 1);
    assert!(!runtime.is_in_transition());
    fake.script().sandboxes[0].state = PodSandboxState::SandboxNotready as i32;
    for _ in 0..3 {
        let list = runtime.list().await.unwrap();
        assert!(!list.pods[0].ready && list.pods[0].addresses.is_empty());
    }
    assert_eq!(fake.script().statuses, 2);
}

#[tokio::test]
async fn a_sandbox_that_vanishes_between_calls_is_left_out() {
    let script = Script {
        sandboxes: vec![ready_pod("1")],
        ..Script::default()
    };
    assert_eq!(listed(script).await.unwrap(), PodList::default());
}

#[tokio::test]
async fn a_list_beyond_all_bounds_is_refused() {
    let mut sandbox = ready_pod("1");
    let label = "x".repeat(MAX_MESSAGE);
    sandbox.labels.insert("a".to_owned(), label);
    let script = Script {
        sandboxes: vec![sandbox],
        ..Script::default()
    };
    let error = listed(script).await;
    assert!(matches!(error, Err(CriError::Call { .. })), "{error:?}");
}

#[tokio::test]
async fn a_list_that_hangs_and_one_that_breaks() {
    let (_dir, socket) = socket_in_tempdir();
    let fake = Fake::listen(&socket, Script::default());
    let mut runtime = Runtime::connect(&socket).await.unwrap();
    fake.script().refusal = Some(Status::unavailable("server is not initialized yet"));
    let error = runtime.list().await.unwrap_err();
    assert!(matches!(error, CriError::Starting { .. }), "{error}");
    fake.script().hangs = true;
    let error = runtime.list().await.unwrap_err();
    assert!(matches!(error, CriError::Silent { .. }), "{error}");
    drop(fake);
    let error = runtime.list().await.unwrap_err();
    assert!(matches!(error, CriError::Closed { .. }), "{error}");
}
