//! A lake as queries see it: without files whose rows another one has, too, and never written.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
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
    Result,
    path::{Path, PathPart},
};

use super::{
    layout::{Name, Partition, Replaces, overlap, replacement},
    store::Lake,
};
use crate::export::LAST_NS;

/// How much earlier than the first of its packets a hop in a file may be: clocks of nodes differ.
const SLACK_NS: u64 = 3_600_000_000_000;

/// The files of a folder by what becomes of them.
#[derive(Default)]
pub(super) struct Folder {
    /// Those with rows that no other one has.
    pub(super) visible: Vec<ObjectMeta>,
    /// Those whose rows others have.
    pub(super) hidden: Vec<ObjectMeta>,
    /// What says which replaces which.
    pub(super) markers: Vec<(ObjectMeta, Replaces)>,
    /// The parts of files that were put together whose rows a later file has.
    pub(super) outdated: BTreeSet<String>,
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
    let overlap = overlap(&names, &markers);
    let texts = |names: BTreeSet<&str>| names.into_iter().map(str::to_string).collect();
    let outdated = texts(overlap.outdated);
    let is_hidden: BTreeSet<String> = texts(overlap.hidden);
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
        outdated,
    })
}

/// By pool, the parts of files that were put together whose rows a later file has.
pub(super) type Outdated = BTreeMap<String, BTreeSet<String>>;

/// The times that a question is about, in nanoseconds since 1970, with both ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            first_ns: 0,
            last_ns: u64::MAX,
        }
    }
}

impl Window {
    /// Whether a file of a folder may have something of it.
    fn touches(self, folder: &Folder, file: &ObjectMeta) -> bool {
        let name = file.location.filename().unwrap_or_default();
        let says = folder.markers.iter().find_map(|(marker, says)| {
            let is_of = replacement(marker.location.filename()?)? == name;
            says.times_ns.filter(|_| is_of)
        });
        // Of a packet's later hops, a name says nothing.
        let [first_ns, last_ns] = says.unwrap_or_else(|| {
            let first_ns = Name::first_ns_of(name).unwrap_or(0);
            [first_ns.saturating_sub(SLACK_NS), u64::MAX]
        });
        first_ns.min(LAST_NS) <= self.last_ns && self.first_ns <= last_ns
    }
}

/// What a scan says, and hears, of the files that are listed for it.
#[derive(Debug, Default)]
struct Scan {
    window: Window,
    outdated: Outdated,
}

/// The store of a lake, for queries.
#[derive(Clone, Debug)]
pub(super) struct View {
    store: Arc<dyn ObjectStore>,
    /// The files that there are; none for all that no other file hides.
    only: Option<Arc<[ObjectMeta]>>,
    scan: Arc<Mutex<Scan>>,
}

impl View {
    pub(super) fn all(lake: &Lake) -> Self {
        Self {
            store: Arc::clone(&lake.store),
            only: None,
            scan: Arc::default(),
        }
    }

    /// Some files, each in a folder `file=NAME` of its own.
    pub(super) fn of(lake: &Lake, only: &[ObjectMeta]) -> Self {
        let only = only.iter().map(|meta| ObjectMeta {
            location: named(&meta.location),
            ..meta.clone()
        });
        Self {
            only: Some(only.collect()),
            ..Self::all(lake)
        }
    }

    /// What is listed from now on may leave out files that have nothing of some time.
    pub(super) fn look_at(&self, window: Window) {
        *self.scan.lock().unwrap_or_else(PoisonError::into_inner) = Scan {
            window,
            ..Scan::default()
        };
    }

    /// What is doubled in the files that were listed since.
    pub(super) fn outdated(&self) -> Outdated {
        let scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
        scan.outdated.clone()
    }
}

/// Those files of folders that a scan is to read.
fn read_by(scan: &Mutex<Scan>, folders: BTreeMap<Partition, Folder>) -> Vec<ObjectMeta> {
    let mut scan = scan.lock().unwrap_or_else(PoisonError::into_inner);
    let mut files = Vec::new();
    for (partition, mut folder) in folders {
        let visible = mem::take(&mut folder.visible);
        let touched = visible
            .into_iter()
            .filter(|file| scan.window.touches(&folder, file));
        files.extend(touched);
        if !folder.outdated.is_empty() {
            let of_pool = scan.outdated.entry(partition.pool).or_default();
            of_pool.append(&mut folder.outdated);
        }
    }
    files
}

/// The column with the name of a file of [`View::of`].
pub(super) const FILE: &str = "file";

/// The path of a file that has a folder of its own.
fn named(path: &Path) -> Path {
    let mut parts: Vec<_> = path.parts().collect();
    let name = path.filename().unwrap_or_default();
    let folder = PathPart::from(format!("{FILE}={name}"));
    parts.insert(parts.len().saturating_sub(1), folder);
    parts.into_iter().collect()
}

/// The path that [`named`] was made of.
fn unnamed(path: &Path) -> Path {
    let is_own = |part: &PathPart<'_>| {
        let value = part.as_ref().strip_prefix(FILE);
        value.is_some_and(|value| value.starts_with('='))
    };
    path.parts().filter(|part| !is_own(part)).collect()
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
        match &self.only {
            Some(_) => self.store.get_opts(&unnamed(path), options).await,
            None => self.store.get_opts(path, options).await,
        }
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
        let scan = Arc::clone(&self.scan);
        let visible = async move {
            let folders = folders(&*store, prefix.as_ref()).await?;
            let files = read_by(&scan, folders).into_iter();
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
