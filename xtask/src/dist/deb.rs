//! Debian's package: an `ar` of two tars. (deb(5))

use anyhow::Result;

use super::{
    archive::{Tar, gzip},
    content::{ABOUT, Content, File, Kind, Release},
};

/// Where zsh looks for what packages bring, and where that of Debian does.
const ZSH: [&str; 2] = ["share/zsh/site-functions/", "share/zsh/vendor-completions/"];

/// The package's scripts. (Debian Policy, chapter 6)
const SCRIPTS: [(&str, &str); 3] = [
    ("postinst", include_str!("deb/postinst")),
    ("postrm", include_str!("deb/postrm")),
    ("prerm", include_str!("deb/prerm")),
];

/// The bytes of the package.
pub(super) fn package(release: &Release, content: &Content) -> Result<Vec<u8>> {
    let content = &debians(content);
    let mut package = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&control(release, content)?)?),
        ("data.tar.gz", gzip(&data(release, content)?)?),
    ] {
        let (time, len) = (release.time, bytes.len());
        let head = format!(
            "{name:<16}{time:<12}{:<6}{:<6}{:<8}{len:<10}`\n",
            0, 0, "100644"
        );
        package.extend(head.bytes());
        package.extend(bytes);
        if len % 2 == 1 {
            package.push(b'\n');
        }
    }
    Ok(package)
}

/// The files at Debian's places.
fn debians(content: &Content) -> Content {
    let [others, debians] = ZSH;
    let moved = |file: &File| File {
        path: file.path.replace(others, debians),
        ..file.clone()
    };
    Content(content.0.iter().map(moved).collect())
}

fn control(release: &Release, content: &Content) -> Result<Vec<u8>> {
    let mut tar = Tar::new(release.time);
    tar.folder("./")?;
    tar.file("./conffiles", 0o644, conffiles(content).as_bytes())?;
    tar.file("./control", 0o644, fields(release, content).as_bytes())?;
    for (name, script) in SCRIPTS {
        tar.file(&format!("./{name}"), 0o755, script.as_bytes())?;
    }
    tar.finish()
}

fn data(release: &Release, content: &Content) -> Result<Vec<u8>> {
    let mut tar = Tar::new(release.time);
    tar.folder("./")?;
    tar.content("./", content)?;
    tar.finish()
}

fn conffiles(content: &Content) -> String {
    let files = content.0.iter();
    let files = files.filter(|file| file.kind == Kind::Configuration);
    files.map(|file| format!("/{}\n", file.path)).collect()
}

/// The fields that describe the package. It depends on nothing: the program is static.
fn fields(release: &Release, content: &Content) -> String {
    let sizes = content.0.iter().map(|file| file.bytes.len().div_ceil(1024));
    format!(
        "\
Package: podtrace
Version: {}
Architecture: {}
Maintainer: the podtrace authors <podtrace@localhost>
Installed-Size: {}
Section: net
Priority: optional
Description: packet capture and tracing for Kubernetes worker nodes
{}",
        release.version,
        release.machine.debian,
        sizes.sum::<usize>(),
        ABOUT.map(|line| format!(" {line}\n")).concat()
    )
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::sample;
    use super::*;

    #[test]
    fn package_is_the_same_twice_and_has_three_parts() {
        let (release, content) = sample();
        let deb = package(&release, &content).unwrap();
        assert_eq!(deb, package(&release, &content).unwrap());
        let mut parts = Vec::new();
        let mut rest = deb.strip_prefix(b"!<arch>\n").unwrap();
        while let Some((head, after)) = rest.split_at_checked(60) {
            let head = str::from_utf8(head).unwrap();
            let len: usize = head[48..58].trim().parse().unwrap();
            parts.push((head[..16].trim().to_owned(), len));
            rest = &after[len.next_multiple_of(2).min(after.len())..];
        }
        let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["debian-binary", "control.tar.gz", "data.tar.gz"]);
    }

    #[test]
    fn completions_are_where_debians_zsh_looks() {
        let (_, mut content) = sample();
        content.0[0].path = "usr/share/zsh/site-functions/_podtrace".to_owned();
        let moved = debians(&content);
        assert_eq!(
            moved.0[0].path,
            "usr/share/zsh/vendor-completions/_podtrace"
        );
        assert_eq!(moved.0[1].path, "usr/bin/podtrace");
    }

    #[test]
    fn configuration_is_marked() {
        let (release, content) = sample();
        assert_eq!(conffiles(&content), "/etc/podtrace/recorder.toml\n");
        assert!(fields(&release, &content).contains("Architecture: amd64\n"));
    }
}
