//! SQL over a lake: reads only, within bounds.
use std::{num::NonZeroUsize, path::Path as FilePath, sync::Arc};

use anyhow::{Context as _, anyhow};
use datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    common::SchemaError,
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream,
        context::SQLOptions,
        memory_pool::{FairSpillPool, TrackConsumersPool},
        object_store::ObjectStoreUrl,
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::{SessionConfig, SessionContext},
};

use object_store::path::Path;

use super::{
    failure::innermost,
    layout::Table,
    schema::{FLOWS, of_folders, with_part},
    store::Lake,
    table::LakeTable,
    view::View,
};

/// The address under which queries have the files of a table.
fn address_of(table: Table) -> String {
    format!("lake://{}", table.name())
}

/// Rows of a step.
const BATCH_ROWS: usize = 8192;

/// Rows of a step where all columns of all rows are sorted.
const SORTED_ROWS: usize = 512;

/// What takes most memory is named when there is none left.
const TOLD: NonZeroUsize = NonZeroUsize::MIN;

/// What a query may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    /// Bytes of memory, beyond which it takes files.
    pub(crate) memory: u64,
    /// The folder of those files.
    pub(crate) folder: &'a FilePath,
}

/// Answers SQL.
pub(crate) struct Engine {
    pub(super) context: SessionContext,
}

impl Engine {
    /// Without a table, to sort all rows of some files: wide rows in small steps and one by one, as each
    /// run on the disk that is merged takes the memory of some steps.
    pub(super) fn sorter(limits: Limits<'_>) -> anyhow::Result<Self> {
        Self::empty(limits, |config| {
            config
                .with_batch_size(SORTED_ROWS)
                .with_target_partitions(1)
        })
    }

    fn empty(
        limits: Limits<'_>,
        other: impl FnOnce(SessionConfig) -> SessionConfig,
    ) -> anyhow::Result<Self> {
        let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        let pool = TrackConsumersPool::new(FairSpillPool::new(memory), TOLD);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_temp_file_path(limits.folder)
            // Each query lists anew, and only the folders that it asks for.
            .with_object_list_cache_limit(0)
            .build_arc()
            .context("failed to start the query engine")?;
        let config = SessionConfig::new()
            .with_information_schema(true)
            .with_collect_statistics(false)
            .with_batch_size(BATCH_ROWS)
            .set_bool("datafusion.execution.parquet.pushdown_filters", true)
            .set_bool("datafusion.execution.parquet.reorder_filters", true);
        let context = SessionContext::new_with_config_rt(other(config), runtime);
        Ok(Self { context })
    }

    /// Lets queries see the files of a table.
    pub(super) fn show(&self, table: Table, view: View) -> anyhow::Result<()> {
        let url = ObjectStoreUrl::parse(address_of(table))?;
        let files = Arc::new(view);
        self.context.register_object_store(url.as_ref(), files);
        Ok(())
    }

    /// With the tables of a lake.
    pub(crate) async fn new(lake: &Lake, limits: Limits<'_>) -> anyhow::Result<Self> {
        let engine = Self::empty(limits, |config| config)?;
        for table in Table::ALL {
            let view = View::all(lake);
            engine.show(table, view.clone())?;
            let config = ListingTableConfig::new(address(table, &Path::from(table.name()))?);
            let files = listing(config, with_part(table), of_folders())?;
            let shown = LakeTable::new(files, view)?;
            engine
                .context
                .register_table(table.name(), Arc::new(shown))?;
        }
        let flows = engine.context.sql(FLOWS).await?.into_view();
        engine.context.register_table("flows", flows)?;
        Ok(engine)
    }

    /// Begins to answer.
    pub(crate) async fn ask(&self, sql: &str) -> anyhow::Result<SendableRecordBatchStream> {
        let reads = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let asked = async {
            let frame = self.context.sql_with_options(sql, reads).await?;
            frame.execute_stream().await
        };
        asked.await.map_err(in_words)
    }
}

/// A table of Parquet files. `folders`: the columns that stand in the names of folders.
pub(super) fn listing(
    config: ListingTableConfig,
    schema: SchemaRef,
    folders: Vec<(String, DataType)>,
) -> Result<ListingTable, DataFusionError> {
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(".parquet")
        .with_table_partition_cols(folders);
    ListingTable::try_new(config.with_listing_options(options).with_schema(schema))
}

/// The address of a folder for a query.
pub(super) fn address(table: Table, folder: &Path) -> Result<ListingTableUrl, DataFusionError> {
    ListingTableUrl::parse(format!("{}/{folder}/", address_of(table)))
}

/// What was wrong with a query, and what to do.
pub(crate) fn in_words(error: DataFusionError) -> anyhow::Error {
    let root = error.find_root();
    let text = match root {
        DataFusionError::ObjectStore(error) => format!("the lake: {}", innermost(&**error)),
        DataFusionError::Plan(words)
        | DataFusionError::NotImplemented(words)
        | DataFusionError::ResourcesExhausted(words)
        | DataFusionError::Execution(words) => words.clone(),
        DataFusionError::SQL(error, _) => error.to_string(),
        _ => root.strip_backtrace(),
    };
    let text = text.lines().collect::<Vec<_>>().join(" ");
    // Nobody has to name the only schema that there is.
    let text = text.replace("datafusion.public.", "");
    let hint = match root {
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound { field, .. } => {
                return anyhow!(
                    "there is no column {}\nhint: the question DESCRIBE paths is answered with those of \
                     paths, and so for hops and flows",
                    field.flat_name()
                );
            }
            _ => "",
        },
        _ if text.contains("table '") && text.contains("not found") => {
            "\nhint: the tables are hops, paths and flows"
        }
        _ if text.contains("not supported: ") || text.contains("not supported for") => {
            "\nhint: queries only read: SELECT, WITH, EXPLAIN, DESCRIBE, SHOW TABLES"
        }
        DataFusionError::ResourcesExhausted(_) => "\nhint: --memory-limit 2GiB, or ask for less",
        _ => "",
    };
    anyhow!("the query failed: {text}{hint}")
}
