//! Opens a lake by its address.
use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use object_store::{ObjectStore, local::LocalFileSystem, path::Path, prefix::PrefixStore};

use super::{
    cloud::{Cloud, bucket},
    patience::{Patience, Patient},
};
use crate::text::escape::shown;

/// A lake.
#[derive(Clone)]
pub(crate) struct Lake {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Its address, safe to show.
    pub(crate) name: String,
    /// How long it is tried again.
    pub(super) patience: Patience,
}

/// How to open one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// Whether a folder that is missing is made.
    pub(crate) make: bool,
    /// How long a storage that fails is tried again.
    pub(crate) patience: Duration,
}

impl Lake {
    /// A folder.
    pub(crate) fn folder(folder: PathBuf, how: Open) -> anyhow::Result<Self> {
        let name = shown(&folder);
        Ok(Self {
            store: local(folder, how.make)?,
            name,
            patience: Patience::new(how.patience),
        })
    }

    /// `url`: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `file:///FOLDER`,
    /// or a folder.
    pub(crate) fn open(url: &str, how: Open) -> anyhow::Result<Self> {
        let patience = Patience::new(how.patience);
        let store = match url.split_once("://") {
            Some(("file", folder)) => local(file(folder)?, how.make)?,
            None if url.is_empty() => bail!("the address of the lake is empty\nhint: {ADDRESSES}"),
            None => local(url.into(), how.make)?,
            Some((scheme, rest)) => match Cloud::of(scheme) {
                Some(cloud) => remote(cloud, rest, patience)
                    .with_context(|| format!("failed to open {}", shown(url)))?,
                None => bail!(
                    "no lake is at {}: {} is not known\nhint: {ADDRESSES}",
                    shown(url),
                    shown(scheme)
                ),
            },
        };
        Ok(Self {
            store,
            name: shown(url),
            patience,
        })
    }
}

/// The addresses of lakes.
const ADDRESSES: &str = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
                         file:///folder or a folder";

/// The folder of an address, behind `file://`: there is none on other machines.
fn file(rest: &str) -> anyhow::Result<PathBuf> {
    let folder = rest.strip_prefix("localhost").unwrap_or(rest);
    if !folder.starts_with('/') {
        bail!(
            "file://{} names another machine\nhint: a folder has three slashes: file:///folder",
            shown(rest)
        );
    }
    Ok(folder.into())
}

fn local(folder: PathBuf, make: bool) -> anyhow::Result<Arc<dyn ObjectStore>> {
    if make {
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to make the folder {}", shown(&folder)))?;
    } else if !folder.is_dir() {
        bail!(
            "there is no lake at {}\nhint: podtrace export --lake {} session.pcapng",
            shown(&folder),
            shown(&folder)
        );
    }
    let store = LocalFileSystem::new_with_prefix(&folder)
        .with_context(|| format!("failed to open {}", shown(&folder)))?;
    Ok(Arc::new(store.with_automatic_cleanup(true)))
}

fn remote(cloud: Cloud, rest: &str, patience: Patience) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() {
        bail!("the bucket is missing\nhint: {ADDRESSES}");
    }
    let prefix = Path::from(prefix);
    let store = Patient {
        store: bucket(cloud, name, patience)?,
        patience,
    };
    Ok(match prefix.as_ref() {
        "" => Arc::new(store),
        _ => Arc::new(PrefixStore::new(store, prefix)),
    })
}
