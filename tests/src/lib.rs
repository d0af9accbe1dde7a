//! End-to-end tests, and their lab with a real container runtime.

pub mod api_server;
pub mod cri_lab;
pub mod frames;
pub mod newcomer;
pub mod wire;
pub mod yardstick;

#[cfg(test)]
mod cases;
