//! podtrace runs with the capabilities of its docs, and keeps few of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgid, setuid};
use podtrace::lab::traffic::ping;
use tempfile::TempDir;

use super::load::version;
use super::one_node;
use super::tracer::{Tracer, podtrace, trace_nodes};

const NOBODY: u32 = 65_534;

/// The capabilities required by the docs in place of root.
const NEEDED: [Capability; 7] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_NET_BROADCAST,
    Capability::CAP_DAC_READ_SEARCH,
];

/// The same on the running kernel.
fn needed() -> Vec<Capability> {
    let mut needed = NEEDED.to_vec();
    if version() < (5, 11) {
        needed.push(Capability::CAP_SYS_RESOURCE);
    }
    needed
}

/// A copy of podtrace that anybody may run.
fn for_anybody() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("podtrace");
    fs::copy(podtrace().get_program(), &path).unwrap();
    for path in [folder.path(), &path] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Makes nobody run the command, with these capabilities.
fn with_only(command: &mut Command, capabilities: &[Capability]) {
    let kept: CapsHashSet = capabilities.iter().copied().collect();
    let become_nobody = move || {
        prctl::set_keepcaps(true)?;
        setgid(Gid::from_raw(NOBODY))?;
        setuid(Uid::from_raw(NOBODY))?;
        let sets = [
            CapSet::Permitted,
            CapSet::Effective,
            CapSet::Inheritable,
            CapSet::Ambient,
        ];
        for set in sets {
            caps::set(None, set, &kept).map_err(std::io::Error::other)?;
        }
        Ok(())
    };
    // SAFETY: the child has one thread, and glibc lets it allocate.
    unsafe { command.pre_exec(become_nobody) };
}

/// The value of a key in the status of each thread, by its name.
fn of_threads(pid: u32, key: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // A thread that enters a namespace may have ended.
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else {
            continue;
        };
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().trim().to_owned()
        };
        found.entry(of("Name:")).or_default().insert(of(key));
    }
    found
}

fn mask(capabilities: &[Capability]) -> String {
    let bits = capabilities.iter().fold(0, |all, one| all | one.bitmask());
    format!("{bits:016x}")
}

#[test]
fn threads_keep_only_needed_capabilities_and_no_socket_listens() {
    use Capability::{
        CAP_BPF, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_ADMIN,
        CAP_SYS_PTRACE,
    };
    let lab = one_node(2);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcapng");
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let mut tracer = Tracer::start(&lab, &[0], &["-w", file.to_str().unwrap()]);
    // It follows packets once the start is over.
    ping(&from.netns, to.ipv4.into(), 40, 1, 56).unwrap();
    tracer.wait_for(|value| value["type"] == "path");
    let pid = tracer.pid();
    let scan = [CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH];
    let attach = [&scan[..], &[CAP_NET_ADMIN, CAP_BPF]].concat();
    let kept = [
        ("podtrace", mask(&[CAP_NET_ADMIN, CAP_BPF])),
        ("tokio-rt-worker", mask(&scan)),
        ("attacher", mask(&attach)),
        ("firewalls", mask(&[&scan[..], &[CAP_NET_ADMIN]].concat())),
        ("ring-reader", mask(&[CAP_DAC_READ_SEARCH, CAP_BPF])),
        ("symbols", mask(&[])),
        ("session-files", mask(&[CAP_DAC_OVERRIDE])),
        ("output", mask(&[])),
    ];
    let kept: BTreeMap<_, _> = kept.into();
    for set in ["CapEff:", "CapPrm:"] {
        let mut threads = of_threads(pid, set);
        // Threads that briefly enter a namespace have their starters' capabilities.
        let entering = threads.remove("netns").unwrap_or_default();
        assert!(
            entering
                .iter()
                .all(|mask| kept.values().any(|one| one == mask))
        );
        for (thread, masks) in threads {
            let expected = kept.get(thread.as_str());
            let expected = expected.unwrap_or_else(|| panic!("unknown thread {thread}"));
            println!("{thread} {set} {masks:?}");
            assert_eq!(masks, BTreeSet::from([expected.clone()]), "{set} {thread}");
        }
    }
    for (key, expected) in [
        ("CapInh:", mask(&[])),
        ("CapAmb:", mask(&[])),
        ("CapBnd:", mask(&[])),
        ("NoNewPrivs:", "1".into()),
        ("Seccomp:", "2".into()),
    ] {
        for (thread, values) in of_threads(pid, key) {
            assert_eq!(values, BTreeSet::from([expected.clone()]), "{key} {thread}");
        }
    }
    assert_eq!(listening(pid), Vec::<String>::new());
    tracer.finish();
}

/// Listening sockets of a process, by the tables of its namespace.
fn listening(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let own: BTreeSet<String> = fds
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| {
            Some(
                to.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    assert!(!own.is_empty());
    let mut found = Vec::new();
    // The columns of state and inode, and the state of a socket that listens or receives.
    for (table, state, inode, listens) in [
        ("tcp", 3, 9, "0A"),
        ("tcp6", 3, 9, "0A"),
        ("udp", 3, 9, "07"),
        ("udp6", 3, 9, "07"),
        ("unix", 3, 6, "00010000"),
    ] {
        let rows = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for row in rows.lines().skip(1) {
            let fields: Vec<_> = row.split_whitespace().collect();
            if own.contains(fields[inode]) && fields[state] == listens {
                found.push(row.to_owned());
            }
        }
    }
    found
}

#[test]
fn capabilities_of_the_docs_stand_for_root() {
    let (lab, folder) = (one_node(2), for_anybody());
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let mut command = Command::new(folder.path().join("podtrace"));
    command.arg("trace");
    let table = trace_nodes(&mut command, &lab, &[0]);
    fs::set_permissions(table.path(), fs::Permissions::from_mode(0o644)).unwrap();
    with_only(&mut command, &needed());
    let mut tracer = Tracer::spawn(command);
    // Packets are shown before all interfaces have taps.
    let mut is_followed = || {
        ping(&from.netns, to.ipv4.into(), 41, 1, 56).unwrap();
        let path = tracer.wait_for(|value| {
            let what = value["what"].as_str().unwrap_or_default();
            value["type"] == "path" && what.starts_with("ICMP echo request id 41 ")
        });
        path["outcome"] == "delivered" && path["destination_pod"] == to.name.as_str()
    };
    assert!((0..20).any(|_| is_followed()));
    tracer.finish();
}

#[test]
fn each_capability_that_is_missing_is_named() {
    let (lab, folder) = (one_node(2), for_anybody());
    for missing in needed() {
        let mut others = needed();
        others.retain(|one| *one != missing);
        let mut command = Command::new(folder.path().join("podtrace"));
        command.args(["trace", "--netns", &lab.nodes[0].netns.name]);
        with_only(&mut command, &others);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{missing}: {stderr}");
        let named = stderr.matches("CAP_").count();
        assert!(
            stderr.contains(&missing.to_string()) && named == 1,
            "{missing}: {stderr}"
        );
    }
}

#[test]
fn credential_plugin_runs_without_capabilities() {
    let (lab, folder) = (one_node(2), tempfile::tempdir().unwrap());
    let (kubeconfig, out) = (folder.path().join("config"), folder.path().join("status"));
    let part = folder.path().join("part");
    let (part, done) = (part.display(), out.display());
    let plugin = format!("cat /proc/self/status > {part} && mv {part} {done}; exit 1");
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "lab", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", plugin],
            "interactiveMode": "Never",
        }}}],
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let tracer = Tracer::start(&lab, &[0], &["--kubeconfig", kubeconfig.to_str().unwrap()]);
    // The start has waited for its answer.
    let status = fs::read_to_string(&out).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let none = format!("{set}:\t{}\n", mask(&[]));
        assert!(status.contains(&none), "{status}");
    }
    tracer.finish();
}
