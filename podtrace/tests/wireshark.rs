//! What Wireshark meets: `podtrace extcap`, called as Wireshark calls it, and podtrace.lua.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder for extcap with a link to podtrace.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("podtrace-extcap");
        symlink(env!("CARGO_BIN_EXE_podtrace"), link).unwrap();
        Self(folder)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.0.path().join("podtrace-extcap"));
        command.args(args).output().unwrap()
    }

    /// What it prints, if it succeeds without a word on standard error.
    #[track_caller]
    fn answer(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains about.
    #[track_caller]
    fn refusal(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn lists_answer_as_wireshark_asks() {
    let folder = Folder::new();
    let interfaces = folder.answer(&["--extcap-interfaces", "--extcap-version=4.0"]);
    assert!(interfaces.starts_with("extcap {version="), "{interfaces}");
    assert!(
        interfaces.contains("\ninterface {value=podtrace}"),
        "{interfaces}"
    );
    let layers = folder.answer(&["--extcap-dlts", "--extcap-interface", "podtrace"]);
    assert!(layers.starts_with("dlt {number=1}"), "{layers}");
    let options = folder.answer(&["--extcap-config", "--extcap-interface", "podtrace"]);
    assert!(options.lines().count() > 10, "{options}");
    for line in options.lines() {
        assert!(
            line.starts_with("arg {number=") || line.starts_with("value {arg="),
            "{line}"
        );
    }
    let reload = ["--extcap-reload-option", "--pod"];
    let asked = ["--extcap-interface", "podtrace", "--extcap-config"];
    let pods = folder.answer(&[&asked[..], &reload].concat());
    assert!(pods.starts_with("value {arg=0}{value=}"), "{pods}");
    assert!(
        folder
            .refusal(&["--extcap-dlts", "--extcap-interface", "eth0"])
            .contains("there is podtrace")
    );
}

/// Wireshark takes each word of the output for a mistake.
#[test]
fn filters_are_checked() {
    let folder = Folder::new();
    let check = |filter: &str| {
        folder.answer(&[
            "--extcap-capture-filter",
            filter,
            "--extcap-interface",
            "podtrace",
        ])
    };
    assert_eq!(check("tcp port 80"), "");
    assert_eq!(check("tcp prot 80").lines().count(), 1);
}

#[test]
fn capture_says_what_is_missing() {
    let folder = Folder::new();
    let asked = ["--capture", "--extcap-interface", "podtrace"];
    assert!(folder.refusal(&asked).contains("--fifo"));
    let file = folder.0.path().join("file");
    fs::write(&file, "kept").unwrap();
    let fifo = ["--fifo", file.to_str().unwrap()];
    let refusal = folder.refusal(&[&asked[..], &fifo].concat());
    assert!(refusal.contains("is no fifo"), "{refusal}");
    assert_eq!(fs::read(&file).unwrap(), b"kept");
}

/// Runs tshark; nothing where there is none.
fn tshark(command: &mut Command) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let Ok(output) = command.env("HOME", home.path()).output() else {
        eprintln!("there is no tshark: its part is skipped");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tshark_lists_the_interface() {
    let folder = Folder::new();
    let mut command = Command::new("tshark");
    command
        .arg("-D")
        .env("WIRESHARK_EXTCAP_DIR", folder.0.path());
    match tshark(&mut command) {
        Some(list) if list.contains(". podtrace (") => {}
        // An end-to-end case puts podtrace there.
        Some(_) => eprintln!("this tshark looks in the folder of all users alone"),
        None => {}
    }
}

fn crate_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The fields of podtrace.lua for each packet of a recording.
fn fields(recording: &Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut script = OsString::from("lua_script:");
    script.push(crate_file("deploy/wireshark/podtrace.lua"));
    let mut command = Command::new("tshark");
    command.arg("-X").arg(script);
    command
        .arg("-r")
        .arg(recording)
        .args(["-n", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let text = tshark(&mut command)?;
    let rows = text.lines();
    Some(
        rows.map(|row| row.split('\t').map(str::to_owned).collect())
            .collect(),
    )
}

#[test]
fn fields_tell_packets_hops_and_places() {
    let names = [
        "frame.packet_id",
        "podtrace.packet",
        "podtrace.hop",
        "podtrace.elapsed",
        "podtrace.previous",
        "podtrace.place",
        "podtrace.pod",
        "podtrace.peer",
    ];
    let Some(rows) = fields(&crate_file("tests/docs/worker1.pcapng"), &names) else {
        return;
    };
    assert!(rows.len() > 100);
    for (number, row) in (1..).zip(&rows) {
        assert_eq!(row[0], row[1]);
        let before = rows[..number].iter().filter(|other| other[1] == row[1]);
        assert_eq!(row[2], before.count().to_string(), "{row:?}");
        assert_eq!(row[2] == "1", row[4].is_empty(), "{row:?}");
    }
    let expected = [
        ["default/client eth0 egress", "default/client", ""],
        ["worker1 veth0101 ingress", "", "default/client"],
        ["worker1 cni0 ingress", "", ""],
        ["worker1 flannel.1 egress", "", ""],
        ["worker1 eth0 egress", "", ""],
    ];
    let request = rows.iter().filter(|row| row[1] == "5");
    let request: Vec<_> = request.map(|row| &row[5..]).collect();
    assert_eq!(request, expected);
}

/// A pcap of one empty Ethernet frame.
fn other_capture() -> Vec<u8> {
    let words: [u32; 10] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1, 1, 0, 14, 14];
    let header = words.iter().flat_map(|word| word.to_le_bytes());
    header.chain([0; 14]).collect()
}

#[test]
fn captures_of_other_tools_have_no_fields() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.pcap");
    fs::write(&file, other_capture()).unwrap();
    if let Some(rows) = fields(&file, &["frame.number", "podtrace.packet"]) {
        assert_eq!(rows, [["1", ""]]);
    }
}
