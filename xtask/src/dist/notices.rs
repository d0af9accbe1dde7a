//! Licences: podtrace's, and those of what is linked with it.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};

use super::{crates::Crate, read};
use crate::cmd::Workspace;

/// The licence of the program as a whole.
pub(super) const LICENCE: &str =
    "(MIT OR Apache-2.0) AND BSD-3-Clause AND LGPL-2.1-or-later AND (MIT OR GPL-2.0-only)";

/// How the names of files with licences begin.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// Texts of the libraries that are no crates.
const LIBRARIES: [(&str, &str); 2] = [
    ("libpcap, which compiles expressions", "libpcap"),
    ("glibc, which is linked statically", "glibc"),
];

/// What Debian's packages say of their licence, and of those of others.
pub(super) fn copyright(workspace: &Workspace) -> Result<Vec<u8>> {
    let licence = String::from_utf8(read(&workspace.root().join("LICENSE"))?)?;
    Ok(format!(
        "podtrace is under {LICENCE}:
its own code under MIT (below) or Apache-2.0, as you like, its programs for the kernel under MIT or
GPL-2.0. The program is linked with libpcap (BSD-3-Clause), glibc and btf-rs (LGPL-2.1), and the
crates that notices.txt.gz beside this file names, with all their licences.

{licence}"
    )
    .into_bytes())
}

/// The licences of everything that is linked, each text once.
pub(super) fn text(workspace: &Workspace, crates: &[Crate]) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for of in crates {
        let name = format!("{} {}", of.name, of.version);
        list += &format!("  {name}: {}", of.licence);
        let found = licences(of)?;
        if found.is_empty() {
            list += &format!("; by {} ({})", of.authors, of.repository);
        }
        list.push('\n');
        for text in found {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let folder = workspace.root().join("podtrace/licenses");
    let mut all = format!("podtrace is linked with these crates:\n\n{list}");
    for (what, file) in LIBRARIES {
        let text = String::from_utf8(read(&folder.join(file))?)?;
        all += &section(what, &text);
    }
    let mut texts: Vec<_> = texts.into_iter().collect();
    texts.sort_by(|one, other| one.1.cmp(&other.1));
    for (text, names) in texts {
        all += &section(&names.join(", "), &text);
    }
    Ok(all)
}

fn section(title: &str, text: &str) -> String {
    let line = "-".repeat(80);
    format!("\n{line}\n{title}\n{line}\n\n{}\n", text.trim())
}

/// The texts that a crate brings. Of MIT or Apache-2.0, podtrace takes MIT.
fn licences(of: &Crate) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(&of.folder).with_context(|| format!("cannot read {}", of.folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_ascii_uppercase();
        if path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin)) {
            files.push((name, path));
        }
    }
    files.sort();
    let of_choice =
        of.licence.contains("MIT OR Apache-2.0") || of.licence.contains("Apache-2.0 OR MIT");
    if of_choice && files.iter().any(|(name, _)| name.contains("MIT")) {
        files.retain(|(name, _)| !name.contains("APACHE"));
    }
    let texts = files.iter().map(|(_, path)| {
        let text = String::from_utf8_lossy(&read(path)?).replace('\r', "");
        Ok(text.trim().to_owned())
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_is_that_of_the_manifest() {
        let manifest = include_str!("../../../podtrace/Cargo.toml");
        assert!(manifest.contains(&format!("license = \"{LICENCE}\"")));
    }

    #[test]
    fn mit_is_taken_where_there_is_a_choice() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("LICENSE-MIT", "mit"),
            ("license-apache", "apache"),
            ("README", "no"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let of = |licence: &str| Crate {
            name: "x".into(),
            version: "1".into(),
            licence: licence.into(),
            authors: String::new(),
            repository: String::new(),
            folder: folder.path().into(),
        };
        assert_eq!(licences(&of("MIT OR Apache-2.0")).unwrap(), ["mit"]);
        assert_eq!(
            licences(&of("MIT AND Apache-2.0")).unwrap(),
            ["apache", "mit"]
        );
    }
}
