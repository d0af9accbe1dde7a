//! Uploads in parts, to a storage that fails.
use std::{
    fmt,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use futures_util::{FutureExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutResult, UploadPart, memory::InMemory,
};

use super::*;
use crate::lake::patience::Patience;

/// What a storage was asked.
#[derive(Debug, Default)]
struct Asked {
    parts: AtomicUsize,
    given_up: AtomicUsize,
}

/// A storage that fails to take some parts: those that were asked for from the second on, so many.
#[derive(Clone, Debug)]
struct Flaky {
    store: Arc<InMemory>,
    fails: usize,
    asked: Arc<Asked>,
    /// How long its client tries a part.
    tries: Duration,
}

#[derive(Debug)]
struct FlakyUpload {
    upload: Box<dyn MultipartUpload>,
    of: Flaky,
}

#[async_trait]
impl MultipartUpload for FlakyUpload {
    fn put_part(&mut self, bytes: PutPayload) -> UploadPart {
        let number = self.of.asked.parts.fetch_add(1, SeqCst);
        if !(1..=self.of.fails).contains(&number) {
            return self.upload.put_part(bytes);
        }
        let tries = self.of.tries;
        async move {
            tokio::time::sleep(tries).await;
            Err(Error::Generic {
                store: "S3",
                source: "connection refused".into(),
            })
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.of.asked.given_up.fetch_add(1, SeqCst);
        self.upload.abort().await
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.store.put_opts(to, bytes, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (upload, of) = (self.store.put_multipart_opts(to, how).await?, self.clone());
        Ok(Box::new(FlakyUpload { upload, of }))
    }

    async fn get_opts(&self, path: &Path, how: GetOptions) -> Result<GetResult> {
        self.store.get_opts(path, how).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, how).await
    }
}

/// Puts a file of two parts into a storage that fails to take so many.
async fn put(fails: usize, whole: Duration) -> (anyhow::Result<()>, Flaky) {
    let request = Duration::from_millis(1);
    let flaky = Flaky {
        store: Arc::default(),
        fails,
        asked: Arc::default(),
        tries: request,
    };
    let lake = Lake {
        store: Arc::new(flaky.clone()),
        name: "s3://traces".into(),
        patience: Patience { whole, request },
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; PART + 1]).unwrap();
    let to = Path::from("hops/a.parquet");
    (lake.put_file(file, &to).await, flaky)
}

async fn sizes(flaky: &Flaky) -> Vec<u64> {
    let all: Vec<_> = flaky.store.list(None).try_collect().await.unwrap();
    all.into_iter().map(|meta| meta.size).collect()
}

#[tokio::test]
async fn a_storage_that_comes_back_has_the_file_and_no_begun_upload() {
    let (done, flaky) = put(3, Duration::from_secs(3600)).await;
    done.unwrap();
    assert_eq!(sizes(&flaky).await, [PART as u64 + 1]);
    // The first part of the first upload arrived; three uploads failed at a part, the last one sent two.
    assert_eq!(flaky.asked.parts.load(SeqCst), 6);
    assert_eq!(flaky.asked.given_up.load(SeqCst), 3);
}

#[tokio::test]
async fn a_storage_that_stays_away_has_nothing() {
    let (done, flaky) = put(usize::MAX - 1, Duration::from_millis(10)).await;
    let says = done.unwrap_err().to_string();
    assert!(
        says.starts_with("hops/a.parquet is not in s3://traces, which was tried for 10ms: "),
        "{says}"
    );
    assert_eq!(sizes(&flaky).await, [0_u64; 0]);
    assert!(flaky.asked.given_up.load(SeqCst) > 0);
}
