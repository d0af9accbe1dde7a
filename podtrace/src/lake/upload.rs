//! Puts a file into a lake: it appears as a whole, or not at all.
use std::{
    error::Error,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use anyhow::{Context as _, anyhow};
use object_store::{
    MultipartUpload as _, ObjectStore as _, ObjectStoreExt as _, PutPayload, path::Path,
};

use super::store::{Lake, innermost};

/// Bytes sent at once: at least the 5 MiB that S3 wants, and few enough for its 10,000 parts.
const PART: usize = 16 << 20;

impl Lake {
    /// Puts all that a temporary file has.
    pub(super) async fn put_file(&self, mut file: File, to: &Path) -> anyhow::Result<()> {
        let temporary = "failed to read a temporary file back";
        file.seek(SeekFrom::Start(0)).context(temporary)?;
        let first = part(&mut file).context(temporary)?;
        if first.len() < PART {
            return self.put(first, to).await;
        }
        let parts = async {
            let mut upload = self
                .store
                .put_multipart_opts(to, Default::default())
                .await?;
            let mut bytes = first;
            while !bytes.is_empty() {
                if let Err(error) = upload.put_part(PutPayload::from(bytes)).await {
                    // What is left of it is nothing to anybody.
                    let _ = upload.abort().await;
                    return Err(error.into());
                }
                bytes = part(&mut file).context(temporary)?;
            }
            upload.complete().await?;
            anyhow::Ok(())
        };
        parts.await.map_err(|error| self.not_written(to, &*error))
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
            self.patience,
            innermost(error)
        )
    }
}

/// The next bytes of a file; fewer than [`PART`] at its end.
fn part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(PART as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
