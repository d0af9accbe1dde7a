//! Many nodes, and two joiners.
use std::{fs, path::Path, process::Stdio, time::Instant};

use super::{
    Running,
    broker::Broker,
    joined, podtrace,
    session::{RECORDED, folder, of_node},
};

const NODES: u32 = 200;
/// Publishers at a time.
const AT_ONCE: usize = 8;

fn joiner(broker: &Broker, out: &Path, buckets: &str) -> Running {
    let mut command = podtrace();
    command.args(["join", "--nats", &broker.url(), "--buckets", buckets]);
    command
        .args(["--nodes", &NODES.to_string(), "--write"])
        .arg(out);
    Running::start(command.stderr(Stdio::piped()))
}

/// The number before a word.
fn number(words: &str, what: &str) -> usize {
    let before = words.split(what).next().unwrap().trim_end();
    let digits = before.rsplit(' ').next().unwrap();
    digits.parse().unwrap()
}

#[test]
#[ignore = "takes minutes where nothing is optimised: cargo test --test queue -- --ignored"]
fn each_hop_of_many_nodes_is_accounted_for() {
    let broker = Broker::start();
    let files = tempfile::tempdir().unwrap();
    let recorded = fs::read(folder().join(RECORDED[0])).unwrap();
    let nodes: Vec<_> = (0..NODES)
        .map(|node| {
            let file = files.path().join(format!("{node}.pcapng"));
            fs::write(&file, of_node(&recorded, node)).unwrap();
            file
        })
        .collect();
    let (mut hops, mut bytes) = (0, 0);
    let begun = Instant::now();
    for nodes in nodes.chunks(AT_ONCE) {
        let publishers = nodes.iter().map(|file| {
            let mut command = podtrace();
            command.args(["publish", "--nats", &broker.url()]).arg(file);
            Running::start(command.stderr(Stdio::piped()))
        });
        for publisher in publishers.collect::<Vec<_>>() {
            let (code, words) = publisher.end();
            assert_eq!(code, Some(0), "{words}");
            hops += number(&words, " hops published");
            bytes += number(&words, " bytes;");
        }
    }
    println!(
        "{hops} hops of {NODES} nodes, {bytes} bytes, published in {:?}",
        begun.elapsed()
    );
    let out = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let joiners = ["0-3", "4-7"].map(|buckets| joiner(&broker, out.path(), buckets));
    let (mut shown, mut copies) = (0, 0);
    for joiner in joiners {
        let (code, words) = joiner.end();
        assert_eq!(code, Some(0), "{words}");
        assert!(words.contains("as many as were published"), "{words}");
        assert!(words.contains(" 0 missing, 0 unreadable"), "{words}");
        println!("{words}");
        shown += number(&words, " joined");
        copies += number(&words, " hops:");
    }
    println!("{copies} hops joined in {:?}", begun.elapsed());
    assert!(copies >= hops);
    let paths = joined(out.path());
    let written: usize = paths
        .iter()
        .map(|path| path["hops"].as_array().unwrap().len())
        .sum();
    assert_eq!(written, shown);
}
