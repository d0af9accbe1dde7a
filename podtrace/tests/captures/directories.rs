//! Directories, and copies of one recording.
use std::path::Path;

use super::*;

#[test]
fn directory_is_read_by_content_and_the_rest_is_named() {
    let files = Files::new();
    files
        .add("x.pcap", &pcap(1, &pings(0..5)))
        .add("x.pcap1", &pcap(1, &pings(5..10)))
        .add("y.cap", &pcap(1, &pings(10..15)))
        .add("notes.txt", b"these are notes")
        .add("nothing", b"");
    fs::create_dir(files.path("more")).unwrap();
    nix::unistd::mkfifo(&files.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let lines = files.json(&["."]);
    assert_eq!(counts(&lines), (15, 15));
    let left_out = ".: left out more (a directory), notes.txt (no capture), nothing (empty), pipe (not a file)";
    assert_eq!(notices(&lines)[0], left_out);
    files
        .run(&["replay", "more"])
        .refuses("no capture in more: it is empty");
}

#[test]
fn copies_are_the_same_recording() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/worker1.pcapng");
    let whole = fs::read(&recording).unwrap();
    let files = Files::new();
    files.add("whole", &whole);
    let expected = counts(&files.json(&["whole"]));
    let doubled = Files::new();
    doubled.add("doubled", &whole.repeat(2));
    let lines = doubled.json(&["doubled"]);
    assert_eq!(counts(&lines), expected);
    let last = notices(&lines).pop();
    assert_eq!(last, Some("doubled: 1 section left out: read before"));
    files
        .add("again", &whole)
        .add("cut", &whole[..whole.len() / 2])
        .add("packed", &zstd::encode_all(&whole[..], 1).unwrap());
    let lines = files.json(&["."]);
    assert_eq!(counts(&lines), expected);
    let copies = notices(&lines).into_iter();
    let copies = copies.filter(|text| text.ends_with("is the same recording"));
    assert_eq!(copies.count(), 3, "{lines:?}");
    let ambiguous = of_type(&lines, "path").into_iter();
    assert!(
        ambiguous
            .map(|path| &path["ambiguous"])
            .all(|it| it == false)
    );
}
