//! The wire contract between podtrace's kernel programs and user space.
//!
//! No dependency, no `unsafe`: the same source is compiled for the BPF target
//! and for the host, where it is tested.
#![cfg_attr(target_arch = "bpf", no_std)]
#![forbid(unsafe_code)]

pub mod config;
pub mod dropped;
pub mod parse;
pub mod record;
pub mod ring;
pub mod sample;
