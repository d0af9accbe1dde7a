//! Puts a file into a lake: it appears as a whole, or not at all.
use std::{
    error::Error,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use object_store::{
    MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutPayload, Result, path::Path,
};
use tokio::time::timeout;

use super::{failure::innermost, store::Lake};

/// Bytes sent at once: at least the 5 MiB that S3 wants, and few enough for its 10,000 parts.
const PART: usize = 16 << 20;

/// What fails is told, even if the storage does not hear that an upload is given up.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Why an upload ended.
struct Interrupted {
    error: anyhow::Error,
    /// Whether another one may come to its end.
    may_pass: bool,
}

impl Lake {
    /// Puts all that a temporary file has.
    pub(super) async fn put_file(&self, mut file: File, to: &Path) -> anyhow::Result<()> {
        let first = first(&mut file)?;
        if first.len() < PART {
            return self.put(first, to).await;
        }
        let (begin, mut given_up) = (Instant::now(), Vec::new());
        let done = loop {
            let begun = self.store.put_multipart_opts(to, Default::default()).await;
            let mut upload = match begun {
                Ok(upload) => upload,
                Err(error) => break Err(self.not_written(to, &error)),
            };
            match self.send(&mut file, &mut *upload).await {
                Ok(()) => break Ok(()),
                Err(Interrupted { error, may_pass }) => {
                    given_up.push(upload);
                    if !may_pass || !self.patience.lasts_since(begin) {
                        break Err(self.not_written(to, &*error));
                    }
                }
            }
        };
        // What is left of them is nothing to anybody.
        let _ = timeout(GIVE_UP, async {
            for upload in &mut given_up {
                let _ = upload.abort().await;
            }
        })
        .await;
        done
    }

    /// Sends all of a file, once.
    async fn send(
        &self,
        file: &mut File,
        upload: &mut dyn MultipartUpload,
    ) -> std::result::Result<(), Interrupted> {
        let unread = |error| Interrupted {
            error,
            may_pass: false,
        };
        let mut bytes = first(file).map_err(unread)?;
        while !bytes.is_empty() {
            let sent = self.once(upload.put_part(PutPayload::from(bytes)));
            sent.await?;
            bytes = part(file).map_err(unread)?;
        }
        self.once(upload.complete()).await
    }

    async fn once<T>(
        &self,
        request: impl Future<Output = Result<T>>,
    ) -> std::result::Result<(), Interrupted> {
        let asked = Instant::now();
        let answer = request.await.map(drop);
        answer.map_err(|error| Interrupted {
            // The storage may have lost the upload, or completed it without being heard.
            may_pass: self.patience.may_pass(&error, asked.elapsed())
                || matches!(error, object_store::Error::NotFound { .. }),
            error: error.into(),
        })
    }

    pub(super) async fn put(&self, bytes: Vec<u8>, to: &Path) -> anyhow::Result<()> {
        let put = self.store.put(to, PutPayload::from(bytes)).await;
        put.map(drop).map_err(|error| self.not_written(to, &error))
    }

    fn not_written(&self, to: &Path, error: &(dyn Error + 'static)) -> anyhow::Error {
        anyhow!(
            "{to} is not in {}, which was tried for {:?}: {}\nhint: run the command again: what was \
             written stays, and is not doubled",
            self.name,
            self.patience.whole,
            innermost(error)
        )
    }
}

const UNREAD: &str = "failed to read a temporary file back";

/// The first bytes of a file.
fn first(file: &mut File) -> anyhow::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0)).context(UNREAD)?;
    part(file)
}

/// The next bytes of a file; fewer than [`PART`] at its end.
fn part(file: &mut File) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read: io::Result<usize> = file.take(PART as u64).read_to_end(&mut bytes);
    read.context(UNREAD)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
