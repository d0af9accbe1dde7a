//! Opens a lake by its address.
use std::{env, error::Error, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use object_store::{
    BackoffConfig, ObjectStore, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path, prefix::PrefixStore,
};

use crate::{cause::causes, text::escape::shown};

/// Tries in a row are no further apart.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A lake.
#[derive(Clone)]
pub(crate) struct Lake {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Its address, safe to show.
    pub(crate) name: String,
    /// How long it is tried again.
    pub(super) patience: Duration,
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
            patience: how.patience,
        })
    }

    /// `url`: `s3://BUCKET/PREFIX`, `file:///FOLDER`, or a folder.
    pub(crate) fn open(url: &str, how: Open) -> anyhow::Result<Self> {
        let store = match url.split_once("://") {
            Some(("s3" | "s3a", rest)) => {
                s3(rest, how.patience).with_context(|| format!("failed to open {}", shown(url)))?
            }
            Some(("file", folder)) => local(folder.into(), how.make)?,
            None => local(url.into(), how.make)?,
            Some((scheme, _)) => bail!(
                "no lake is at {}: {} is not known\nhint: s3://bucket/prefix, file:///folder or a \
                 folder",
                shown(url),
                shown(scheme)
            ),
        };
        Ok(Self {
            store,
            name: shown(url),
            patience: how.patience,
        })
    }
}

/// What is behind an error: those before it say the same, with all the settings.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, ToString::to_string)
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

fn s3(rest: &str, patience: Duration) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        bail!("the bucket is missing\nhint: s3://bucket/prefix");
    }
    let endpoints = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL"];
    let is_plain = endpoints
        .iter()
        .any(|name| env::var(name).is_ok_and(|url| url.starts_with("http://")));
    let retry = RetryConfig {
        backoff: BackoffConfig {
            max_backoff: PAUSE_MAX,
            ..BackoffConfig::default()
        },
        // The time ends it.
        max_retries: usize::MAX,
        retry_timeout: patience,
    };
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_allow_http(is_plain)
        .with_retry(retry)
        .build()?;
    Ok(match prefix.trim_matches('/') {
        "" => Arc::new(store),
        prefix => Arc::new(PrefixStore::new(store, Path::from(prefix))),
    })
}
