//! Builds the kernel side (podtrace-ebpf) for the BPF target and leaves the
//! object, by gzip, at `$OUT_DIR/podtrace-ebpf.gz`, where podtrace embeds it from.
//!
//! The stable toolchain does this too: `RUSTC_BOOTSTRAP=1` opens
//! `-Z build-std=core` for this one nested build only.
#![expect(clippy::disallowed_methods, reason = "cargo takes paths as text")]

use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    iter,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain, build_ebpf};
use flate2::{Compression, write::GzEncoder};

/// The crate, and the object's name in `OUT_DIR`.
const KERNEL_SIDE: &str = "podtrace-ebpf";
const PACKED: &str = "podtrace-ebpf.gz";
/// Used when cargo was not started by rustup; the same as in rust-toolchain.toml.
const TOOLCHAIN: &str = "1.95.0";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto/agent.proto");
    println!("cargo:rerun-if-env-changed=AYA_BUILD_SKIP");
    tonic_prost_build::configure()
        .compile_protos(&["proto/agent.proto"], &["proto"])
        .context(
            "cannot compile the agent's protocol; if protoc is missing, run cargo xtask setup",
        )?;

    let manifest_dir = dir_from_env("CARGO_MANIFEST_DIR")?;
    let workspace = manifest_dir
        .parent()
        .context("podtrace's manifest is not inside a workspace")?;
    // The profile the object is built with stands there.
    println!(
        "cargo:rerun-if-changed={}",
        workspace.join("Cargo.toml").display()
    );

    if skipped() {
        // Enough for `include_bytes!` to compile; loading it fails at run time.
        let packed = dir_from_env("OUT_DIR")?.join(PACKED);
        fs::write(&packed, [])
            .with_context(|| format!("cannot write the empty {}", packed.display()))?;
        println!("cargo:warning=AYA_BUILD_SKIP is set: this podtrace has no kernel program");
        return Ok(());
    }

    prepare_environment(workspace)?;
    share_target(workspace)?;

    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_unset| TOOLCHAIN.to_owned());
    let root_dir = workspace.join(KERNEL_SIDE);
    let root_dir = root_dir
        .to_str()
        .context("the workspace's path is not valid UTF-8")?;
    build_ebpf(
        [Package {
            name: KERNEL_SIDE,
            root_dir,
            ..Default::default()
        }],
        Toolchain::Custom(&toolchain),
    )
    .context("cannot build the kernel side; if core or a tool is missing, run cargo xtask setup")?;
    let out_dir = dir_from_env("OUT_DIR")?;
    let object = out_dir.join(KERNEL_SIDE);
    strip(&object)?;
    pack(&object, &out_dir.join(PACKED))
}

/// Packs the object, to a fifth of its size.
fn pack(object: &Path, packed: &Path) -> Result<()> {
    let bytes = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    let write = || -> io::Result<()> {
        let mut gzip = GzEncoder::new(File::create(packed)?, Compression::best());
        gzip.write_all(&bytes)?;
        gzip.finish().map(drop)
    };
    write().with_context(|| format!("cannot write {}", packed.display()))
}

/// Leaves DWARF out of the object, four fifths of it: the kernel reads BTF, line information
/// included, and podtrace would carry the rest around.
fn strip(object: &Path) -> Result<()> {
    let rustc = env::var_os("RUSTC").context("RUSTC is not set")?;
    let printed = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .context("cannot ask rustc for its sysroot")?;
    let sysroot = String::from_utf8(printed.stdout).context("the sysroot is not UTF-8")?;
    let libraries = Path::new(sysroot.trim_end()).join("lib");
    let host = env::var("HOST").context("HOST is not set")?;
    let objcopy = libraries
        .join("rustlib")
        .join(host)
        .join("bin/rust-objcopy");
    if !objcopy.is_file() {
        // A toolchain that is not rustup's: the object works as it is.
        return Ok(());
    }
    let status = Command::new(&objcopy)
        .env("LD_LIBRARY_PATH", &libraries)
        .arg("--strip-debug")
        .arg(object)
        .status()
        .with_context(|| format!("cannot run {}", objcopy.display()))?;
    if !status.success() {
        bail!("{} failed: {status}", objcopy.display());
    }
    Ok(())
}

/// The same reading of `AYA_BUILD_SKIP` as aya-build's.
fn skipped() -> bool {
    env::var_os("AYA_BUILD_SKIP")
        .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

/// Lets the nested cargo use `-Z build-std` and find xtask's bpf-linker.
fn prepare_environment(workspace: &Path) -> Result<()> {
    let tools = workspace.join("target").join("tools").join("bin");
    let inherited = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(iter::once(tools).chain(env::split_paths(&inherited)))
        .context("cannot put xtask's tools before PATH")?;

    let linker = env::split_paths(&path)
        .map(|dir| dir.join("bpf-linker"))
        .find(|file| file.is_file());
    let Some(linker) = linker else {
        bail!("bpf-linker is missing: run cargo xtask setup");
    };
    println!("cargo:rerun-if-changed={}", linker.display());

    // SAFETY: a build script is a process of its own and this one has a single
    // thread here: build_ebpf starts its threads later.
    unsafe {
        env::set_var("PATH", path);
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // The object tells the verifier where its instructions come from, without the paths
        // of this machine. Unstable, too.
        env::set_var("CARGO_UNSTABLE_TRIM_PATHS", "true");
        env::set_var("CARGO_PROFILE_RELEASE_TRIM_PATHS", "all");
        // aya-build turns each "Compiling …" into a warning of ours; what the
        // compiler has to say still arrives.
        env::set_var("CARGO_TERM_QUIET", "true");
    }
    Ok(())
}

/// Has all builds of this workspace, whatever their profile and features, share what the
/// nested cargo compiles: the object is the same for each of them.
fn share_target(workspace: &Path) -> Result<()> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let shared = workspace.join("target").join("kernel").join(arch);
    // Where aya-build has its nested target directory.
    let link = dir_from_env("OUT_DIR")?.join("aya-build");
    let removed = if link.is_symlink() {
        fs::remove_file(&link)
    } else if link.exists() {
        fs::remove_dir_all(&link)
    } else {
        Ok(())
    };
    removed
        .and_then(|()| fs::create_dir_all(&shared))
        .and_then(|()| symlink(&shared, &link))
        .with_context(|| format!("cannot link {} to {}", link.display(), shared.display()))
}

/// A directory cargo hands to every build script.
fn dir_from_env(name: &str) -> Result<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .with_context(|| format!("{name} is not set: cargo runs this, not you"))
}
