//! The kernels of Debian that podtrace is tested on.

use std::{fmt, path::Path, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{Apt, Host, Package},
    files::{below, folder_once},
};

/// A line of kernels, of which the newest existing one is used.
pub(super) struct Line {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Its suites; the first that has it is used.
    suites: &'static [&'static str],
    /// Prefixes of its version, the best first.
    versions: &'static [&'static str],
    /// Whether `--quick` includes it.
    pub(super) quick: bool,
    /// Whether its suite is archived, and may vanish.
    pub(super) may_be_gone: bool,
}

/// From the oldest kernel that podtrace supports to the newest one.
pub(super) const LINES: &[Line] = &[
    Line {
        name: "5.10",
        suites: &["bullseye-security"],
        versions: &["5.10."],
        quick: false,
        may_be_gone: true,
    },
    Line {
        name: "6.1",
        suites: &["bookworm-security"],
        versions: &["6.1."],
        quick: true,
        may_be_gone: false,
    },
    Line {
        name: "6.12",
        suites: &["bookworm-backports", "trixie-security"],
        versions: &["6.12."],
        quick: true,
        may_be_gone: false,
    },
    // Superseded kernels stay in backports for a while, as long as their images.
    Line {
        name: "6.18",
        suites: &["trixie-backports"],
        versions: &["6.18.", "6.19.", "6.17.", "6.16."],
        quick: false,
        may_be_gone: true,
    },
    Line {
        name: "newest",
        suites: &["trixie-backports"],
        versions: &[""],
        quick: true,
        may_be_gone: false,
    },
];

/// A kernel in the archive.
pub(super) struct Found {
    apt: Apt,
    /// The image first.
    packages: Vec<Package>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .packages
            .iter()
            .map(|package| format!("{} {}", package.name, package.version));
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}

/// A kernel on disk.
pub(super) struct Kernel {
    /// The file that qemu boots.
    pub(super) image: PathBuf,
    /// The folder of its modules.
    pub(super) folder: PathBuf,
    /// For example 6.12.95.
    pub(super) version: String,
}

impl Line {
    /// Finds it in the archive.
    pub(super) fn find(&self, host: &Host, cache: &Path) -> Result<Found> {
        let mut why_not = Vec::new();
        for suite in self.suites {
            match self.find_in(suite, host, cache) {
                Ok(found) => return Ok(found),
                Err(error) => why_not.push(format!("{suite}: {error:#}")),
            }
        }
        bail!("{}", why_not.join("; "))
    }

    fn find_in(&self, suite: &str, host: &Host, cache: &Path) -> Result<Found> {
        let apt = Apt::of(host, &[suite], &cache.join("apt").join(suite))?;
        let available = apt.packages()?;
        let mut versions = self.versions.iter();
        let packages = versions
            .find_map(|version| newest(&available, version))
            .with_context(|| format!("no whole kernel {}", self.versions.join(" or ")))?;
        Ok(Found { apt, packages })
    }
}

impl Found {
    /// Fetches and unpacks it, unless that was done before.
    pub(super) fn unpack(&self, cache: &Path) -> Result<Kernel> {
        let Some(package) = self.packages.first() else {
            bail!("a kernel without packages");
        };
        let name = format!("{}_{}", package.name, package.version);
        let folder = cache.join("kernels").join(name);
        folder_once(&folder, |folder| self.apt.unpack(&self.packages, folder))?;
        let is_image = |file: &PathBuf| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("vmlinuz"))
        };
        let image = below(&folder)?.into_iter().find(is_image);
        let image = image.with_context(|| format!("no vmlinuz in {}", folder.display()))?;
        let version = upstream(&package.version).to_owned();
        Ok(Kernel {
            image,
            folder,
            version,
        })
    }
}

/// `6.12.95` of `6.12.95-1~bpo12+1`
fn upstream(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

/// The packages of the newest cloud kernel with this version prefix. A kernel's modules can
/// leave the archive before its image does: such a kernel is skipped.
fn newest(available: &[Package], version: &str) -> Option<Vec<Package>> {
    let whole = |image: &Package| {
        let is_part = |name: &&String| {
            name.starts_with("linux-binary-") || name.starts_with("linux-modules-")
        };
        let parts = image.depends.iter().filter(is_part);
        let parts = parts.map(|name| available.iter().find(|package| package.name == *name));
        let mut packages = vec![image.clone()];
        packages.extend(parts.collect::<Option<Vec<_>>>()?.into_iter().cloned());
        Some(packages)
    };
    let mut images: Vec<_> = available
        .iter()
        .filter(|package| abi(package).is_some_and(|abi| abi.starts_with(version)))
        .collect();
    images.sort_by_key(|package| numbers(&package.name));
    images.into_iter().rev().find_map(whole)
}

/// `6.1.0-56` of `linux-image-6.1.0-56-cloud-amd64`
fn abi(package: &Package) -> Option<&str> {
    let abi = package.name.strip_prefix("linux-image-")?;
    let abi = abi.strip_suffix("-cloud-amd64")?;
    // `6.1` names only the newest kernel of a line.
    (numbers(abi).len() > 2).then_some(abi)
}

/// The numbers in a version, for ordering.
fn numbers(version: &str) -> Vec<u32> {
    let numbers = version.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, depends: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            version: "1".to_owned(),
            depends: depends.iter().copied().map(str::to_owned).collect(),
        }
    }

    fn names(packages: Option<Vec<Package>>) -> Vec<String> {
        let packages = packages.into_iter().flatten();
        packages.map(|package| package.name).collect()
    }

    #[test]
    fn newest_is_by_number_and_of_its_line() {
        let available = [
            package("linux-image-6.1.0-9-cloud-amd64", &[]),
            package("linux-image-6.1.0-56-cloud-amd64", &["kmod"]),
            package("linux-image-6.1.0-57-rt-amd64", &[]),
            package("linux-image-6.12.95+deb12-cloud-amd64", &[]),
            package("linux-image-6.1-cloud-amd64", &[]),
        ];
        let of_line = names(newest(&available, "6.1."));
        assert_eq!(of_line, ["linux-image-6.1.0-56-cloud-amd64"]);
        let of_all = names(newest(&available, ""));
        assert_eq!(of_all, ["linux-image-6.12.95+deb12-cloud-amd64"]);
    }

    #[test]
    fn kernel_without_its_modules_is_passed_over() {
        let parts = |abi: &str| ["binary", "modules"].map(|part| format!("linux-{part}-{abi}"));
        let image = |abi: &str| {
            let [binary, modules] = parts(abi);
            package(
                &format!("linux-image-{abi}-cloud-amd64"),
                &[&binary, &modules],
            )
        };
        let [old_binary, old_modules] = parts("7.0.4");
        let [new_binary, _] = parts("7.0.13");
        let available = [
            image("7.0.13"),
            package(&new_binary, &[]),
            image("7.0.4"),
            package(&old_binary, &[]),
            package(&old_modules, &[]),
        ];
        let expected = [
            "linux-image-7.0.4-cloud-amd64",
            "linux-binary-7.0.4",
            "linux-modules-7.0.4",
        ];
        assert_eq!(names(newest(&available, "7.0.")), expected);
    }

    #[test]
    fn version_is_the_kernels_and_not_debians() {
        assert_eq!(upstream("6.12.95-1~bpo12+1"), "6.12.95");
    }

    #[test]
    fn every_line_has_its_own_name() {
        for (index, line) in LINES.iter().enumerate() {
            let mut others = LINES.iter().skip(index + 1);
            assert!(others.all(|other| other.name != line.name), "{}", line.name);
        }
    }
}
