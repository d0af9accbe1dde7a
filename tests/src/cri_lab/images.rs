//! The lab's images, built without a registry: one docker-archive with both.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// The sandbox's image: its program only waits.
pub(super) const PAUSE: &str = "podtrace.test/pause:1";
/// The containers' image: busybox and `lab-peer`.
pub(super) const BOX: &str = "podtrace.test/box:1";
/// The path of `lab-peer` in both.
pub(super) const PEER: &str = "/lab-peer";

const BUSYBOX: &str = "/bin/busybox";
/// The names of busybox in the box image.
const APPLETS: &[&str] = &[
    "cat", "echo", "false", "grep", "hostname", "id", "ip", "kill", "ls", "nc", "ping", "ps", "sh",
    "sleep", "test", "true", "wget",
];

/// Writes the archive. It is built once per process.
pub(super) fn write(to: &Path) -> Result<()> {
    static ARCHIVE: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| archive().map_err(|error| format!("{error:#}")));
    let archive = archive.as_ref().map_err(|error| anyhow!("{error}"))?;
    fs::write(to, archive).with_context(|| format!("write {}", to.display()))
}

fn archive() -> Result<Vec<u8>> {
    let peer = read_static(super::init::program("PODTRACE_LAB_PEER", "lab-peer")?)?;
    let busybox = read_static(BUSYBOX)?;
    let pause = Layer::new()?.file(PEER, 0o755, &peer)?.finish()?;
    let mut layer = Layer::new()?
        .file(PEER, 0o755, &peer)?
        .file("/bin/busybox", 0o755, &busybox)?
        .file("/etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")?;
    for applet in APPLETS {
        layer = layer.link(&format!("/bin/{applet}"), "busybox")?;
    }
    bundle(&[(PAUSE, pause), (BOX, layer.finish()?)])
}

/// A program that an image without libraries can run.
fn read_static(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let program = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(
        !has_interpreter(&program),
        "{} is not linked statically: nothing in the image could load it \
         (`cargo xtask test` sees to it)",
        path.display()
    );
    Ok(program)
}

/// Whether an ELF file requires a dynamic loader, judged by the loader's name: good enough for
/// an error message.
fn has_interpreter(elf: &[u8]) -> bool {
    let head = elf.get(..4096).unwrap_or(elf);
    head.windows(7).any(|bytes| bytes == b"/ld-lin")
}

/// A layer being built.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> io::Result<Self> {
        let mut layer = Self(Builder::new(Vec::new()));
        for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            let mut header = header(EntryType::Directory, 0o755, 0);
            layer.0.append_data(&mut header, dir, io::empty())?;
        }
        Ok(layer)
    }

    fn file(mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<Self> {
        append(&mut self.0, path.trim_start_matches('/'), mode, content)?;
        Ok(self)
    }

    fn link(mut self, path: &str, target: &str) -> io::Result<Self> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        let path = path.trim_start_matches('/');
        self.0.append_link(&mut header, path, target)?;
        Ok(self)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner()
    }
}

/// Images of one layer each, in the format of `docker save`.
fn bundle(images: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let mut manifest = Vec::new();
    for (tag, layer) in images {
        let digest = hex(layer);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": { "Env": ["PATH=/bin"], "Entrypoint": [PEER, "pause"], "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
            "history": [{ "created": "1970-01-01T00:00:00Z" }],
        });
        let config = serde_json::to_vec(&config)?;
        let (config_name, layer_name) = (format!("{}.json", hex(&config)), format!("{digest}.tar"));
        append(&mut archive, &layer_name, 0o644, layer)?;
        append(&mut archive, &config_name, 0o644, &config)?;
        manifest.push(json!({ "Config": config_name, "RepoTags": [tag], "Layers": [layer_name] }));
    }
    let manifest = serde_json::to_vec(&manifest)?;
    append(&mut archive, "manifest.json", 0o644, &manifest)?;
    Ok(archive.into_inner()?)
}

fn append(to: &mut Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = content.len() as u64;
    to.append_data(&mut header(EntryType::Regular, mode, size), path, content)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

/// The machine's architecture in Go's spelling.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
