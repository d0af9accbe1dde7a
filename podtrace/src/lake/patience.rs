//! A storage that is asked again while it fails.
use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, path::Path,
};

/// How long a client tries a request by itself. It signs it once, and S3 refuses what was signed a
/// quarter of an hour ago.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// How long a storage that fails is asked again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// In all.
    pub(super) whole: Duration,
    /// How long a client tries a request.
    pub(super) request: Duration,
}

impl Patience {
    pub(super) fn new(whole: Duration) -> Self {
        Self {
            whole,
            request: whole.min(REQUEST_MAX),
        }
    }

    /// Whether a request that failed in some time may succeed later. What tells that is how long the
    /// client has tried: it tells at once what no try can mend.
    pub(super) fn may_pass(self, error: &Error, took: Duration) -> bool {
        matches!(error, Error::Generic { .. }) && took >= self.request
    }

    /// Whether what failed since then is to be tried again.
    pub(super) fn lasts_since(self, begin: Instant) -> bool {
        begin.elapsed() < self.whole
    }

    /// Asks until there is an answer.
    async fn ask<T, F>(self, mut ask: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let begin = Instant::now();
        loop {
            let asked = Instant::now();
            match ask().await {
                Err(error) if self.may_pass(&error, asked.elapsed()) && self.lasts_since(begin) => {
                }
                answer => return answer,
            }
        }
    }
}

/// A storage with whom one has patience. Parts of an upload are not sent again: who uploads has them.
#[derive(Clone, Debug)]
pub(super) struct Patient<S> {
    pub(super) store: S,
    pub(super) patience: Patience,
}

impl<S: ObjectStore> fmt::Display for Patient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

#[async_trait]
impl<S: ObjectStore + Clone> ObjectStore for Patient<S> {
    async fn put_opts(
        &self,
        path: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = || self.store.put_opts(path, bytes.clone(), options.clone());
        self.patience.ask(put).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begin = || self.store.put_multipart_opts(path, options.clone());
        self.patience.ask(begin).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let get = || self.store.get_opts(path, options.clone());
        self.patience.ask(get).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let all = self.clone();
        let deleted = paths.and_then(move |path| {
            let all = all.clone();
            async move {
                all.patience.ask(|| all.store.delete(&path)).await?;
                Ok(path)
            }
        });
        deleted.boxed()
    }

    /// As a whole: what is listed in parts cannot go on after a part that failed.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (all, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let list = || all.store.list(prefix.as_ref()).try_collect::<Vec<_>>();
            let metas = all.patience.ask(list).await?;
            Ok::<_, Error>(stream::iter(metas.into_iter().map(Ok)))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = || self.store.list_with_delimiter(prefix);
        self.patience.ask(list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = || self.store.copy_opts(from, to, options.clone());
        self.patience.ask(copy).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Error {
        Error::Generic {
            store: "S3",
            source: "connection refused".into(),
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    /// The answer of a storage that fails so many times, and how often it was asked.
    async fn asked(whole: Duration, fails: usize) -> (Result<()>, usize) {
        let request = Duration::from_millis(1);
        let (patience, mut tries) = (Patience { whole, request }, 0);
        let ask = || {
            tries += 1;
            let fails = tries <= fails;
            async move {
                if !fails {
                    return Ok(());
                }
                // As its client does.
                tokio::time::sleep(request).await;
                Err(gone())
            }
        };
        (patience.ask(ask).await, tries)
    }

    #[tokio::test]
    async fn a_storage_that_comes_back_is_asked_until_then() {
        let (answer, tries) = asked(HOUR, 60).await;
        answer.unwrap();
        assert_eq!(tries, 61);
    }

    #[tokio::test]
    async fn patience_ends() {
        let (answer, tries) = asked(Duration::ZERO, usize::MAX).await;
        answer.unwrap_err();
        assert_eq!(tries, 1);
        let (answer, tries) = asked(Duration::from_millis(20), usize::MAX).await;
        answer.unwrap_err();
        assert!((2..=20).contains(&tries), "{tries}");
    }

    #[tokio::test]
    async fn what_no_try_can_mend_is_told_at_once() {
        let denied = || Error::PermissionDenied {
            path: "a".into(),
            source: "no".into(),
        };
        for error in [gone, denied as fn() -> Error] {
            let mut tries = 0;
            let ask = || {
                tries += 1;
                async move { Err::<(), _>(error()) }
            };
            Patience::new(HOUR).ask(ask).await.unwrap_err();
            assert_eq!(tries, 1);
        }
    }

    /// Asked once, or sixty times: a request is not older than S3 takes it.
    #[test]
    fn requests_are_signed_anew() {
        for whole in [0, 1, 60, 3600].map(Duration::from_secs) {
            assert!(Patience::new(whole).request <= Duration::from_secs(60).min(whole));
        }
    }
}
