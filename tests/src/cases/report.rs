//! The page of `podtrace report` in a browser: at a desk and in a hand, by pointer and by keys.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::browser::Browser;
use super::tracer::podtrace;

/// Recordings of two nodes.
const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../podtrace/tests/docs");
/// What a file is called whose name would be a picture.
const HOSTILE: &str = "<img src=x onerror=alert(1)>.pcap";

/// The page of files in a directory.
#[track_caller]
fn page(folder: &Path, options: &[&str], files: &[PathBuf]) -> PathBuf {
    let page = folder.join("report.html");
    let mut command = podtrace();
    command.args(["report", "--force", "-o"]).arg(&page);
    let output = command.args(options).args(files).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    page
}

/// A capture of pings, whose node is named by the file.
fn pings(file: &Path, count: u16) {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let mut bytes = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1]);
    for number in 0..count {
        let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28];
        packet.extend(number.to_be_bytes());
        packet.extend([
            0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 8, 0, 0, 0, 0, 7,
        ]);
        packet.extend(number.to_be_bytes());
        let len = u32::try_from(packet.len()).unwrap();
        let second = 1_700_000_000 + u32::from(number) / 100;
        bytes.extend(words(&[second, u32::from(number) % 100 * 10_000, len, len]));
        bytes.extend(packet);
    }
    fs::write(file, bytes).unwrap();
}

#[track_caller]
fn assert_quiet(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn page_fits_and_does_not_complain() {
    let folder = TempDir::new().unwrap();
    let page = page(folder.path(), &[], &[RECORDINGS.into()]);
    let mut browser = Browser::start();
    for (width, colours) in [
        (1280, "light"),
        (1280, "dark"),
        (390, "light"),
        (390, "dark"),
    ] {
        browser.look(width, 844, colours);
        browser.open(&page);
        assert_eq!(
            browser.value("document.documentElement.dataset.ready"),
            "true"
        );
        let beyond = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(
            beyond.as_i64() <= Some(0),
            "{width}: {beyond} pixels beyond"
        );
        for shown in [
            ".tile",
            "#picture svg rect.pod",
            "#flows tbody tr",
            "#latency .heat rect",
            ".row",
        ] {
            let count = browser.value(&format!("document.querySelectorAll('{shown}').length"));
            assert!(count.as_u64() > Some(0), "{width}: {shown}");
        }
        // A picture of one colour would be a tenth of it.
        let picture = browser.picture();
        assert!(
            picture.len() > 20_000,
            "{width} {colours}: {}",
            picture.len()
        );
        assert_quiet(&browser);
    }
}

#[test]
fn paths_are_searched_and_opened_by_keys() {
    let folder = TempDir::new().unwrap();
    let page = page(folder.path(), &[], &[RECORDINGS.into()]);
    let mut browser = Browser::start();
    browser.look(1280, 844, "light");
    browser.open(&page);
    browser.press("/");
    for key in "icmp echo -reply".chars() {
        browser.press(&key.to_string());
    }
    let rows = "[...document.querySelectorAll('.row .what')].map((row) => row.textContent)";
    let found = browser.value(rows);
    let found: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row.as_str())
        .collect();
    assert!(!found.is_empty());
    assert!(
        found.iter().all(|row| row.starts_with("ICMP echo request")),
        "{found:?}"
    );
    browser.press("Enter");
    browser.press("Enter");
    let road = "document.querySelector('.road:not([hidden]) .hops')?.children.length ?? 0";
    assert!(browser.value(road).as_u64() > Some(5));
    assert_eq!(browser.value("location.hash.slice(0, 2)"), "#p");
    browser.press("Escape");
    assert_eq!(browser.value(road), 0);
    assert_quiet(&browser);
}

#[test]
fn many_paths_take_few_elements() {
    let folder = TempDir::new().unwrap();
    let capture = folder.path().join("many.pcap");
    pings(&capture, 10_000);
    let page = page(folder.path(), &[], &[capture]);
    let size = fs::metadata(&page).unwrap().len();
    assert!(size < 10_000_000, "{size} bytes");
    let mut browser = Browser::start();
    browser.look(1280, 844, "light");
    browser.open(&page);
    let list = "document.querySelector('.list')";
    for to in ["0", "1e5", "1e9"] {
        let scrolled = format!(
            "{list}.scrollTop = {to}; new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(document.querySelectorAll('.row').length))))"
        );
        let rows = browser.value(&scrolled).as_u64().unwrap();
        assert!((20..60).contains(&rows), "{to}: {rows}");
    }
    let last = browser.value("document.querySelector('.room').lastElementChild.textContent");
    assert!(last.as_str().unwrap().contains("seq 9999"), "{last}");
    assert_quiet(&browser);
}

#[test]
fn names_are_no_elements() {
    let folder = TempDir::new().unwrap();
    let capture = folder.path().join(HOSTILE);
    pings(&capture, 3);
    let page = page(folder.path(), &[], &[capture]);
    let mut browser = Browser::start();
    browser.look(1280, 844, "light");
    browser.open(&page);
    assert_eq!(browser.value("document.images.length"), 0);
    let shown = browser.value("document.getElementById('of').textContent");
    assert!(shown.as_str().unwrap().contains("<img src=x"), "{shown}");
    assert_quiet(&browser);
}

/// What stands in the page and is not its own does not run.
#[test]
fn policy_refuses_other_scripts() {
    let folder = TempDir::new().unwrap();
    let page = page(folder.path(), &[], &[RECORDINGS.into()]);
    let text = fs::read_to_string(&page).unwrap();
    let planted = "<script>document.title = 'planted'</script><img src=x onerror=\"document.title = 'planted'\">";
    fs::write(&page, text.replace("<main>", &format!("<main>{planted}"))).unwrap();
    let mut browser = Browser::start();
    browser.look(1280, 844, "light");
    browser.open(&page);
    let title = browser.value("document.title");
    assert!(
        title.as_str().unwrap().starts_with("podtrace report"),
        "{title}"
    );
    assert_eq!(
        browser.value("document.documentElement.dataset.ready"),
        "true"
    );
    assert!(!browser.complaints().is_empty());
}
