//! Debian packages of other suites or machines than the host's, fetched and unpacked without
//! installing anything.
//!
//! apt does it in folders of its own, so that everything is verified by signature. The mirror
//! and the keys come from the host's configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cmd::{program, run, show},
    files::below,
};

/// A repository that the host's apt uses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    /// `Debian`, `Debian-Security`, `Debian Backports`
    label: String,
    /// The file that names it.
    file: PathBuf,
}

/// The host's repositories of Debian.
pub(crate) struct Host {
    sources: Vec<Source>,
}

impl Host {
    /// Asks apt; none without apt.
    pub(crate) fn ask() -> Result<Self> {
        if program("apt-get").is_none() {
            return Ok(Self {
                sources: Vec::new(),
            });
        }
        let mut targets = Command::new("apt-get");
        targets.args([
            "indextargets",
            "--format",
            "$(REPO_URI)|$(RELEASE)|$(LABEL)|$(SOURCESENTRY)",
            "Created-By: Packages",
            "Origin: Debian",
        ]);
        let targets = output(&mut targets)?;
        let sources = targets.lines().filter_map(source).collect();
        Ok(Self { sources })
    }

    /// The line of `sources.list` for any suite of Debian.
    fn line(&self, suite: &str) -> Result<String> {
        let label = if suite.ends_with("-security") {
            "Debian-Security"
        } else {
            "Debian"
        };
        let like = self.sources.iter().find(|source| source.label == label);
        let like = like.with_context(|| {
            format!("the host's apt has no repository labelled {label} to find {suite} beside")
        })?;
        let options = match signed_by(&fs::read_to_string(&like.file)?) {
            Some(keys) => format!("[signed-by={keys}] "),
            None => String::new(),
        };
        Ok(format!("deb {options}{} {suite} main\n", like.uri))
    }

    /// The suites that it installs from, without security updates.
    pub(crate) fn suites(&self) -> impl Iterator<Item = &str> {
        let own = |source: &&Source| source.label == "Debian";
        self.sources
            .iter()
            .filter(own)
            .map(|source| source.suite.as_str())
    }
}

/// Parses a line of `apt-get indextargets` in the format of [`Host::ask`].
fn source(line: &str) -> Option<Source> {
    let mut fields = line.split('|');
    let (uri, suite, label) = (fields.next()?, fields.next()?, fields.next()?);
    // FILE:LINE
    let (file, _line) = fields.next()?.rsplit_once(':')?;
    Some(Source {
        uri: uri.to_owned(),
        suite: suite.to_owned(),
        label: label.to_owned(),
        file: file.into(),
    })
}

/// The keys that a file of sources names first, in either of apt's formats; none if apt uses
/// all keys.
fn signed_by(sources: &str) -> Option<&str> {
    let lines = sources.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (_before, keys) = line
                .split_once("Signed-By:")
                .or_else(|| line.split_once("signed-by="))?;
            keys.trim_start().split([' ', ']']).next()
        })
        .find(|keys| keys.starts_with('/'))
}

/// A package as an index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Names only.
    pub(crate) depends: Vec<String>,
}

/// An apt with its own suites.
pub(crate) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Fetches the indexes of these suites into a folder, those of the host's machine.
    pub(crate) fn of(host: &Host, suites: &[&str], folder: &Path) -> Result<Self> {
        Self::of_machine(host, suites, folder, None)
    }

    /// The same of another machine, by Debian's name.
    pub(crate) fn of_machine(
        host: &Host,
        suites: &[&str],
        folder: &Path,
        machine: Option<&str>,
    ) -> Result<Self> {
        for place in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(place))?;
        }
        let lines = suites.iter().map(|suite| host.line(suite));
        let lines: String = lines.collect::<Result<_>>()?;
        fs::write(folder.join("sources.list"), lines)?;
        let configuration = configuration(folder, machine);
        fs::write(folder.join("apt.conf"), configuration)?;
        let apt = Self {
            folder: folder.to_path_buf(),
        };
        run(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// All packages of the suites.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let available = output(self.command("apt-cache").arg("dumpavail"))?;
        Ok(available.split("\n\n").filter_map(package).collect())
    }

    /// Unpacks these packages into a folder.
    pub(crate) fn unpack(&self, packages: &[Package], into: &Path) -> Result<()> {
        let mut download = self.command("apt-get");
        download.current_dir(self.emptied()?).arg("download");
        for Package { name, version, .. } in packages {
            download.arg(format!("{name}={version}"));
        }
        run(&mut download)?;
        self.unpack_downloaded(into)
    }

    /// Unpacks a package of a suite, and its dependencies that the host lacks.
    pub(crate) fn unpack_for_host(&self, package: &str, suite: &str, into: &Path) -> Result<()> {
        self.emptied()?;
        let mut install = self.command("apt-get");
        install.args(["install", "--download-only", "--yes"]);
        install.args(["--no-install-recommends", "--no-remove"]);
        install.args(["--target-release", suite, package]);
        run(&mut install)?;
        self.unpack_downloaded(into)
    }

    /// The download folder, emptied.
    fn emptied(&self) -> Result<PathBuf> {
        let archives = self.folder.join("archives");
        for file in below(&archives)? {
            fs::remove_file(file)?;
        }
        Ok(archives)
    }

    fn unpack_downloaded(&self, into: &Path) -> Result<()> {
        let files = below(&self.folder.join("archives"))?;
        let is_package = |file: &&PathBuf| file.extension().is_some_and(|name| name == "deb");
        for file in files.iter().filter(is_package) {
            run(Command::new("dpkg").arg("--extract").arg(file).arg(into))?;
        }
        self.emptied().map(drop)
    }

    /// apt with our configuration, which it reads after the host's.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-qq")
            .arg("-c")
            .arg(self.folder.join("apt.conf"));
        command
    }
}

/// The configuration of an apt that does not touch the host's state, and requires no root.
fn configuration(folder: &Path, machine: Option<&str>) -> String {
    let folder = folder.display();
    let machine = machine.map_or_else(String::new, |machine| {
        format!("APT::Architecture \"{machine}\";\nAPT::Architectures {{ \"{machine}\"; }};\n")
    });
    format!(
        r#"{machine}Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}";
Dir::Cache::archives "{folder}/archives";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Debug::NoLocking "true";
"#
    )
}

/// Parses a stanza of an index.
fn package(stanza: &str) -> Option<Package> {
    let field = |name: &str| {
        let mut lines = stanza.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let depends = field("Depends").unwrap_or_default().split(',');
    let names = depends.filter_map(|relation| relation.split_whitespace().next());
    Some(Package {
        name: field("Package")?.to_owned(),
        version: field("Version")?.to_owned(),
        depends: names.map(str::to_owned).collect(),
    })
}

/// The standard output of a command.
fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {}", show(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", show(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_read_from_a_target() {
        let line = "http://mirror.example/debian/|bookworm|Debian|/etc/apt/a.sources:1";
        let expected = Source {
            uri: "http://mirror.example/debian/".to_owned(),
            suite: "bookworm".to_owned(),
            label: "Debian".to_owned(),
            file: "/etc/apt/a.sources".into(),
        };
        assert_eq!(source(line), Some(expected));
        assert_eq!(source(""), None);
    }

    #[test]
    fn keys_are_found_in_both_formats() {
        let deb822 = "Types: deb\nSuites: bookworm\nSigned-By: /keys/debian.gpg\n";
        assert_eq!(signed_by(deb822), Some("/keys/debian.gpg"));
        let one_line =
            "# deb [signed-by=/not/this] a b\ndeb [arch=amd64 signed-by=/keys/debian.gpg] a b c\n";
        assert_eq!(signed_by(one_line), Some("/keys/debian.gpg"));
        assert_eq!(signed_by("deb http://mirror.example/debian a main"), None);
    }

    #[test]
    fn package_is_read_from_a_stanza() {
        let stanza = "\
Package: linux-image-7.3
Version: 7.3.4-1~bpo13+1
Description: Depends: not on this
Depends: kmod, linux-binary-7.3 (= 7.3.4-1~bpo13+1), dracut | linux-initramfs-tool";
        let expected = Package {
            name: "linux-image-7.3".to_owned(),
            version: "7.3.4-1~bpo13+1".to_owned(),
            depends: ["kmod", "linux-binary-7.3", "dracut"]
                .map(str::to_owned)
                .to_vec(),
        };
        assert_eq!(package(stanza), Some(expected));
        assert_eq!(package("\n"), None);
    }
}
