//! Reads kubeconfigs.
//!
//! As kube does, but for the binary's size: there each part of a kubeconfig has a YAML parser of its
//! own, a quarter of a megabyte in all.
use std::{fs, io, path::Path};

use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use serde::de::Error as _;
use serde_json::Value;

/// Reads a file; an empty one is a kubeconfig without contexts, and several documents are merged.
/// What its paths are relative to is its folder.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let text = fs::read(path).and_then(|bytes| decode(&bytes));
    let text = text.map_err(|error| KubeconfigError::ReadConfig(error, path.to_owned()))?;
    let no_kubeconfig = |error| KubeconfigError::Parse(Box::new(error));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(no_kubeconfig)?;
    let mut merged = Kubeconfig::default();
    for mut document in documents {
        name_numbers(&mut document);
        let read = serde_json::from_value(document)
            .map_err(|error| no_kubeconfig(serde_saphyr::Error::custom(error)))?;
        merged = merged.merge(read)?;
    }
    Ok(match path.parent() {
        Some(folder) => absolute(merged, folder),
        None => merged,
    })
}

/// Makes texts of numbers, as kubectl does: a kubeconfig has none, but names that look like some.
fn name_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::Array(values) => values.iter_mut().for_each(name_numbers),
        Value::Object(values) => values.values_mut().for_each(name_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it.
fn decode(bytes: &[u8]) -> io::Result<String> {
    let units = |bytes: &[u8], of: fn([u8; 2]) -> u16| -> Option<String> {
        let (pairs, []) = bytes.as_chunks() else {
            return None;
        };
        let units = pairs.iter().copied().map(of);
        char::decode_utf16(units).collect::<Result<_, _>>().ok()
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8(rest.to_vec()).ok(),
    };
    text.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))
}

/// The same with paths that hold from anywhere.
fn absolute(mut config: Kubeconfig, folder: &Path) -> Kubeconfig {
    let clusters = config.clusters.iter_mut();
    for Cluster {
        certificate_authority,
        ..
    } in clusters.filter_map(|named| named.cluster.as_mut())
    {
        make_absolute(certificate_authority, folder);
    }
    let users = config.auth_infos.iter_mut();
    for AuthInfo {
        client_certificate,
        client_key,
        token_file,
        exec,
        ..
    } in users.filter_map(|named| named.auth_info.as_mut())
    {
        for path in [client_certificate, client_key, token_file] {
            make_absolute(path, folder);
        }
        // A name alone is looked for in PATH.
        if let Some(exec) = exec
            && exec.command.as_ref().is_some_and(|name| name.contains('/'))
        {
            make_absolute(&mut exec.command, folder);
        }
    }
    config
}

fn make_absolute(path: &mut Option<String>, folder: &Path) {
    if let Some(path) = path
        && let Some(joined) = folder.join(&*path).to_str()
    {
        joined.clone_into(path);
    }
}
