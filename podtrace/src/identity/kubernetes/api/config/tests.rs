//! Kubeconfigs, good and bad.
use std::{env, error::Error as _, fs};

use super::*;

/// A kubeconfig with one context, cluster and user; `cluster` and `user` are further lines of
/// these entries.
fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: admin@lab
contexts:
- name: admin@lab
  context: {{cluster: lab, user: admin}}
clusters:
- name: lab
  cluster:
    server: https://10.0.0.1:6443
{cluster}
users:
- name: admin
  user:
    token: s3cr3t
{user}
"
    )
}

fn write(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn find_file(text: &str) -> Result<ClusterConfig, String> {
    let (dir, path) = write(text);
    let found = resolve(nothing().config_source(Some(&path))).map(Option::unwrap);
    found.map_err(|error| {
        // Whoever prints a chain of causes would print it twice.
        assert!(error.source().is_none());
        let folder = format!("{}/", dir.path().display());
        error.to_string().replace(&folder, "")
    })
}

fn nothing() -> Environment {
    Environment::default()
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = find_file(text).unwrap_err();
    assert_eq!(error, expected);
    assert!(!error.contains("s3cr3t"));
}

#[test]
fn a_file_gives_server_and_context_and_shows_no_secret() {
    let config = find_file(&kubeconfig("", "")).unwrap();
    assert_eq!(config.server(), "10.0.0.1:6443");
    assert_eq!(config.to_string(), "10.0.0.1:6443 (context admin@lab)");
    assert_eq!(format!("{config:?}"), config.to_string());
}

#[test]
fn a_missing_file_or_folder_is_an_error() {
    for (path, says) in [("/no/such/file", "No such file"), ("/", "Is a directory")] {
        let error = resolve(nothing().config_source(Some(Path::new(path)))).unwrap_err();
        assert!(error.source().is_none());
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("cannot read the kubeconfig {path}: {says}")),
            "{error}"
        );
        assert!(error.contains("\nhint: "));
    }
}

#[test]
fn invalid_kubeconfig_is_reported_with_its_position() {
    refused(
        "current-context: [s3cr3t\nclusters: {{",
        "config is not a kubeconfig (line 2, column 9)\nhint: is it the file that kubectl uses?",
    );
    let error = find_file("token s3cr3t is no kubeconfig").unwrap_err();
    assert!(error.starts_with("config is not a kubeconfig"), "{error}");
    assert!(!error.contains("s3cr3t"));
}

#[test]
fn secret_of_the_wrong_type_is_not_shown() {
    let text = kubeconfig("", "").replace("token: s3cr3t", "client-certificate-data: [s3cr3t]");
    let error = find_file(&text).unwrap_err();
    assert!(error.starts_with("config is not a kubeconfig"), "{error}");
    assert!(!error.contains("s3cr3t"));
}

#[test]
fn texts_may_look_like_numbers_and_documents_are_merged() {
    let text = kubeconfig("", "").replace("admin@lab", "17");
    let config = find_file(&text).unwrap();
    assert_eq!(config.to_string(), "10.0.0.1:6443 (context 17)");
    let (first, rest) = text.split_once("clusters:").unwrap();
    let config = find_file(&format!("{first}---\nclusters:{rest}")).unwrap();
    assert_eq!(config.to_string(), "10.0.0.1:6443 (context 17)");
}

#[test]
fn file_of_powershell_is_read() {
    let text = kubeconfig("", "");
    for (mark, swaps) in [([0xff, 0xfe], false), ([0xfe, 0xff], true)] {
        let (_dir, path) = write("");
        let units = text.encode_utf16();
        let units = units.map(|unit| if swaps { unit.swap_bytes() } else { unit });
        let bytes = mark.into_iter().chain(units.flat_map(u16::to_le_bytes));
        fs::write(&path, bytes.collect::<Vec<u8>>()).unwrap();
        let config = resolve(nothing().config_source(Some(&path))).unwrap();
        assert_eq!(config.unwrap().server(), "10.0.0.1:6443");
        fs::write(&path, [mark[0], mark[1], b'a']).unwrap();
        assert!(resolve(nothing().config_source(Some(&path))).is_err());
    }
}

#[test]
fn contexts_and_clusters_that_are_not_there_are_named() {
    refused(
        "",
        "config names no current context\nhint: kubectl config use-context NAME; there is no context",
    );
    let text = kubeconfig("", "");
    refused(
        &text.replace("current-context: admin@lab", ""),
        "config names no current context\nhint: kubectl config use-context NAME; \
         there is the context admin@lab",
    );
    refused(
        &text.replace("current-context: admin@lab", "current-context: \"x\\e[m\""),
        "config has no context x\u{fffd}[m, which it calls the current one\n\
         hint: there is the context admin@lab",
    );
    refused(
        &text.replace("cluster: lab,", "cluster: prod,"),
        "config has no cluster prod, which its context admin@lab names\n\
         hint: there is the cluster lab",
    );
}

#[test]
fn servers_and_proxies_that_do_not_do_are_refused() {
    let text = kubeconfig("", "");
    refused(
        &text.replace("https://10.0.0.1:6443", "10.0.0.1:6443"),
        "the cluster of config cannot be used: its server 10.0.0.1:6443 is no URL\n\
         hint: it looks like https://HOST:6443",
    );
    refused(
        &text.replace("server: https://10.0.0.1:6443", "tls-server-name: x"),
        "the cluster of config cannot be used: cluster url is missing on selected cluster\n\
         hint: its server looks like https://HOST:6443",
    );
    let proxied = kubeconfig("    proxy-url: http://10.9.9.9:3128", "");
    let error = find_file(&proxied).unwrap_err();
    assert!(error.contains("through a proxy"), "{error}");
}

#[test]
fn certificates_and_tokens_that_cannot_be_read_are_named() {
    for (cluster, user, says) in [
        ("    certificate-authority: ca.pem", "", "ca.pem"),
        ("    certificate-authority-data: '%%%'", "", "base64"),
        (
            "    certificate-authority-data: aGVsbG8=",
            "",
            "holds no certificate",
        ),
        ("", "    client-certificate: a.pem", "a.pem"),
        (
            "",
            "    client-certificate-data: aGVsbG8=\n    client-key-data: aGVsbG8=",
            "private key",
        ),
    ] {
        let error = find_file(&kubeconfig(cluster, user)).unwrap_err();
        assert!(
            error.starts_with("the cluster of config cannot be used: "),
            "{error}"
        );
        assert!(
            error.contains(says) && error.contains("\nhint: "),
            "{error}"
        );
    }
    let text = kubeconfig("", "").replace("token: s3cr3t", "tokenFile: token");
    let error = find_file(&text).unwrap_err();
    assert!(
        error.contains("the token file ") && error.contains("cannot be read"),
        "{error}"
    );
}

#[test]
fn a_plugin_is_not_run_to_find_the_cluster() {
    let (dir, path) = write(&kubeconfig("", "").replace(
        "token: s3cr3t",
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin}",
    ));
    let mark = dir.path().join("ran");
    fs::write(
        dir.path().join("plugin"),
        format!("#!/bin/sh\ntouch {}", mark.display()),
    )
    .unwrap();
    resolve(nothing().config_source(Some(&path)))
        .unwrap()
        .unwrap();
    assert!(!mark.exists());
}

#[test]
fn the_variable_may_name_several_files_and_missing_ones() {
    let text = kubeconfig("", "");
    let (_dir, whole) = write(&text);
    let (_other_dir, other) = write(
        &text
            .replace("admin@lab", "other")
            .replace("10.0.0.1", "10.0.0.2"),
    );
    let find = |paths: &[&Path]| {
        let environment = Environment {
            kubeconfig: Some(env::join_paths(paths).unwrap()),
            in_cluster: false,
        };
        resolve(environment.config_source(None))
    };
    let config = find(&[Path::new("/no/such"), &other, &whole])
        .unwrap()
        .unwrap();
    // The first to set a value wins.
    assert_eq!(config.to_string(), "10.0.0.2:6443 (context other)");
    let error = find(&[Path::new("/no/such"), Path::new("/nor/this")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the kubeconfig /no/such: ")
    );
    assert!(find(&[Path::new("")]).unwrap().is_none());
}

#[test]
fn no_config_source_means_no_cluster() {
    assert!(resolve(nothing().config_source(None)).unwrap().is_none());
    let environment = Environment {
        kubeconfig: None,
        in_cluster: true,
    };
    // No service account is mounted where tests run.
    let error = resolve(environment.config_source(None))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the service account of this pod cannot be used: "),
        "{error}"
    );
}
