//! Sessions that begin after the joiner.
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Running,
    broker::Broker,
    hops, join, joined, podtrace, publisher, replayed_of,
    session::{RECORDED, begun_anew, folder, halves},
    wait_until,
};

/// How much later the second recording of a node is.
const LATER_S: u32 = 60;

/// A joiner of so many nodes, and the file with what it says.
fn joiner(broker: &Broker, out: &Path, nodes: usize, says: &Path) -> Running {
    Running::start(join(broker, nodes, out).stderr(File::create(says).unwrap()))
}

fn says(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

/// A joiner's end, and what it said.
fn end(joiner: Running, file: &Path) -> String {
    let (code, _) = joiner.end();
    let words = says(file);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("as many as were published"), "{words}");
    assert!(words.contains(" 0 missing, 0 unreadable"), "{words}");
    words
}

fn write(publisher: &mut Running, bytes: &[u8]) {
    let stdin = publisher.0.stdin.as_mut().unwrap();
    stdin.write_all(bytes).unwrap();
}

fn publish(broker: &Broker, file: &str) {
    let (code, words) = publisher(broker, file).end();
    assert_eq!(code, Some(0), "{words}");
}

/// The file of what the second node records that begins anew.
fn second(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("again.pcapng");
    fs::write(&path, begun_anew(RECORDED[1], LATER_S)).unwrap();
    path
}

fn sum(one: BTreeMap<String, usize>, other: BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    other.into_iter().fold(one, |mut sum, (hop, times)| {
        *sum.entry(hop).or_default() += times;
        sum
    })
}

fn has_node(path: &Value, node: &str) -> bool {
    let hops = path["hops"].as_array().unwrap();
    hops.iter().any(|hop| hop["node"] == node)
}

/// The number before a word of the account.
fn number(words: &str, what: &str) -> usize {
    let account = words.lines().last().unwrap();
    let before = account.split(what).next().unwrap().trim_end();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A node's recording ends after half of the time, and begins anew while a joiner is at work, which is killed then.
#[test]
fn node_that_records_anew_is_joined_from_then_on() {
    let broker = Broker::start();
    let [out, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let ends = RECORDED.map(halves);
    let mut publishers = RECORDED.map(|_| publisher(&broker, "-"));
    for (publisher, (first, _)) in publishers.iter_mut().zip(&ends) {
        write(publisher, first);
    }
    let words = ["first", "second"].map(|name| other.path().join(name));
    let first = joiner(&broker, out.path(), 2, &words[0]);
    wait_until("nothing is written", || !joined(out.path()).is_empty());
    let [mut stays, mut goes] = publishers;
    goes.0.stdin.take();
    let (code, told) = goes.end();
    assert_eq!(code, Some(0), "{told}");
    let file = second(&other);
    publish(&broker, file.to_str().unwrap());
    wait_until("it does not tell that a session has begun", || {
        says(&words[0]).contains("has begun: it is joined, too")
    });
    let successor = joiner(&broker, out.path(), 2, &words[1]);
    first.kill();
    stays.0.stdin.take();
    let (code, told) = stays.end();
    assert_eq!(code, Some(0), "{told}");
    let told = end(successor, &words[1]);
    assert!(told.contains(" 0 too late"), "{told}");
    let before = RECORDED.map(|file| other.path().join(file));
    for (file, (first, _)) in before.iter().zip(&ends) {
        fs::write(file, first).unwrap();
    }
    let expected = sum(
        hops(&replayed_of(&[&before[0], &before[1]])),
        hops(&replayed_of(&[&file])),
    );
    assert_eq!(hops(&joined(out.path())), expected, "{told}");
}

/// A node beyond those that were waited for publishes what others have gone on without: that is
/// counted, and what comes then is joined.
#[test]
fn node_that_comes_late_is_joined_from_then_on() {
    let broker = Broker::start();
    let [out, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [(first, rest), (late_first, late_rest)] = RECORDED.map(halves);
    let mut before = publisher(&broker, "-");
    write(&mut before, &first);
    let words = other.path().join("words");
    let joiner = joiner(&broker, out.path(), 1, &words);
    wait_until("nothing is written", || !joined(out.path()).is_empty());
    let mut late = publisher(&broker, "-");
    write(&mut late, &late_first);
    wait_until("it does not tell that a session has begun", || {
        says(&words).contains("has begun: it is joined, too")
    });
    write(&mut before, &rest);
    write(&mut late, &late_rest);
    for publisher in [&mut before, &mut late] {
        publisher.0.stdin.take();
    }
    for publisher in [before, late] {
        let (code, told) = publisher.end();
        assert_eq!(code, Some(0), "{told}");
    }
    let told = end(joiner, &words);
    assert!(number(&told, " too late") > 0, "{told}");
    let paths = joined(out.path());
    assert!(paths.iter().any(|path| has_node(path, "worker2")), "{told}");
    let found = hops(&paths);
    assert_eq!(found.values().sum::<usize>(), number(&told, " joined"));
    let whole = RECORDED.map(|file| folder().join(file));
    let expected = hops(&replayed_of(&[&whole[0], &whole[1]]));
    for (hop, times) in found {
        assert!(
            Some(&times) <= expected.get(&hop),
            "{hop} is there {times} times"
        );
    }
}

/// All have ended; then a node begins anew, and so does a joiner.
#[test]
fn session_after_the_end_is_joined_by_the_next_joiner() {
    let broker = Broker::start();
    let [out, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let words = other.path().join("words");
    RECORDED.iter().for_each(|file| publish(&broker, file));
    end(joiner(&broker, out.path(), 2, &words), &words);
    let before = joined(out.path());
    let file = second(&other);
    publish(&broker, file.to_str().unwrap());
    let told = end(joiner(&broker, out.path(), 3, &words), &words);
    assert!(told.contains(" 0 too late"), "{told}");
    let expected = sum(hops(&before), hops(&replayed_of(&[&file])));
    assert_eq!(hops(&joined(out.path())), expected, "{told}");
}

#[test]
fn session_in_other_buckets_is_left_out() {
    let broker = Broker::start();
    let [out, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let words = other.path().join("words");
    publish(&broker, RECORDED[0]);
    let mut command = podtrace();
    command.args([
        "publish",
        "--nats",
        &broker.url(),
        "--buckets",
        "3",
        RECORDED[1],
    ]);
    let (code, told) = Running::start(command.stderr(Stdio::piped())).end();
    assert_eq!(code, Some(0), "{told}");
    end(joiner(&broker, out.path(), 1, &words), &words);
    let told = says(&words);
    assert!(
        told.contains("is left out: it is published into 3 buckets"),
        "{told}"
    );
    let whole = folder().join(RECORDED[0]);
    assert_eq!(hops(&joined(out.path())), hops(&replayed_of(&[&whole])));
}
