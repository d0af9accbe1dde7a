//! The clients of object storages, from their usual variables.
use std::{env, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use object_store::{
    BackoffConfig, ObjectStore, Result, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
};
use tokio::time::timeout;

use super::{failure::innermost, patience::Patience};

/// Tries in a row are no further apart.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a cloud's machine, which is near, may take to say who it is.
const NEAR: Duration = Duration::from_secs(5);

/// Whose storage.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cloud {
    Aws,
    Azure,
    Google,
}

impl Cloud {
    /// The one of an address.
    pub(super) fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" | "s3a" => Some(Self::Aws),
            "gs" => Some(Self::Google),
            "az" | "azure" | "abfs" | "abfss" => Some(Self::Azure),
            _ => None,
        }
    }

    /// Variables that say who asks, or that nobody does.
    fn credentials(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &[
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_SKIP_SIGNATURE",
            ],
            Self::Azure => &[
                "AZURE_STORAGE_ACCOUNT_KEY",
                "AZURE_STORAGE_ACCESS_KEY",
                "AZURE_STORAGE_SAS_KEY",
                "AZURE_STORAGE_TOKEN",
                "AZURE_STORAGE_CLIENT_SECRET",
                "AZURE_CLIENT_SECRET",
                "AZURE_FEDERATED_TOKEN_FILE",
                "AZURE_STORAGE_USE_EMULATOR",
                "AZURE_SKIP_SIGNATURE",
            ],
            Self::Google => &[
                "GOOGLE_SERVICE_ACCOUNT",
                "GOOGLE_SERVICE_ACCOUNT_PATH",
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_SKIP_SIGNATURE",
                "SERVICE_ACCOUNT",
            ],
        }
    }

    /// What is to be set.
    fn hint(self) -> &'static str {
        match self {
            Self::Aws => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            Self::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            Self::Google => "GOOGLE_APPLICATION_CREDENTIALS, a file",
        }
    }
}

fn is_set(names: &[&str]) -> bool {
    names.iter().any(|name| env::var_os(name).is_some())
}

/// Whether one of some variables has an address without TLS.
fn is_plain(names: &[&str]) -> bool {
    let mut values = names.iter().filter_map(|name| env::var(name).ok());
    values.any(|url| url.starts_with("http://"))
}

fn tries(time: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: PAUSE_MAX,
            ..BackoffConfig::default()
        },
        // The time ends it.
        max_retries: usize::MAX,
        retry_timeout: time,
    }
}

/// A bucket, by the name in the address.
pub(super) fn bucket(
    cloud: Cloud,
    name: &str,
    patience: Patience,
) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let often = tries(patience.request);
    let once = tries(Duration::ZERO);
    match cloud {
        Cloud::Aws => {
            let builder = AmazonS3Builder::from_env()
                .with_bucket_name(name)
                .with_allow_http(is_plain(&["AWS_ENDPOINT", "AWS_ENDPOINT_URL"]));
            let asked = built(cloud, builder.clone().with_retry(once).build())?;
            known(cloud, || async {
                asked.credentials().get_credential().await.map(drop)
            })?;
            Ok(Arc::new(builder.with_retry(often).build()?))
        }
        Cloud::Azure => {
            let plain = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
            let builder = MicrosoftAzureBuilder::from_env()
                .with_url(format!("abfss://{name}"))
                .with_allow_http(is_plain(&plain));
            let asked = built(cloud, builder.clone().with_retry(once).build())?;
            known(cloud, || async {
                asked.credentials().get_credential().await.map(drop)
            })?;
            Ok(Arc::new(builder.with_retry(often).build()?))
        }
        Cloud::Google => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(name);
            let asked = built(cloud, builder.clone().with_retry(once).build())?;
            known(cloud, || async {
                asked.credentials().get_credential().await.map(drop)
            })?;
            Ok(Arc::new(builder.with_retry(often).build()?))
        }
    }
}

/// A client; without what it needs, says what to set.
fn built<T>(cloud: Cloud, client: Result<T>) -> anyhow::Result<T> {
    client.map_err(|error| anyhow!("{}\nhint: set {}", innermost(&error), cloud.hint()))
}

/// Fails soon where nothing says who asks: clients ask a cloud's machine for that, which most
/// machines are not, and as long as they would ask a storage.
fn known<F>(cloud: Cloud, ask: impl FnOnce() -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<()>>,
{
    if is_set(cloud.credentials()) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let hint = cloud.hint();
    match runtime.block_on(async { timeout(NEAR, ask()).await }) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(anyhow!(
            "who asks is not known: {}\nhint: set {hint}",
            innermost(&error)
        )),
        Err(_) => Err(anyhow!("who asks is not known\nhint: set {hint}")),
    }
}
