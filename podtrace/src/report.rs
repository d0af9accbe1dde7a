//! A report of recordings: one HTML page that needs nothing else.
//!
//! A consumer collects what the page holds, in bounded memory: counts, causes, findings, flows,
//! latencies over time, and paths in words, of which it samples when there are too many. At the
//! end it writes them as JSON into a page with a style and a script of its own.
//!
//! What comes from packets, runtimes and files is text in the page: the JSON cannot end the element
//! that holds it, the script makes text nodes of it alone, and the page's policy allows this style
//! and this script and nothing else.
mod causes;
mod collect;
mod data;
mod drops;
mod entry;
mod names;
mod page;
mod sample;
#[cfg(test)]
mod tests;
mod topologies;

#[cfg(feature = "cluster")]
pub(crate) use causes::{Cause, Causes};
pub(crate) use collect::Collector;
