//! Exported pcapng files: their link layers and their interfaces.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/tests/data/before-0.2.pcapng"
);
/// The source of the Ethernet headers that podtrace makes.
const MADE: [u8; 6] = [2, b'p', b'd', b't', 0, 0];

fn export(folder: &Path, options: &[&str], from: &[PathBuf]) -> (Output, PathBuf) {
    let file = folder.join("exported.pcapng");
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command.args(["export", "--format", "pcapng", "--force", "-w"]);
    command.arg(&file).args(options).args(from);
    (command.output().unwrap(), file)
}

/// The header of a section, as words.
const SECTION: [u32; 7] = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];

/// The link layers of a file's interfaces, and its packets with the number of theirs.
fn read(file: &Path) -> (Vec<u16>, Vec<(u32, Vec<u8>)>) {
    let bytes = fs::read(file).unwrap();
    let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let (mut links, mut packets, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        match word(at) {
            // All interfaces come before all packets.
            1 => {
                assert!(packets.is_empty());
                links.push(u16::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap()));
            }
            6 => {
                let len = word(at + 20) as usize;
                packets.push((word(at + 8), bytes[at + 28..at + 28 + len].to_vec()));
            }
            _ => {}
        }
        at += word(at + 4) as usize;
    }
    (links, packets)
}

/// An IPv4 packet with a UDP datagram.
fn ipv4() -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    packet.extend([3, 0xe8, 7, 0xd0, 0, 13, 0, 0]);
    packet.extend(*b"hello");
    packet
}

/// The packet in each link layer.
fn layers() -> Vec<(u16, Vec<u8>)> {
    let headers: [(u16, &[u8]); 5] = [
        (1, &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]),
        (101, &[]),
        (0, &[2, 0, 0, 0]),
        (113, &[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0]),
        (
            276,
            &[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0],
        ),
    ];
    let framed = headers.map(|(link, header)| (link, [header, &ipv4()].concat()));
    framed.to_vec()
}

/// A pcap file of one packet.
fn pcap(folder: &Path, link: u16, packet: &[u8]) -> PathBuf {
    let len = u32::try_from(packet.len()).unwrap();
    let words = [
        0xa1b2_c3d4,
        0x0004_0002,
        0,
        0,
        262_144,
        link.into(),
        1_700_000_000,
        0,
        len,
        len,
    ];
    let mut bytes: Vec<u8> = words
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    bytes.extend(packet);
    let file = folder.join(format!("{link}.pcap"));
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn link_layer_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (link, packet) in layers() {
        let file = pcap(folder.path(), link, &packet);
        let (output, exported) = export(folder.path(), &[], &[file]);
        assert!(output.status.success(), "{output:?}");
        let expected = (vec![link], vec![(0, packet)]);
        assert_eq!(read(&exported), expected);
        // Also when that is exported again.
        let again = folder.path().join("again.pcapng");
        fs::rename(&exported, &again).unwrap();
        let (_, exported) = export(folder.path(), &[], &[again]);
        assert_eq!(read(&exported), expected);
    }
}

/// A capture without packets keeps its link layer, too.
#[test]
fn link_layer_of_no_packets_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let described = |link: u16| {
        let words = [1, 20, u32::from(link), 0, 20];
        [
            &SECTION.map(u32::to_le_bytes).concat(),
            &words.map(u32::to_le_bytes).concat()[..],
        ]
        .concat()
    };
    for (link, packet) in layers() {
        let captured = fs::read(pcap(folder.path(), link, &packet)).unwrap();
        for bytes in [captured[..24].to_vec(), described(link)] {
            let empty = folder.path().join("empty");
            fs::write(&empty, bytes).unwrap();
            let (output, exported) = export(folder.path(), &[], std::slice::from_ref(&empty));
            assert!(output.status.success(), "{output:?}");
            assert_eq!(read(&exported), (vec![link], Vec::new()));
            fs::rename(&exported, &empty).unwrap();
            let (_, exported) = export(folder.path(), &[], &[empty]);
            assert_eq!(read(&exported), (vec![link], Vec::new()));
        }
    }
}

/// Files of other systems have other numbers for raw IP, which tcpdump does not read here.
#[test]
fn raw_ip_has_one_number() {
    let folder = tempfile::tempdir().unwrap();
    for link in [12, 14] {
        let file = pcap(folder.path(), link, &ipv4());
        let (_, exported) = export(folder.path(), &[], &[file]);
        assert_eq!(read(&exported), (vec![101], vec![(0, ipv4())]));
    }
}

#[test]
fn several_link_layers_become_ethernet() {
    let folder = tempfile::tempdir().unwrap();
    let layers = layers();
    let files: Vec<_> = layers
        .iter()
        .map(|(link, packet)| pcap(folder.path(), *link, packet))
        .collect();
    let (_, exported) = export(folder.path(), &[], &files);
    let (links, packets) = read(&exported);
    assert_eq!(links, [1; 5]);
    assert_eq!(packets.len(), 5);
    for (interface, frame) in &packets {
        assert_eq!(frame[12..14], [8, 0]);
        assert_eq!(frame[14..], ipv4());
        let source: [u8; 6] = *frame[6..].first_chunk().unwrap();
        // Raw IP and loopback say nothing of a sender.
        let is_made = matches!(layers[*interface as usize].0, 101 | 0);
        assert_eq!(source, if is_made { MADE } else { [2, 0, 0, 0, 0, 1] });
    }
    // What it holds now is exported as it is.
    let again = folder.path().join("again.pcapng");
    fs::rename(&exported, &again).unwrap();
    let (_, exported) = export(folder.path(), &[], &[again]);
    assert_eq!(read(&exported), (links, packets));
}

/// A stream is read once: the link layers that follow are not known when the file begins.
#[test]
fn streams_with_several_link_layers_become_ethernet() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = SECTION.map(u32::to_le_bytes).concat();
    let layers = layers();
    for (number, (link, packet)) in (0..).zip(layers.iter().rev()) {
        let described = [1, 20, u32::from(*link), 0, 20];
        stream.extend(described.map(u32::to_le_bytes).concat());
        let len = u32::try_from(packet.len()).unwrap();
        let padded = len.next_multiple_of(4);
        let head = [6, padded + 32, number, 0, number, len, len];
        stream.extend(head.map(u32::to_le_bytes).concat());
        stream.extend(packet);
        stream.resize(stream.len() + (padded - len) as usize, 0);
        stream.extend((padded + 32).to_le_bytes());
    }
    let file = folder.path().join("stream");
    fs::write(&file, stream).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_podtrace"))
        .args(["export", "--format", "pcapng", "-"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let exported = output
        .stdout
        .windows(12)
        .filter(|bytes| bytes[..4] == 1_u32.to_le_bytes() && bytes[8..] == [1, 0, 0, 0]);
    assert_eq!(exported.count(), layers.len());
    fs::write(&file, &output.stdout).unwrap();
    let listed = Command::new("tcpdump").arg("-nr").arg(&file).output();
    if let Ok(listed) = listed {
        assert!(listed.status.success(), "{listed:?}");
        let lines = String::from_utf8_lossy(&listed.stdout).lines().count();
        assert_eq!(lines, layers.len());
    }
}

/// libpcap stops at a second interface of type 101.
#[test]
fn several_raw_interfaces_become_ethernet() {
    let folder = tempfile::tempdir().unwrap();
    let (_, raw) = layers().into_iter().find(|(link, _)| *link == 101).unwrap();
    let files = ["a", "b"].map(|name| {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        // Another packet for each: one would be a copy of the other.
        pcap(&folder, 101, &[&raw[..], name.as_bytes()].concat())
    });
    let (output, exported) = export(folder.path(), &[], &files);
    assert!(output.status.success(), "{output:?}");
    let (links, packets) = read(&exported);
    assert_eq!((links, packets.len()), (vec![1; 2], 2));
    let listed = Command::new("tcpdump").arg("-nr").arg(&exported).output();
    if let Ok(listed) = listed {
        assert!(listed.status.success(), "{listed:?}");
    }
}

/// A recording without interfaces, and one whose packets cannot be read: other tools open what
/// is made of them, and podtrace sees no interface in it.
#[test]
fn files_without_interfaces_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, SECTION.map(u32::to_le_bytes).concat()).unwrap();
    let (output, exported) = export(folder.path(), &[], &[empty]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read(&exported), (vec![1], Vec::new()));
    let podtrace = Command::new(env!("CARGO_BIN_EXE_podtrace"))
        .args(["replay", "--strict", "-o", "json"])
        .arg(&exported)
        .output()
        .unwrap();
    assert!(podtrace.status.success(), "{podtrace:?}");
    for tool in [&["tcpdump", "-nr"][..], &["tshark", "-r"], &["capinfos"]] {
        let opened = Command::new(tool[0])
            .args(&tool[1..])
            .arg(&exported)
            .output();
        if let Ok(opened) = opened {
            assert!(opened.status.success(), "{opened:?}");
        }
    }
}

#[test]
fn rows_go_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["csv", "json", "perfetto", "otlp"] {
        let output = Command::new(env!("CARGO_BIN_EXE_podtrace"))
            .args(["export", "--format", format, "-w", "out", RECORDED])
            .current_dir(folder.path())
            .output();
        assert!(output.unwrap().status.success());
        fs::rename(folder.path().join("out"), folder.path().join(format)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_podtrace"))
            .args(["export", "--format", format, "-w", ".", RECORDED])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let words = format!(
            "-w . is a directory\nhint: name a file in it, for example -w ./packets.{format}"
        );
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn vantage_is_one_interface_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = [PathBuf::from(RECORDED)];
    let options = ["--vantage", "default/mypod1/eth0"];
    let (output, exported) = export(folder.path(), &options, &recorded);
    assert!(output.status.success(), "{output:?}");
    let (links, packets) = read(&exported);
    assert_eq!((links.len(), packets.len()), (1, 12));
    for (vantage, message) in [
        ("eth0", "is the name of 6 interfaces: default/mypod1/eth0, "),
        (
            "default/nosuch/eth0",
            "no interface default/nosuch/eth0 in the files\nhint: there is default/",
        ),
        ("nosuch", "no interface nosuch in the files"),
        ("", "must be a tap point"),
    ] {
        fs::remove_file(&exported).ok();
        let (output, _) = export(folder.path(), &["--vantage", vantage], &recorded);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{vantage}: {error}");
        assert!(error.contains(message), "{error}");
        assert!(!exported.exists(), "{vantage}");
    }
}

#[test]
fn named_interfaces_are_all_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = [PathBuf::from(RECORDED)];
    let (_, exported) = export(folder.path(), &["-i", "cni0"], &recorded);
    let (links, packets) = read(&exported);
    assert_eq!(links.len(), 2);
    assert!(packets.len() > 2);
}

/// What a collector would take is refused before anything is read, and nobody there is an error.
#[test]
fn collector_is_for_traces_alone() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        let output = command.arg("export").args(arguments).arg(RECORDED).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let url = format!("http://{}", free.unwrap());
    let error = run(&["--format", "csv", "--to", &url]);
    assert!(error.contains("--to is for --format otlp"), "{error}");
    let error = run(&["--format", "otlp", "--to", "127.0.0.1:4317"]);
    assert!(error.contains("must be a collector's address"), "{error}");
    let error = run(&["--format", "otlp", "--to", &url, "-w", "x"]);
    assert!(error.contains("cannot be used with"), "{error}");
    let error = run(&["--format", "otlp", "--to", &url]);
    assert!(
        error.contains(&format!("nobody takes OTLP by gRPC at {url}")),
        "{error}"
    );
}

/// A killed run leaves the earlier file as it was, and the next one removes what was left.
#[test]
fn earlier_file_outlives_a_killed_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let names = || {
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let run = |words: &str, input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        command
            .args(words.split(' '))
            .arg(&file)
            .args(["--force", input]);
        command
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let recorded = fs::read(RECORDED).unwrap();
    for words in [
        "export --format csv -w",
        "export --format pcapng -w",
        "report -o",
    ] {
        fs::write(&file, "earlier").unwrap();
        let mut killed = run(words, "-");
        // More would wait for its end.
        let mut stdin = killed.stdin.take().unwrap();
        stdin.write_all(&recorded[..recorded.len() / 2]).unwrap();
        let began = Instant::now();
        while names().len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(60), "{words}");
            thread::sleep(Duration::from_millis(5));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"earlier", "{words}");
        assert!(run(words, RECORDED).wait().unwrap().success(), "{words}");
        assert_ne!(fs::read(&file).unwrap(), b"earlier", "{words}");
        assert_eq!(names(), ["out"], "{words}");
    }
}

/// A file that is to be replaced stays until there is something in its place.
#[test]
fn earlier_file_stays_where_nothing_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    let run = |words: &str, options: &[&str], to: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        command.args(words.split(' ')).arg(to).arg("--force");
        let output = command.arg(RECORDED).args(options).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), error)
    };
    let commands = [
        "export --format csv -w",
        "export --format json -w",
        "export --format perfetto -w",
        "export --format otlp -w",
        "export --format pcapng -w",
        "export --format pcapng --zstd -w",
        "report -o",
    ];
    for words in commands {
        let written = match words.contains("--zstd") {
            true => folder.path().join("out.zst"),
            false => file.clone(),
        };
        for (options, code) in [
            (
                &[
                    "--since",
                    "2026-01-01T00:00:00Z",
                    "--until",
                    "2026-01-02T00:00:00Z",
                ][..],
                2,
            ),
            (&["-i", "nosuch"], 2),
            (&["--pod", "nosuch"], 2),
            (&["--min-latency", "1000s"], 0),
            (&["--", "vlan 77"], 0),
        ] {
            fs::write(&written, "earlier").unwrap();
            let (ended, error) = run(words, options, &file);
            assert_eq!(ended, code, "{words} {options:?}: {error}");
            assert_eq!(
                fs::read(&written).unwrap(),
                b"earlier",
                "{words} {options:?}"
            );
            let is_told = error.contains("out stays as it was") || error.contains("out.zst stays");
            assert!(is_told || ended == 2, "{words} {options:?}: {error}");
        }
        let (ended, error) = run(words, &[], &file);
        assert_eq!(ended, 0, "{words}: {error}");
        assert_ne!(fs::read(&written).unwrap(), b"earlier", "{words}");
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
        fs::remove_file(&written).unwrap();
    }
}

/// What was not recorded is not told as lost.
#[test]
fn part_of_a_recording_knows_that_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    let [one, other] = ["worker1", "worker2"].map(|name| docs.join(name).with_extension("pcapng"));
    let (exported, part) = export(
        folder.path(),
        &["--from-pod", "client"],
        std::slice::from_ref(&one),
    );
    assert!(exported.status.success(), "{exported:?}");
    let podtrace = |args: &[&str], files: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
        command.args(args).args(files).output().unwrap()
    };
    for files in [&[&*part][..], &[&*part, &*other]] {
        let replayed = podtrace(&["replay"], files);
        let text = String::from_utf8(replayed.stdout).unwrap();
        assert!(text.contains("delivered"), "{text}");
        for claim in ["finding", "lost", "not seen further"] {
            let mut lines = text.lines().filter(|line| !line.starts_with("events:"));
            assert!(!lines.any(|line| line.contains(claim)), "{claim}: {text}");
        }
    }
    let ask = ["diagnose", "default/client", "default/cache", "-r"];
    let whole = podtrace(&ask, &[&one]);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let asked = podtrace(&ask, &[&part]);
    let text = String::from_utf8(asked.stdout).unwrap();
    assert_eq!(asked.status.code(), Some(3), "{text}");
    assert!(text.contains("only some packets were recorded"), "{text}");
}
