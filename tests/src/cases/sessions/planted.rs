//! Another user's traps, in a directory that anybody can write, catch nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use podtrace::lab::Lab;
use podtrace::lab::traffic::flood::{FloodSpec, udp_flood};
use tempfile::TempDir;

use super::record::{names, run};
use crate::cases::one_node;

const NOBODY: Option<u32> = Some(65_534);

/// A directory like `/tmp`.
fn sticky() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    dir
}

fn victim(dir: &Path) -> PathBuf {
    let victim = dir.join("victim");
    fs::write(&victim, "keep me").unwrap();
    chown(&victim, NOBODY, NOBODY).unwrap();
    victim
}

fn fifo(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap();
    chown(path, NOBODY, NOBODY).unwrap();
}

fn link(to: &Path, path: &Path) {
    symlink(to, path).unwrap();
    lchown(path, NOBODY, NOBODY).unwrap();
}

fn record(lab: &Lab, options: &[&str]) -> Output {
    let netns = lab.nodes[0].netns.name.as_str();
    run(&[
        &["record", "--duration", "300ms", "--netns", netns],
        options,
    ]
    .concat())
}

#[track_caller]
fn refused(output: &Output, reason: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(reason), "{stderr}");
}

#[test]
fn traps_at_the_session_name_are_refused() {
    let (lab, dir) = (one_node(2), sticky());
    let path = |name: &str| dir.path().join(name);
    let victim = victim(dir.path());
    link(&victim, &path("link"));
    link(&path("nowhere"), &path("dangling"));
    fs::hard_link(&victim, path("hard")).unwrap();
    fifo(&path("fifo"));
    for (name, reason) in [
        ("link", "symbolic link"),
        ("dangling", "symbolic link"),
        ("hard", "exists already"),
        ("fifo", "belongs to somebody else"),
    ] {
        let target = path(name);
        refused(&record(&lab, &["-w", target.to_str().unwrap()]), reason);
    }
    for name in ["link", "dangling", "fifo"] {
        let target = path(name);
        let output = record(&lab, &["--force", "-w", target.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
    // Replaced, it is a file of its own, and its former target is unchanged.
    let hard = path("hard");
    let output = record(&lab, &["--force", "-w", hard.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let metadata = fs::metadata(&hard).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
    assert_ne!(metadata.ino(), fs::metadata(&victim).unwrap().ino());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "keep me");
    assert!(!path("nowhere").exists());
}

#[test]
fn directory_that_is_somebody_elses_link_is_refused() {
    let (lab, dir, theirs) = (one_node(2), sticky(), TempDir::new().unwrap());
    let trap = dir.path().join("recordings");
    link(theirs.path(), &trap);
    for target in [
        format!("{}/", trap.display()),
        format!("{}/a", trap.display()),
    ] {
        refused(&record(&lab, &["-w", &target]), "symbolic link");
    }
    assert_eq!(names(theirs.path()), Vec::<PathBuf>::new());
    // One's own link may lead anywhere.
    lchown(&trap, Some(0), Some(0)).unwrap();
    let output = record(&lab, &["-w", &format!("{}/a", trap.display())]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(names(theirs.path()).len(), 1);
}

#[test]
fn traps_at_names_of_later_files_are_skipped() {
    let (lab, dir) = (one_node(2), sticky());
    let victim = victim(dir.path());
    let file = dir.path().join("a.pcapng");
    let netns = lab.nodes[0].netns.name.clone();
    let now = jiff::Timestamp::now();
    // The names have number and time: traps for every second of the run.
    for second in 0..30 {
        let at = now + jiff::SignedDuration::from_secs(second);
        let at = at.strftime("%Y%m%dT%H%M%SZ");
        let name = |number: u32| dir.path().join(format!("a_{number:05}_{at}.pcapng"));
        link(&victim, &name(2));
        fifo(&name(3));
        fs::hard_link(&victim, name(4)).unwrap();
    }
    let traps = names(dir.path());
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let output = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let spec = FloodSpec {
                payload: 400,
                duration: std::time::Duration::from_secs(2),
            };
            udp_flood(&from.netns, &to.netns, (to.ipv4, 5353).into(), spec)
        });
        let target = file.to_str().unwrap();
        let args = [
            "record",
            "--duration",
            "2s",
            "--netns",
            &netns,
            "-w",
            target,
        ];
        let output = run(&[&args[..], &["--rotate-size", "100kB"]].concat());
        flooding.join().unwrap().unwrap();
        output
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "keep me");
    let made: Vec<_> = names(dir.path())
        .into_iter()
        .filter(|name| !traps.contains(name))
        .collect();
    assert!(made.len() >= 3, "{made:?}");
    for path in made {
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.is_file() && metadata.nlink() == 1, "{path:?}");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
    }
}
