//! Directories, and copies of one recording.
use std::{fs, path::Path};

use super::*;
use crate::bytes::block;

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

/// A recording as editcap writes it: without what only podtrace reads.
pub(crate) fn edited(recording: &[u8]) -> Vec<u8> {
    let word = |at: usize| {
        let bytes = recording[at..].first_chunk().unwrap();
        u32::from_le_bytes(*bytes)
    };
    let (mut out, mut at) = (Vec::new(), 0);
    while at < recording.len() {
        let len = word(at + 4) as usize;
        let options_at = match word(at) {
            0x0a0d_0d0a => Some(24),
            1 => Some(16),
            6 => Some(28 + (word(at + 20) as usize).next_multiple_of(4)),
            _ => None,
        };
        if let Some(options_at) = options_at {
            let mut body = recording[at + 8..at + options_at].to_vec();
            let mut option = at + options_at;
            while option < at + len - 4 {
                let (code, size) = (word(option) & 0xffff, word(option) >> 16);
                let next = option + 4 + (size as usize).next_multiple_of(4);
                if code != 19_373 {
                    body.extend(&recording[option..next]);
                }
                option = next;
            }
            out.extend(block(word(at), &body));
        }
        at += len;
    }
    out
}

#[test]
fn exported_and_edited_copies_are_left_out() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    let worker = |number: u8| fs::read(recordings.join(format!("worker{number}.pcapng"))).unwrap();
    let files = Files::new();
    files
        .add("1.pcapng", &worker(1))
        .add("2.pcapng", &worker(2));
    let both = counts(&files.json(&["1.pcapng", "2.pcapng"]));
    let one = counts(&files.json(&["1.pcapng"]));
    let export = |name: &str, args: &[&str]| {
        let all = ["export", "--format", "pcapng", "-w", name];
        assert_eq!(files.run(&[&all[..], args].concat()).code, Some(0));
    };
    export("all.pcapng", &["1.pcapng", "2.pcapng"]);
    export("begin.pcapng", &["1.pcapng", "--first", "4s"]);
    export("again.pcapng", &["begin.pcapng"]);
    export("end.pcapng", &["1.pcapng", "--since", "+4s"]);
    files.add("edited.pcapng", &edited(&worker(1)));
    let whole = "edited.pcapng left out: 1.pcapng has the same packets at the same times";
    for (names, expected, said) in [
        (
            &["1.pcapng", "2.pcapng", "all.pcapng"][..],
            both,
            "all.pcapng left out: made of 1.pcapng, 2.pcapng",
        ),
        (
            &["begin.pcapng", "1.pcapng"],
            one,
            "begin.pcapng left out: made of 1.pcapng",
        ),
        (
            &["1.pcapng", "again.pcapng"],
            one,
            "again.pcapng left out: 1.pcapng has the same packets at the same times",
        ),
        (&["edited.pcapng", "1.pcapng"], one, whole),
        (&["1.pcapng", "2.pcapng", "edited.pcapng"], both, whole),
        (
            &["begin.pcapng", "again.pcapng"],
            counts(&files.json(&["begin.pcapng"])),
            "again.pcapng left out: made of begin.pcapng",
        ),
    ] {
        let lines = files.json(names);
        assert_eq!(counts(&lines), expected, "{names:?}");
        let said_so = notices(&lines).contains(&said);
        assert!(said_so, "{:?}", notices(&lines));
    }
    // Two parts are no copies.
    let (packets, _) = counts(&files.json(&["begin.pcapng", "end.pcapng"]));
    assert_eq!(packets, one.0);
    files
        .run(&["replay", "all.pcapng", "1.pcapng"])
        .refuses("all.pcapng was made of 1.pcapng and of others that are not given");
    let more = "edited.pcapng and begin.pcapng have the same packets at the same times, and edited.pcapng has more";
    files
        .run(&["replay", "begin.pcapng", "edited.pcapng"])
        .refuses(more);
}
