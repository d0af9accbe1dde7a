//! Commands without BPF run on any kernel: here on one that refuses the system calls added
//! after Linux 4.19.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use nix::libc;
use nix::sys::personality::{self, Persona};
use podtrace::lab::{Lab, LabSpec};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::sessions::record::recorded;
use super::tracer::podtrace;

/// The first number that all architectures share; Linux 4.19 has none of these calls.
const FIRST_SHARED: i64 = 424;
/// Far beyond the newest number.
const LAST: i64 = 600;

/// Answers these calls with an error.
fn refuse(calls: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> BpfProgram {
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let refused = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refused, arch).unwrap();
    filter.try_into().unwrap()
}

/// Makes a command see a kernel as old as 4.19.
fn on_old_kernel(command: &mut Command) -> &mut Command {
    let calls = (FIRST_SHARED..LAST).map(|call| (call, Vec::new()));
    let new_calls = refuse(calls.collect(), libc::ENOSYS);
    let is_cookie = SeccompCondition::new(
        2,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        u64::from(libc::SO_NETNS_COOKIE.cast_unsigned()),
    );
    let rule = SeccompRule::new(vec![is_cookie.unwrap()]).unwrap();
    let option = BTreeMap::from([(libc::SYS_getsockopt, vec![rule])]);
    let cookie = refuse(option, libc::ENOPROTOOPT);
    let apply = move || {
        // Its release then reads 2.6.
        personality::set(personality::get()? | Persona::UNAME26)?;
        for filter in [&cookie, &new_calls] {
            seccompiler::apply_filter(filter).map_err(|_error| std::io::Error::last_os_error())?;
        }
        Ok(())
    };
    // SAFETY: the child calls the kernel only, and allocates nothing.
    unsafe { command.pre_exec(apply) }
}

fn succeeds(command: &mut Command) -> String {
    let output = on_old_kernel(command).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn lab() -> Lab {
    Lab::new(LabSpec {
        nodes: 2,
        pods_per_node: 2,
        ipv6: true,
    })
    .unwrap()
}

#[test]
fn topology_is_the_same() {
    let lab = lab();
    let mut table = tempfile::NamedTempFile::new().unwrap();
    table.write_all(lab.pod_table().as_bytes()).unwrap();
    let command = || {
        let mut command = podtrace();
        command.args(["topology", "-o", "json", "--pods"]);
        command.arg(table.path());
        for node in &lab.nodes {
            command.args(["--netns", &node.netns.name]);
        }
        command
    };
    let new = command().output().unwrap();
    let new: serde_json::Value = serde_json::from_slice(&new.stdout).unwrap();
    let old: serde_json::Value = serde_json::from_str(&succeeds(&mut command())).unwrap();
    let pods = old["nodes"][0]["pods"].as_array().unwrap();
    assert_eq!(pods.len(), 2, "{old}");
    assert_eq!(new["nodes"][0]["pods"], old["nodes"][0]["pods"]);
    assert_eq!(new["nodes"][1]["tunnels"], old["nodes"][1]["tunnels"]);
    assert_eq!(new["problems"], old["problems"]);
}

#[test]
fn recordings_are_replayed_summed_up_and_exported() {
    let recorded = recorded("a.pcapng", &[]);
    let out = tempfile::tempdir().unwrap();
    let on = |args: &[&str]| succeeds(podtrace().args(args).arg(&recorded.file));
    for command in ["replay", "stats", "topology"] {
        let output = podtrace().arg(command).arg(&recorded.file).output();
        let on_new = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(on_new.lines().count() > 10, "{command}: {on_new}");
        assert_eq!(on(&[command]), on_new);
    }
    for format in ["csv", "parquet", "pcapng"] {
        let file = out.path().join(format);
        on(&["export", "--format", format, "-w", file.to_str().unwrap()]);
        assert!(file.metadata().unwrap().len() > 1000, "{format}");
    }
}

#[test]
fn tracing_is_refused_in_one_sentence() {
    let refused = |args: &[&str]| -> Output {
        let mut command = podtrace();
        on_old_kernel(command.args(args)).output().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.pcapng");
    for args in [&["trace"][..], &["record", "-w", file.to_str().unwrap()]] {
        let output = refused(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.starts_with("podtrace: Linux 2.6."), "{stderr}");
        assert!(
            stderr.contains("topology, replay, stats and export"),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(!file.exists());
}
