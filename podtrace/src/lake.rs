//! A lake: hops and paths of many recordings as Parquet, in a folder or in an object storage, and
//! SQL over it.
//!
//! Its files, and what hides which, are in docs/lake.md.
mod cloud;
mod compact;
mod engine;
mod expire;
mod failure;
mod inside;
mod layout;
mod made;
mod part;
mod patience;
mod print;
mod safe;
mod schema;
mod store;
mod table;
mod upload;
mod view;
mod writer;

pub(crate) use self::{
    compact::compact,
    engine::{Engine, Limits, in_words},
    expire::expire,
    inside::inside,
    made::{Made, Making, Rows},
    print::{Format, Printed},
    store::{Lake, Open},
    writer::{LakeWriter, Source},
};
