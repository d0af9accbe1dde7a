//! `cargo xtask dist`: builds podtrace for others, and packs it.
//!
//! The same sources and tools make the same bytes: no package has a time but that of the commit,
//! or an owner but root.

mod archive;
mod content;
mod crates;
mod deb;
mod notices;
mod oci;
mod paths;
mod rpm;
mod sbom;
mod texts;
mod twice;

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use self::{
    archive::{gzip, sha256},
    content::{Content, Release},
    paths::MachinePaths,
    texts::Program,
};
use crate::{
    artifact,
    cmd::{Workspace, output, step},
};

/// What is packed, and where to.
#[derive(clap::Args)]
#[command(after_help = "\
It builds target/dist/podtrace: one file, linked statically, without a path of this machine. Then it
packs it, as podtrace-VERSION-ARCH and:
  .deb, .rpm      with manual pages, completions of bash, zsh and fish, and two services, off by
                  default: a flight recorder (podtrace-recorder.service, /etc/podtrace/recorder.toml)
                  and an agent (podtrace-agent.service, /etc/podtrace/agent.toml)
  .oci.tar        an image: skopeo copy oci-archive:FILE docker://registry/podtrace:0.1.0
  .cdx.json       the crates and libraries in it, as CycloneDX
  .notices.txt    their licences
SHA256SUMS stands beside them. The same sources and tools make the same bytes, wherever they are.

Examples:
  cargo xtask dist
  cargo xtask dist --arm64
  cargo xtask dist --twice      # the same bytes? A quarter of an hour of a CPU more
  cargo xtask dist --binary target/release/podtrace    # packs what is there, builds nothing")]
pub(crate) struct Args {
    /// Pack this podtrace instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Build for arm64, by Debian's cross compiler; it runs here by qemu, which has to print its
    /// manual
    #[arg(long, conflicts_with = "binary")]
    arm64: bool,
    /// Build the last commit once more, in a clone elsewhere and from nothing; fail unless all
    /// packages are the same
    #[arg(long, conflicts_with = "binary")]
    twice: bool,
    /// Folder to write to [default: target/packages]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Builds podtrace unless there is one, and packs it; prints names, sizes and checksums.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.twice {
        twice::begin(workspace)?;
    }
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build(workspace, args.arm64)?,
    };
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| workspace.root().join("target").join("packages"));
    pack(workspace, &binary, &out)?;
    if args.twice {
        twice::compare(workspace, args.arm64, &out)?;
    }
    Ok(())
}

/// Builds podtrace; fails if the binary contains a path of this machine.
fn build(workspace: &Workspace, for_arm64: bool) -> Result<PathBuf> {
    let machine_paths = MachinePaths::find(workspace)?;
    let binary = step("build podtrace (dist)", || {
        let flags = machine_paths.flags();
        match for_arm64 {
            true => artifact::dist_for_arm64(workspace, &flags),
            false => artifact::dist(workspace, &flags),
        }
    })?;
    let left = machine_paths.left_in(&read(&binary)?);
    if let Some(first) = left.first() {
        bail!(
            "{} holds {} paths of this machine: {first}",
            binary.display(),
            left.len()
        );
    }
    Ok(binary)
}

/// Packs a podtrace into this folder.
pub(crate) fn pack(workspace: &Workspace, binary: &Path, out: &Path) -> Result<()> {
    step("pack", || {
        let packages = packages(workspace, binary)?;
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let mut sums = String::new();
        for Made { name, bytes, mode } in &packages {
            let sum = sha256(bytes);
            println!("{:>6.1} MB  {sum}  {name}", bytes.len() as f64 / 1e6);
            sums += &format!("{sum}  {name}\n");
            write(&out.join(name), bytes, *mode)?;
        }
        write(&out.join(SUMS), sums.as_bytes(), FILE)
    })
}

/// The file with the checksums of the others.
const SUMS: &str = "SHA256SUMS";

const FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// A file that is handed to others.
struct Made {
    name: String,
    bytes: Vec<u8>,
    mode: u32,
}

/// The packages of a podtrace, and the podtrace itself.
fn packages(workspace: &Workspace, binary: &Path) -> Result<Vec<Made>> {
    let bytes = read(binary)?;
    let release = Release {
        version: env!("CARGO_PKG_VERSION"),
        machine: content::machine(&bytes)
            .with_context(|| format!("{} is no program of Linux", binary.display()))?,
        time: time(workspace)?,
    };
    let crates = crates::linked(workspace, release.machine)?;
    let notices = notices::text(workspace, &crates)?;
    let sbom = sbom::document(&release, &bytes, &crates)?;
    let program = Program {
        file: binary,
        machine: release.machine,
    };
    let content = Content::collect(workspace, &program, &bytes, &notices)?;
    let stem = format!("podtrace-{}-{}", release.version, release.machine.rust);
    let made = |end: &str, bytes: Vec<u8>, mode: u32| Made {
        name: format!("{stem}{end}"),
        bytes,
        mode,
    };
    Ok(vec![
        made(".deb", deb::package(&release, &content)?, FILE),
        made(".rpm", rpm::package(&release, &content)?, FILE),
        made(".oci.tar", oci::image(&release, &content)?, FILE),
        made(".cdx.json", sbom.into_bytes(), FILE),
        made(".notices.txt", notices.into_bytes(), FILE),
        made("", bytes, PROGRAM),
    ])
}

/// The time that files have, in seconds since 1970: that of the commit.
fn time(workspace: &Workspace) -> Result<u32> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    let text = match env::var(VARIABLE) {
        Ok(text) => text,
        Err(_unset) => {
            let mut git = Command::new("git");
            git.current_dir(workspace.root());
            output(git.args(["log", "-1", "--format=%ct"]))
                .with_context(|| format!("the time of the commit is unknown, set {VARIABLE}"))?
        }
    };
    let seconds = text.trim().parse();
    seconds.with_context(|| format!("{VARIABLE} has to be seconds since 1970, not {text}"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = fs::write(file, bytes);
    written
        .and_then(|()| fs::set_permissions(file, Permissions::from_mode(mode)))
        .with_context(|| format!("cannot write {}", file.display()))
}
