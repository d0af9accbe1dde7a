//! What is in the program, as CycloneDX. (cyclonedx.org, version 1.5)

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::{archive::sha256, content::Release, crates::Crate, texts::timestamp};
use crate::cmd::output;

/// The document.
pub(super) fn document(release: &Release, program: &[u8], crates: &[Crate]) -> Result<String> {
    let mut components: Vec<_> = crates.iter().map(component).collect();
    components.push(library(
        "libpcap",
        "BSD-3-Clause",
        "pcap-config",
        "--version",
    ));
    components.push(library(
        "glibc",
        "LGPL-2.1-or-later",
        "getconf",
        "GNU_LIBC_VERSION",
    ));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(release.time)?,
            "component": {
                "type": "application",
                "bom-ref": "podtrace",
                "name": "podtrace",
                "version": release.version,
                "licenses": [{ "expression": super::notices::LICENCE }],
                "hashes": [{ "alg": "SHA-256", "content": sha256(program) }],
            },
        },
        "components": components,
    });
    Ok(format!("{document:#}\n"))
}

fn component(of: &Crate) -> Value {
    // `+` of a version is no plain sign in a URL.
    let url = format!("pkg:cargo/{}@{}", of.name, of.version.replace('+', "%2B"));
    json!({
        "type": "library",
        "bom-ref": url,
        "name": of.name,
        "version": of.version,
        "purl": url,
        "licenses": [{ "expression": of.licence }],
    })
}

/// A library of the machine that builds, in the version that a program of it tells, if it does.
fn library(name: &str, licence: &str, program: &str, argument: &str) -> Value {
    let mut found = json!({
        "type": "library",
        "bom-ref": name,
        "name": name,
        "licenses": [{ "expression": licence }],
    });
    let said = output(Command::new(program).arg(argument));
    let version = said.iter().find_map(|said| said.split_whitespace().last());
    if let Some(version) = version {
        found["version"] = version.into();
    }
    found
}
