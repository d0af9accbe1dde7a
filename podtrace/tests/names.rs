//! Errors and notices name a path by all its bytes, and hand none of them to the terminal.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    process::Command,
};

/// A name that is not UTF-8, with an escape sequence and a line break.
const NAME: &[u8] = b"a\xff\x1b[31m\nb";
const SHOWN: &str = r"a\xff\x1b[31m\nb";
const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/tests/data/before-0.2.pcapng"
);

/// What podtrace says on standard error where it is run in a directory.
fn output_of(directory: &OsStr, words: &[&OsStr]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podtrace"));
    let output = command.current_dir(directory).args(words).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

fn check(directory: &OsStr, words: &str) {
    let words: Vec<_> = words
        .split(' ')
        .map(|word| match word {
            "NAME" => OsString::from_vec(NAME.to_vec()),
            "NAME/x" => OsString::from_vec([NAME, b"/x"].concat()),
            "RECORDED" => RECORDED.into(),
            _ => word.into(),
        })
        .collect();
    let words: Vec<_> = words.iter().map(OsString::as_os_str).collect();
    let text = output_of(directory, &words);
    assert!(text.contains(SHOWN), "{words:?}: {text:?}");
    assert!(
        !text.contains(['\u{fffd}', '\u{1b}']),
        "{words:?}: {text:?}"
    );
}

/// Commands that read, with a name that is not there, and those that write below it.
#[test]
fn missing_path_is_named_in_full() {
    let directory = tempfile::tempdir().unwrap();
    for words in [
        "NAME",
        "replay NAME",
        "stats NAME",
        "topology NAME",
        "export --format csv NAME",
        "export --format csv -w NAME/x RECORDED",
        "export --format json -w NAME/x RECORDED",
        "export --format parquet -w NAME/x RECORDED",
        "export --format pcapng -w NAME/x RECORDED",
    ] {
        check(directory.path().as_os_str(), words);
    }
}

#[test]
fn path_of_wrong_kind_is_named_in_full() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(OsStr::from_bytes(NAME)), "text").unwrap();
    for words in [
        "replay NAME",
        "replay .",
        "replay RECORDED NAME",
        "replay NAME NAME",
        "stats .",
        "topology NAME",
        "export --format csv -w NAME RECORDED",
        "export --format pcapng -w NAME RECORDED",
        "export --format pcapng -w NAME/x RECORDED",
    ] {
        check(directory.path().as_os_str(), words);
    }
}
