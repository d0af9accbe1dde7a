//! `podtrace report`: the file that it writes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Recordings of two nodes.
fn recordings() -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    ["worker1.pcapng", "worker2.pcapng"].map(|name| folder.join(name))
}

fn report(folder: &Path, options: &[&str], from: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    command.arg("report").args(options).args(from);
    command.current_dir(folder).output().unwrap()
}

/// The page of some files.
#[track_caller]
fn page(folder: &Path, options: &[&str], from: &[PathBuf]) -> String {
    let options = [&["--force", "-o", "report.html"], options].concat();
    let output = report(folder, &options, from);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    fs::read_to_string(folder.join("report.html")).unwrap()
}

/// What stands between two texts, the first time.
#[track_caller]
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap();
    rest.split_once(end).unwrap().0
}

fn data(page: &str) -> Value {
    serde_json::from_str(between(page, r#"id="data">"#, "</script>")).unwrap()
}

#[test]
fn page_tells_what_replay_tells() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&page(folder.path(), &[], &recordings()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    let replay = command.args(["replay", "-o", "json"]).args(recordings());
    let lines = String::from_utf8(replay.output().unwrap().stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_type = |name: &'static str| lines.iter().filter(move |line| line["type"] == name);
    let summary = of_type("summary").next().unwrap();
    assert_eq!(data["summary"]["packets"], summary["packets"]);
    for (number, name) in data["outcomes"].as_array().unwrap().iter().enumerate() {
        let expected = &summary["outcomes"][name.as_str().unwrap()];
        assert_eq!(&data["summary"]["outcomes"][number], expected, "{name}");
    }
    let findings = data["findings"].as_array().unwrap();
    let expected = of_type("finding").map(|finding| &finding["what"]);
    assert!(findings.iter().map(|finding| &finding["what"]).eq(expected));
    // Each path that no later one corrects, with all its hops.
    let corrected: Vec<_> = of_type("path").map(|path| &path["late_of"]).collect();
    let paths = of_type("path").filter(|path| !corrected.contains(&&path["packet"]));
    let mut expected: Vec<_> = paths.map(|path| path["packet"].as_u64()).collect();
    let rows = data["paths"]["rows"].as_array().unwrap();
    let mut found: Vec<_> = rows.iter().map(|row| row[0].as_u64()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// Nothing is loaded, and no other script or style is allowed.
#[test]
fn page_needs_and_allows_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(folder.path(), &[], &recordings());
    let policy = between(&page, "Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (what, end) in [("script", "</script>"), ("style", "</style>")] {
        let text = between(&page, &format!("<{what}>"), end);
        let hash: Vec<u8> = Sha256::digest(text).to_vec();
        let encoded = between(policy, &format!("{what}-src 'sha256-"), "'");
        assert_eq!(decoded(encoded), hash, "{what}");
    }
    for fetched in [
        "src=",
        "href=\"http",
        "url(",
        "@import",
        "fetch(",
        "innerHTML",
    ] {
        let at = page.find(fetched);
        assert_eq!(at, None, "{fetched}");
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut bytes = Vec::new();
    for (number, digit) in base64.trim_end_matches('=').bytes().enumerate() {
        let value = digits.iter().position(|known| *known == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        if number % 4 > 0 {
            bytes.push((bits >> (6 - 2 * (number % 4))) as u8);
        }
    }
    bytes
}

/// A request of HTTP with markup, in a capture whose name, which names its node, is markup too.
fn hostile(folder: &Path) -> PathBuf {
    let request = b"GET /</script><img/src=x/onerror=alert(1)> HTTP/1.1\r\nHost: <img>\r\n\r\n";
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    let len = u16::try_from(40 + request.len()).unwrap();
    packet.extend(len.to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend([
        0xa0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0,
    ]);
    packet.extend(request);
    let len = u32::try_from(packet.len()).unwrap();
    let words = [
        0xa1b2_c3d4,
        0x0004_0002,
        0,
        0,
        262_144,
        1,
        1_700_000_000,
        0,
        len,
        len,
    ];
    let words = words.iter().flat_map(|word: &u32| word.to_le_bytes());
    let bytes: Vec<u8> = words.chain(packet).collect();
    let file = folder.join("<img src=x onerror=alert(1)>.pcap");
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn payload_and_names_stay_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = hostile(folder.path());
    let page = page(folder.path(), &[], &[file]);
    assert!(!page.contains("<img"), "{page}");
    assert_eq!(page.matches("</script>").count(), 2);
    let data = data(&page);
    let head = data["paths"]["rows"][0][9].as_str().unwrap();
    assert!(head.contains("</script><img/src=x"), "{head}");
    let node = data["nodes"][0].as_str().unwrap();
    assert!(node.contains("<img src=x onerror=alert(1)>"), "{node}");
}

#[test]
fn file_is_private_and_never_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    page(folder.path(), &[], &recordings());
    let file = folder.path().join("report.html");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(&file, "mine").unwrap();
    let output = report(folder.path(), &["-o", "report.html"], &recordings());
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn sample_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["-o", "-", "--paths", "3"];
    let output = report(folder.path(), &options, &recordings());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the report has 3 of "), "{error}");
    let page = String::from_utf8(output.stdout).unwrap();
    assert_eq!(data(&page)["paths"]["rows"].as_array().unwrap().len(), 3);
}

#[test]
fn mistakes_name_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let missing = [folder.path().join("missing.pcapng")];
    for (options, files, words) in [
        (&["-o", "."][..], &recordings()[..], "-o ./report.html"),
        (&["-o", "a/b.html"], &recordings(), "a"),
        (&[], &recordings(), "--write report.html"),
        (&["-o", "x.html"], &missing, "missing.pcapng"),
        (
            &["-o", "x.html", "--paths", "1e9"],
            &recordings(),
            "0 to 100000",
        ),
    ] {
        let output = report(folder.path(), options, files);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?} {error}");
        assert!(error.contains(words), "{options:?} {error}");
        assert!(!folder.path().join("x.html").exists(), "{options:?}");
    }
}
