//! A recording is shown while it continues.

use podtrace::lab::traffic::{ping, udp_exchange};
use tempfile::TempDir;

use super::live::{Live, tail};
use super::record::replay;
use crate::cases::scenarios::lab;
use crate::cases::tracer::podtrace;

/// Records to a target with more options, follows it, and compares.
fn check(name: &str, options: &[&str], files: usize) {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let point = dir.path().join(name);
    let mut args = vec!["record", "--flush", "50ms", "-w", point.to_str().unwrap()];
    args.extend(options);
    let live = Live::on(&lab, &[0], &args);
    let first = super::record::names(dir.path()).remove(0);

    let mut command = podtrace();
    command.args(["replay", "--follow"]).arg(&first);
    let mut follower = Live::spawn(command);
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    // Each ping is shown before the next is sent.
    for id in 101..=105 {
        ping(&from.netns, to.ipv4.into(), id, 2, 56).unwrap();
        let what = format!("ICMP echo reply id {id} seq 2 ");
        follower.wait_for(|line| line.contains(&what));
        let service = (to.ipv4, 5353).into();
        udp_exchange(&from.netns, &to.netns, service, 100, b"fills the file").unwrap();
    }
    live.finish();
    let (status, followed) = follower.end();
    assert!(status.success(), "{}", tail(&followed));
    let recorded = super::record::names(dir.path());
    assert!(recorded.len() >= files, "{recorded:?}");
    let replayed = replay("text", &recorded);
    assert_eq!(followed.len(), replayed.len(), "{}", tail(&followed));
    let differs = followed
        .iter()
        .zip(&replayed)
        .skip(1)
        .position(|(a, b)| a != b);
    if let Some(at) = differs {
        panic!(
            "line {}:\nfollowed {}\nreplayed {}",
            at + 1,
            followed[at + 1],
            replayed[at + 1]
        );
    }
}

#[test]
fn file_is_followed_to_its_end() {
    check("a.pcapng", &[], 1);
}

#[test]
fn compressed_file_is_followed_to_its_end() {
    check("a.pcapng.zst", &["--zstd"], 1);
}

#[test]
fn rotated_files_are_followed_to_the_end() {
    check("a.pcapng", &["--rotate-size", "100kB"], 3);
}
