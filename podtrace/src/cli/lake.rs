//! Options of the lake, and of queries.
use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::parse::{count, duration, pool, size};

/// How a lake is reached.
#[derive(Clone, Copy, Debug, Args)]
pub struct StoreArgs {
    /// How long an object storage that fails is tried again
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub retry_for: Duration,
}

/// Where `export` puts a lake's files.
#[derive(Clone, Debug, Args)]
pub struct IntoLakeArgs {
    /// Write hops and paths as Parquet files of a lake: s3://bucket/prefix, with the variables
    /// AWS_*, gs://, az:// or a folder. What is there already is not doubled
    #[arg(long, value_name = "URL", conflicts_with_all = ["write", "to"])]
    pub lake: Option<String>,
    /// With --lake: the name of the nodes' pool
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = pool)]
    pub pool: String,
    /// How it is reached.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Options of `query`.
#[derive(Clone, Debug, Args)]
pub struct QueryArgs {
    /// The question, which only reads: SELECT, WITH, EXPLAIN, DESCRIBE, SHOW TABLES
    #[arg(value_name = "SQL")]
    pub sql: String,
    /// Session files of one node or several, captures of other tools, directories of them
    #[arg(
        value_name = "FILE|DIR",
        required_unless_present = "lake",
        conflicts_with = "lake"
    )]
    pub files: Vec<PathBuf>,
    /// A lake, as export --lake makes it: s3://bucket/prefix, with the variables AWS_*, gs://, az://
    /// or a folder
    #[arg(long, value_name = "URL")]
    pub lake: Option<String>,
    /// How it is reached.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: QueryFormat,
    /// Print at most this many rows
    #[arg(long, value_name = "N", value_parser = count)]
    pub limit: Option<u64>,
    /// Memory for the question; what takes more goes to temporary files
    #[arg(long, value_name = "SIZE", default_value = "384MiB", value_parser = size)]
    pub memory_limit: u64,
}

/// Output formats of `query`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// A table, for humans
    Text,
    /// A JSON object for each row
    Json,
    /// A header line, and a line for each row
    Csv,
}

/// Options of `lake`.
#[derive(Clone, Debug, Args)]
pub struct LakeArgs {
    /// The lake: s3://bucket/prefix, with the variables AWS_*, gs://, az:// or a folder
    #[arg(value_name = "URL")]
    pub url: String,
    /// Put the files of each hour together, of those that were over an hour ago
    #[arg(long)]
    pub compact: bool,
    /// Remove the hours that were over so long ago, for example 720h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older_than: Option<Duration>,
    /// With --older-than: only say what would be removed
    #[arg(long, requires = "older_than")]
    pub dry_run: bool,
    /// How it is reached.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Memory for putting files together; what takes more goes to temporary files
    #[arg(long, value_name = "SIZE", default_value = "384MiB", value_parser = size)]
    pub memory_limit: u64,
}
