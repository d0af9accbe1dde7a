//! The root file system of a machine: programs of the host and their libraries, at the same
//! paths.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::modules::Module;
use crate::{
    cmd::{program, run, show},
    cpio::Archive,
};

/// Folders of `/usr` that have another name in `/`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
/// The path where `vm-init` finds its tasks.
const TO_DO: &str = "/vm";

/// An initramfs being made.
#[derive(Clone)]
pub(super) struct Image {
    archive: Archive,
    /// `NAME=VALUE`
    environment: Vec<String>,
}

impl Image {
    /// An image that boots to `vm-init`, which is linked statically.
    pub(super) fn new(init: &Path) -> Result<Self> {
        let mut archive = Archive::default();
        for name in MERGED {
            archive.folder(format!("/usr/{name}"));
            archive.link(format!("/{name}"), &format!("usr/{name}"));
        }
        archive.file("/init", read(init)?);
        // tcpdump becomes its user to read files.
        archive.file(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\ntcpdump:x:105:105::/:/bin/false\n",
        );
        archive.file("/etc/group", "root:x:0:\ntcpdump:x:105:\n");
        archive.file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
        archive.file("/etc/resolv.conf", "");
        let environment = ["PATH=/usr/sbin:/usr/bin", "HOME=/root"];
        Ok(Self {
            archive,
            environment: environment.map(str::to_owned).to_vec(),
        })
    }

    /// Sets a variable for every command.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.environment.push(format!("{name}={value}"));
    }

    /// Adds a program that cargo built, without its debug information, which is most of it.
    pub(super) fn built(&mut self, file: &Path, to: &str, scratch: &Path) -> Result<()> {
        let stripped = scratch.join("stripped");
        let mut strip = Command::new("strip");
        strip.args(["--strip-debug", "-o"]).arg(&stripped).arg(file);
        run(&mut strip)?;
        self.libraries(file)?;
        self.archive.file(to, read(&stripped)?);
        fs::remove_file(stripped)?;
        Ok(())
    }

    /// Adds a program of the host by its name.
    pub(super) fn program(&mut self, name: &str) -> Result<()> {
        let file = program(name).with_context(|| format!("the host has no {name}"))?;
        self.file(&file)
    }

    /// Adds a file of the host at the same path.
    pub(super) fn file(&mut self, file: &Path) -> Result<()> {
        self.libraries(file)?;
        self.archive.file(unmerged(file), read(file)?);
        Ok(())
    }

    /// Adds the libraries of a program, and the loader.
    fn libraries(&mut self, file: &Path) -> Result<()> {
        for library in libraries(file)? {
            let to = unmerged(&library);
            if !self.archive.contains(&to) {
                self.archive.file(&to, read(&library)?);
            }
        }
        Ok(())
    }

    /// Makes `vm-init` load these modules, in order.
    pub(super) fn modules(&mut self, modules: Vec<Module>) {
        let mut list = String::new();
        for Module { name, content } in modules {
            let path = format!("{TO_DO}/{name}.ko");
            list.push_str(&format!("{path}\n"));
            self.archive.file(path, content);
        }
        self.archive.file(format!("{TO_DO}/modules"), list);
    }

    /// Makes `vm-init` run these lines, and writes the image to a file.
    pub(super) fn write(mut self, commands: &[String], to: &Path) -> Result<()> {
        let lines = |lines: &[String]| {
            lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        self.archive
            .file(format!("{TO_DO}/environment"), lines(&self.environment));
        self.archive
            .file(format!("{TO_DO}/commands"), lines(commands));
        let write = || {
            let mut file = BufWriter::new(File::create(to)?);
            self.archive.write(&mut file)?;
            file.flush()
        };
        write().with_context(|| format!("cannot write {}", to.display()))
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// `/usr/lib/x` for `/lib/x`: the image has links for the short names.
fn unmerged(file: &Path) -> PathBuf {
    let is_merged = MERGED
        .iter()
        .any(|name| file.starts_with(Path::new("/").join(name)));
    if !is_merged {
        return file.to_path_buf();
    }
    Path::new("/usr").join(file.strip_prefix("/").unwrap_or(file))
}

/// The libraries and the loader of a program; none for a static one or another file.
fn libraries(file: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    let output = ldd.arg(file).output();
    let output = output.with_context(|| format!("cannot run {}", show(&ldd)))?;
    parse(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("cannot carry {}", file.display()))
}

/// `name => path (address)`, or `path (address)` of the loader.
fn parse(ldd: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in ldd.lines().map(str::trim) {
        if line.ends_with("not found") {
            bail!("a library is missing: {line}");
        }
        let place = line.split_once("=> ").map_or(line, |(_name, place)| place);
        if let Some((path, _address)) = place.split_once(" (")
            && path.starts_with('/')
        {
            files.push(path.into());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let ldd = "\
	linux-vdso.so.1 (0x00007ffd0e5f6000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c1a000000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f1c1a3f2000)
";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse(ldd).unwrap(), expected.map(PathBuf::from));
        assert_eq!(
            parse("	statically linked\n").unwrap(),
            [""; 0].map(PathBuf::from)
        );
        assert!(parse("	libx.so.1 => not found\n").is_err());
    }

    #[test]
    fn merged_folders_are_those_of_usr() {
        let place = |file| unmerged(Path::new(file));
        assert_eq!(place("/lib64/ld.so"), Path::new("/usr/lib64/ld.so"));
        assert_eq!(place("/usr/bin/ip"), Path::new("/usr/bin/ip"));
        assert_eq!(place("/library/x"), Path::new("/library/x"));
    }
}
