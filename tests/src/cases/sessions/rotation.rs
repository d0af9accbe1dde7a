//! Rotation keeps its bounds, and each file can be read alone.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use podtrace::lab::traffic::udp_exchange;
use podtrace::lab::{Lab, LabPod};
use serde_json::Value;
use tempfile::TempDir;

use super::live::{Live, tail};
use super::peers::agree;
use super::record::{conserved, names, notices, number, of_type, replay_json};
use crate::cases::scenarios::lab;

/// The limits of a file, and of all files.
const LIMITS: [&str; 6] = [
    "--rotate-size",
    "200kB",
    "--keep-size",
    "1MB",
    "--keep-files",
    "4",
];

/// The files and bytes in a directory at one moment; none if files came or went meanwhile.
fn usage(dir: &Path) -> Option<(usize, u64)> {
    let before = names(dir);
    let sizes = before
        .iter()
        .map(|file| fs::metadata(file).map(|meta| meta.len()));
    let bytes = sizes.sum::<Result<u64, _>>().ok()?;
    (names(dir) == before).then_some((before.len(), bytes))
}

/// The peak number of files and bytes in a directory, and how often it was read, during some
/// work.
fn watched(dir: &Path, work: impl FnOnce()) -> (usize, u64, u64) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut files, mut bytes, mut reads) = (0, 0, 0);
            while !over.load(Ordering::Relaxed) {
                if let Some((files_now, bytes_now)) = usage(dir) {
                    files = files.max(files_now);
                    bytes = bytes.max(bytes_now);
                    reads += 1;
                }
            }
            (files, bytes, reads)
        });
        work();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

fn flood(lab: &Lab, datagrams: usize) {
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let service = (to.ipv4, 5353).into();
    let sent = udp_exchange(&from.netns, &to.netns, service, datagrams, &[7; 100]);
    assert_eq!(sent.unwrap(), datagrams);
}

/// The paths of the flood and its echo: the lab's kernels may report their multicast groups at
/// any time, but to no pod.
fn paths_of_flood(values: &[Value]) -> impl Iterator<Item = &Value> + Clone {
    let is_of_flood = |path: &&Value| path["what"].as_str().unwrap().starts_with("UDP ");
    of_type(values, "path").filter(is_of_flood)
}

/// The notices about the files. A kernel may drop control packets of the lab at any time.
fn of_files(values: &[Value]) -> Vec<&str> {
    let is_of_drops = |text: &&str| text.contains(": the kernel dropped ");
    let mut texts = notices(values);
    texts.retain(|text| !is_of_drops(text));
    texts
}

/// Floods a recording into a directory; returns its files.
fn rotated(dir: &Path, options: &[&str], datagrams: usize) -> Vec<PathBuf> {
    let lab = lab();
    let mut args = vec!["record", "--strict", "-w", dir.to_str().unwrap()];
    args.extend(LIMITS);
    args.extend(options);
    let live = Live::on(&lab, &[0], &args);
    let mut lines = Vec::new();
    let (files, bytes, reads) = watched(dir, || {
        flood(&lab, datagrams);
        lines = live.finish();
    });
    println!("{reads} reads: at most {files} files and {bytes} bytes");
    assert!(reads > 10);
    assert!(files <= 4, "{files}");
    assert!(bytes <= 1_000_000, "{bytes}");
    let recorded = lines.iter().find(|line| line.starts_with("-- recorded "));
    let recorded = recorded.unwrap_or_else(|| panic!("{}", tail(&lines)));
    assert!(recorded.contains(" of them deleted again)"), "{recorded}");
    let files = names(dir);
    assert_eq!(files.len(), 4);
    for file in &files {
        // Before compression no file is longer than its limit.
        let bytes = fs::metadata(file).unwrap().len();
        assert!(bytes <= 200_000, "{bytes} in {}", file.display());
    }
    files
}

#[test]
fn flood_stays_within_what_is_to_be_kept() {
    let dir = TempDir::new().unwrap();
    let files = rotated(dir.path(), &[], 4_000);
    let mut events = 0;
    for file in &files {
        let values = agree(file);
        let total = conserved(&values);
        events += number(total, "emitted");
        // The file alone provides the names.
        let mut paths = paths_of_flood(&values);
        let count = paths.clone().count();
        // The last file has the rest.
        let is_last = Some(file) == files.last();
        assert!(count > 10 || is_last, "{count} in {}", file.display());
        let ends = ["default/mypod1", "default/mypod2"];
        let unnamed = paths.find(|path| {
            !["source_pod", "destination_pod"]
                .iter()
                .all(|end| path[end].as_str().is_some_and(|pod| ends.contains(&pod)))
        });
        assert!(unnamed.is_none(), "{}: {unnamed:?}", file.display());
    }
    let values = replay_json(&[dir.path()]);
    assert_eq!(number(conserved(&values), "emitted"), events);
    assert_eq!(of_files(&values), [""; 0]);
    // Deleted files may have had the begin of packets under way; all others are complete.
    let broken = paths_of_flood(&values).filter(|path| {
        path["outcome"] != "delivered" || path["hops"].as_array().unwrap().len() != 4
    });
    let broken: Vec<_> = broken.map(|path| number(path, "packet")).collect();
    assert!(broken.len() <= 1, "{broken:?}");
    let first = paths_of_flood(&values).next().unwrap();
    assert!(broken.is_empty() || broken[0] == number(first, "packet"));
}

/// A flood at full speed without answers: possibly more than can be recorded.
#[test]
fn flood_without_pause_stays_within_what_is_to_be_kept() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let mut args = vec!["record", "-w", dir.path().to_str().unwrap()];
    args.extend(LIMITS);
    let live = Live::on(&lab, &[0], &args);
    let (from, to) = (&lab.nodes[0].pods[0], &lab.nodes[0].pods[1]);
    let bind = |pod: &LabPod| {
        let address = (pod.ipv4, 0);
        pod.netns.run(|| UdpSocket::bind(address)).unwrap().unwrap()
    };
    let (receiver, sender) = (bind(to), bind(from));
    let service = receiver.local_addr().unwrap();
    let mut lines = Vec::new();
    let (files, bytes, reads) = watched(dir.path(), || {
        for _ in 0..40_000 {
            sender.send_to(&[7; 100], service).unwrap();
        }
        lines = live.finish();
    });
    println!("{reads} reads: at most {files} files and {bytes} bytes");
    println!("{}", tail(&lines));
    assert!(files <= 4 && bytes <= 1_000_000, "{files} {bytes}");
    for file in names(dir.path()) {
        let values = replay_json(&[&file]);
        assert!(number(conserved(&values), "emitted") > 0);
    }
    let values = replay_json(&[dir.path()]);
    conserved(&values);
    // A slow machine may lose events, but must not damage files.
    let notices = notices(&values);
    assert!(
        !notices.iter().any(|text| text.contains("damaged")),
        "{notices:?}"
    );
}

#[test]
fn compressed_files_stay_within_what_is_to_be_kept() {
    let dir = TempDir::new().unwrap();
    let files = rotated(dir.path(), &["--zstd"], 4_000);
    let events: u64 = files
        .iter()
        .map(|file| number(conserved(&replay_json(&[file])), "emitted"))
        .sum();
    let values = replay_json(&[dir.path()]);
    assert_eq!(number(conserved(&values), "emitted"), events);
    assert_eq!(of_files(&values), [""; 0]);
}

#[test]
fn kept_files_have_no_gaps() {
    let lab = lab();
    let dir = TempDir::new().unwrap();
    let mut args = vec!["trace", "-o", "json", "-w", dir.path().to_str().unwrap()];
    args.extend(["--rotate-size", "100kB"]);
    let live = Live::on(&lab, &[0], &args);
    flood(&lab, 300);
    let shown = super::record::parse(&live.finish());
    assert!(names(dir.path()).len() > 4);
    let replayed = replay_json(&[dir.path()]);
    for kind in ["event", "path", "summary"] {
        assert!(of_type(&shown, kind).eq(of_type(&replayed, kind)), "{kind}");
    }
}
