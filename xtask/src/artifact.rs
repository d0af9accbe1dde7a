//! Builds artifacts, and takes their paths from cargo's messages.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    cmd::{Workspace, output, run},
    setup,
};

/// Makes cargo print its messages as JSON on stdout, its diagnostics readable on stderr.
const JSON: &str = "--message-format=json-render-diagnostics";

/// Links a program to libc statically: for nodes whose libc is older, and places without one.
/// Only the program itself is compiled with it, so it shares all crates with other builds.
const STATIC: &str = "-Ctarget-feature=+crt-static";

/// Makes the linker write relocations in a form that takes a tenth of the room. A static program
/// applies them itself: glibc from 2.36 on.
const PACKED: &str = "-Clink-arg=-Wl,-z,pack-relative-relocs";

/// What GNU ld leaves out of the program, beside what nothing refers to. rust-lld, which rustc
/// takes on x86_64, cannot leave a section out of some files alone.
const LEFT_OUT: &str = "xtask/src/dist/no-unwind.ld";
const GNU_LINKER: &str = "-Clinker-features=-lld";

/// What is put together of all crates is built for size: each function keeps the level of its crate,
/// and a replay takes no longer.
const TOGETHER: &str = "-Copt-level=z";

/// Leaves out the same of C code; and of zstd how it compresses at levels from 3 on, as podtrace
/// compresses at level 1.
const C_FLAGS: &str = "-fno-asynchronous-unwind-tables \
    -DZSTD_EXCLUDE_DFAST_BLOCK_COMPRESSOR -DZSTD_EXCLUDE_GREEDY_BLOCK_COMPRESSOR \
    -DZSTD_EXCLUDE_LAZY_BLOCK_COMPRESSOR -DZSTD_EXCLUDE_LAZY2_BLOCK_COMPRESSOR \
    -DZSTD_EXCLUDE_BTLAZY2_BLOCK_COMPRESSOR -DZSTD_EXCLUDE_BTOPT_BLOCK_COMPRESSOR \
    -DZSTD_EXCLUDE_BTULTRA_BLOCK_COMPRESSOR";

/// The settings of the fuzz targets that differ from the release profile.
const QUICK: &str = ".cargo/quick.toml";

/// Builds podtrace in release mode, linked statically as for distribution; returns the binary.
pub(crate) fn podtrace(workspace: &Workspace) -> Result<PathBuf> {
    let build = ["rustc", "--release", "-p", "podtrace", "--bin", "podtrace"];
    binary(
        workspace,
        "podtrace",
        &[&build[..], &[JSON, "--", STATIC]].concat(),
    )
}

/// Builds podtrace for a first look: unoptimised, and without rarely needed features, in less than
/// half the time of a release build. Returns the binary.
pub(crate) fn quick_podtrace(workspace: &Workspace) -> Result<PathBuf> {
    let build = ["build", "-p", "podtrace", "--bins", "--no-default-features"];
    binary(workspace, "podtrace", &[&build[..], &[JSON]].concat())
}

/// Builds podtrace for distribution, with these flags of rustc; returns the binary.
pub(crate) fn dist(workspace: &Workspace, flags: &OsStr) -> Result<PathBuf> {
    let mut cargo = dist_cargo(workspace, flags)?;
    cargo.arg("--").args(dist_link(workspace));
    if cfg!(target_arch = "x86_64") {
        cargo.arg(GNU_LINKER);
    }
    named("podtrace", executables_of(cargo)?)
}

/// The same for arm64.
pub(crate) fn dist_for_arm64(workspace: &Workspace, flags: &OsStr) -> Result<PathBuf> {
    setup::for_arm64(workspace)?;
    let mut libpcap = OsString::from("-Lnative=");
    libpcap.push(setup::libpcap_for_arm64(workspace)?);
    let mut cargo = dist_cargo(workspace, flags)?;
    cargo.env(setup::ARM64_LINKER_VARIABLE, setup::ARM64_LINKER);
    cargo.args(["--target", setup::ARM64]);
    cargo.arg("--").args(dist_link(workspace)).arg(libpcap);
    named("podtrace", executables_of(cargo)?)
}

fn dist_cargo(workspace: &Workspace, flags: &OsStr) -> Result<Command> {
    let mut cargo = workspace.cargo()?;
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
    cargo.env("CFLAGS", C_FLAGS);
    let build = ["rustc", "--profile", "dist", "-p", "podtrace"];
    cargo.args(build).args(["--bin", "podtrace", JSON]);
    Ok(cargo)
}

/// How the program is linked.
fn dist_link(workspace: &Workspace) -> [OsString; 4] {
    let mut left_out = OsString::from("-Clink-arg=-Wl,-T,");
    left_out.push(workspace.root().join(LEFT_OUT));
    [STATIC.into(), PACKED.into(), TOGETHER.into(), left_out]
}

/// Builds the benchmark in release mode, as it floods; returns the binary.
pub(crate) fn bench(workspace: &Workspace) -> Result<PathBuf> {
    let build = ["build", "--release", "-p", "podtrace-tests"];
    binary(
        workspace,
        "bench",
        &[&build[..], &["--bin", "bench", JSON]].concat(),
    )
}

/// Builds the benchmark of the pipeline's stages; returns the binary.
pub(crate) fn stages(workspace: &Workspace) -> Result<PathBuf> {
    let args = [
        "build",
        "--release",
        "-p",
        "podtrace",
        "--bench",
        "stages",
        JSON,
    ];
    // Cargo adds a hash to its name.
    let is_it = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("stages-"))
    };
    let mut built = executables(workspace.cargo()?, &args)?.into_iter();
    built.find(is_it).context("cargo built no stages")
}

/// Builds the fuzz targets, with podtrace's own crates instrumented; returns the program. A short run
/// takes less time than optimising for it.
pub(crate) fn fuzz(workspace: &Workspace, is_short: bool) -> Result<PathBuf> {
    let name = "podtrace-fuzz";
    let build = ["build", "--release", "-p", name, "--features", "libfuzzer"];
    let mut command = workspace.cargo()?;
    command.args(build).args(["--config", QUICK, JSON]);
    if is_short {
        command.args(["--config", "profile.release.package.podtrace.opt-level=0"]);
    }
    command.env("AYA_BUILD_SKIP", "1").env(
        "RUSTC_WORKSPACE_WRAPPER",
        workspace.root().join("podtrace/fuzz/rustc.sh"),
    );
    named(name, executables_of(command)?)
}

/// The programs that the end-to-end tests run in addition to podtrace.
pub(crate) struct LabPrograms {
    /// PID 1 of a node of the CRI lab.
    pub(crate) node: PathBuf,
    /// The program in its containers.
    pub(crate) peer: PathBuf,
}

/// Builds the programs of the CRI lab.
pub(crate) fn lab_programs(workspace: &Workspace) -> Result<LabPrograms> {
    let node = "lab-node";
    let build = ["build", "-p", "podtrace-tests", "--bin", node, JSON];
    Ok(LabPrograms {
        node: named(node, executables(workspace.tests_cargo()?, &build)?)?,
        peer: static_binary(workspace, "lab-peer")?,
    })
}

/// Builds PID 1 of the virtual machines; returns the binary.
pub(crate) fn vm_init(workspace: &Workspace) -> Result<PathBuf> {
    static_binary(workspace, "vm-init")
}

/// Links a program of the tests statically and without symbols.
fn static_binary(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let program = ["rustc", "-p", "podtrace-tests", "--bin", name, JSON];
    let link = ["--", STATIC, "-Cstrip=symbols"];
    let built = executables(workspace.tests_cargo()?, &[&program[..], &link].concat())?;
    named(name, built)
}

/// Builds all tests, benches and binaries without running them.
pub(crate) fn all_tests(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.tests_cargo()?;
    run(cargo.args(["test", "--workspace", "--all-targets", "--no-run"]))
}

/// Tests podtrace without its default features and with the others, unoptimised: one build for both,
/// no code depends on a feature of either kind at once. It shares all crates with the other tests.
pub(crate) fn other_features(workspace: &Workspace) -> Result<Command> {
    let mut cargo = workspace.tests_cargo()?;
    cargo.envs(setup::python(workspace).map(|python| ("PODTRACE_PYARROW", python)));
    cargo.args(["test", "-p", "podtrace"]);
    cargo.args(["--test", "mcp", "--test", "queue", "--test", "lake"]);
    cargo.args(["--no-default-features", "--features", "cluster"]);
    Ok(cargo)
}

/// Builds the end-to-end tests without running them; returns their binary.
pub(crate) fn root_tests(workspace: &Workspace) -> Result<PathBuf> {
    let build = ["test", "-p", "podtrace-tests", "--no-run", JSON];
    let tests = executables(workspace.tests_cargo()?, &build)?;
    let [tests] = <[_; 1]>::try_from(tests)
        .map_err(|tests| anyhow!("cargo built not one test binary, but {}", tests.len()))?;
    Ok(tests)
}

/// Runs cargo and returns the binary of this name among those it built.
fn binary(workspace: &Workspace, name: &str, args: &[&str]) -> Result<PathBuf> {
    named(name, executables(workspace.cargo()?, args)?)
}

fn named(name: &str, built: Vec<PathBuf>) -> Result<PathBuf> {
    built
        .into_iter()
        .find(|path| path.file_name() == Some(name.as_ref()))
        .with_context(|| format!("cargo built no {name} binary"))
}

/// Runs cargo with these arguments; returns the executables that it built.
fn executables(mut cargo: Command, args: &[&str]) -> Result<Vec<PathBuf>> {
    cargo.args(args);
    executables_of(cargo)
}

/// Runs a cargo command that prints [`JSON`].
fn executables_of(mut command: Command) -> Result<Vec<PathBuf>> {
    let messages = output(command.stderr(Stdio::inherit()))?;
    let paths: Vec<_> = messages.lines().filter_map(executable).collect();
    // A wrong path would show up much later, as an unrelated error.
    if let Some(missing) = paths.iter().find(|path| !path.is_file()) {
        bail!("cargo named {}, which is not there", missing.display());
    }
    Ok(paths)
}

/// The path in cargo's artifact message, if the artifact is an executable.
///
/// One field of one known message does not justify a dependency on a JSON parser; this has to
/// handle only the escapes of a string.
fn executable(message: &str) -> Option<PathBuf> {
    if !message.starts_with(r#"{"reason":"compiler-artifact""#) {
        return None;
    }
    let (_before, value) = message.split_once(r#","executable":""#)?;
    let mut path = String::new();
    let mut chars = value.chars();
    loop {
        match chars.next()? {
            '"' => return Some(Path::new(&path).to_path_buf()),
            '\\' => path.push(chars.next()?),
            other => path.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_read_from_artifacts_only() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"a"},"executable":"/x/a \"b\"","fresh":true}"#;
        assert_eq!(executable(line), Some(PathBuf::from(r#"/x/a "b""#)));
        let lib = r#"{"reason":"compiler-artifact","executable":null,"fresh":true}"#;
        assert_eq!(executable(lib), None);
        let other = r#"{"reason":"build-finished","success":true,"executable":"/x"}"#;
        assert_eq!(executable(other), None);
    }
}
