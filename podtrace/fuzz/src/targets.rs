//! What is fuzzed.
pub(crate) mod agent;
pub(crate) mod capture;
pub(crate) mod cri;
pub(crate) mod filter;
pub(crate) mod kubernetes;
pub(crate) mod netlink;
pub(crate) mod packet;
pub(crate) mod session;
pub(crate) mod wire;
pub(crate) mod zstd;
