//! The packages, of the podtrace that all cases run: installed where there is nothing else, and
//! removed.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Statically linked, as a root has no library.
const BUSYBOX: &str = "/bin/busybox";
/// What of it the packages' scripts and the package managers take.
const APPLETS: [&str; 3] = ["sh", "rm", "true"];
/// What a package installs, beside the pages of commands.
const INSTALLED: [&str; 10] = [
    "etc/podtrace/agent.toml",
    "etc/podtrace/recorder.toml",
    "usr/bin/podtrace",
    "usr/lib/systemd/system/podtrace-agent.service",
    "usr/lib/systemd/system/podtrace-recorder.service",
    "usr/share/bash-completion/completions/podtrace",
    "usr/share/doc/podtrace/copyright",
    "usr/share/doc/podtrace/notices.txt.gz",
    "usr/share/fish/vendor_completions.d/podtrace.fish",
    "usr/share/man/man1/podtrace-trace.1.gz",
];

/// The package of this kind. In a virtual machine there is none: no package depends on a kernel.
fn package(end: &str) -> Option<PathBuf> {
    let Some(folder) = env::var_os("PODTRACE_PACKAGES") else {
        println!("skipped: PODTRACE_PACKAGES names no folder of packages");
        return None;
    };
    let found = fs::read_dir(folder).unwrap();
    let mut found = found.map(|entry| entry.unwrap().path());
    let of_kind = found.find(|path| path.to_str().is_some_and(|path| path.ends_with(end)));
    assert!(of_kind.is_some(), "no {end}");
    of_kind
}

/// A root without a libc, in which a package is installed.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        for folder in ["bin", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
        let busybox = root.path().join("bin/busybox");
        fs::copy(BUSYBOX, busybox).unwrap();
        for applet in APPLETS {
            symlink("busybox", root.path().join("bin").join(applet)).unwrap();
        }
        Self(root)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// All files and folders, but those of the package managers.
    fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                let inside = path.strip_prefix(self.path()).unwrap().to_str().unwrap();
                if inside.starts_with("var/lib/dpkg") || inside.starts_with("var/lib/rpm") {
                    continue;
                }
                found.insert(inside.to_owned());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                }
            }
        }
        found
    }

    #[track_caller]
    fn dpkg(&self, args: &[&str]) {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.path().display()));
        // The root has none of the programs that dpkg looks for.
        done(
            dpkg.args(["--force-bad-path", "--force-not-root"])
                .args(args),
        );
    }

    #[track_caller]
    fn rpm(&self, args: &[&str]) {
        done(
            Command::new("rpm")
                .arg("--root")
                .arg(self.path())
                .args(args),
        );
    }

    fn podtrace(&self, args: &[&str]) -> Output {
        let mut command = Command::new("chroot");
        command.arg(self.path()).arg("/usr/bin/podtrace");
        command.args(args).output().unwrap()
    }
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn assert_installed(root: &Root, zsh: &str) {
    let files = root.files();
    for path in INSTALLED.iter().chain([&zsh]) {
        assert!(files.contains(*path), "{path} is not in {files:#?}");
    }
    let version = root.podtrace(&["--version"]);
    assert!(version.status.success(), "{version:?}");
    // It has no /proc and no /sys: it says so, and does not fail.
    let doctor = root.podtrace(&["doctor"]);
    assert!(matches!(doctor.status.code(), Some(0 | 1)), "{doctor:?}");
    // Names of services are looked up without a module of libc.
    fs::write(
        root.path().join("etc/nsswitch.conf"),
        "services: db files\n",
    )
    .unwrap();
    fs::write(root.path().join("etc/services"), "http 80/tcp\n").unwrap();
    fs::copy(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../podtrace/tests/docs/worker1.pcapng"
        ),
        root.path().join("x.pcapng"),
    )
    .unwrap();
    let filtered = root.podtrace(&["replay", "x.pcapng", "--", "tcp port http"]);
    assert!(filtered.status.success(), "{filtered:?}");
    for file in ["etc/nsswitch.conf", "etc/services", "x.pcapng"] {
        fs::remove_file(root.path().join(file)).unwrap();
    }
}

/// Whether systemd takes the units, where there is one.
#[track_caller]
fn assert_units_are_right(root: &Root) {
    for name in ["podtrace-agent", "podtrace-recorder"] {
        assert_unit_is_right(root, name);
    }
}

#[track_caller]
fn assert_unit_is_right(root: &Root, name: &str) {
    let mut verify = Command::new("systemd-analyze");
    let unit = format!("usr/lib/systemd/system/{name}.service");
    let unit = root.path().join(unit);
    let Ok(output) = verify.args(["verify", "--man=no"]).arg(&unit).output() else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // The program is not in the root of the machine.
    let about = said.lines().filter(|line| line.contains(name));
    let wrong: Vec<_> = about
        .filter(|line| !line.contains("is not executable"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn debian_package_is_installed_and_purged() {
    let Some(deb) = package(".deb") else {
        return;
    };
    let root = Root::new();
    let before = root.files();
    root.dpkg(&["--install", deb.to_str().unwrap()]);
    assert_installed(&root, "usr/share/zsh/vendor-completions/_podtrace");
    assert_units_are_right(&root);

    // A recording, and a configuration that was changed: both stay until the purge.
    fs::create_dir_all(root.path().join("var/log/podtrace")).unwrap();
    fs::write(root.path().join("var/log/podtrace/x.pcapng"), "").unwrap();
    fs::write(root.path().join("etc/podtrace/recorder.toml"), "[record]\n").unwrap();
    root.dpkg(&["--remove", "podtrace"]);
    let left = root.files();
    assert!(!left.contains("usr/bin/podtrace"), "{left:?}");
    assert!(left.contains("etc/podtrace/recorder.toml"), "{left:?}");
    assert!(left.contains("var/log/podtrace/x.pcapng"), "{left:?}");

    root.dpkg(&["--purge", "podtrace"]);
    let left = root.files();
    let more: Vec<_> = left.difference(&before).collect();
    assert_eq!(more, ["var/log"]);
}

#[test]
fn rpm_is_whole_and_is_installed_and_removed() {
    let Some(rpm) = package(".rpm") else {
        return;
    };
    let rpm = rpm.to_str().unwrap();
    done(Command::new("rpm").args(["--checksig", rpm]));
    let root = Root::new();
    let before = root.files();
    // The shell of its scripts is no package of this root.
    root.rpm(&["--install", "--nodeps", rpm]);
    assert_installed(&root, "usr/share/zsh/site-functions/_podtrace");
    root.rpm(&["--verify", "--nodeps", "podtrace"]);
    root.rpm(&["--erase", "podtrace"]);
    let more: Vec<_> = root.files().difference(&before).cloned().collect();
    let own: Vec<_> = more
        .iter()
        .filter(|path| path.contains("podtrace"))
        .collect();
    assert!(own.is_empty(), "{own:?}");
}

#[test]
fn image_is_one_that_tools_read() {
    let Some(image) = package(".oci.tar") else {
        return;
    };
    let image = format!("oci-archive:{}", image.display());
    let said = done(Command::new("skopeo").args(["inspect", &image]));
    assert!(said.contains("org.opencontainers.image.version"), "{said}");
    // Copying compares each blob with its checksum.
    let copy = TempDir::new().unwrap();
    let to = format!("dir:{}", copy.path().display());
    done(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &image, &to]));
}
