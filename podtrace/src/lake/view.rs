//! A lake as queries see it: without files whose rows another one has, too, and never written.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::try_join_all,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, path::Path,
};

use super::{
    layout::{Partition, Replaces, hidden, replacement},
    store::Lake,
};

/// The files of a folder by what becomes of them.
#[derive(Default)]
pub(super) struct Folder {
    /// Those with rows that no other one has.
    pub(super) visible: Vec<ObjectMeta>,
    /// Those whose rows others have.
    pub(super) hidden: Vec<ObjectMeta>,
    /// What says which replaces which.
    pub(super) markers: Vec<(ObjectMeta, Replaces)>,
}

/// What is under a path of a lake, by folder.
pub(super) async fn folders(
    store: &dyn ObjectStore,
    prefix: Option<&Path>,
) -> Result<BTreeMap<Partition, Folder>> {
    let mut found: BTreeMap<Partition, BTreeMap<String, ObjectMeta>> = BTreeMap::new();
    let mut all = store.list(prefix);
    while let Some(meta) = all.try_next().await? {
        if let Some((partition, name)) = Partition::of(&meta.location) {
            found.entry(partition).or_default().insert(name, meta);
        }
    }
    let mut folders = BTreeMap::new();
    for (partition, files) in found {
        folders.insert(partition, folder(store, files).await?);
    }
    Ok(folders)
}

async fn folder(
    store: &dyn ObjectStore,
    mut files: BTreeMap<String, ObjectMeta>,
) -> Result<Folder> {
    let names: Vec<String> = files
        .keys()
        .filter(|name| replacement(name).is_some())
        .cloned()
        .collect();
    let metas = names.into_iter().filter_map(|name| {
        let meta = files.remove(&name)?;
        Some((name, meta))
    });
    let markers = try_join_all(metas.map(|(name, meta)| async {
        let bytes = store.get(&meta.location).await?.bytes().await?;
        let replaces = serde_json::from_slice(&bytes).map_err(|error| Error::Generic {
            store: "lake",
            source: format!("{} is damaged: {error}", meta.location).into(),
        })?;
        Ok::<_, Error>((meta, (name, replaces)))
    }));
    let (metas, markers): (Vec<_>, Vec<_>) = markers.await?.into_iter().unzip();
    files.retain(|name, _| name.ends_with(".parquet"));
    let names: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    let is_hidden: BTreeSet<String> = hidden(&names, &markers)
        .into_iter()
        .map(str::to_string)
        .collect();
    let (hidden, visible): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(name, _)| is_hidden.contains(name));
    let metas_of = |files: Vec<(String, ObjectMeta)>| files.into_iter().map(|(_, meta)| meta);
    Ok(Folder {
        visible: metas_of(visible).collect(),
        hidden: metas_of(hidden).collect(),
        markers: metas
            .into_iter()
            .zip(markers.into_iter().map(|(_, replaces)| replaces))
            .collect(),
    })
}

/// The store of a lake, for queries.
#[derive(Clone, Debug)]
pub(super) struct View {
    store: Arc<dyn ObjectStore>,
    /// The files that there are; none for all that no other file hides.
    only: Option<Arc<[ObjectMeta]>>,
}

impl View {
    pub(super) fn all(lake: &Lake) -> Self {
        Self {
            store: Arc::clone(&lake.store),
            only: None,
        }
    }

    pub(super) fn of(lake: &Lake, only: &[ObjectMeta]) -> Self {
        Self {
            store: Arc::clone(&lake.store),
            only: Some(only.into()),
        }
    }
}

/// The query engine passes over empty files, but none was written so.
fn not_empty(meta: ObjectMeta) -> Result<ObjectMeta> {
    if meta.size > 0 {
        return Ok(meta);
    }
    Err(Error::Generic {
        store: "lake",
        source: format!("{} is damaged: it is empty", meta.location).into(),
    })
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// The folder that is meant by `hour=9`, as a query for that hour has it.
fn as_written(prefix: &Path) -> Path {
    let part = |part: &str| match part.strip_prefix("hour=") {
        Some(hour) => format!("hour={hour:0>2}"),
        None => part.into(),
    };
    prefix.parts().map(|name| part(name.as_ref())).collect()
}

fn refused<T>() -> Result<T> {
    Err(Error::NotSupported {
        source: "queries do not write".into(),
    })
}

#[async_trait]
impl ObjectStore for View {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refused()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        refused()
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        paths.map(|_| refused()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Some(only) = &self.only {
            let metas: Vec<_> = only.iter().cloned().map(not_empty).collect();
            return stream::iter(metas).boxed();
        }
        let (store, prefix) = (Arc::clone(&self.store), prefix.map(as_written));
        let visible = async move {
            let folders = folders(&*store, prefix.as_ref()).await?;
            let files = folders.into_values().flat_map(|folder| folder.visible);
            Ok::<_, Error>(stream::iter(files.map(not_empty)))
        };
        stream::once(visible).try_flatten().boxed()
    }

    /// Of no use to queries, which want all that is below.
    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotSupported {
            source: "a lake is listed as a whole".into(),
        })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refused()
    }
}
