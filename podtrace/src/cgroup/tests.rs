use proptest::prelude::*;

use super::*;

const UID: &str = "3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f";
const UID_: &str = "3f1c2d4e_5a6b_4c7d_8e9f_0a1b2c3d4e5f";
const STATIC: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f01234";
const OTHER: &str = "ffb1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0a3b1c5d7e9f0ffff";

/// `U`, `_`, `S`, `C` and `O` in braces stand for the constants above.
fn fill(template: &str) -> String {
    template
        .replace("{U}", UID)
        .replace("{_}", UID_)
        .replace("{S}", STATIC)
        .replace("{C}", ID)
        .replace("{O}", OTHER)
}

#[track_caller]
fn check(template: &str, pod: Option<&str>, container: Option<&str>, runtime: Option<Runtime>) {
    let expected = CgroupName {
        pod_uid: pod.map(str::to_owned),
        container_id: container.map(str::to_owned),
        runtime,
    };
    assert_eq!(parse_path(&fill(template)), expected, "{template}");
}

#[test]
fn cgroupfs_driver_is_read() {
    for path in [
        "/kubepods/burstable/pod{U}/{C}",
        "/kubepods/besteffort/pod{U}/{C}",
        "/kubepods/pod{U}/{C}",
        "/kubepods/burstable/pod{U}/{C}/init.scope",
        "/kubepods/burstable/pod{U}/{C}/system.slice/nginx.service",
        "/../../kubepods/burstable/pod{U}/{C}",
        "kubepods/pod{U}/{C}/",
    ] {
        check(path, Some(UID), Some(ID), None);
    }
    check("/kubepods/pod{S}/{C}", Some(STATIC), Some(ID), None);
    check("/kubepods/burstable/pod{U}", Some(UID), None, None);
    check(
        "/kubepods/pod{U}/crio-{C}",
        Some(UID),
        Some(ID),
        Some(Runtime::Crio),
    );
    check("/kubepods/pod{U}/crio-conmon-{C}", Some(UID), None, None);
    check(
        "/kubepods/burstable/podtest-1/{C}",
        Some("test-1"),
        Some(ID),
        None,
    );
}

#[test]
fn systemd_driver_is_read() {
    let containerd = Some(Runtime::Containerd);
    for path in [
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{_}.slice/cri-containerd-{C}.scope",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{_}.slice/cri-containerd-{C}.scope",
        "/kubepods.slice/kubepods-pod{_}.slice/cri-containerd-{C}.scope",
        "/kubepods.slice/kubepods-pod{_}.slice/cri-containerd-{C}.scope/init.scope",
        "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{_}.slice/cri-containerd-{C}.scope",
    ] {
        check(path, Some(UID), Some(ID), containerd);
    }
    let burstable = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{_}.slice";
    for (scope, container, runtime) in [
        ("crio-{C}.scope", Some(ID), Some(Runtime::Crio)),
        ("crio-{C}.scope/container", Some(ID), Some(Runtime::Crio)),
        ("docker-{C}.scope", Some(ID), Some(Runtime::Docker)),
        ("crio-conmon-{C}.scope", None, None),
        ("", None, None),
    ] {
        check(
            &format!("{burstable}/{scope}"),
            Some(UID),
            container,
            runtime,
        );
    }
    check(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{S}.slice/crio-{C}.scope",
        Some(STATIC),
        Some(ID),
        Some(Runtime::Crio),
    );
}

#[test]
fn systemd_path_spelled_literally_is_read() {
    let containerd = Some(Runtime::Containerd);
    for path in [
        "/kubepods-burstable-pod{_}.slice:cri-containerd:{C}",
        "/system.slice/containerd.service/kubepods-burstable-pod{_}.slice:cri-containerd:{C}",
        "/kubepods-pod{_}.slice:cri-containerd:{C}/init.scope",
        "/kubelet-kubepods-besteffort-pod{_}.slice:cri-containerd:{C}",
    ] {
        check(path, Some(UID), Some(ID), containerd);
    }
    check(
        "/kubepods-pod{_}.slice:crio:{C}",
        Some(UID),
        Some(ID),
        Some(Runtime::Crio),
    );
}

#[test]
fn nodes_in_containers_give_their_pods() {
    let containerd = Some(Runtime::Containerd);
    for (path, runtime) in [
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{_}.slice/cri-containerd-{C}.scope",
            containerd,
        ),
        (
            "/system.slice/docker-{O}.scope/kubelet/kubepods/burstable/pod{U}/{C}",
            None,
        ),
        ("/docker/{O}/kubelet/kubepods/besteffort/pod{U}/{C}", None),
        (
            "/docker/{O}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{_}.slice/cri-containerd-{C}.scope",
            containerd,
        ),
        ("/kubepods/pod{S}/{O}/kubepods/burstable/pod{U}/{C}", None),
        (
            "/system.slice/docker-{O}.scope/kubelet.slice/kubepods-pod{_}.slice:cri-containerd:{C}",
            containerd,
        ),
    ] {
        check(path, Some(UID), Some(ID), runtime);
    }
    // Between the node's own container and a pod nothing is the pod's.
    check("/docker/{O}/kubepods/pod{U}", Some(UID), None, None);
}

#[test]
fn what_a_container_starts_inside_belongs_to_it() {
    check("/kubepods/pod{U}/{C}/docker/{O}", Some(UID), Some(ID), None);
}

#[test]
fn containers_outside_of_pods_are_read() {
    let docker = Some(Runtime::Docker);
    check("/docker/{C}", None, Some(ID), docker);
    check("/system.slice/docker-{C}.scope", None, Some(ID), docker);
    check("/docker/{O}/docker/{C}", None, Some(ID), docker);
    check("/k8s.io/{C}", None, Some(ID), None);
}

#[test]
fn paths_outside_of_pods_name_no_container() {
    for path in [
        "",
        "/",
        "/..",
        "/init.scope",
        "/user.slice/user-1000.slice/session-1.scope",
        "/system.slice/containerd.service",
        "/kubepods.slice/kubepods-burstable.slice",
        "/system.slice/podman.service",
        "/podman/x",
        "/machine.slice/pod.slice",
        "/system.slice/crio-conmon-{C}.scope",
        "/system.slice/a:b:c",
        "/x-{C}.scope",
        "/{C}0",
    ] {
        assert!(parse_path(&fill(path)).is_empty(), "{path}");
    }
}

#[test]
fn unified_line_counts_before_others() {
    let v1 = "12:pids:/kubepods/burstable/pod{U}/{C}\n5:memory:/kubepods/burstable/pod{U}/{C}\n\
              1:name=systemd:/kubepods/burstable/pod{U}/{C}\n";
    let hybrid = "5:memory:/kubepods/pod{U}/{C}\n0::/system.slice/containerd.service\n";
    let hybrid_both = "5:memory:/docker/{O}\n0::/kubepods/pod{U}/{C}\n";
    let literal = "5:memory:/kubepods-pod{_}.slice:cri-containerd:{C}\n";
    for text in [v1, hybrid, hybrid_both, literal, "0::/kubepods/pod{U}/{C}"] {
        let name = parse_file(&fill(text));
        assert_eq!(name.pod_uid.as_deref(), Some(UID), "{text}");
        assert_eq!(name.container_id.as_deref(), Some(ID), "{text}");
    }
    assert!(parse_file("0::/\nrubbish\n3:cpu\n:\n").is_empty());
}

#[test]
fn directory_of_all_pods_is_found() {
    for (path, expected) in [
        ("/kubepods/burstable/pod{U}/{C}", Some("/kubepods")),
        (
            "/kubepods.slice/kubepods-burstable.slice/x",
            Some("/kubepods.slice"),
        ),
        (
            "/kubelet.slice/kubelet-kubepods.slice/x",
            Some("/kubelet.slice/kubelet-kubepods.slice"),
        ),
        ("/a/kubelet/kubepods/pod{U}", Some("/a/kubelet/kubepods")),
        (
            "/kubepods/pod{S}/{O}/kubepods/x",
            Some("/kubepods/pod{S}/{O}/kubepods"),
        ),
        ("kubepods", Some("kubepods")),
        ("/kubepods-pod{_}.slice:cri-containerd:{C}", None),
        ("/system.slice", None),
        ("", None),
    ] {
        let expected = expected.map(fill);
        assert_eq!(
            kubepods_of(&fill(path)).map(str::to_owned),
            expected,
            "{path}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        let _ = parse_file(&text);
        prop_assert!(kubepods_of(&text).is_none_or(|prefix| text.starts_with(prefix)));
    }

    #[test]
    fn any_path_of_likely_parts_is_read(parts in prop::collection::vec(part(), 0..9)) {
        let path = parts.concat();
        let name = parse_path(&path);
        if let Some(id) = name.container_id {
            prop_assert!(path.contains(&id) && id.len() == ID_LENGTH);
        }
        prop_assert!(name.pod_uid.is_none_or(|uid| !uid.contains(['/', '_', ':'])));
    }
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/".to_owned()),
        Just("kubepods".to_owned()),
        Just("-pod".to_owned()),
        Just(".slice".to_owned()),
        Just(".scope".to_owned()),
        Just(":cri-containerd:".to_owned()),
        Just("/crio-".to_owned()),
        Just(UID.to_owned()),
        Just(UID_.to_owned()),
        Just(ID.to_owned()),
        "[a-f0-9_é-]{0,64}",
    ]
}

#[test]
fn units_and_users_are_read_off_paths() {
    let session = "/user.slice/user-1000.slice/session-3.scope";
    assert_eq!(
        (unit(session), user(session)),
        (Some("session-3.scope"), Some(1000))
    );
    let app = "/user.slice/user-7.slice/user@7.service/app.slice/x\\x2dy.service/part";
    assert_eq!((unit(app), user(app)), (Some("x\\x2dy.service"), Some(7)));
    let service = "/system.slice/ssh.service";
    assert_eq!((unit(service), user(service)), (Some("ssh.service"), None));
    assert_eq!(unit("/machine.slice"), Some("machine.slice"));
    for none in ["/", "", "/a/b", "/user.slice-/user-x.slice/"] {
        assert_eq!(user(none), None, "{none}");
    }
    assert_eq!(unit("/a/b"), None);
}
