//! The image: a layer with the program, as an archive of OCI's image layout. (image-spec)

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    archive::{Tar, gzip, sha256},
    content::{Content, DOCUMENTS, File, Kind, Release},
    texts::timestamp,
};

/// The bytes of the archive.
pub(super) fn image(release: &Release, content: &Content) -> Result<Vec<u8>> {
    let layer = layer(release, content)?;
    let compressed = gzip(&layer)?;
    let created = timestamp(release.time)?;
    let config = text(&json!({
        "created": created,
        "architecture": release.machine.debian,
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["podtrace"],
            "Cmd": ["--help"],
            "Labels": {
                "org.opencontainers.image.title": "podtrace",
                "org.opencontainers.image.version": release.version,
                "org.opencontainers.image.licenses": super::notices::LICENCE,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
        "history": [{ "created": created, "created_by": "cargo xtask dist" }],
    }));
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": kind("manifest.v1+json"),
        "config": blob("config.v1+json", &config),
        "layers": [blob("layer.v1.tar+gzip", &compressed)],
    }));
    let mut reference = blob("manifest.v1+json", &manifest);
    reference["annotations"] = json!({
        "org.opencontainers.image.ref.name": release.version,
        // Where containerd looks when it imports the image.
        "io.containerd.image.name": format!("localhost/podtrace:{}", release.version),
    });
    let index = text(&json!({
        "schemaVersion": 2,
        "mediaType": kind("index.v1+json"),
        "manifests": [reference],
    }));

    let mut tar = Tar::new(release.time);
    tar.folder("blobs/")?;
    tar.folder("blobs/sha256/")?;
    for bytes in [&config, &manifest, &compressed] {
        tar.file(&format!("blobs/sha256/{}", sha256(bytes)), 0o644, bytes)?;
    }
    tar.file("index.json", 0o644, &index)?;
    tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    tar.finish()
}

/// The program, and what has to be with it wherever it goes.
fn layer(release: &Release, content: &Content) -> Result<Vec<u8>> {
    let is_in = |file: &&File| file.kind == Kind::Program || file.path.starts_with(DOCUMENTS);
    let files = content.0.iter().filter(is_in).cloned();
    let mut tar = Tar::new(release.time);
    tar.content("", &Content(files.collect()))?;
    tar.finish()
}

fn blob(of: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": kind(of),
        "digest": format!("sha256:{}", sha256(bytes)),
        "size": bytes.len(),
    })
}

fn kind(of: &str) -> String {
    format!("application/vnd.oci.image.{of}")
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::content::tests::sample;
    use super::*;

    #[test]
    fn image_is_the_same_twice_and_its_blobs_have_their_names() {
        let (release, content) = sample();
        let image = image(&release, &content).unwrap();
        assert_eq!(image, super::image(&release, &content).unwrap());
        let mut archive = tar::Archive::new(image.as_slice());
        let mut blobs = 0;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if let Some(name) = path.strip_prefix("blobs/sha256/")
                && !name.is_empty()
            {
                assert_eq!(sha256(&bytes), name);
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }

    #[test]
    fn layer_has_no_file_that_nothing_in_it_reads() {
        let (release, content) = sample();
        let layer = layer(&release, &content).unwrap();
        let mut archive = tar::Archive::new(layer.as_slice());
        let paths: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert!(paths.contains(&"usr/bin/podtrace".to_owned()));
        assert!(
            !paths.iter().any(|path| path.starts_with("etc")),
            "{paths:?}"
        );
    }
}
